"""A task log row as it leaves through a door, and the filter of a log list."""

from marshmallow import fields

from dashboard.fields import CommaList, Document, Integer, Text, between
from dashboard.schemas.instant import Instant

RESULTS = ("queued", "running", "success", "failure", "timeout", "cancelled", "skipped", "missed", "interrupted",
           "unknown")
CAUSES = ("schedule", "idle", "manual", "retry", "catchup", "chain")


class LogSchema(Document):
    """The log document of design.md's API contract."""

    id = fields.Integer()
    task_id = fields.String()
    task_type = fields.String()
    trigger = fields.Raw()
    params = fields.Raw()
    result = fields.String()
    reason = fields.Raw()
    covers = fields.Raw()
    cause = fields.String()
    attempt = fields.Integer()
    scheduled_at = Instant()
    started_at = Instant()
    finished_at = Instant()
    at = Instant()
    duration_ms = fields.Integer()
    output = fields.String()
    error = fields.String()


class LogQuery(Document):
    """Filters of a log list. Instants are texts here; the service reads naive ones in the configured zone."""

    task_id = Text(load_default="")
    task_type = Text(load_default="")
    result = CommaList(RESULTS, load_default=list)
    cause = CommaList(CAUSES, load_default=list)
    started_after = Text(load_default="")
    started_before = Text(load_default="")
    search = Text(load_default="")
    cursor = Text(load_default="")
    page_size = Integer(load_default=40, validate=between(1, 200))
