"""The order in which an engine stops. From the thread that asks for it."""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from dashboard.errors import DingshiError
from dashboard.handlers import processes

if TYPE_CHECKING:
    from dashboard.engine.engine import Engine

log = logging.getLogger("dingshi.scheduler")
ASKED_SECONDS = 1.5
"""From asking runs to end to killing what they started."""
KILLED_SECONDS = 0.5
RECORD_SECONDS = 2.0


class Leaving:
    """``hurry``: nothing is waited for any more."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self.hurry = threading.Event()
        self._once = threading.Lock()
        self._left = False

    def stop(self, grace_seconds: float) -> None:
        """See ``Engine.stop``. A second call waits for the first and does nothing."""
        with self._once:
            if not self._left:
                self._left = True
                self._stop(grace_seconds)

    def _stop(self, grace_seconds: float) -> None:
        engine = self.engine
        log.info("scheduler stopping running=%d", engine.runner.busy())
        engine.ledger.claiming = False
        self._try("the scheduler", lambda: engine.scheduler.shutdown(wait=False))
        self._try("the idle monitor", engine.idle.stop)
        self._empty(grace_seconds)
        self._end_runs()
        for part in (engine.watchdog, engine.keeper):
            part.stop(0.2)
        engine.runner.close()
        if not engine.ledger.stop(RECORD_SECONDS):
            log.error("not everything could be recorded: %s", engine.ledger.problem)
        self._try("the snapshot", engine.snapshotter.stop)
        self._try("the checkpoint", engine.store.checkpoint)
        engine.lock.release()
        log.info("scheduler stopped")

    def _end_runs(self) -> None:
        """Asks, kills, gives up. What was claimed and not begun goes with the rest."""
        runner = self.engine.runner
        if not runner.busy():
            return
        for log_id in runner.running():
            runner.cancel(log_id, "shutdown")
        self._empty(ASKED_SECONDS)
        if runner.busy():
            prefix = self.engine.marker_prefix
            count = processes.sweep(lambda found: found.startswith(prefix), (), 0.0)
            log.warning("%d processes killed", count)
            self._empty(KILLED_SECONDS)
        runner.give_up_all()

    def _empty(self, seconds: float) -> None:
        clock = self.engine.clock
        limit = clock.monotonic() + seconds
        while self.engine.runner.busy() and clock.monotonic() < limit and not self.hurry.is_set():
            self.hurry.wait(0.05)

    @staticmethod
    def _try(name: str, step: Callable[[], object]) -> None:
        try:
            step()
        except DingshiError as error:
            log.warning("%s at the stop: %s", name, error)
        except Exception:
            log.exception("%s failed at the stop", name)
