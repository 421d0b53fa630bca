"""Pickles that want to run code, fill memory or crash whoever reads them. Each is the pickle alone, unsigned.

Run as a program it is the victim: ``python -m tests.hostile_pickles how FOLDER MEGABYTES`` reads each file of FOLDER
``ours`` (by ``snapshot.read``) or ``stock`` (by ``pickle.load``), with so much memory more than it has at the start,
and prints ``{"name": "why it was refused"}``; files that a pickle makes show that its code ran.
"""

import json
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

STOP = b"."
EXTENSION = 240
"""A number of the extension registry, which the victim fills in."""


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce_ex__(self, protocol: Any) -> Any:
        return open, (f"ran-{self.name}", "w")


def short(text: str) -> bytes:
    data = text.encode("utf-8")
    return b"\x8c" + bytes([len(data)]) + data


def running() -> dict[str, bytes]:
    """Those that make a file ``ran-NAME`` in the working folder when the stock ``pickle`` reads them."""
    found = {f"reduce{protocol}": pickle.dumps(Payload(f"reduce{protocol}"), protocol) for protocol in range(6)}
    proto = b"\x80\x04"

    def arguments(name: str) -> bytes:
        return short(f"ran-{name}") + short("w")
    found["global"] = proto + b"cio\nopen\n(" + arguments("global") + b"tR" + STOP
    found["stack_global"] = proto + short("io") + short("open") + b"\x93(" + arguments("stack_global") + b"tR" + STOP
    found["inst"] = b"(S'ran-inst'\nS'w'\niio\nopen\n" + STOP
    found["obj"] = b"(cio\nopen\n" + b"S'ran-obj'\nS'w'\no" + STOP
    found["newobj"] = proto + b"ctests.hostile_pickles\nMade\n(" + short("ran-newobj") + b"t\x81" + STOP
    found["newobj_ex"] = proto + b"ctests.hostile_pickles\nMade\n(" + short("ran-newobj_ex") + b"t}\x92" + STOP
    for name, code in (("ext1", b"\x82" + bytes([EXTENSION])), ("ext2", b"\x83" + struct.pack("<H", EXTENSION)),
                       ("ext4", b"\x84" + struct.pack("<i", EXTENSION))):
        found[name] = proto + code + b"(" + arguments(name) + b"tR" + STOP
    found["build"] = proto + b"ctests.hostile_pickles\nBuilt\n)\x81" + short("ran-build") + b"b" + STOP
    call = b"cio\nopen\n(" + arguments("in_a_task") + b"tR"
    found["in_a_task"] = proto + b"}" + short("tasks") + b"](" + call + b"es" + STOP
    return found


class Made:
    """Its argument is the name of a file to make."""

    def __new__(cls, name: str) -> "Made":
        Path(name).touch()
        return super().__new__(cls)


class Built:
    """Its state is the name of a file to make."""

    def __setstate__(self, state: Any) -> None:
        Path(state).touch()


def greedy() -> dict[str, bytes]:
    """Those that want memory, depth or time."""
    proto = b"\x80\x04"
    deep = 200_000
    return {
        "list_deep": proto + b"]" * deep + b"a" * (deep - 1) + STOP,
        "dict_deep": proto + (b"}" + short("a")) * deep + b"}" + b"s" * deep + STOP,
        "tuple_deep": proto + b")" + b"\x85" * deep + STOP,
        "marks": proto + b"(" * deep + STOP,
        "memo_put": proto + b"Nr" + struct.pack("<I", 2**29) + STOP,
        "memo_put_text": b"Np2000000000\n" + STOP,
        "memo_get": proto + b"j" + struct.pack("<I", 2**32 - 1) + STOP,
        "binbytes8": proto + b"\x8e" + struct.pack("<Q", 2**62) + b"x" + STOP,
        "binunicode8": proto + b"\x8d" + struct.pack("<Q", 2**62) + b"x" + STOP,
        "binunicode": proto + b"X" + struct.pack("<I", 2**32 - 1) + b"x" + STOP,
        "bytearray8": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x" + STOP,
        "frame": proto + b"\x95" + struct.pack("<Q", 2**62) + b"N" + STOP,
        "frame_short": proto + b"\x95" + struct.pack("<Q", 2**20) + b"N" + STOP,
        "long4": proto + b"\x8b" + struct.pack("<i", 2**31 - 1) + b"x" + STOP,
        "long4_negative": proto + b"\x8b" + struct.pack("<i", -1) + STOP,
        "long1": proto + b"\x8a\xff" + b"\xff" * 254 + b"\x7f" + STOP,
        "number_in_text": b"L" + b"9" * 5000 + b"L\n" + STOP,
        "doubled": proto + b"]\x94" + b"".join(
            b"](h" + bytes([level]) + b"h" + bytes([level]) + b"e\x94" for level in range(60)) + STOP,
        "holds_itself": proto + b"]\x94h\x00a" + STOP,
    }


def odd() -> dict[str, bytes]:
    """The rest: what no snapshot holds."""
    proto = b"\x80\x04"
    return {
        "persid": b"Pran-persid\n" + STOP, "binpersid": proto + short("ran-binpersid") + b"Q" + STOP,
        "protocol3": pickle.dumps({}, 3), "protocol5": pickle.dumps({}, 5), "protocol0": pickle.dumps({}, 0),
        "set": pickle.dumps({1}, 4), "tuple": pickle.dumps((1,), 4), "bytes": pickle.dumps(b"x", 4),
        "two_protos": proto + proto + b"N" + STOP, "two_stops": proto + b"N" + STOP + b"N" + STOP,
        "no_stop": proto + b"N", "nothing": b"", "pop": proto + b"NN0" + STOP, "dup": proto + b"N2" + STOP,
        "empty_stack": proto + STOP, "append_to_none": proto + b"NNa" + STOP, "key_list": proto + b"}]Ns" + STOP,
        "key_number": proto + b"}K\x01Ns" + STOP, "odd_items": proto + b"}(Nu" + STOP,
        "surrogate": proto + b"X\x03\0\0\0\xed\xa0\x80" + STOP, "zero": proto + short("a\0") + STOP,
        "bad_utf8": proto + b"\x8c\x02\xff\xfe" + STOP, "text": "任务".encode(), "zeros": b"\0" * 100,
        "buffer": b"\x80\x05\x97" + STOP,
    }


def all_of_them() -> dict[str, bytes]:
    """Every one by name."""
    return {**running(), **greedy(), **odd()}


def _limit(megabytes: int) -> None:
    if sys.platform != "win32":
        import resource

        held = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
        most = held + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main(how: str, folder: Path, megabytes: int) -> None:
    """Reads them all and prints why each was refused."""
    import copyreg

    from dashboard.engine import snapshot

    copyreg.add_extension("io", "open", EXTENSION)
    readers: dict[str, Callable[[Path], Any]] = {
        "ours": snapshot.read, "stock": lambda path: pickle.loads(path.read_bytes())}
    said = {}
    _limit(megabytes)
    for path in sorted(folder.iterdir()):
        try:
            readers[how](path)
        except Exception as error:  # noqa: BLE001
            said[path.name] = f"{type(error).__name__}: {error}"
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
