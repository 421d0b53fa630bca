"""Runs under watch: a deadline for each, an end on request, and a way out when a handler heeds neither.

A thread cannot be killed. A handler that does not return when it was cancelled is abandoned: its row is closed,
its worker replaced, the thread counted until it ends.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping

from dashboard.clock import whole_ms
from dashboard.engine.active import Active
from dashboard.engine.definition import Run
from dashboard.engine.execution import cancelled, ended
from dashboard.engine.workers import Workers

log = logging.getLogger("dingshi.runs")
MOST_ABANDONED = 32
LONGEST_AHEAD = 1.0
"""Seconds without a worker becoming free, after which runs claimed ahead go back."""
LONGEST_LOOK = 0.25
PATIENCE: Mapping[str, float] = {"timeout": 1.5, "stopped": 7.0, "shutdown": 7.0}
"""Seconds from the cancelling of a run to giving up on its handler."""


class Runner(Workers):
    """All methods are safe from any thread."""

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
        now = self.clock.monotonic()
        with self._lock:
            short = self._short()
            late = list(self._pending) if now - self._moved > LONGEST_AHEAD else []
            if late:
                self._pending.clear()
        self._hire(short)
        if late:
            self._back(late)
        upcoming = now + LONGEST_LOOK
        for active in self.running().values():
            _try(self._look, active)
            upcoming = min(upcoming, active.give_up or active.deadline)
        return max(0.01, upcoming - now)

    def leave(self) -> None:
        """The process is about to end: what has not begun goes back, what runs is asked to end."""
        with self._lock:
            self._leaving = True
            unbegun, self._pending = list(self._pending), deque()
        if unbegun:
            self._back(unbegun)
        for log_id in self.running():
            self.cancel(log_id, "shutdown")

    def give_up_all(self) -> None:
        """Abandons whatever still runs: the process is about to end."""
        with self._lock:
            for active in self._active.values():
                self._ask(active, "shutdown")
        for active in self.running().values():
            _try(self._abandon, active)

    def _look(self, active: Active) -> None:
        now = self.clock.monotonic()
        if active.give_up is None and active.deadline <= now:
            log.warning("run timeout id=%s run=%d seconds=%d", active.run.task_id, active.run.log_id,
                        active.run.options["timeout_seconds"])
            self.cancel(active.run.log_id, "timeout")
        elif active.give_up is not None and active.give_up <= now:
            self._abandon(active)

    def _ask(self, active: Active, why: str) -> list[Callable[[], None]]:
        """Under the lock: what to call so that the run ends."""
        if active.give_up is None:
            active.give_up = self.clock.monotonic() + PATIENCE[why]
        active.why = active.why or why
        return [] if active.context is None else active.context.cancel(why)

    def _drop(self, run: Run, why: str) -> None:
        """A run that was claimed ends without having begun."""
        context = self._context(run)
        context.cancel(why)
        self._over(ended(run, context, cancelled(run, why), whole_ms(self.clock.now()), 0.0))

    def _abandon(self, active: Active) -> None:
        """The row is closed whatever happens. The worker is replaced, unless too many were already."""
        outcome, context = cancelled(active.run, active.why), active.context or self._context(active.run)
        result = ended(active.run, context, outcome, active.started_at,
                       self.clock.monotonic() - active.begun)
        with self._lock:
            if active.closed:
                return
            self._close(active)
            active.stuck = self.abandoned >= MOST_ABANDONED
            if active.stuck:
                self.stuck += 1
            else:
                self.abandoned += 1
                self._threads -= 1
            short = self._short()
        log.error("run abandoned id=%s run=%d: its handler does not end", active.run.task_id, active.run.log_id)
        self._over(result)
        self._hire(short)


def _try(step: Callable[[Active], None], active: Active) -> None:
    """What goes wrong with one run is no reason to leave the others unwatched."""
    try:
        step(active)
    except Exception:
        log.exception("watching failed id=%s run=%d", active.run.task_id, active.run.log_id)


def _call_all(stops: list[Callable[[], None]], log_id: int) -> None:
    for stop in stops:
        try:
            stop()
        except Exception:
            log.exception("stopping run=%d failed", log_id)
