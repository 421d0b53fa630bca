"""The order in which an engine stops. From the thread that asks for it."""

import logging
import threading
import time
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
CHECKPOINT_SECONDS = 6.0
RECORD_SECONDS = 6.0
"""For the last commit: longer than a write waits for a store that another program has locked."""
HURRIED_SECONDS = 0.3
"""For what must be waited for even then."""
_LOOK = 0.02


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
            if self.engine.lock.held and not self._left:
                self._left = True
                self._stop(grace_seconds)

    def undo(self) -> None:
        """A start that failed: nothing is written, nothing runs, the store is free."""
        engine = self.engine
        for part in (engine.watchdog, engine.keeper, engine.idle):
            part.stop(HURRIED_SECONDS)
        if engine.scheduler.running:
            self._try("the scheduler", lambda: engine.scheduler.shutdown(wait=False))
        engine.lock.release()

    def _stop(self, grace_seconds: float) -> None:
        engine = self.engine
        log.info("scheduler stopping running=%d", engine.runner.busy())
        engine.ledger.rest()
        self._try("the scheduler", lambda: engine.scheduler.shutdown(wait=False))
        self._wait(HURRIED_SECONDS, engine.ledger.is_resting, least=HURRIED_SECONDS)
        self._wait(grace_seconds, lambda: engine.ledger.is_resting() and not engine.runner.busy())
        self._try("ending the runs", self._end_runs)
        for part in (engine.idle, engine.watchdog, engine.keeper):
            part.stop(0.2)
        engine.runner.close()
        engine.loop.finish(RECORD_SECONDS)
        self._wait(RECORD_SECONDS, lambda: not engine.loop.is_alive(), least=HURRIED_SECONDS)
        if engine.loop.is_alive() or engine.ledger.problem:
            log.error("not everything could be recorded: %s", engine.ledger.problem or "the store does not answer")
        self._try("the snapshot", lambda: engine.snapshotter.stop(HURRIED_SECONDS if self.hurry.is_set() else 2.0))
        self._checkpoint()
        if not engine.loop.is_alive():  # else it may still write: then the end of the process frees the store
            engine.lock.release()
        log.info("scheduler stopped")

    def _checkpoint(self) -> None:
        """In a thread of its own: another program may hold the store, and a hurry waits for nobody."""
        if self.hurry.is_set():
            return
        done = threading.Event()

        def look() -> None:
            self._try("the checkpoint", self.engine.store.checkpoint)
            done.set()

        threading.Thread(target=look, name="dingshi-checkpoint", daemon=True).start()
        self._wait(CHECKPOINT_SECONDS, done.is_set)

    def _end_runs(self) -> None:
        """Asks, kills, gives up. What was claimed and not begun goes with the rest."""
        runner = self.engine.runner
        runner.leave()
        self._wait(ASKED_SECONDS, lambda: not runner.busy())
        if runner.busy():
            markers = {f"{self.engine.marker_prefix}{log_id}" for log_id in runner.running()}
            count = processes.sweep(markers.__contains__, (), 0.0)
            log.warning("%d processes killed", count)
            self._wait(KILLED_SECONDS, lambda: not runner.busy())
        runner.give_up_all()

    def _wait(self, seconds: float, done: Callable[[], bool], least: float = 0.0) -> None:
        """Until ``done``, for so long; in a hurry only for the ``least``."""
        begun = time.monotonic()
        while not done():
            spent = time.monotonic() - begun
            if spent >= (least if self.hurry.is_set() else seconds):
                return
            if self.hurry.is_set():
                time.sleep(_LOOK)
            else:
                self.hurry.wait(_LOOK)

    @staticmethod
    def _try(name: str, step: Callable[[], object]) -> None:
        try:
            step()
        except DingshiError as error:
            log.warning("%s at the stop: %s", name, error)
        except Exception:
            log.exception("%s failed at the stop", name)
