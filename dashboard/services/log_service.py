"""The execution log: finding rows, one row, stopping a run."""

import logging
from collections.abc import Callable
from typing import Any

from marshmallow import ValidationError

from dashboard import instants
from dashboard.clock import Clock, SystemClock, whole_ms
from dashboard.config import Settings
from dashboard.errors import Conflict, Invalid, NotFound, flatten
from dashboard.i18n import gettext
from dashboard.models import TaskLog
from dashboard.models.store import Store
from dashboard.models.task_log import ACTIVE
from dashboard.schemas.log import LogQuery
from dashboard.services.log_query import Cursor, LogPage, fitting, page, search

log = logging.getLogger("dingshi.tasks")
MOST_AT_ONCE = 500


class LogService:
    """Thread-safe; holds no state of its own. ``changed`` is called after a request to stop was committed."""

    def __init__(self, store: Store, settings: Settings, clock: Clock | None = None,
                 changed: Callable[[], None] = lambda: None) -> None:
        self.store = store
        self.zone = settings.timezone
        self.clock = clock or SystemClock()
        self.changed = changed

    def find(self, query: dict[str, Any] | None = None) -> LogPage:
        """One page, newest first. ``query``: texts as a door got them, see ``LogQuery``. Raises Invalid naming the
        field."""
        asked = self._load(query or {})
        with self.store.reading():
            return search(asked, self.clock) if asked["search"] else page(asked)

    def get(self, log_id: int) -> TaskLog:
        """Raises NotFound."""
        with self.store.reading():
            row: TaskLog | None = TaskLog.get_or_none(TaskLog.id == log_id) if 0 < log_id < 2**63 else None
        if row is None:
            raise NotFound(gettext("There is no run %(id)s.", id=log_id))
        return row

    def since(self, log_id: int, query: dict[str, Any] | None = None) -> list[TaskLog]:
        """The first 500 rows newer than ``log_id`` that fit, oldest first; for following. Raises Invalid."""
        asked = self._load(query or {})
        with self.store.reading():
            rows = fitting(TaskLog.select().where(TaskLog.id > log_id), asked)
            return list(rows.order_by(TaskLog.id).limit(MOST_AT_ONCE))

    def stop(self, log_id: int) -> None:
        """Asks the scheduler to stop a running run, or cancels a queued one. Raises NotFound, Conflict."""
        now = whole_ms(self.clock.now())
        with self.store.writing():
            row = self.get(log_id)
            if row.result not in ACTIVE:
                raise Conflict(gettext("The run %(id)s has ended already.", id=log_id))
            changes: dict[str, Any] = {"stop_requested_at": row.stop_requested_at or now}
            if row.result == "queued":
                changes |= {"result": "cancelled", "reason": {"code": "stopped"}, "finished_at": now}
            TaskLog.update(changes).where(TaskLog.id == log_id).execute()
        log.info("stop requested id=%s run=%s", row.task_id, log_id)
        self.changed()

    def _load(self, query: dict[str, Any]) -> dict[str, Any]:
        """The query with instants and cursor read; every error at once."""
        errors: dict[str, list[str]] = {}
        try:
            asked: dict[str, Any] = LogQuery().load(query)
        except ValidationError as error:
            errors = flatten(error.messages)
            asked = error.valid_data if isinstance(error.valid_data, dict) else {}
        for name in ("started_after", "started_before"):
            try:
                asked[name] = instants.parse_instant(asked[name], self.zone) if asked.get(name) else None
            except ValidationError as error:
                errors.update(flatten(error.messages, name))
        try:
            asked["cursor"] = Cursor.read(asked["cursor"]) if asked.get("cursor") else None
        except ValueError:
            errors["cursor"] = [gettext("This is not a cursor of ours.")]
        if errors:
            raise Invalid(errors)
        if asked["started_after"] and asked["started_before"] and asked["started_after"] >= asked["started_before"]:
            raise Invalid({"started_before": [gettext("The end is not after the start.")]})
        return asked
