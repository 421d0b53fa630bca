"""The runs that have a row and have not begun, and how many of each task are under way. The ledger's thread alone."""

import heapq
from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime

from dashboard.engine.definition import Run

LONGEST_QUEUE = 100
"""How many runs of one task may wait for the one before them (overlap ``queue``) or for a worker (``allow``); more
are skipped."""


class Board:
    """``ready``: waiting for a worker. A run is *active* from the moment it is ready until it has ended."""

    def __init__(self) -> None:
        self.ready: deque[Run] = deque()
        self.active: Counter[int] = Counter()
        self._waiting: dict[int, deque[Run]] = {}
        self._delayed: list[tuple[datetime, int, Run]] = []
        self._held: dict[int, list[Run]] = {}
        self._known: set[int] = set()

    def knows(self, log_id: int) -> bool:
        """Whether this queued row is here already."""
        return log_id in self._known

    def known(self) -> set[int]:
        """Log ids of the queued rows that are here."""
        return set(self._known)

    def queued(self) -> int:
        """How many rows are queued, retries that wait for their time included."""
        return len(self._known)

    def has_room(self, key: int, overlap: str, planned: int = 0) -> str:
        """What a new occurrence does: ``start``, ``wait`` or ``skip``. ``planned``: how many of this task are being
        claimed at this moment."""
        waiting = len(self._waiting.get(key, ()))
        if overlap == "allow":
            return "skip" if self._ready_of(key) + planned >= LONGEST_QUEUE else "start"
        if self.active[key] + waiting + planned <= 0:
            return "start"
        return "wait" if overlap == "queue" and waiting + planned < LONGEST_QUEUE else "skip"

    def _ready_of(self, key: int) -> int:
        if len(self.ready) < LONGEST_QUEUE // 2:
            return 0
        return sum(run.key == key for run in self.ready)

    def began(self, run: Run) -> None:
        """A run that was claimed as running."""
        self.active[run.key] += 1

    def arrive(self, run: Run) -> None:
        """A queued row that may start as soon as its task's others and a worker allow."""
        self._known.add(run.log_id)
        if run.options["overlap"] == "allow" or self.active[run.key] == 0:
            self.active[run.key] += 1
            self.ready.append(run)
        else:
            self._waiting.setdefault(run.key, deque()).append(run)

    def put_back(self, run: Run) -> None:
        """A run that was claimed and has not begun is ready again, before all others."""
        self._known.add(run.log_id)
        self.ready.appendleft(run)

    def delay(self, run: Run) -> None:
        """A queued row whose time (``scheduled_at``) is still to come."""
        self._known.add(run.log_id)
        heapq.heappush(self._delayed, (run.scheduled_at, run.log_id, run))

    def hold(self, run: Run) -> None:
        """A queued row of a task that is paused."""
        self._known.add(run.log_id)
        self._held.setdefault(run.key, []).append(run)

    def pause(self, key: int) -> None:
        """What the task has queued waits until it is resumed; what somebody asked for runs all the same."""
        ready = [run for run in self.ready if run.key == key and run.cause != "manual"]
        waiting = self._waiting.pop(key, deque())
        self._waiting[key] = deque(run for run in waiting if run.cause == "manual")
        for run in (*ready, *(run for run in waiting if run.cause != "manual")):
            self.hold(run)
        for run in ready:
            self.ready.remove(run)
        self._less(key, len(ready))

    def release(self, key: int) -> list[Run]:
        """Takes what was held: the task is no longer paused."""
        runs = self._held.pop(key, [])
        self._known.difference_update(run.log_id for run in runs)
        return runs

    def matured(self, now: datetime) -> list[Run]:
        """Takes the delayed runs whose time has come; the caller lets them arrive or holds them."""
        found = []
        while self._delayed and self._delayed[0][0] <= now:
            found.append(heapq.heappop(self._delayed)[2])
        return found

    def next_delayed(self) -> datetime | None:
        """When the next delayed run is due."""
        return self._delayed[0][0] if self._delayed else None

    def took(self, count: int, started: set[int]) -> list[Run]:
        """Takes the first ``count`` ready runs; those not in ``started`` were cancelled meanwhile."""
        taken = [self.ready.popleft() for _ in range(count)]
        for run in taken:
            self._known.discard(run.log_id)
            if run.log_id not in started:
                self.ended(run.key)
        return [run for run in taken if run.log_id in started]

    def ended(self, key: int) -> None:
        """One active run of this task is over; the next one waiting becomes ready."""
        self._less(key, 1)

    def cancel(self, log_ids: set[int]) -> None:
        """Rows that somebody cancelled: their places are free."""
        found = log_ids & self._known
        if not found:
            return
        self._known -= found
        ready = [run for run in self.ready if run.log_id in found]
        self.ready = deque(run for run in self.ready if run.log_id not in found)
        self._delayed = [entry for entry in self._delayed if entry[1] not in found]
        heapq.heapify(self._delayed)
        for key, waiting in list(self._waiting.items()):
            self._waiting[key] = deque(run for run in waiting if run.log_id not in found)
        for key, held in list(self._held.items()):
            self._held[key] = [run for run in held if run.log_id not in found]
        for run in ready:
            self.ended(run.key)

    def forget(self, keys: Iterable[int]) -> None:
        """Tasks that are gone: nothing of theirs starts any more (their rows are cancelled already)."""
        gone = set(keys)
        for key in gone:
            for run in (*self._waiting.pop(key, ()), *self._held.pop(key, ())):
                self._known.discard(run.log_id)
        for run in [run for run in self.ready if run.key in gone]:
            self.ready.remove(run)
            self._known.discard(run.log_id)
            self._less(run.key, 1)
        self._known.difference_update(log_id for _, log_id, run in self._delayed if run.key in gone)
        self._delayed = [entry for entry in self._delayed if entry[2].key not in gone]
        heapq.heapify(self._delayed)

    def _less(self, key: int, count: int) -> None:
        """So many fewer are active; when none is, the next one waiting becomes ready."""
        self.active[key] -= count
        waiting = self._waiting.get(key)
        if self.active[key] <= 0:
            del self.active[key]
            if waiting:
                self.active[key] = 1
                self.ready.append(waiting.popleft())
        if not waiting:
            self._waiting.pop(key, None)
