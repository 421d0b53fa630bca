"""Where samples of idleness come from: processor load everywhere, the age of the last input where a source exists."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Protocol

import psutil

_SUBPROCESS_SECONDS = 2.0


class Source(Protocol):
    """``name`` for people: ``cpu+input`` or ``cpu``."""

    name: str

    def sample(self) -> tuple[float, float | None]:
        """Per cent of the whole machine since the call before, and seconds since the last input (None: unknown)."""


class MachineSource:
    """The machine itself. ``input_age`` None: there is no source for it here."""

    def __init__(self, input_age: Callable[[], float | None] | None) -> None:
        self.name = "cpu" if input_age is None else "cpu+input"
        self._input_age = input_age
        psutil.cpu_percent(None)  # the first answer is always 0.0

    def sample(self) -> tuple[float, float | None]:
        return psutil.cpu_percent(None), None if self._input_age is None else self._input_age()


def find_source() -> Source:
    """The best there is on this machine."""
    if sys.platform == "win32":
        return MachineSource(windows_input_age)
    return MachineSource(logind_input_age if logind_input_age() is not None else None)


def tick_age(now: int, last: int) -> float:
    """Seconds between two readings of a 32-bit millisecond counter that wraps each 49.7 days."""
    return ((now - last) & 0xFFFFFFFF) / 1000


if sys.platform == "win32":

    def windows_input_age() -> float | None:
        """Of this session, by ``GetLastInputInfo``."""
        import ctypes

        class LastInput(ctypes.Structure):
            _fields_ = (("size", ctypes.c_uint), ("tick", ctypes.c_uint))

        found = LastInput(ctypes.sizeof(LastInput), 0)
        if not ctypes.windll.user32.GetLastInputInfo(ctypes.byref(found)):
            return None
        return tick_age(ctypes.windll.kernel32.GetTickCount() & 0xFFFFFFFF, found.tick)

else:

    def windows_input_age() -> float | None:
        """There is none."""
        return None


def logind_input_age() -> float | None:
    """Of the seat, by logind's hint; None without a desktop session that gives it. One short subprocess."""
    program = shutil.which("loginctl")
    if program is None:
        return None
    try:
        said = subprocess.run([program, "show-seat", "seat0", "--property=IdleHint",
                               "--property=IdleSinceHintMonotonic", "--property=CanGraphical"],
                              capture_output=True, encoding="utf-8", errors="replace", timeout=_SUBPROCESS_SECONDS,
                              check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return read_logind(said, time.monotonic())  # the same clock as the hint's, on Linux


def read_logind(said: str, monotonic: float) -> float | None:
    """What ``loginctl show-seat`` said: not idle is an age of 0."""
    values = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    if values.get("CanGraphical") != "yes" or values.get("IdleHint") not in ("yes", "no"):
        return None
    if values["IdleHint"] == "no":
        return 0.0
    since = values.get("IdleSinceHintMonotonic", "")
    return max(0.0, monotonic - int(since) / 1e6) if since.isdigit() else None
