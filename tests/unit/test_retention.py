"""Which rows go, and which never."""

from datetime import timedelta
from pathlib import Path

from dashboard.engine.retention import BATCH, prune
from dashboard.models import TaskLog
from dashboard.models.store import Store
from tests.factories import SCHEDULED_AT as NOW
from tests.factories import make_store


def fill(store: Store, count: int, result: str = "success", age_days: float = 1) -> None:
    rows = [{"task_key": 1, "task_id": "t", "task_type": "send_cmd", "trigger": {}, "params": {}, "options": {},
             "result": result, "cause": "manual", "scheduled_at": NOW, "occurrence_at": NOW,
             "at": NOW - timedelta(days=age_days, seconds=number)} for number in range(count)]
    with store.writing():
        for start in range(0, count, 100):
            TaskLog.insert_many(rows[start:start + 100]).execute()


def left(store: Store) -> int:
    with store.reading():
        return int(TaskLog.select().count())


def test_by_age(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    fill(store, 10)
    fill(store, BATCH + 7, age_days=91)
    assert prune(store, days=90, rows=1_000_000, now=NOW) == BATCH + 7
    assert left(store) == 10
    store.close()


def test_by_number_the_oldest_go(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    fill(store, BATCH + 20)
    assert prune(store, days=90, rows=5, now=NOW) == BATCH + 15
    with store.reading():
        assert min(row.at for row in TaskLog.select()) == NOW - timedelta(days=1, seconds=4)
    store.close()


def test_never_what_is_queued_or_running(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    fill(store, 3, "queued", age_days=400)
    fill(store, 3, "running", age_days=400)
    assert prune(store, days=1, rows=1, now=NOW) == 0
    assert left(store) == 6
    store.close()


def test_a_stop_is_heeded_between_batches(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    fill(store, 2 * BATCH, age_days=400)
    answers = iter([False, True])
    assert prune(store, days=90, rows=10**6, now=NOW, stop=lambda: next(answers)) == BATCH
    store.close()
