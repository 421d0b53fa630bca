"""The workers: threads that run handlers, made as they are needed; a deadline for each run.

A thread cannot be killed. A handler that does not return when it was cancelled is abandoned: its row is closed,
its worker replaced, the thread counted until it ends.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from dashboard.clock import Clock, whole_ms
from dashboard.engine.active import Active
from dashboard.engine.definition import Run
from dashboard.engine.execution import cancelled, ended, execute
from dashboard.engine.outcome import Ended
from dashboard.engine.run_context import RunContext
from dashboard.engine.seats import QUICK_SECONDS, Seats

log = logging.getLogger("dingshi.runs")
MOST_ABANDONED = 32
LONGEST_LOOK = 0.25
PATIENCE: Mapping[str, float] = {"timeout": 1.5, "stopped": 7.0, "shutdown": 7.0}
"""Seconds from the cancelling of a run to giving up on its handler."""


class Runner:
    """``over`` gets each run's end, from a worker's or the watchdog's thread; it must not block. All methods are safe
    from any thread."""

    def __init__(self, workers: int, clock: Clock, context: Callable[[Run], RunContext],
                 over: Callable[[Ended], None]) -> None:
        self.workers = workers
        self.clock = clock
        self.abandoned = 0
        self._context = context
        self._over = over
        self._lock = threading.Condition()
        self._pending: deque[Run] = deque()
        self._active: dict[int, Active] = {}
        self._threads = 0
        self._waiting = 0
        self._usual: dict[str, float] = {}
        self._leaving = False
        self._closing = False

    def seats(self) -> Seats:
        """How many runs may be claimed now."""
        now = self.clock.monotonic()
        with self._lock:
            quick = sum(now - active.begun < 2 * QUICK_SECONDS for active in self._active.values())
            free = self.workers - len(self._active) - len(self._pending)
            pending = sum(self._usual.get(run.type, QUICK_SECONDS) for run in self._pending)
            return Seats(free, quick + max(free, 0), dict(self._usual), pending)

    def submit(self, runs: list[Run]) -> None:
        """Runs that are claimed and committed. After ``leave`` they end without having begun."""
        with self._lock:
            leaving = self._leaving
            if not leaving:
                self._pending.extend(runs)
                self._lock.notify(len(runs))
            short = self._short()
        self._hire(short)
        for run in runs if leaving else ():
            self._drop(run, "shutdown")

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

    def cancel(self, log_id: int, why: str) -> bool:
        """Asks a run to end; whether there was such a run. Its ``on_cancel`` calls are made from a thread of their
        own."""
        with self._lock:
            active = self._active.get(log_id)
            unbegun = [run for run in self._pending if run.log_id == log_id]
            for run in unbegun:
                self._pending.remove(run)
            stops = [] if active is None else self._ask(active, why)
        for run in unbegun:
            self._drop(run, why)
        if stops:
            threading.Thread(target=_call_all, args=(stops, log_id), name=f"dingshi-cancel-{log_id}",
                             daemon=True).start()
        return active is not None or bool(unbegun)

    def watch(self) -> float:
        """Cancels what is past its deadline and gives up on what does not heed; returns the seconds until there may
        be something to do again, at most ``LONGEST_LOOK``."""
        with self._lock:
            short = self._short()
        self._hire(short)
        now = self.clock.monotonic()
        upcoming = now + LONGEST_LOOK
        for log_id, active in self.running().items():
            if active.give_up is None and active.deadline <= now:
                log.warning("run timeout id=%s run=%d seconds=%d", active.run.task_id, log_id,
                            active.run.options["timeout_seconds"])
                self.cancel(log_id, "timeout")
            elif active.give_up is not None and active.give_up <= now:
                self._abandon(active, MOST_ABANDONED)
            upcoming = min(upcoming, active.give_up or active.deadline)
        return max(0.01, upcoming - now)

    def leave(self) -> None:
        """The process is about to end: what has not begun never does, what runs is asked to end."""
        with self._lock:
            self._leaving = True
            unbegun, self._pending = list(self._pending), deque()
        for run in unbegun:
            self._drop(run, "shutdown")
        for log_id in self.running():
            self.cancel(log_id, "shutdown")

    def give_up_all(self) -> None:
        """Abandons whatever still runs: the process is about to end."""
        with self._lock:
            for active in self._active.values():
                self._ask(active, "shutdown")
        for active in self.running().values():
            self._abandon(active, len(self._active) + MOST_ABANDONED)

    def close(self) -> None:
        """Workers end when they have nothing to do."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()

    def status(self) -> dict[str, Any]:
        """Counts for people."""
        with self._lock:
            return {"workers": self.workers, "running": len(self._active), "abandoned": self.abandoned}

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
            if active.closed:
                self.abandoned -= 1
                return None
            self._close(active)
            following = self._take() if self._pending else None
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

    def _ask(self, active: Active, why: str) -> list[Callable[[], None]]:
        """Under the lock: what to call so that the run ends."""
        if active.give_up is None:
            active.give_up = self.clock.monotonic() + PATIENCE[why]
        active.why = active.why or why
        return [] if active.context is None else active.context.cancel(why)

    def _close(self, active: Active) -> None:
        """Under the lock: the run is over, and tells how long its type takes: slower at once, quicker slowly."""
        active.closed = True
        del self._active[active.run.log_id]
        usual = self._usual.get(active.run.type, 0.0)
        seconds = self.clock.monotonic() - active.begun
        self._usual[active.run.type] = max(seconds, usual + (seconds - usual) / 8)

    def _drop(self, run: Run, why: str) -> None:
        """A run that was claimed ends without having begun."""
        context = self._context(run)
        context.cancel(why)
        self._over(ended(run, context, cancelled(run, why), whole_ms(self.clock.now()), 0.0))

    def _abandon(self, active: Active, most: int) -> None:
        outcome, context = cancelled(active.run, active.why), active.context or self._context(active.run)
        result = ended(active.run, context, outcome, active.started_at,
                       self.clock.monotonic() - active.begun)
        with self._lock:
            if active.closed:
                return
            if self.abandoned >= most:
                active.give_up = self.clock.monotonic() + 1.0
                return
            self._close(active)
            self.abandoned += 1
            self._threads -= 1
            short = self._short()
        log.error("run abandoned id=%s run=%d: its handler does not end", active.run.task_id, active.run.log_id)
        self._over(result)
        self._hire(short)


def _call_all(stops: list[Callable[[], None]], log_id: int) -> None:
    for stop in stops:
        try:
            stop()
        except Exception:
            log.exception("stopping run=%d failed", log_id)
