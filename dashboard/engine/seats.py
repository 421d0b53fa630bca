"""How many runs may be claimed at this moment."""

from collections.abc import Mapping

AHEAD_SECONDS = 0.1
"""Runs may be claimed ahead of a free worker as long as the last of them is expected to wait less than this."""
LEAST_SECONDS = 0.0002
QUICK_SECONDS = 0.05


class Seats:
    """``free``: workers without a run. ``lively``: workers that are free or expected to be soon. ``usual``: how long
    runs of each type have taken lately, in seconds. ``pending``: seconds of work claimed and not begun.

    A row that waits for a worker is ``queued``, and another commit starts it. For runs much shorter than a commit
    that would be most of the work, so these are claimed ahead.
    """

    def __init__(self, free: int, lively: int, usual: Mapping[str, float], pending: float) -> None:
        self._free = free
        self._usual = usual
        self._ahead = AHEAD_SECONDS * lively - pending

    def there(self, task_type: str) -> bool:
        """Whether one more run of this type may be claimed."""
        usual = self._usual.get(task_type)
        return self._free > 0 or (usual is not None and usual <= QUICK_SECONDS
                                  and self._ahead > max(usual, LEAST_SECONDS))

    def take(self, task_type: str) -> bool:
        """The same, and if so it has its seat."""
        if not self.there(task_type):
            return False
        if self._free > 0:
            self._free -= 1
        else:
            self._ahead -= max(self._usual[task_type], LEAST_SECONDS)
        return True
