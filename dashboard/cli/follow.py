"""Following the execution log: rows as they appear, and once more when they end."""

from typing import Any

from dashboard.errors import NotFound
from dashboard.models import TaskLog
from dashboard.models.task_log import ACTIVE
from dashboard.services.log_service import MOST_AT_ONCE, LogService


class Follower:
    """``query`` as for ``LogService.find``. A row that is not yet of the results asked for is watched until it is."""

    def __init__(self, service: LogService, query: dict[str, Any]) -> None:
        self.service = service
        self.results = {name.strip() for name in query.get("result", "").split(",") if name.strip()}
        self.query = {**query, "result": ""}
        self._newest = 0
        self._active: set[int] = set()
        self._shown: set[int] = set()

    def begin(self, limit: int) -> list[TaskLog]:
        """The newest ``limit`` rows that fit, oldest first; from here on ``more`` tells what happens."""
        newest = self.service.find({**self.query, "page_size": "200"}).items
        active = self.service.find({**self.query, "result": ",".join(ACTIVE), "page_size": "200"}).items
        self._newest = max((row.id for row in newest), default=0)
        self._active = {row.id for row in active}
        shown = self.service.find({**self.query, "result": ",".join(sorted(self.results)), "page_size": str(limit)})
        self._shown = {row.id for row in shown.items if row.id > self._newest and row.result not in ACTIVE}
        return list(reversed(shown.items))

    def more(self) -> list[TaskLog]:
        """What has appeared or ended since the last call, in that order of ids."""
        rows = [row for row in map(self._get, sorted(self._active)) if row is not None and row.result not in ACTIVE]
        self._active -= {row.id for row in rows}
        while True:
            added = self.service.since(self._newest, self.query)
            for row in added:
                self._newest = max(self._newest, row.id)
                if row.result in ACTIVE:
                    self._active.add(row.id)
            rows += added
            if len(added) < MOST_AT_ONCE:
                return [row for row in rows if self._fits(row)]

    def _fits(self, row: TaskLog) -> bool:
        return row.id not in self._shown and (not self.results or row.result in self.results)

    def _get(self, log_id: int) -> TaskLog | None:
        try:
            return self.service.get(log_id)
        except NotFound:  # old rows are removed
            self._active.discard(log_id)
            return None
