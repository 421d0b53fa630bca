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
        self._written = clock.monotonic()
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
        """Writes a last time and ends."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(seconds)

    def wait(self) -> float:
        """Seconds until something is to be written; infinity if nothing is."""
        with self._wake:
            return float("inf") if self._due is None else max(0.0, self._due - self._clock.monotonic())

    def write(self) -> bool:
        """Writes now; whether it worked. In the thread, and in tests."""
        with self._wake:
            self._due = None
        try:
            snapshot.write(self.path, self._collect())
        except (DingshiError, ValueError) as error:
            if str(error) != self.problem:
                log.error("snapshot not written: %s", error)
            self.problem = str(error)
            self._touch(RETRY_SECONDS)
            return False
        if self.problem:
            log.info("snapshot is written again")
        self.problem, self._written = "", self._clock.monotonic()
        return True

    def _touch(self, seconds: float) -> None:
        due = self._clock.monotonic() + seconds
        with self._wake:
            if self._due is None or due < self._due:
                self._due = due
                self._wake.notify()

    def _loop(self) -> None:
        while not self._stopping:
            with self._wake:
                if not self._stopping:
                    self._wake.wait(None if self._due is None else max(0.0, self._due - self._clock.monotonic()))
            if self._stopping or self.wait() <= 0:
                try:
                    self.write()
                except Exception:
                    log.exception("snapshot failed; it is tried again")
                    self._touch(RETRY_SECONDS)
