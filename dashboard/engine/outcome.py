"""What a run leaves behind, on its way from the worker to the store."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dashboard.engine.definition import Run
from dashboard.models.bulk import EndedRun
from dashboard.models.task_log import FAILING

RETRYABLE = ("failure", "timeout")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. ``final``: no retry, whatever the task's options say."""

    run: Run
    result: str
    started_at: datetime
    finished_at: datetime
    duration_ms: int
    output: str = ""
    reason: dict[str, Any] | None = None
    error: str | None = None
    final: bool = False
    carried: dict[str, Any] | None = None

    @property
    def retry_at(self) -> datetime | None:
        """When the next attempt is due; None if there is none."""
        options = self.run.options
        if self.result not in RETRYABLE or self.final or self.run.attempt > options["retries"]:
            return None
        return self.finished_at + timedelta(seconds=options["retry_delay_seconds"])

    def row(self) -> EndedRun:
        """As the store takes it."""
        return EndedRun(
            log_id=self.run.log_id, key=self.run.key, result=self.result, failed=self.result in FAILING,
            started_at=self.started_at, finished_at=self.finished_at, duration_ms=self.duration_ms,
            output=self.output, reason=self.reason, error=self.error, carried=self.carried)

    def stripped(self, error: str) -> "Ended":
        """The same end without what the handler gave, for when that cannot be stored."""
        return Ended(self.run, self.result, self.started_at, self.finished_at, self.duration_ms, error=error,
                     reason={"code": "not_stored"}, final=True)
