"""A command's bytes as text, while they come.

Nobody tells in which encoding a program writes. The rule: what the task says; else UTF-8 if all of it is valid
UTF-8; else the machine's own (the OEM code page of Windows, the locale's elsewhere), unreadable bytes replaced.
"""

import codecs
import locale
import sys

SURE = 8
"""So many characters beyond ASCII that are valid UTF-8 are no accident: of GBK texts of eight characters about one
in a million is. Until then nothing beyond ASCII is given out, for it could not be taken back; after that only whole
lines, where another reading is possible."""
HELD_BYTES = 64 * 1024
UTF_8 = "utf-8"


def machine_encoding() -> str:
    """What this machine's programs write where they do not write UTF-8; a codec that exists."""
    if sys.platform == "win32":
        import ctypes

        name = f"cp{ctypes.windll.kernel32.GetOEMCP()}"
    else:
        name = locale.getencoding()
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        return UTF_8
    return UTF_8 if codec in ("ascii", "cp65001") else codec


def is_text_encoding(name: str) -> bool:
    """Whether Python can read bytes as text by this name, piece by piece, replacing what is wrong."""
    try:
        b" ".decode(name, "replace")  # refuses codecs that are none of text (base64, zip); b"" would ask none
        codecs.getincrementaldecoder(name)("replace").decode(b"", True)
    except (LookupError, UnicodeError):
        return False
    return True


class OutputDecoder:
    """Bytes in, text out. ``encoding``: the task's, decoded as such. None: the rule above, with ``fallback`` as
    the machine's encoding; where it was sure to be UTF-8 and something else follows (one program of a script writes
    UTF-8, another GBK), each further line is read by itself.

    ``read_as`` is the encoding used in place of UTF-8, None while there was no need.
    """

    def __init__(self, encoding: str | None, fallback: str) -> None:
        self.read_as: str | None = None
        self._fallback = fallback
        self._held = b""
        self._sure = fallback == UTF_8  # no other reading would be tried: nothing to wait for
        self._by_line = False
        self._encoding = encoding
        self._decoder: codecs.IncrementalDecoder | None = None
        if encoding is not None:
            self._decoder = _replacing(encoding)

    def feed(self, data: bytes, final: bool = False) -> str:
        """The text that is certain by now; with ``final``, all of the rest."""
        if self._decoder is not None:
            return self._decode(self._decoder, data, final)
        data, self._held = self._held + data, b""
        if self._by_line:
            return self._lines(data, final)
        try:
            text, used = codecs.utf_8_decode(data, "strict", final)
        except UnicodeDecodeError as error:
            self._sure |= _beyond_ascii(data[:error.start].decode(UTF_8)) >= SURE
            return self._not_utf_8(data, final)
        self._sure |= _beyond_ascii(text) >= SURE or len(data) > HELD_BYTES
        if self._fallback != UTF_8 and not final and len(data) <= HELD_BYTES:
            line = data.rfind(b"\n") + 1 if self._sure else 0
            used = line + _ascii_prefix(data[line:])
            text = data[:used].decode(UTF_8)
        self._held = data[used:]
        return text

    def _decode(self, decoder: codecs.IncrementalDecoder, data: bytes, final: bool) -> str:
        try:
            return decoder.decode(data, final)
        except UnicodeError:  # UTF-16 or UTF-32 without the mark that Python wants: Windows programs leave it out
            held, _state = decoder.getstate()
            self._decoder = _replacing(f"{codecs.lookup(self._encoding or UTF_8).name}-le")
            return self._decoder.decode(held + data, final)

    def _not_utf_8(self, data: bytes, final: bool) -> str:
        self.read_as = self._fallback
        if self._sure and self._fallback != UTF_8:
            self._by_line = True
            return self._lines(data, final)
        self._decoder = _replacing(self._fallback)
        return self._decoder.decode(data, final)

    def _lines(self, data: bytes, final: bool) -> str:
        end = len(data) if final or len(data) > 2 * HELD_BYTES else data.rfind(b"\n") + 1
        data, self._held = data[:end], data[end:]
        try:
            return data.decode(UTF_8)
        except UnicodeDecodeError:
            return "".join(self._line(line) for line in data.splitlines(keepends=True))

    def _line(self, line: bytes) -> str:
        try:
            return line.decode(UTF_8)
        except UnicodeDecodeError:
            return line.decode(self._fallback, "replace")


def _replacing(encoding: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(encoding)("replace")


def _beyond_ascii(text: str) -> int:
    return 0 if text.isascii() else len(text) - len(text.encode("ascii", "ignore"))


def _ascii_prefix(data: bytes) -> int:
    if data.isascii():
        return len(data)
    return next(place for place, byte in enumerate(data) if byte > 127)
