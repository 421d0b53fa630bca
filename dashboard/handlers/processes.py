"""Finds and ends the processes that runs have started, whatever they did to get away.

Each carries its run's marker in its environment (``DINGSHI_RUN_ID``), which neither a new session nor a double
fork takes off. A pid alone is never trusted: psutil compares the time of creation before it signals.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

MARKER = "DINGSHI_RUN_ID"
GRACE = 3.0
"""Seconds from asking to killing. With the killing itself it stays below the promised 5 s."""
_ROUNDS = 25
_QUIET = 2
"""Looks in a row that must find nothing: a process that just begins its program shows no environment for a moment."""
_PAUSE = 0.02
_SAME_START = 1.5  # seconds: psutil's time of creation follows steps of the wall clock

Find = Callable[["Processes"], set[psutil.Process]]
"""Which processes of a snapshot to begin with; their descendants are added."""


@dataclass(frozen=True)
class Processes:
    """The processes there are: each with its parent's pid."""

    parents: dict[psutil.Process, int]

    def marked(self, is_ours: Callable[[str], bool]) -> set[psutil.Process]:
        """Those whose marker is ours. Others' processes that may not be read are not."""
        found = set()
        for process in self.parents:
            with contextlib.suppress(psutil.Error, OSError):
                marker = process.environ().get(MARKER)
                if marker and is_ours(marker):
                    found.add(process)
        return found

    def known(self, started: Iterable[tuple[int, float]]) -> set[psutil.Process]:
        """Those of ``started`` (pid, time of creation) that still are the same processes."""
        times: dict[int, list[float]] = {}
        for pid, at in started:
            times.setdefault(pid, []).append(at)
        found = set()
        for process in self.parents:
            with contextlib.suppress(psutil.Error, OSError):
                if any(abs(process.create_time() - at) < _SAME_START for at in times.get(process.pid, ())):
                    found.add(process)
        return found

    def with_descendants(self, seeds: set[psutil.Process]) -> set[psutil.Process]:
        """``seeds`` and all below them, without ourselves and our ancestors."""
        children: dict[int, list[psutil.Process]] = {}
        for process, parent in self.parents.items():
            children.setdefault(parent, []).append(process)
        found: set[psutil.Process] = set()
        untouchable = self._our_line()
        waiting = [process for process in seeds if process.pid not in untouchable]
        while waiting:
            process = waiting.pop()
            if process not in found:
                found.add(process)
                waiting += [child for child in children.get(process.pid, ())
                            if child.pid not in untouchable and _is_parent(process, child)]
        return found

    def _our_line(self) -> set[int]:
        by_pid = {process.pid: process for process in self.parents}
        line: set[int] = set()
        process = by_pid.get(os.getpid())
        while process is not None and process.pid not in line:
            line.add(process.pid)
            parent = by_pid.get(self.parents[process])
            process = parent if parent is not None and _is_parent(parent, process) else None
        return line


def _is_parent(parent: psutil.Process, child: psutil.Process) -> bool:
    """Of two of which the system says so: on Windows the number of a parent that is gone may be another's by now,
    who is younger than the child."""
    if sys.platform == "win32":
        with contextlib.suppress(psutil.Error):
            return parent.create_time() <= child.create_time()
        return False
    return True


def snapshot() -> Processes:
    """All processes of the machine."""
    parents = {}
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            parents[process] = process.ppid()
    return Processes(parents)


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; one that only waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def end(find: Find, grace: float = GRACE) -> int:
    """Ends what ``find`` names and all below it: asks (TERM; Windows has only the hard way), waits up to ``grace``
    seconds, then kills until a fresh look finds nothing. Returns how many there were. Blocks for at most
    ``grace`` and about a second."""
    seen: set[psutil.Process] = set()
    for process in _present(find, seen):
        _send(process, psutil.Process.terminate)
    limit = time.monotonic() + grace
    while time.monotonic() < limit and any(alive(process) for process in seen):
        time.sleep(_PAUSE)
    quiet = 0
    for _round in range(_ROUNDS):  # what forks while it is killed needs more than one
        left = _present(find, seen)
        quiet = 0 if left else quiet + 1
        if quiet == _QUIET:
            break
        for process in left:
            _send(process, psutil.Process.kill)
        time.sleep(_PAUSE)
    return len(seen)


def _present(find: Find, seen: set[psutil.Process]) -> list[psutil.Process]:
    """What is alive of those found now or before, all added to ``seen``."""
    processes = snapshot()
    seen |= {process for process in processes.with_descendants(find(processes)) if alive(process)}
    return [process for process in seen if alive(process)]


def _send(process: psutil.Process, how: Callable[[psutil.Process], None]) -> None:
    with contextlib.suppress(psutil.Error):
        how(process)


def sweep(is_ours: Callable[[str], bool], known: Iterable[tuple[int, float]] = (), grace: float = GRACE) -> int:
    """Ends every process whose marker satisfies ``is_ours``, every one of ``known`` (pid, time of creation as
    ``Context.started`` told), and all below them; returns how many. Never this process or its ancestors. For a
    start after a crash, and for a stop. Blocks up to ``grace`` and about a second."""
    started = list(known)
    return end(lambda processes: processes.marked(is_ours) | processes.known(started), grace)
