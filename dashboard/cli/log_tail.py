"""``scheduler.log`` as it grows: read by its name each time, never kept open, followed over rotations."""

import os
from collections import deque
from pathlib import Path


class LogTail:
    """The last lines of a file, then what is added. Lines are decoded as UTF-8; a line that is still being written
    is given when it is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0
        self._file: int | None = None

    def last(self, count: int) -> list[str]:
        """The last ``count`` lines; what ``more`` gives begins after them."""
        kept: deque[str] = deque(maxlen=count)
        kept.extend(self.more())
        return list(kept)

    def more(self) -> list[str]:
        """Whole lines that were added since the last call; [] while there is no file."""
        lines: list[bytes] = []
        if self._rotated():
            lines, _ = _read(Path(f"{self.path}.1"), self._position, self._file)
            self._position, self._file = 0, None
        added, found = _read(self.path, self._position, None)
        self._file = found or self._file  # between two names there is none: what was there may still be to read
        self._position += sum(len(line) for line in added)
        return [line.decode("utf-8", "replace").rstrip("\r\n") for line in (*lines, *added)]

    def _rotated(self) -> bool:
        try:
            found = self.path.stat()
        except OSError:
            return False
        return self._file is not None and (found.st_ino != self._file or found.st_size < self._position)


def _read(path: Path, position: int, number: int | None) -> tuple[list[bytes], int | None]:
    """Whole lines from ``position`` on, and the file's number; with ``number``, only if it is that file."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_ino
            if number is not None and found != number:
                return [], found
            file.seek(position)
            lines = file.readlines()
    except OSError:
        return [], None
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    return lines, found
