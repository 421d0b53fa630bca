"""Another time zone in the settings: due times that are still to come move with it. Under the instance lock."""

import logging
from datetime import datetime
from zoneinfo import ZoneInfo

from dashboard import triggers
from dashboard.models import Task
from dashboard.models.store import Store

log = logging.getLogger("dingshi.scheduler")
NAME = "timezone"


def rezone(store: Store, zone: ZoneInfo, now: datetime) -> int:
    """Computes due times after ``now`` anew if the zone is not that of the last start; returns how many moved. Those
    that have passed stay: they get their rows."""
    before = store.meta(NAME)
    if before == zone.key:
        return 0
    moved = 0
    with store.writing():
        for task in Task.select().where(Task.next_run_at > now):
            try:
                upcoming = triggers.first_due(task.trigger, zone, task.anchor_at, now)
            except Exception:
                log.exception("task cannot be scheduled id=%s", task.id)
                continue
            # None: in the new zone it has passed already; at the known time it still gets its row.
            if upcoming is not None and upcoming != task.next_run_at:
                Task.update(next_run_at=upcoming).where(Task.key == task.key).execute()
                moved += 1
        store.note(NAME, zone.key)
    if before:
        log.warning("time zone changed from %s to %s: %d tasks are due at other times", before, zone.key, moved)
    return moved
