"""A run that a worker is at."""

from dataclasses import dataclass
from datetime import datetime

from dashboard.engine.definition import Run
from dashboard.engine.run_context import RunContext


@dataclass(slots=True, eq=False)
class Active:
    """``begun``, ``deadline``: monotonic. ``context``: None for a moment, until its worker has made it. ``why``: the
    reason for which it was cancelled; ``give_up``: when its handler is abandoned then. ``stuck``: it was, and keeps
    its worker all the same: too many were abandoned already."""

    run: Run
    begun: float
    started_at: datetime
    deadline: float
    context: RunContext | None = None
    why: str = ""
    give_up: float | None = None
    closed: bool = False
    stuck: bool = False
