"""When the machine counts as idle: a pure state machine over samples (design.md, Idle)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

BUSY_CPU = 25.0
"""Per cent. Above it twice running, a period ends; between it and the limit nothing changes."""
GAP_SECONDS = 15.0
"""Three missed samples: the machine slept, or was too busy to be asked."""


@dataclass(frozen=True, slots=True)
class Sample:
    """``tick``: monotonic seconds; ``at`` the same moment, aware UTC. ``cpu``: per cent of the whole machine since
    the sample before. ``input_age``: seconds since the last key or pointer, None where nobody can tell. ``own``:
    whether runs of ours were going on, whose load says nothing about the user."""

    tick: float
    at: datetime
    cpu: float
    input_age: float | None
    own: bool = False


class IdleState:
    """``cpu_limit`` in per cent; ``cooldown`` in seconds from a task's last idle run to the next that it may have."""

    def __init__(self, cpu_limit: float, cooldown: float) -> None:
        self.cpu_limit = cpu_limit
        self.cooldown = cooldown
        self.since: float | None = None
        self.last: Sample | None = None
        self._high = 0
        self._fired: dict[int, datetime] = {}
        self._done: set[int] = set()
        self._seen: dict[int, float] = {}

    def seed(self, key: int, at: datetime) -> None:
        """When a task last ran for idleness, from before a restart."""
        self._fired[key] = at

    def feed(self, sample: Sample) -> None:
        """One more sample, in order."""
        before, self.last = self.last, sample
        spell = 0.0 if before is None else sample.tick - before.tick
        if before is None or spell > GAP_SECONDS or self._input(sample, spell):
            self._end()
        if sample.own:  # neither ends nor begins a period; what the processor did before is forgotten
            self._high = 0
            return
        self._high = self._high + 1 if sample.cpu > max(BUSY_CPU, self.cpu_limit) else 0
        if self._high >= 2:
            self._end()
        quiet = sample.cpu <= self.cpu_limit and before is not None and spell <= GAP_SECONDS
        if self.since is None and quiet and not self._input(sample, spell):
            self.since = sample.tick if before is None else before.tick

    def due(self, tasks: Mapping[int, int]) -> list[int]:
        """Keys of the tasks (key → seconds) whose time has come, each once a period; they count as fired now."""
        found = []
        for key in self._seen.keys() - tasks.keys():
            del self._seen[key]
        if self.last is None:
            return []
        for key in [key for key in self._fired if key not in tasks and not self._cools(key)]:
            del self._fired[key]
        for key, seconds in tasks.items():
            seen = self._seen.setdefault(key, self.last.tick)
            if self.since is None or key in self._done or self.last.tick - max(self.since, seen) < seconds:
                continue
            if self._cools(key):
                continue
            self._done.add(key)
            self._fired[key] = self.last.at
            found.append(key)
        return found

    def seconds(self) -> float | None:
        """How long the present period has lasted; None outside one."""
        since, last = self.since, self.last  # asked from another thread, too
        return None if since is None or last is None else last.tick - since

    def _cools(self, key: int) -> bool:
        fired = self._fired.get(key)
        if fired is None or self.last is None:
            return False
        return 0 <= (self.last.at - fired).total_seconds() < self.cooldown

    def _input(self, sample: Sample, spell: float) -> bool:
        return sample.input_age is not None and sample.input_age < spell

    def _end(self) -> None:
        self.since = None
        self._done.clear()
