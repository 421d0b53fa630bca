"""The workers: threads that run handlers, made as they are needed."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from dashboard.clock import Clock, whole_ms
from dashboard.engine.active import Active
from dashboard.engine.definition import Run
from dashboard.engine.execution import execute
from dashboard.engine.outcome import Ended
from dashboard.engine.run_context import RunContext
from dashboard.engine.seats import QUICK_SECONDS, Seats

log = logging.getLogger("dingshi.runs")


class Workers:
    """``over`` gets each run's end, ``back`` runs that were claimed and will not begin now, from a worker's or the
    watchdog's thread; they must not block. All methods are safe from any thread."""

    def __init__(self, workers: int, clock: Clock, context: Callable[[Run], RunContext],
                 over: Callable[[Ended], None], back: Callable[[list[Run]], None]) -> None:
        self.workers = workers
        self.clock = clock
        self.abandoned = 0
        self.stuck = 0
        self._context = context
        self._over = over
        self._back = back
        self._lock = threading.Condition()
        self._pending: deque[Run] = deque()
        self._active: dict[int, Active] = {}
        self._threads = 0
        self._waiting = 0
        self._moved = clock.monotonic()
        self._usual: dict[str, float] = {}
        self._leaving = False
        self._closing = False

    def seats(self) -> Seats:
        """How many runs may be claimed now."""
        now = self.clock.monotonic()
        with self._lock:
            quick = sum(now - active.begun < 2 * QUICK_SECONDS for active in self._active.values())
            free = self.workers - len(self._active) - len(self._pending) - self.stuck
            pending = sum(self._usual.get(run.type, QUICK_SECONDS) for run in self._pending)
            return Seats(free, quick + max(free, 0), dict(self._usual), pending)

    def submit(self, runs: list[Run]) -> None:
        """Runs that are claimed and committed. After ``leave`` they go back."""
        with self._lock:
            leaving = self._leaving
            if not leaving:
                if not self._pending:
                    self._moved = self.clock.monotonic()
                self._pending.extend(runs)
                self._lock.notify(len(runs))
            short = self._short()
        self._hire(short)
        if leaving and runs:
            self._back(runs)

    def running(self) -> dict[int, Active]:
        """What workers are at, by log id."""
        with self._lock:
            return dict(self._active)

    def busy(self) -> int:
        """How many runs are claimed and not over."""
        with self._lock:
            return len(self._active) + len(self._pending)

    def backlog(self) -> int:
        """How many runs are claimed and not begun."""
        return len(self._pending)

    def close(self) -> None:
        """Workers end when they have nothing to do."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()

    def status(self) -> dict[str, Any]:
        """Counts for people."""
        with self._lock:
            return {"workers": self.workers, "running": len(self._active), "abandoned": self.abandoned,
                    "stuck": self.stuck}

    def _work(self) -> None:
        active = self._wait()
        while active is not None:
            active = self._swap(active, self._run(active))

    def _wait(self) -> Active | None:
        """The next run; None when there will be none."""
        with self._lock:
            self._waiting += 1
            while not self._pending and not self._closing:
                self._lock.wait()
            self._waiting -= 1
            if self._pending:
                return self._take()
            self._threads -= 1
            return None

    def _take(self) -> Active:
        """Under the lock."""
        run, begun = self._pending.popleft(), self.clock.monotonic()
        self._moved = begun
        active = Active(run, begun, whole_ms(self.clock.now()), begun + run.options["timeout_seconds"])
        self._active[run.log_id] = active
        return active

    def _run(self, active: Active) -> Ended:
        """Whoever cancels sets ``why`` before looking for the context, and the context is there before ``why`` is
        looked at: one of the two sees the other."""
        context = active.context = self._context(active.run)
        context.deadline = active.deadline
        if active.why:
            context.cancel(active.why)
        return execute(active.run, context, self.clock, active.begun, active.started_at)

    def _swap(self, active: Active, result: Ended) -> Active | None:
        """The next run in place of one that is over; None if this thread is no worker any more. The lock is held once
        for both: many workers with short runs would else stand in line for it."""
        with self._lock:
            told = active.closed
            if told and not active.stuck:
                self.abandoned -= 1
                return None
            if told:
                self.stuck -= 1
            else:
                self._close(active)
            following = self._take() if self._pending else None
        if not told:
            self._over(result)
        return following or self._wait()

    def _short(self) -> int:
        """Under the lock: for how many more workers there is work. They count from here on."""
        count = max(0, min(len(self._pending) - self._waiting, self.workers - self._threads))
        self._threads += count
        return count

    def _hire(self, count: int) -> None:
        """Not under the lock: a new thread is waited for, and would wait for the lock. Never raises: the watchdog
        asks again."""
        for made in range(count):
            try:
                threading.Thread(target=self._work, name="dingshi-worker", daemon=True).start()
            except RuntimeError as error:
                log.error("no worker more for now: %s", error)
                with self._lock:
                    self._threads -= count - made
                return

    def _close(self, active: Active) -> None:
        """Under the lock: the run is over, and tells how long its type takes: slower at once, quicker slowly."""
        active.closed = True
        del self._active[active.run.log_id]
        usual = self._usual.get(active.run.type, 2 * QUICK_SECONDS)  # one quick run proves nothing
        seconds = self.clock.monotonic() - active.begun
        self._usual[active.run.type] = max(seconds, usual + (seconds - usual) / 8)
