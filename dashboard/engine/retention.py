"""Old rows of the log go by the rule the user set: by age and by number (L5, R17)."""

from collections.abc import Callable
from datetime import datetime, timedelta

from dashboard.models import TaskLog
from dashboard.models.store import Store
from dashboard.models.task_log import ACTIVE

BATCH = 500


def prune(store: Store, *, days: int, rows: int, now: datetime, stop: Callable[[], bool] = lambda: False) -> int:
    """Removes rows older than ``days`` and the oldest beyond ``rows``, never one that is queued or running; returns
    how many. In batches, each a short transaction of its own; ``stop`` is asked between them."""
    gone = 0
    limit = now - timedelta(days=days)
    with store.reading():
        surplus = max(0, TaskLog.select().count() - rows)
    while not stop():
        old = (TaskLog.select(TaskLog.id).where(TaskLog.result.not_in(ACTIVE)).order_by(TaskLog.at, TaskLog.id))
        count = _remove(store, old.where(TaskLog.at < limit).limit(BATCH))
        if not count and surplus > gone:
            count = _remove(store, old.limit(min(BATCH, surplus - gone)))
        if not count:
            break
        gone += count
    return gone


def _remove(store: Store, chosen: object) -> int:
    with store.writing():
        return int(TaskLog.delete().where(TaskLog.id.in_(chosen)).execute())
