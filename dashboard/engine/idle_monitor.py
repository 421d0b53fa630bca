"""Takes a sample every five seconds and tells which idle tasks' time has come. A thread that cannot die."""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from dashboard.clock import Clock, iso
from dashboard.engine.idle import IdleState, Sample
from dashboard.engine.idle_source import Source

log = logging.getLogger("dingshi.idle")
SAMPLE_SECONDS = 5.0


class IdleMonitor:
    """``fire(key, at)`` is called from the monitor's thread. ``tasks``: key → seconds of idleness that it waits for.
    ``busy``: whether runs of ours are going on."""

    def __init__(self, source: Source, *, fire: Callable[[int, datetime], None],
                 tasks: Callable[[], Mapping[int, int]], busy: Callable[[], bool], clock: Clock, idle_cpu: float,
                 cooldown_seconds: float, interval: float = SAMPLE_SECONDS) -> None:
        self.source = source
        self.state = IdleState(idle_cpu, cooldown_seconds)
        self._fire = fire
        self._tasks = tasks
        self._busy = busy
        self._was_busy = False
        self._clock = clock
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="dingshi-idle", daemon=True)

    def seed(self, key: int, at: datetime) -> None:
        """When a task last ran for idleness. Before ``start``."""
        self.state.seed(key, at)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self, seconds: float = 1.0) -> None:
        """Ends; waits up to ``seconds`` for a sample that is being taken."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def look(self) -> list[int]:
        """One sample, and what follows from it; the keys fired. In the thread, and in tests."""
        busy = self._busy()
        cpu, input_age = self.source.sample()
        now = self._clock.now()
        self.state.feed(Sample(self._clock.monotonic(), now, cpu, input_age, busy or self._was_busy))
        self._was_busy = busy
        due = self.state.due(self._tasks())
        for key in due:
            self._fire(key, now)
        return due

    def status(self) -> dict[str, Any]:
        """For people: where samples come from, the last one, and how long the machine has been idle."""
        last, seconds = self.state.last, self.state.seconds()
        return {
            "source": self.source.name,
            "cpu_limit": self.state.cpu_limit,
            "cpu": None if last is None else last.cpu,
            "input_age_seconds": None if last is None or last.input_age is None else round(last.input_age, 1),
            "sampled_at": None if last is None else iso(last.at),
            "idle_seconds": None if seconds is None else round(seconds, 1),
        }

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception:
                log.exception("idle monitor failed; it goes on")
            self._stop.wait(self._interval)
