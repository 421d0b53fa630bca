"""The task log table: one row for every due time and every run asked for, with what became of it."""

from peewee import AutoField, IntegerField, TextField

from dashboard.models.base import Base, InstantField, JsonField

RESULTS = ("queued", "running", "success", "failure", "timeout", "cancelled", "skipped", "missed", "interrupted",
           "unknown")
CAUSES = ("schedule", "idle", "manual", "retry", "catchup", "chain")
FAILING = ("failure", "timeout", "interrupted", "unknown")
"""Results of a run that went wrong."""
ACTIVE = ("queued", "running")


class TaskLog(Base):
    """Trigger, params and options are copies of what ran. ``at`` orders the log: when the run was claimed to start,
    or when it was due if it never started. ``occurrence_at`` is the due time of a first attempt that all its
    retries share; ``owner`` the boot id of the scheduler that started it; ``processes`` what it started."""

    id = AutoField()
    task_key = IntegerField()
    task_id = TextField()
    task_type = TextField()
    trigger = JsonField()
    params = JsonField()
    options = JsonField()
    result = TextField()
    reason = JsonField(null=True)
    covers = JsonField(null=True)
    cause = TextField()
    attempt = IntegerField(default=1)
    scheduled_at = InstantField()
    occurrence_at = InstantField()
    started_at = InstantField(null=True)
    finished_at = InstantField(null=True)
    at = InstantField()
    duration_ms = IntegerField(null=True)
    owner = TextField(null=True)
    processes = JsonField(null=True)
    carried = JsonField(null=True)
    stop_requested_at = InstantField(null=True)
    error = TextField(null=True)
    output = TextField(null=True)

    class Meta:
        table_name = "task_log"
