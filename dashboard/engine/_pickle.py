"""Pickle as a format for plain data: nothing is imported, called or built, and memory stays in proportion.

A file is a protocol 4 pickle of dict, list, str, int, float, bool and None, then ``#dingshi1 sha256=<hex>`` and a
line end. Bytes after STOP are not the pickle's, so any reader of pickles still reads it.
"""

import hashlib
import hmac
import io
import pickle
import pickletools
import re
from typing import Any, NoReturn

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 100
"""Nesting that is written and read: far from where Python's pickler and unpickler give up."""
MAX_VALUES = 4_000_000
"""Keys and values, some 40 a task. A file could hold one in each byte, and each takes seventy in memory."""
MAX_OPCODES = 3 * MAX_VALUES
_MARK = b"#dingshi1 sha256="
_FOOT = re.compile(rb"#dingshi1 sha256=([0-9a-f]{64})\n\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")
_FOOT_BYTES = len(_MARK) + 64 + 1
_MAX_INT_BYTES = 64
_ALLOWED = frozenset({
    "PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINGET", "LONG_BINGET",
    "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "SHORT_BINUNICODE", "BINUNICODE", "EMPTY_DICT", "EMPTY_LIST", "SETITEM", "SETITEMS", "APPEND", "APPENDS",
})
"""What the stock pickler emits at protocol 4 for plain data. Not among them: PUT and its kind (a memo index takes
memory at will), everything that imports, calls or builds, and every length of 8 bytes except FRAME's."""

_NO_VALUE = frozenset({"PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "SETITEM", "SETITEMS", "APPEND", "APPENDS"})


class Refused(Exception):
    """Not one of our files; ``str()`` says why, in English (it goes to the log)."""


def dumps(value: Any) -> bytes:
    """A file's bytes. Raises ValueError for anything but plain data, TypeError and depth included."""
    _check_plain(value)
    body = pickle.dumps(value, protocol=4)
    return body + _MARK + hashlib.sha256(body).hexdigest().encode("ascii") + b"\n"


def loads(data: bytes) -> Any:
    """What ``dumps`` was given. Raises Refused for all else, whatever the bytes are."""
    if len(data) > MAX_BYTES:
        raise Refused(f"larger than {MAX_BYTES} bytes")
    foot = _FOOT.search(data, max(0, len(data) - _FOOT_BYTES))
    if foot is None:
        raise Refused("the checksum line is missing: cut off, or not written by Dingshi")
    body = data[:foot.start()]
    if not hmac.compare_digest(hashlib.sha256(body).hexdigest().encode("ascii"), foot[1]):
        raise Refused("the checksum is wrong")
    return loads_unsigned(body)


def loads_unsigned(body: bytes) -> Any:
    """The pickle alone. A checksum proves nothing about who wrote it: all that keeps us safe is here."""
    try:
        _check_opcodes(body)
        value = _Unpickler(io.BytesIO(body)).load()
        _check_plain(value)
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"not a pickle of plain data: {type(error).__name__}") from error
    return value


class _Unpickler(pickle.Unpickler):
    """Resolves nothing."""

    def find_class(self, module: str, name: str, /) -> NoReturn:
        raise Refused(f"it names {module[:50]}.{name[:50]}")

    def persistent_load(self, pid: Any, /) -> NoReturn:
        raise Refused("it holds a persistent id")


def _check_opcodes(body: bytes) -> None:
    """Walks the opcodes without running any. Sizes are checked against the bytes there are before anything is
    read (``pickletools`` does so for strings), so what is held at a time is never more than the file."""
    end = -1
    values = 0
    for count, (opcode, argument, position) in enumerate(pickletools.genops(body)):
        name = opcode.name
        if name not in _ALLOWED:
            raise Refused(f"opcode {name} at byte {position}")
        values += name not in _NO_VALUE
        if values > MAX_VALUES or count > MAX_OPCODES:
            raise Refused(f"more than {MAX_VALUES} values")
        if position == 0 and (name != "PROTO" or argument != 4):
            raise Refused("not protocol 4")
        if name == "PROTO" and position:
            raise Refused(f"a second PROTO at byte {position}")
        if name == "FRAME" and not 0 <= (argument or 0) <= len(body) - (position or 0) - 9:
            raise Refused(f"a frame at byte {position} longer than the file")
        if name == "LONG1" and isinstance(argument, int) and argument.bit_length() > _MAX_INT_BYTES * 8:
            raise Refused(f"a number of {argument.bit_length()} bits at byte {position}")
        if name == "STOP":
            end = position or 0
    if end != len(body) - 1:
        raise Refused("bytes between the pickle and the checksum")


def _check_plain(value: Any) -> None:
    """Plain data, a tree, not too deep: without recursion, so that nothing can exhaust the stack. Raises ValueError.

    A container met twice is refused: shared ones, doubled at each level, would be a bomb for whoever walks them.
    """
    seen: set[int] = set()
    level = [value]
    count = 0
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        count += len(level)
        for item in level:
            if type(item) in (dict, list):
                if id(item) in seen:
                    raise ValueError("a container that is held twice")
                seen.add(id(item))
                below.extend(item.values() if type(item) is dict else item)
                if type(item) is dict:
                    count += len(item)
                    if not all(type(key) is str and _is_text(key) for key in item):
                        raise ValueError("a key that is no text")
            elif type(item) is str and not _is_text(item):
                raise ValueError("text that no store takes")
            elif item is not None and type(item) not in (str, int, float, bool):
                raise ValueError(f"{type(item).__name__} is not plain data")
            elif type(item) is int and item.bit_length() > _MAX_INT_BYTES * 8 - 1:
                raise ValueError("a number too long")
        if count > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values")
        if not below:
            return
        level = below
    raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _is_text(text: str) -> bool:
    """Whether it can be stored and printed: no NUL, no half of a surrogate pair."""
    return "\0" not in text and (text.isascii() or _SURROGATE.search(text) is None)
