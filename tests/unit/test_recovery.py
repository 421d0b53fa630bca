"""What a scheduler that died has left, put in order at the next start (R3)."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboard.engine.recovery import last_idle_runs, recover
from dashboard.models import Task, TaskLog
from dashboard.models.store import Store
from tests.factories import SCHEDULED_AT as NOW
from tests.factories import make_store

GRACE = timedelta(seconds=60)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    with made.writing():
        for key in (1, 2):
            Task.create(key=key, id=f"t{key}", type="send_cmd", trigger={"type": "interval", "minutes": 1}, params={},
                        options={}, anchor_at=NOW, created_at=NOW, updated_at=NOW)
    yield made
    made.close()


def row(store: Store, result: str, cause: str = "schedule", due: datetime = NOW, key: int = 1, **more: Any) -> int:
    values: dict[str, Any] = {
        "task_key": key, "task_id": f"t{key}", "task_type": "send_cmd", "trigger": {}, "params": {}, "options": {},
        "result": result, "cause": cause, "scheduled_at": due, "occurrence_at": due, "at": due}
    with store.writing():
        return int(TaskLog.create(**{**values, **more}).id)


def rows(store: Store) -> dict[int, TaskLog]:
    with store.reading():
        return {found.id: found for found in TaskLog.select()}


def test_nothing_left_is_nothing_done(store: Store) -> None:
    done = row(store, "success", finished_at=NOW, duration_ms=5)
    left = recover(store, NOW, GRACE)
    assert (left.runs, left.processes) == ([], [])
    assert rows(store)[done].result == "success"


def test_what_ran_is_interrupted_and_told_not_repeated(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    begun = NOW - timedelta(seconds=7)
    with caplog.at_level(logging.WARNING, "dingshi.runs"):
        first = row(store, "running", due=begun, started_at=begun, owner="dead", output=None,
                    processes=[[4711, 1.5], [4712, 2.5]], carried={"seen": 1})
        second = row(store, "running", "manual", key=2, started_at=begun)
        left = recover(store, NOW, GRACE)
    found = rows(store)[first]
    assert (found.result, found.reason, found.finished_at, found.started_at, found.at, found.carried) == (
        "interrupted", {"code": "crash"}, NOW, begun, begun, {"seen": 1})
    assert rows(store)[second].result == "interrupted"
    assert left.runs == [] and left.processes == [(4711, 1.5), (4712, 2.5)]
    with store.reading():
        assert [(task.last_result, task.failure_count) for task in Task.select()] == [("interrupted", 1)] * 2
        assert TaskLog.select().count() == 2
    assert f"run={first}" in caplog.messages[0] and f"run={second}" in caplog.messages[1]
    assert recover(store, NOW, GRACE).processes == []


def test_queued_rows_go_on_in_their_order(store: Store) -> None:
    later = row(store, "queued", "retry", NOW + timedelta(minutes=5), attempt=2, occurrence_at=NOW)
    first = row(store, "queued", "schedule", NOW - timedelta(seconds=9), carried={"a": 1}, params={"say": "x"})
    second = row(store, "queued", "manual", NOW - timedelta(seconds=5), key=2)
    left = recover(store, NOW, GRACE)
    assert [run.log_id for run in left.runs] == [first, second, later]
    run, retry = left.runs[0], left.runs[2]
    assert (run.cause, run.attempt, run.params, run.carried) == ("schedule", 1, {"say": "x"}, {"a": 1})
    assert (retry.attempt, retry.scheduled_at, retry.occurrence_at) == (2, NOW + timedelta(minutes=5), NOW)
    assert {found.result for found in rows(store).values()} == {"queued"}


@pytest.mark.parametrize(("cause", "age", "result"), [
    ("manual", 3601, "missed"), ("retry", 3601, "missed"), ("chain", 3601, "missed"), ("manual", 3600, "queued"),
    ("retry", 60, "queued"), ("schedule", 100_000, "queued"), ("catchup", 100_000, "queued"),
    ("idle", 30, "queued")])
def test_what_nobody_expects_any_more_is_missed(store: Store, cause: str, age: int, result: str) -> None:
    log_id = row(store, "queued", cause, NOW - timedelta(seconds=age))
    left = recover(store, NOW, GRACE)
    found = rows(store)[log_id]
    assert found.result == result
    assert [run.log_id for run in left.runs] == ([log_id] if result == "queued" else [])
    if result == "missed":
        assert (found.reason, found.finished_at, found.started_at) == ({"code": "request_old"}, NOW, None)


def test_what_was_queued_for_a_task_that_is_gone_is_cancelled(store: Store) -> None:
    log_id = row(store, "queued", key=99)
    assert recover(store, NOW, GRACE).runs == []
    assert (rows(store)[log_id].result, rows(store)[log_id].reason) == ("cancelled", {"code": "deleted"})


def test_a_run_of_a_task_that_is_gone_is_interrupted_too(store: Store) -> None:
    log_id = row(store, "running", key=99, started_at=NOW)
    recover(store, NOW, GRACE)
    assert rows(store)[log_id].result == "interrupted"


def test_many_rows_are_one_matter_of_moments(store: Store) -> None:
    with store.writing():
        for number in range(500):
            TaskLog.create(task_key=1, task_id="t1", task_type="send_cmd", trigger={}, params={}, options={},
                           result="running" if number % 2 else "queued", cause="manual", scheduled_at=NOW,
                           occurrence_at=NOW, at=NOW)
    left = recover(store, NOW, GRACE)
    assert len(left.runs) == 250
    with store.reading():
        assert TaskLog.select().where(TaskLog.result == "interrupted").count() == 250
        assert Task.get_by_id(1).failure_count == 250


def test_the_last_idle_run_of_each_task(store: Store) -> None:
    for minutes, cause, key in ((30, "idle", 1), (20, "idle", 1), (10, "manual", 1), (5, "schedule", 2)):
        row(store, "success", cause, NOW - timedelta(minutes=minutes), key)
    assert last_idle_runs(store, ["t1", "t2", "nobody"]) == {1: NOW - timedelta(minutes=20)}
    assert last_idle_runs(store, []) == {}


def test_of_due_times_that_waited_too_long_the_latest_goes_on(store: Store) -> None:
    """As after a time without a scheduler; else a long queue would be worked off days later."""
    ids = [row(store, "queued", "schedule", NOW - timedelta(seconds=seconds)) for seconds in (300, 200, 100, 30)]
    idle = row(store, "queued", "idle", NOW - timedelta(seconds=7200))
    left = recover(store, NOW, GRACE)
    found = rows(store)
    assert [found[log_id].result for log_id in ids] == ["missed", "missed", "queued", "queued"]
    assert (found[idle].result, found[idle].reason) == ("missed", {"code": "down"})
    assert sorted(run.log_id for run in left.runs) == ids[2:]
    with store.writing():
        TaskLog.update(options={"missed": "skip"}).execute()
    assert [run.log_id for run in recover(store, NOW, GRACE).runs] == ids[3:]
    assert rows(store)[ids[2]].result == "missed"
