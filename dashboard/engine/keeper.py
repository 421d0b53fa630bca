"""What must be done every now and then while the scheduler runs: deadlines, checkpoints, old rows."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from dashboard.clock import Clock
from dashboard.errors import DingshiError
from dashboard.models.store import Store

log = logging.getLogger("dingshi.scheduler")
WAL_BYTES = 4 * 2**20
CHECKPOINT_SECONDS = 60.0
PRUNE_SECONDS = 3600.0
LOOK_SECONDS = 1.0


class Loop:
    """Calls ``look`` again and again in a thread of its own; ``look`` returns the seconds to wait. An exception is
    logged and the loop goes on."""

    def __init__(self, name: str, look: Callable[[], float]) -> None:
        self._look = look
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Ends; waits up to ``seconds`` for a look that is under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def stopping(self) -> bool:
        """Whether it is to end: for looks that take long."""
        return self._stop.is_set()

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                pause = self._look()
            except Exception:
                log.exception("%s failed; it goes on", threading.current_thread().name)
                pause = LOOK_SECONDS


class Checkpoints:
    """Moves the write-ahead log into the store when it has grown, or once a minute. From one thread."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.wal = Path(f"{store.path}-wal")
        self._done = clock.monotonic()

    def look(self) -> None:
        """Does it if it is time."""
        now = self.clock.monotonic()
        try:
            size = self.wal.stat().st_size
        except OSError:
            return
        if size > WAL_BYTES or (size and now - self._done > CHECKPOINT_SECONDS):
            self._done = now
            try:
                self.store.checkpoint()
            except DingshiError as error:
                log.warning("checkpoint put off: %s", error)
