"""A run's output, bounded: the first 32 KiB and the last 224 KiB are kept, what lies between is counted (R15)."""

import re
import threading
from collections import deque

HEAD_BYTES = 32 * 1024
TAIL_BYTES = 224 * 1024
_CHUNK = 8 * 1024
_SURROGATES = re.compile("[\ud800-\udfff]")


class KeptOutput:
    """Thread-safe. Text in, text out; the limits count UTF-8 bytes. Characters no store takes (NUL, halves of
    surrogate pairs) are replaced by visible ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._head: list[str] = []
        self._head_bytes = 0
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._dropped = 0

    def add(self, text: str) -> None:
        """Appends."""
        data = clean(text).encode("utf-8")
        with self._lock:
            room = HEAD_BYTES - self._head_bytes
            if room > 0 and data:
                part = data[:room].decode("utf-8", "ignore")  # never half a character
                self._head.append(part)
                taken = len(part.encode("utf-8"))
                self._head_bytes += taken if taken == len(data) else room
                data = data[taken:]
            for start in range(0, len(data), _CHUNK):
                self._tail.append(data[start:start + _CHUNK])
            self._tail_bytes += len(data)
            while self._tail_bytes - len(self._tail[0] if self._tail else b"") >= TAIL_BYTES:
                gone = self._tail.popleft()
                self._tail_bytes -= len(gone)
                self._dropped += len(gone)

    def text(self) -> str:
        """What was kept, with one line that tells how much was not."""
        with self._lock:
            tail, dropped = b"".join(self._tail), self._dropped
            head = "".join(self._head)
        if len(tail) > TAIL_BYTES:
            dropped += len(tail) - TAIL_BYTES
            tail = tail[-TAIL_BYTES:]
        while tail and dropped and tail[0] & 0xC0 == 0x80:  # the rest of a character that was cut
            tail = tail[1:]
            dropped += 1
        middle = f"\n… {dropped} bytes …\n" if dropped else ""
        return head + middle + tail.decode("utf-8", "replace")


def clean(text: str) -> str:
    """Text that JSON and SQLite take."""
    text = text.replace("\0", "␀")
    if text.isascii():
        return text
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
