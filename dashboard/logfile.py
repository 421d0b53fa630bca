"""``scheduler.log``: a queue and one writer thread a process; whoever logs never waits for the disk.

Each batch is appended under ``scheduler.log.lock``: open, rotate if due, write, close. No process keeps the file
open, so that several may write and any may rotate, on Windows too. English always.
"""

import atexit
import contextlib
import logging
import os
import queue
import threading
import time
from datetime import tzinfo
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from dashboard.config import Settings
from dashboard.i18n import gettext
from dashboard.log_format import dropped_record, encode

MAX_BYTES = 5 * 1024 * 1024
KEEP = 5
CAPACITY = 10_000
"""Records that wait while the file cannot be written; more are counted and dropped."""
RETRY_SECONDS = 1.0
_BATCH = 1_000
_LINGER_SECONDS = 0.02  # a burst costs one opening of the file, not hundreds
_LOCK_SECONDS = 5.0
_LEVELS = {"": logging.WARNING, "apscheduler": logging.WARNING, "dingshi": logging.INFO}


class _Mark:
    """Goes through the queue behind the records; ``done`` once they were tried, ``written`` if that went well."""

    def __init__(self, *, last: bool = False) -> None:
        self.last = last
        self.written = False
        self.done = threading.Event()


class LogWriter:
    """Writes log records to one file from its own thread. A failure to write reaches no caller: it stands in
    ``problem`` and is tried again every second. Files kept: ``path`` and ``path.1`` (newer) to ``path.<keep>``."""

    def __init__(self, path: Path, zone: tzinfo, *, max_bytes: int = MAX_BYTES, keep: int = KEEP,
                 capacity: int = CAPACITY) -> None:
        self.path = path
        self._zone = zone
        self._max_bytes = max_bytes
        self._keep = keep
        self._capacity = capacity
        self._queue: queue.SimpleQueue[logging.LogRecord | _Mark] = queue.SimpleQueue()  # its put is reentrant
        self._pending: list[bytes] = []
        self._dropped = 0
        self._dropping = threading.RLock()
        self._error: Exception | None = None
        self._closed = False
        self._handler = _QueueHandler(self)
        self._before: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="scheduler.log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def problem(self) -> str | None:
        """Why the file cannot be written at present, in the language in force; None while it can."""
        error = self._error
        if error is None:
            return None
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return gettext("The log file %(path)s cannot be written: %(words)s. Check the folder, its permissions and "
                       "the free space.", path=self.path, words=words)

    def put(self, record: logging.LogRecord) -> None:
        """Hands over a record. Never waits, never raises; callable from a signal handler."""
        if self._queue.qsize() + len(self._pending) >= self._capacity:
            with self._dropping:
                self._dropped += 1
        else:
            self._queue.put(record)

    def flush(self, timeout: float = 5.0) -> bool:
        """Waits until what was logged so far has been written, at most ``timeout`` seconds. False: it is not, now."""
        mark = _Mark()
        self._queue.put(mark)
        return not self._closed and mark.done.wait(timeout) and mark.written

    def install(self) -> None:
        """From here on ``dingshi.*`` from INFO and everything else from WARNING goes to the file."""
        for name, level in _LEVELS.items():
            logger = logging.getLogger(name)
            self._before[name] = logger.level
            logger.setLevel(level)
        logging.getLogger().addHandler(self._handler)

    def close(self, timeout: float = 5.0) -> None:
        """Writes what is left and ends the thread. Logging goes back to what it was. May be called twice."""
        if self._closed:
            return
        logging.getLogger().removeHandler(self._handler)
        for name, level in self._before.items():
            logging.getLogger(name).setLevel(level)
        self._queue.put(_Mark(last=True))
        self._thread.join(timeout)
        self._closed = True
        atexit.unregister(self.close)

    def _run(self) -> None:
        next_try = 0.0
        while True:
            marks = self._collect(max(0.0, next_try - time.monotonic()))
            if marks or time.monotonic() >= next_try:
                written = self._write()
                next_try = 0.0 if written else time.monotonic() + RETRY_SECONDS
                for mark in marks:
                    mark.written = written
                    mark.done.set()
            if any(mark.last for mark in marks):
                return

    def _collect(self, wait: float) -> list[_Mark]:
        """Moves records from the queue to the pending lines: waits for the first (while lines are pending, only
        until the next try), then takes what is there. Returns the marks met."""
        marks: list[_Mark] = []
        try:
            item = self._queue.get(timeout=max(wait, 0.001) if self._pending else None)
            if not isinstance(item, _Mark):
                time.sleep(_LINGER_SECONDS)
            for _ in range(_BATCH):
                if isinstance(item, _Mark):
                    marks.append(item)
                else:
                    self._pending.append(encode(item, self._zone))
                item = self._queue.get_nowait()
        except queue.Empty:
            pass
        return marks

    def _write(self) -> bool:
        with self._dropping:
            dropped = self._dropped
        if not self._pending and not dropped:
            return True
        lines = list(self._pending)
        if dropped:
            lines.append(encode(dropped_record(dropped), self._zone))
        try:
            self._append(b"".join(lines))
        except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
            self._error = error
            return False
        self._error = None
        self._pending.clear()
        with self._dropping:
            self._dropped -= dropped
        return True

    def _append(self, data: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{self.path}.lock", timeout=_LOCK_SECONDS, poll_interval=0.01)
        with lock:
            if self._due(len(data)):
                # A reader that keeps the file open (Windows) only delays the rotation.
                with contextlib.suppress(OSError):
                    self._rotate()
            with self.path.open("a+b", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                try:
                    _write_all(file, _line_end(file, size) + data)
                except OSError:
                    file.truncate(size)  # no half of a batch: it will be written again as a whole
                    raise

    def _due(self, more: int) -> bool:
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return False
        return size > 0 and size + more > self._max_bytes

    def _rotate(self) -> None:
        names = [self.path, *(Path(f"{self.path}.{n}") for n in range(1, self._keep + 1))]
        free = next((n for n, name in enumerate(names) if not name.exists()), self._keep)
        for n in range(free, 0, -1):
            names[n - 1].replace(names[n])


class _QueueHandler(logging.Handler):
    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def createLock(self) -> None:
        """No lock: the queue needs none, and a signal handler may log at any instant."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """As inherited, without the lock, which Python 3.13 takes for granted."""
        found = self.filter(record)
        if found:
            self.emit(found if isinstance(found, logging.LogRecord) else record)
        return bool(found)

    def emit(self, record: logging.LogRecord) -> None:
        # The text is made now, since its values may change; all the rest in the writer's thread.
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001 (whatever a value's own __str__ raises)
            message = f"{record.msg!r} ({type(error).__name__} in its values)"
        copied = logging.makeLogRecord(record.__dict__)
        copied.msg, copied.args = message, None
        self._writer.put(copied)


def setup(settings: Settings) -> LogWriter:
    """Starts the log of this process and installs it. ``close`` it at the end."""
    writer = LogWriter(settings.log_file, settings.timezone)
    writer.install()
    return writer


def _line_end(file: BinaryIO, size: int) -> bytes:
    """A line end if the last line lacks it (its writer was killed)."""
    if size == 0:
        return b""
    file.seek(size - 1)
    return b"" if file.read(1) == b"\n" else b"\n"


def _write_all(file: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest):]
