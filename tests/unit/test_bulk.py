"""The engine's statements for many runs at once: what is inserted, started, ended and counted, and what is not."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboard.clock import from_ms
from dashboard.models import Revision, Task, TaskLog
from dashboard.models.bulk import EndedRun, NewRun, end_runs, insert_retries, insert_runs, start_runs
from dashboard.models.store import Store
from tests.factories import SCHEDULED_AT, make_store

DUE = SCHEDULED_AT
NOW = DUE + timedelta(milliseconds=12)
LATER = DUE + timedelta(minutes=15)
OWNER = "boot-1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = make_store(tmp_path)
    yield opened
    opened.close()


def insert_task(store: Store, key: int = 1, **changes: Any) -> Task:
    with store.writing():
        Task.create(**{
            "key": key, "id": f"task-{key}", "type": "send_cmd", "trigger": {"type": "interval", "minutes": 15},
            "params": {"command": ["备份"]}, "options": {"retries": 1}, "anchor_at": DUE - timedelta(1),
            "next_run_at": DUE, "created_at": DUE, "updated_at": DUE, **changes})
    return task(store, key)


def task(store: Store, key: int = 1) -> Task:
    with store.reading():
        return Task.get_by_id(key)


def logs(store: Store) -> list[TaskLog]:
    with store.reading():
        return list(TaskLog.select().order_by(TaskLog.id))


def claim(found: Task, **changes: Any) -> NewRun:
    values: dict[str, Any] = {"key": found.key, "revision": found.revision, "result": "running", "cause": "schedule",
                              "scheduled_at": DUE, "at": NOW, "next_run_at": LATER, "owner": OWNER, **changes}
    return NewRun(**values)


def insert(store: Store, *runs: NewRun) -> list[int]:
    with store.writing():
        insert_runs(store, list(runs))
    return [run.log_id for run in runs]


def ended(log_id: int, result: str = "success", **changes: Any) -> EndedRun:
    values: dict[str, Any] = {"log_id": log_id, "key": 1, "result": result, "failed": result == "failure",
                              "started_at": NOW, "finished_at": NOW + timedelta(seconds=2), "duration_ms": 2000,
                              "output": "", **changes}
    return EndedRun(**values)


def counters(found: Task) -> tuple[int, int, datetime | None, str | None, datetime | None]:
    return found.run_count, found.failure_count, found.last_run_at, found.last_result, found.next_run_at


# --- claims -----------------------------------------------------------------------------------------------------


def test_a_claim_copies_the_definition_advances_the_schedule_and_counts(store: Store) -> None:
    found = insert_task(store)
    (log_id,) = insert(store, claim(found))
    (row,) = logs(store)
    assert row.id == log_id > 0
    assert (row.task_key, row.task_id, row.task_type) == (1, "task-1", "send_cmd")
    assert (row.trigger, row.params, row.options) == (found.trigger, found.params, found.options)
    assert (row.result, row.cause, row.attempt, row.owner) == ("running", "schedule", 1, OWNER)
    assert (row.scheduled_at, row.occurrence_at, row.at, row.started_at) == (DUE, DUE, NOW, NOW)
    assert (row.finished_at, row.reason, row.covers, row.output) == (None, None, None, None)
    assert counters(task(store)) == (1, 0, NOW, None, LATER)


def test_a_claim_moves_neither_revision_nor_updated_at(store: Store) -> None:
    found = insert_task(store)
    with store.reading():
        before = Revision.get_by_id(1).value
    (log_id,) = insert(store, claim(found))
    with store.writing():
        end_runs(store, [ended(log_id)])
    with store.reading():
        assert Revision.get_by_id(1).value == before
    assert (task(store).revision, task(store).updated_at) == (found.revision, found.updated_at)


def test_a_due_time_that_has_a_row_is_not_run_again_but_the_schedule_goes_on(store: Store) -> None:
    found = insert_task(store)
    insert(store, claim(found))
    with store.writing():
        Task.update(next_run_at=DUE).execute()  # as if the advance had been lost
    assert insert(store, claim(found)) == [0]
    assert insert(store, claim(found, cause="catchup")) == [0]
    assert len(logs(store)) == 1
    assert counters(task(store)) == (1, 0, NOW, None, LATER)


def test_the_same_due_time_twice_in_one_batch_runs_once(store: Store) -> None:
    found = insert_task(store)
    given = insert(store, claim(found), claim(found), claim(found, cause="catchup"))
    assert sorted(given)[:2] == [0, 0]
    assert [row.id for row in logs(store)] == [max(given)]
    assert task(store).run_count == 1


@pytest.mark.parametrize("cause", ["idle", "manual"])
def test_two_runs_at_one_instant_that_are_no_due_times_get_a_row_each(store: Store, cause: str) -> None:
    found = insert_task(store)
    given = insert(store, claim(found, cause=cause), claim(found, cause=cause))
    assert sorted(given) == [row.id for row in logs(store)]
    assert len(set(given)) == 2
    assert task(store).run_count == 2


@pytest.mark.parametrize("changes", [{"paused": True}, {"params": {}}, {"trigger": {"type": "idle"}}])
def test_a_task_that_changed_meanwhile_is_not_claimed_and_not_advanced(store: Store, changes: dict[str, Any]) -> None:
    found = insert_task(store)
    with store.writing():
        Task.update(**changes).execute()
    assert insert(store, claim(found)) == [0]
    assert logs(store) == []
    assert counters(task(store)) == (0, 0, None, None, DUE)


def test_a_paused_task_is_not_claimed_even_by_one_who_knows(store: Store) -> None:
    found = insert_task(store, paused=True, next_run_at=None)
    assert insert(store, claim(found), claim(found, cause="idle", advance=False)) == [0, 0]
    assert logs(store) == []
    assert counters(task(store)) == (0, 0, None, None, None)


def test_a_deleted_task_is_not_claimed(store: Store) -> None:
    found = insert_task(store)
    with store.writing():
        Task.delete().execute()
    assert insert(store, claim(found)) == [0]
    assert logs(store) == []


def test_what_does_not_start_is_not_counted(store: Store) -> None:
    found = insert_task(store)
    covers = {"count": 3, "first": "a", "last": "b"}
    insert(store,
           claim(found, result="skipped", reason={"code": "overlap"}, owner=None),
           claim(found, result="missed", scheduled_at=DUE - timedelta(1), covers=covers, reason={"code": "down"}),
           claim(found, result="queued", scheduled_at=LATER, at=LATER, next_run_at=None))
    assert counters(task(store)) == (0, 0, None, None, None)
    skipped, missed, queued = logs(store)
    assert [row.started_at for row in (skipped, missed, queued)] == [None] * 3
    assert (skipped.reason, missed.reason, missed.covers) == ({"code": "overlap"}, {"code": "down"}, covers)


def test_a_run_without_result_only_moves_the_schedule(store: Store) -> None:
    found = insert_task(store)
    assert insert(store, claim(found, result="")) == [0]
    assert logs(store) == []
    assert counters(task(store)) == (0, 0, None, None, LATER)


def test_idle_runs_leave_the_schedule_alone(store: Store) -> None:
    found = insert_task(store)
    insert(store, claim(found, cause="idle", advance=False, next_run_at=None))
    assert counters(task(store)) == (1, 0, NOW, None, DUE)


def test_several_due_times_of_one_task_in_one_batch_are_all_counted(store: Store) -> None:
    found = insert_task(store)
    runs = [claim(found, scheduled_at=DUE + timedelta(seconds=n), at=NOW + timedelta(seconds=n),
                  next_run_at=DUE + timedelta(seconds=n + 1)) for n in range(5)]
    assert len(set(insert(store, *runs))) == 5
    assert counters(task(store)) == (5, 0, NOW + timedelta(seconds=4), None, DUE + timedelta(seconds=5))


def test_a_thousand_tasks_in_one_batch_each_get_their_own_row(store: Store) -> None:
    with store.writing():
        for key in range(1, 1001):
            Task.insert(key=key, id=f"任务-{key}", type="send_cmd", trigger={}, params={"n": key}, options={},
                        anchor_at=DUE, next_run_at=DUE, created_at=DUE, updated_at=DUE).execute()
    with store.reading():
        found = list(Task.select())
    runs = [claim(one) for one in found]
    assert len(set(insert(store, *runs))) == 1000
    rows = {row.id: row for row in logs(store)}
    assert all(rows[run.log_id].params == {"n": run.key} for run in runs)
    with store.reading():
        assert Task.select().where(Task.run_count == 1, Task.next_run_at == LATER).count() == 1000


# --- starts -----------------------------------------------------------------------------------------------------


def queue(store: Store, found: Task, **changes: Any) -> int:
    return insert(store, claim(found, **{"result": "queued", "cause": "manual", "owner": None, "advance": False,
                                         "at": DUE, **changes}))[0]


def test_starting_moves_at_and_counts(store: Store) -> None:
    found = insert_task(store)
    log_id = queue(store, found)
    with store.writing():
        assert start_runs(store, [(log_id, 1)], NOW, OWNER) == {log_id}
    (row,) = logs(store)
    assert (row.result, row.started_at, row.at, row.scheduled_at, row.owner) == ("running", NOW, NOW, DUE, OWNER)
    assert counters(task(store)) == (1, 0, NOW, None, DUE)


def test_what_is_no_longer_queued_does_not_start(store: Store) -> None:
    found = insert_task(store)
    stopped, running, good = (queue(store, found) for _ in range(3))
    with store.writing():
        TaskLog.update(result="cancelled").where(TaskLog.id == stopped).execute()
        start_runs(store, [(running, 1)], DUE, "another")
    with store.writing():
        assert start_runs(store, [(stopped, 1), (running, 1), (good, 1), (4711, 1)], NOW, OWNER) == {good}
        assert start_runs(store, [], NOW, OWNER) == set()
    assert [row.result for row in logs(store)] == ["cancelled", "running", "running"]
    assert [row.owner for row in logs(store)] == [None, "another", OWNER]
    assert task(store).run_count == 2


def test_several_starts_of_one_task_are_all_counted(store: Store) -> None:
    found = insert_task(store)
    other = insert_task(store, 2)
    runs = [(queue(store, found), 1) for _ in range(3)] + [(queue(store, other), 2)]
    with store.writing():
        assert len(start_runs(store, runs, NOW, OWNER)) == 4
    assert (task(store, 1).run_count, task(store, 2).run_count) == (3, 1)


# --- ends -------------------------------------------------------------------------------------------------------


def test_an_end_closes_the_row_and_tells_the_task(store: Store) -> None:
    (log_id,) = insert(store, claim(insert_task(store)))
    with store.writing():
        end_runs(store, [ended(log_id, "failure", output="输出\n", error="错", reason={"code": "cmd_exit", "exit": 3},
                               carried={"seen": [1]})])
    (row,) = logs(store)
    assert (row.result, row.finished_at, row.duration_ms) == ("failure", NOW + timedelta(seconds=2), 2000)
    assert (row.output, row.error, row.reason, row.carried) == (
        "输出\n", "错", {"code": "cmd_exit", "exit": 3}, {"seen": [1]})
    assert counters(task(store)) == (1, 1, NOW, "failure", LATER)


def test_a_task_last_ran_when_its_handler_was_called_and_an_older_run_that_ends_later_changes_that_not(
        store: Store) -> None:
    found = insert_task(store)
    slow, quick = insert(store, claim(found), claim(found, scheduled_at=LATER, at=LATER, next_run_at=None))
    assert task(store).last_run_at == LATER
    called = LATER + timedelta(milliseconds=3)
    for run in (ended(quick, started_at=called), ended(slow), ended(slow, started_at=None)):
        with store.writing():
            end_runs(store, [run])
        assert task(store).last_run_at == called


def test_several_ends_of_one_task_are_told_in_their_order(store: Store) -> None:
    found = insert_task(store)
    ids = insert(store, *(claim(found, scheduled_at=DUE + timedelta(seconds=n)) for n in range(4)))
    with store.writing():
        end_runs(store, [ended(log_id, result)
                         for log_id, result in zip(ids, ["failure", "success", "failure", "timeout"], strict=True)])
        end_runs(store, [])
    assert (task(store).failure_count, task(store).last_result) == (2, "timeout")


def test_the_start_that_the_handler_saw_is_the_one_kept(store: Store) -> None:
    (log_id,) = insert(store, claim(insert_task(store)))
    began = NOW + timedelta(milliseconds=5)
    with store.writing():
        end_runs(store, [ended(log_id, started_at=began)])
    (row,) = logs(store)
    assert (row.started_at, row.at) == (began, began)
    with store.writing():
        end_runs(store, [ended(log_id, "interrupted", started_at=None, duration_ms=None)])
    (row,) = logs(store)
    assert (row.started_at, row.at, row.duration_ms) == (began, began, None)


def test_the_end_of_a_deleted_tasks_run_is_kept(store: Store) -> None:
    (log_id,) = insert(store, claim(insert_task(store)))
    with store.writing():
        Task.delete().execute()
        end_runs(store, [ended(log_id)])
    assert [row.result for row in logs(store)] == ["success"]


# --- retries ----------------------------------------------------------------------------------------------------


def test_a_retry_is_a_new_run_with_the_definition_of_its_first_attempt(store: Store) -> None:
    (log_id,) = insert(store, claim(insert_task(store)))
    retry_at = NOW + timedelta(seconds=60)
    with store.writing():
        Task.update(params={"command": ["changed"]}).execute()
        end_runs(store, [ended(log_id, "failure", carried={"a": 1})])
        (retry,) = insert_retries(store, [(log_id, retry_at)])
    first, second = logs(store)
    assert second.id == retry
    assert (second.result, second.cause, second.attempt) == ("queued", "retry", 2)
    assert (second.params, second.options, second.carried) == (first.params, first.options, {"a": 1})
    assert (second.scheduled_at, second.at, second.occurrence_at) == (retry_at, retry_at, first.occurrence_at)
    assert (second.started_at, second.finished_at, second.owner, second.output) == (None, None, None, None)


def test_a_deleted_task_gets_no_retry(store: Store) -> None:
    (log_id,) = insert(store, claim(insert_task(store)))
    with store.writing():
        Task.delete().execute()
        assert insert_retries(store, [(log_id, NOW)]) == []
        assert insert_retries(store, []) == []
    assert len(logs(store)) == 1


def test_texts_come_through_the_array_as_they_are(store: Store) -> None:
    (log_id,) = insert(store, claim(insert_task(store), reason={"text": "\"'\\\n\t{}[]\u2028𝄞"}))
    text = "\x01\x1b[0m\"quoted\" \\u0041 \u2028 𝄞 定时 " + "x" * 300_000
    with store.writing():
        end_runs(store, [ended(log_id, output=text, error="\\n", reason={"code": "x", "text": "\"'\\\n"})])
    (row,) = logs(store)
    assert row.output == text
    assert row.error == "\\n"
    assert row.reason == {"code": "x", "text": "\"'\\\n"}
    assert row.at == from_ms((NOW - from_ms(0)) // timedelta(milliseconds=1))
