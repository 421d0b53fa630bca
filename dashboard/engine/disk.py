"""Whether there is room to claim runs: below the floor none is, so that what runs can still save its result."""

import logging
import shutil
from pathlib import Path

from dashboard.clock import Clock

log = logging.getLogger("dingshi.scheduler")
LOOK_SECONDS = 1.0


class Disk:
    """``floor_mb``: megabytes (2**20 bytes) that must stay free where ``folder`` is. One thread."""

    def __init__(self, folder: Path, floor_mb: int, clock: Clock) -> None:
        self.folder = folder
        self.floor = floor_mb * 2**20
        self.clock = clock
        self.is_low = False
        self._looked = float("-inf")

    def low(self) -> bool:
        """Looks at most once a second."""
        now = self.clock.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._look()
        return self.is_low

    def _look(self) -> None:
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            log.warning("free space of %s cannot be told: %s", self.folder, error)
            return
        low = free < self.floor
        if low and not self.is_low:
            log.error("disk nearly full: %d MB free at %s, %d wanted; no run starts until there is room",
                      free >> 20, self.folder, self.floor >> 20)
        elif self.is_low and not low:
            log.info("disk has room again: %d MB free at %s", free >> 20, self.folder)
        self.is_low = low
