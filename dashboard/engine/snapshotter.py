"""Keeps ``tasks.pkl`` up to date from a thread of its own: soon after a definition changes, now and then for
counters, and at the stop. Its failure fails nothing else."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dashboard.clock import Clock
from dashboard.engine import snapshot
from dashboard.errors import DingshiError

log = logging.getLogger("dingshi.snapshot")
DEFINITION_SECONDS = 0.5
COUNTER_SECONDS = 60.0
RETRY_SECONDS = 5.0
SHARE = 3.0
"""A write is followed by a pause of so many times its length: many tasks that change all the time take a quarter of a
processor, not all of it."""


class Snapshotter:
    """``collect`` gives what to write, from this object's thread. ``problem``: why the last write failed, '' if it
    did not. ``touch_…`` are safe from any thread and return at once."""

    def __init__(self, path: Path, collect: Callable[[], dict[str, Any]], clock: Clock) -> None:
        self.path = path
        self.problem = ""
        self._collect = collect
        self._clock = clock
        self._wake = threading.Condition()
        self._due: float | None = None
        self._free = self._written = clock.monotonic()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="dingshi-snapshot", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def touch_definition(self) -> None:
        """A task was made, changed or deleted."""
        self._touch(DEFINITION_SECONDS)

    def touch_counters(self) -> None:
        """A run was counted: written at most once a minute for that alone."""
        self._touch(max(DEFINITION_SECONDS, self._written + COUNTER_SECONDS - self._clock.monotonic()))

    def stop(self, seconds: float = 2.0) -> None:
        """Writes a last time and ends; waits up to ``seconds`` for that."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def wait(self) -> float:
        """Seconds until something is to be written; infinity if nothing is."""
        with self._wake:
            return float("inf") if self._due is None else max(0.0, self._due - self._clock.monotonic())

    def write(self) -> bool:
        """Writes now; whether it worked. In the thread, and in tests. Never raises."""
        with self._wake:
            self._due = None
        begun = self._clock.monotonic()
        try:
            snapshot.write(self.path, self._collect())
        except Exception as error:  # noqa: BLE001  whatever it is: told, and tried again
            self._failed(error)
            return False
        if self.problem:
            log.info("snapshot is written again")
        self.problem, self._written = "", self._clock.monotonic()
        self._free = self._written + SHARE * (self._written - begun)
        return True

    def _failed(self, error: Exception) -> None:
        words = str(error) if isinstance(error, DingshiError) else f"{type(error).__name__}: {error}"
        if words != self.problem:
            log.error("snapshot not written: %s", words, exc_info=None if isinstance(error, DingshiError) else error)
        self.problem = words
        self._touch(RETRY_SECONDS)

    def _touch(self, seconds: float) -> None:
        due = max(self._clock.monotonic() + seconds, self._free)
        with self._wake:
            if self._due is None or due < self._due:
                self._due = due
                self._wake.notify()

    def _loop(self) -> None:
        last = False
        while not last:
            with self._wake:
                if not self._stopping:
                    self._wake.wait(None if self._due is None else max(0.0, self._due - self._clock.monotonic()))
                last = self._stopping
            if last or self.wait() <= 0:
                self.write()
