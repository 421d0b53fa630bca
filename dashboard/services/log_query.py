"""Finding log rows: filters, keyset pages, text search within bounds."""

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peewee import Tuple

from dashboard.clock import Clock, from_ms, to_ms
from dashboard.models import TaskLog
from dashboard.models.expressions import mentions

TOTAL_CAP = 10_000
SEARCH_CAP = 50_000
SEARCH_SLICE = 5_000
SEARCH_SECONDS = 1.0
_CURSOR = re.compile(r"(-?[0-9]{1,15})\.([0-9]{1,18})\.([0-9]{1,9})")


@dataclass(frozen=True)
class LogPage:
    """Newest first. ``next_cursor`` leads to older rows, None at the end. ``total`` counts to 10,000, then
    ``total_is_more``; of a text search it counts what was found so far. ``searched_back_to``: a text search
    stopped there and can go on by the cursor."""

    items: list[TaskLog]
    next_cursor: str | None
    total: int
    total_is_more: bool
    searched_back_to: datetime | None = None


@dataclass(frozen=True)
class Cursor:
    """After which row a page begins, and how many a search had found by then."""

    at: int
    log_id: int
    found: int = 0

    def text(self) -> str:
        """As it stands in an URL."""
        return base64.urlsafe_b64encode(f"{self.at}.{self.log_id}.{self.found}".encode("ascii")).decode("ascii")

    @classmethod
    def read(cls, text: str) -> "Cursor":
        """Raises ValueError."""
        found = _CURSOR.fullmatch(base64.urlsafe_b64decode(text.encode("ascii")).decode("ascii"))
        if found is None:
            raise ValueError(text)
        return cls(*map(int, found.groups()))


def fitting(rows: Any, asked: dict[str, Any], *, bound: bool = True) -> Any:
    """``rows`` that a loaded query asks for; ``bound``: with its upper bound of time."""
    for name in ("task_id", "task_type"):
        if asked[name]:
            rows = rows.where(getattr(TaskLog, name) == asked[name])
    for name in ("result", "cause"):
        if asked[name]:
            rows = rows.where(getattr(TaskLog, name).in_(asked[name]))
    if asked["started_after"]:
        rows = rows.where(TaskLog.at > asked["started_after"])
    if bound and asked["started_before"]:
        rows = rows.where(TaskLog.at < asked["started_before"])
    return rows


def older(rows: Any, asked: dict[str, Any], cursor: Cursor | None) -> Any:
    """In the order of pages, after ``cursor``. It takes the place of the upper bound of time: with both, the index
    would not serve."""
    before = asked["started_before"]
    if cursor is None or (before and to_ms(before) <= cursor.at):
        rows = fitting(rows, asked)
    else:
        rows = fitting(rows, asked, bound=False).where(Tuple(TaskLog.at, TaskLog.id) < (cursor.at, cursor.log_id))
    return rows.order_by(TaskLog.at.desc(), TaskLog.id.desc())


def page(asked: dict[str, Any]) -> LogPage:
    """A page of a list without text search."""
    size = asked["page_size"]
    total = fitting(TaskLog.select(TaskLog.id), asked).limit(TOTAL_CAP + 1).count()
    rows = list(older(TaskLog.select(), asked, asked["cursor"]).limit(size + 1))
    more = _after(rows[size - 1]) if len(rows) > size else None
    return LogPage(rows[:size], more.text() if more else None, min(total, TOTAL_CAP), total > TOTAL_CAP)


def _after(row: TaskLog) -> Cursor:
    return Cursor(to_ms(row.at), int(row.id))


def search(asked: dict[str, Any], clock: Clock) -> LogPage:
    """A page of those that mention a text. Looks at so many rows, or for so long, and says how far back it came."""
    size, start = asked["page_size"], asked["cursor"]
    before = start.found if start else 0
    position, hits, finished = _look(asked, start, clock)
    total = before + len(hits)
    onward = None
    if len(hits) > size:
        onward = Cursor(hits[size - 1].at, hits[size - 1].log_id, before + size)
    elif position and not finished:
        onward = Cursor(position.at, position.log_id, total)
    items = list(TaskLog.select().where(TaskLog.id.in_([hit.log_id for hit in hits[:size]]))
                 .order_by(TaskLog.at.desc(), TaskLog.id.desc()))
    return LogPage(items, onward.text() if onward else None, min(total, TOTAL_CAP),
                   total > TOTAL_CAP or not finished, from_ms(position.at) if position and not finished else None)


def _look(asked: dict[str, Any], position: Cursor | None, clock: Clock) -> tuple[Cursor | None, list[Cursor], bool]:
    """The last row looked at, those that mention the text, and whether there is none beyond."""
    hits: list[Cursor] = []
    until = clock.monotonic() + SEARCH_SECONDS
    hit = mentions(asked["search"], TaskLog.task_id, TaskLog.error, TaskLog.output).alias("hit")
    for _ in range(SEARCH_CAP // SEARCH_SLICE):
        rows = older(TaskLog.select(TaskLog.at, TaskLog.id, hit), asked, position).limit(SEARCH_SLICE)
        found = rows.select_from(rows.c.at, rows.c.id).where(rows.c.hit).tuples()
        hits.extend(Cursor(at, log_id) for at, log_id in sorted(found, reverse=True))
        last = older(TaskLog.select(TaskLog.at, TaskLog.id), asked, position).offset(SEARCH_SLICE - 1).first()
        if last is None:
            return position, hits, True
        position = _after(last)
        if clock.monotonic() >= until:
            break
    return position, hits, False
