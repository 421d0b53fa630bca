"""Tasks: created, changed, deleted, run, paused and resumed, and nothing of it by halves."""

import logging
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboard.clock import iso
from dashboard.errors import Conflict, Invalid, NotFound, StoreBusy, StoreReadOnly
from dashboard.i18n import speaking
from dashboard.models import Revision, Task, TaskLog
from dashboard.models.store import Store
from dashboard.schemas.task import TaskSchema
from dashboard.services.task_service import TaskService
from tests.factories import SCHEDULED_AT, HandClock, a_task, make_settings, make_store

IDLE = {"type": "idle", "idle_duration": 60}
EVERY_5 = {"type": "interval", "minutes": 5}


def at(**later: float) -> datetime:
    return SCHEDULED_AT + timedelta(**later)


def once(**later: float) -> dict[str, Any]:
    return {"type": "date", "run_date": iso(at(**later))}


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = make_store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def told() -> list[int]:
    return []


@pytest.fixture
def service(store: Store, tmp_path: Path, clock: HandClock, told: list[int]) -> TaskService:
    return TaskService(store, make_settings(tmp_path), clock, changed=lambda: told.append(1))


def row(store: Store, task_id: str = "tidy") -> Task:
    with store.reading():
        return Task.get(Task.id == task_id)


def change_row(store: Store, task_id: str = "tidy", **values: Any) -> None:
    """What the engine would write."""
    with store.writing():
        Task.update(values).where(Task.id == task_id).execute()


def logs(store: Store) -> list[TaskLog]:
    with store.reading():
        return list(TaskLog.select().order_by(TaskLog.id))


def add_log(store: Store, result: str, cause: str = "schedule", key: int = 1) -> int:
    with store.writing():
        return int(TaskLog.create(
            task_key=key, task_id="tidy", task_type="send_cmd", trigger={}, params={}, options={}, result=result,
            cause=cause, scheduled_at=SCHEDULED_AT, occurrence_at=SCHEDULED_AT, at=SCHEDULED_AT).id)


def everything(store: Store) -> list[Any]:
    """All that the store holds."""
    with store.reading():
        return [store.database.execute_sql(f"SELECT * FROM {table}").fetchall()
                for table in ("task", "task_log", "revision")]


def refused(store: Store, kind: type[Exception], act: Callable[[], object]) -> Any:
    before = everything(store)
    with pytest.raises(kind) as error:
        act()
    assert everything(store) == before
    return error.value


# --- create -----------------------------------------------------------------------------------------------------


def test_a_created_task_is_what_the_doors_show(store: Store, service: TaskService, told: list[int]) -> None:
    view = service.create(a_task(id="备份-nightly", options={"retries": 2}))
    document = TaskSchema().dump(view)
    assert {name: document[name] for name in ("id", "type", "trigger", "params", "paused", "state", "executed",
                                              "running", "run_count", "failure_count")} == {
        "id": "备份-nightly", "type": "send_cmd", "trigger": {"type": "interval", "minutes": 15},
        "params": {"command": ["true"]}, "paused": False, "state": "scheduled", "executed": False, "running": False,
        "run_count": 0, "failure_count": 0}
    assert document["options"] == {"retries": 2, "retry_delay_seconds": 60, "timeout_seconds": 3600,
                                   "overlap": "skip", "missed": "run_once"}
    assert (document["last_run_at"], document["last_result"]) == (None, None)
    assert document["next_run_at"] == "2026-11-23T10:15:00.000Z"
    assert document["created_at"] == document["updated_at"] == "2026-11-23T10:00:00.000Z"
    assert document["trigger_text"]
    assert service.get("备份-nightly") == view
    assert row(store, "备份-nightly").options == {"retries": 2}
    assert told == [1]


def test_a_view_speaks_the_language_in_force(service: TaskService) -> None:
    english = service.create(a_task()).trigger_text
    with speaking("zh"):
        assert service.get("tidy").trigger_text != english


@pytest.mark.parametrize("document", [
    None, [], "x", {}, a_task(id=".."), a_task(id="a\0"), a_task(id="\ud800"), a_task(type="nothing"),
    a_task(type=[]), a_task(trigger=[]), a_task(trigger={"type": []}), a_task(trigger="08:00"),
    a_task(trigger={"type": "cron", "expression": "25:60"}), a_task(trigger=once(minutes=-1)), a_task(trigger=once()),
    a_task(params=[]), a_task(params="{}"), a_task(params={}), a_task(params={"command": "a\0"}),
    a_task(params={"command": "x" * 70_000}), a_task(options={"retries": -1}), a_task(paused="no"), a_task(note="x"),
    a_task(updated_at="2026-01-01"),
])
def test_bad_input_reaches_nothing(store: Store, service: TaskService, told: list[int], document: object) -> None:
    error = refused(store, Invalid, lambda: service.create(document))
    assert error.errors
    assert all(texts and all(texts) for texts in error.errors.values())
    assert told == []


def test_a_taken_id_is_a_conflict(store: Store, service: TaskService, told: list[int]) -> None:
    service.create(a_task(id="e\u0301cole"))
    error = refused(store, Conflict, lambda: service.create(a_task(id="\u00e9cole", params={"command": "x"})))
    assert "\u00e9cole" in str(error)
    assert told == [1]


def test_ids_differ_by_case(service: TaskService) -> None:
    service.create(a_task(id="Backup"))
    service.create(a_task(id="backup"))
    assert service.get("Backup").key != service.get("backup").key
    with pytest.raises(NotFound):
        service.get("BACKUP")


def test_keys_are_never_given_twice(service: TaskService) -> None:
    first = service.create(a_task()).key
    service.delete("tidy")
    assert service.create(a_task()).key > first


def test_all_or_none(store: Store, service: TaskService, told: list[int]) -> None:
    wrong = {"type": "cron", "expression": "25:60"}
    error = refused(store, Invalid, lambda: service.create_all([
        a_task(id="a"), a_task(id="b", trigger=wrong), a_task(id="c", type="x"), []]))
    assert {field.split(".")[1] for field in error.errors} == {"1", "2", "3"}
    assert any(field.startswith("tasks.1.trigger") for field in error.errors)
    assert {"tasks.2.type", "tasks.3"} <= set(error.errors)
    service.create(a_task(id="b"))
    refused(store, Conflict, lambda: service.create_all([a_task(id="a"), a_task(id="b")]))
    assert told == [1]


def test_an_id_that_occurs_twice_is_named_where_it_does(store: Store, service: TaskService) -> None:
    error = refused(store, Invalid, lambda: service.create_all([
        a_task(id="bad id"), a_task(id="a"), a_task(id="b"), a_task(id="e\u0301"), a_task(id="\u00e9"),
        a_task(id="a")]))
    assert set(error.errors) == {"tasks.0.id", "tasks.4.id", "tasks.5.id"}


def test_many_tasks_in_one_go(store: Store, service: TaskService, told: list[int]) -> None:
    views = service.create_all([a_task(id=f"task-{n}") for n in range(450)])
    assert [view.id for view in views] == [f"task-{n}" for n in range(450)]
    assert sorted(view.key for view in views) == list(range(1, 451))
    with store.reading():
        assert {task.id: task.key for task in Task.select()} == {view.id: view.key for view in views}
        assert Task.select().where(Task.revision > 0).count() == 450
    assert told == [1]
    assert service.create(a_task()).key == 451


def test_nothing_to_create_is_no_error(service: TaskService) -> None:
    assert list(service.create_all([])) == []


def test_an_import_takes_due_times_gone_by(store: Store, service: TaskService) -> None:
    refused(store, Invalid, lambda: service.create(a_task(trigger=once(days=-1))))
    (view,) = service.create_all([a_task(trigger=once(days=-1))], past=True)
    assert (view.state, view.next_run_at) == ("finished", None)


def test_created_paused(store: Store, service: TaskService) -> None:
    view = service.create(a_task(paused=True))
    assert (view.state, view.paused, view.next_run_at) == ("paused", True, None)
    assert row(store).next_run_at is None


@pytest.mark.parametrize(("trigger", "state"), [(IDLE, "idle"), (once(hours=1), "scheduled"), (EVERY_5, "scheduled")])
def test_states_of_new_tasks(service: TaskService, trigger: dict[str, Any], state: str) -> None:
    view = service.create(a_task(trigger=trigger))
    assert view.state == state
    assert (view.next_run_at is None) == (state == "idle")


# --- get --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task_id", ["", "nothing", "\0", "\ud800", "x" * 10_000, "%", "..", "a\nb"])
def test_a_task_that_is_not_there(store: Store, service: TaskService, task_id: str) -> None:
    service.create(a_task())
    for act in (service.get, service.delete, service.run, service.pause, service.resume,
                lambda name: service.update(name, {"params": {"command": "x"}})):
        refused(store, NotFound, lambda act=act: act(task_id))  # type: ignore[misc]


def test_a_task_is_found_in_either_spelling(service: TaskService) -> None:
    service.create(a_task(id="\u00e9"))
    assert service.get("e\u0301").id == "\u00e9"


# --- update -----------------------------------------------------------------------------------------------------


def test_changed_params_leave_the_grid_where_it_is(store: Store, service: TaskService, clock: HandClock,
                                                   told: list[int]) -> None:
    service.create(a_task(trigger=EVERY_5))
    before = row(store)
    clock.advance(123)
    view = service.update("tidy", {"params": {"command": ["备份"]}})
    after = row(store)
    assert (view.params, after.params) == ({"command": ["备份"]}, {"command": ["备份"]})
    assert (after.anchor_at, after.next_run_at) == (before.anchor_at, before.next_run_at)
    assert after.revision > before.revision
    assert (after.created_at, after.updated_at) == (before.created_at, at(seconds=123))
    assert told == [1, 1]


@pytest.mark.parametrize("trigger", [EVERY_5, {"minutes": 5, "type": "interval"}])
def test_an_unchanged_trigger_keeps_anchor_and_next_run(store: Store, service: TaskService, clock: HandClock,
                                                        trigger: dict[str, Any]) -> None:
    service.create(a_task(trigger=EVERY_5))
    before = row(store)
    clock.advance(123)
    service.update("tidy", {"trigger": trigger, "params": {"command": "x"}})
    after = row(store)
    assert (after.anchor_at, after.next_run_at) == (before.anchor_at, before.next_run_at)
    assert logs(store) == []


def test_a_trigger_in_another_spelling_is_the_same(store: Store, service: TaskService, clock: HandClock) -> None:
    service.create(a_task(trigger={"type": "cron", "expression": "8:05"}))
    before = everything(store)
    clock.advance(123)
    service.update("tidy", {"trigger": {"type": "cron", "expression": "08:05"}})
    assert everything(store) == before
    service.update("tidy", {"trigger": {"type": "cron", "expression": "08:06"}})
    assert row(store).anchor_at == at(seconds=123)


def test_a_changed_trigger_begins_anew(store: Store, service: TaskService, clock: HandClock) -> None:
    service.create(a_task(trigger=EVERY_5))
    clock.advance(60)
    view = service.update("tidy", {"trigger": {"type": "interval", "minutes": 7}})
    assert view.next_run_at == at(minutes=8)
    assert row(store).anchor_at == at(minutes=1)
    assert service.update("tidy", {"trigger": IDLE}).next_run_at is None
    assert service.get("tidy").state == "idle"


def test_a_past_date_may_stay_but_not_come(store: Store, service: TaskService, clock: HandClock) -> None:
    service.create(a_task(trigger=once(minutes=1)))
    clock.advance(3600)
    change_row(store, next_run_at=None)
    view = service.update("tidy", {"trigger": once(minutes=1), "params": {"command": "x"}})
    assert (view.state, view.params) == ("finished", {"command": "x"})
    refused(store, Invalid, lambda: service.update("tidy", {"trigger": once(minutes=2)}))
    assert service.update("tidy", {"trigger": once(minutes=61)}).state == "scheduled"


@pytest.mark.parametrize(("changes", "field"), [
    ({"id": "other"}, "id"), ({"id": "Tidy"}, "id"), ({"id": None}, "id"), ({"id": []}, "id"),
    ({"id": "\ud800"}, "id"), ({"type": "http_request"}, "type"), ({"type": "nothing"}, "type"),
    ({"type": []}, "type"), ({"type": None}, "type"),
    ({"id": "other", "params": {"command": "x"}}, "id"), ({"type": "x", "trigger": IDLE}, "type"),
])
def test_id_and_type_cannot_change(store: Store, service: TaskService, told: list[int], changes: dict[str, Any],
                                   field: str) -> None:
    service.create(a_task())
    error = refused(store, Invalid, lambda: service.update("tidy", changes))
    assert list(error.errors) == [field]
    assert "cannot be changed" in error.errors[field][0]
    assert told == [1]


def test_the_same_id_and_type_are_welcome(store: Store, service: TaskService) -> None:
    service.create(a_task(id="\u00e9"))
    service.update("\u00e9", {"id": "e\u0301", "type": "send_cmd", "params": {"command": "x"}})
    assert row(store, "\u00e9").params == {"command": "x"}


@pytest.mark.parametrize(("changes", "field"), [
    ({"params": []}, "params"), ({"params": {}}, "params"), ({"params": None}, "params"),
    ({"params": {"command": "a\0"}}, "params"), ({"params": {"command": "x" * 70_000}}, "params"),
    ({"trigger": {"type": "cron", "expression": "25:60"}}, "trigger"), ({"trigger": []}, "trigger"),
    ({"trigger": once(minutes=-1)}, "trigger"), ({"trigger": None}, "trigger"),
    ({"options": []}, "options"), ({"options": None}, "options"), ({"options": {"retries": -1}}, "options"),
    ({"options": {"nothing": None}}, "options"), ({"paused": 1}, "paused"), ({"state": "running"}, "state"),
    ({"updated_at": "x"}, "updated_at"), ({1: 2}, "1"), ([], "task"), (None, "task"), ("x", "task"),
])
def test_bad_changes_reach_nothing(store: Store, service: TaskService, changes: object, field: str) -> None:
    service.create(a_task())
    error = refused(store, Invalid, lambda: service.update("tidy", changes))
    assert {name.split(".")[0] for name in error.errors} == {field}


def test_all_errors_of_a_change_are_told_at_once(store: Store, service: TaskService) -> None:
    service.create(a_task())
    error = refused(store, Invalid, lambda: service.update("tidy", {
        "id": "x", "params": {"command": 5}, "options": {"retries": -1}, "trigger": once(minutes=-1)}))
    assert {name.split(".")[0] for name in error.errors} == {"id", "params", "options", "trigger"}


def test_options_are_merged_and_null_takes_one_back(store: Store, service: TaskService) -> None:
    service.create(a_task(options={"retries": 2, "overlap": "queue"}))
    view = service.update("tidy", {"options": {"missed": "skip", "retries": 5}})
    assert row(store).options == {"retries": 5, "overlap": "queue", "missed": "skip"}
    assert (view.options["retries"], view.options["timeout_seconds"]) == (5, 3600)
    service.update("tidy", {"options": {"retries": None}})
    assert row(store).options == {"overlap": "queue", "missed": "skip"}


def test_params_are_replaced(store: Store, service: TaskService) -> None:
    service.create(a_task(params={"command": "x", "timeout": 5}))
    service.update("tidy", {"params": {"command": "y"}})
    assert row(store).params == {"command": "y"}


def test_no_change_moves_nothing(store: Store, service: TaskService, clock: HandClock, told: list[int]) -> None:
    service.create(a_task())
    before = everything(store)
    clock.advance(10)
    unchanged: list[dict[str, Any]] = [{}, {"params": {"command": ["true"]}}, {"paused": False}, {"options": {}}]
    for changes in unchanged:
        service.update("tidy", changes)
    assert everything(store) == before
    assert told == [1]


def test_saving_over_anothers_change_is_a_conflict(store: Store, service: TaskService) -> None:
    read = service.create(a_task()).updated_at
    service.update("tidy", {"params": {"command": "theirs"}})  # in the same millisecond
    error = refused(store, Conflict, lambda: service.update("tidy", {"params": {"command": "mine"}}, updated_at=read))
    assert "changed by somebody else" in str(error)
    read = service.get("tidy").updated_at
    assert service.update("tidy", {"params": {"command": "mine"}}, updated_at=read).params == {"command": "mine"}


def test_runs_and_pauses_do_not_move_updated_at(store: Store, service: TaskService, clock: HandClock) -> None:
    read = service.create(a_task()).updated_at
    clock.advance(10)
    service.run("tidy")
    change_row(store, run_count=1, last_run_at=at(), next_run_at=at(minutes=30), last_result="failure")
    service.pause("tidy")
    assert service.get("tidy").updated_at == read
    service.update("tidy", {"params": {"command": "x"}}, updated_at=read)


def test_a_change_in_between_is_merged_not_lost(store: Store, service: TaskService,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    service.create(a_task())
    merged = service._merged
    calls: list[int] = []

    def slow(task: Task, changes: dict[str, Any], now: datetime) -> dict[str, Any]:
        data = merged(task, changes, now)
        calls.append(1)
        if len(calls) == 1:
            change_row(store, options={"retries": 7})
        return data

    monkeypatch.setattr(service, "_merged", slow)
    service.update("tidy", {"params": {"command": "x"}})
    assert (row(store).params, row(store).options) == ({"command": "x"}, {"retries": 7})
    assert len(calls) == 2


def test_a_task_deleted_and_made_anew_in_between_is_not_taken_for_the_old_one(
        store: Store, service: TaskService, monkeypatch: pytest.MonkeyPatch) -> None:
    service.create(a_task())
    merged = service._merged

    def slow(task: Task, changes: dict[str, Any], now: datetime) -> dict[str, Any]:
        data = merged(task, changes, now)
        with store.writing():
            Task.delete().execute()
        return data

    monkeypatch.setattr(service, "_merged", slow)
    with pytest.raises(NotFound):
        service.update("tidy", {"params": {"command": "x"}})


# --- delete -----------------------------------------------------------------------------------------------------


def test_delete_cancels_what_is_queued_and_keeps_the_rest(store: Store, service: TaskService,
                                                          told: list[int]) -> None:
    service.create(a_task())
    service.create(a_task(id="other"))
    running, retry = add_log(store, "running"), add_log(store, "queued", "retry")
    done = add_log(store, "success", "idle")
    others = add_log(store, "queued", "manual", key=2)
    service.delete("tidy")
    with pytest.raises(NotFound):
        service.get("tidy")
    found = {found.id: found for found in logs(store)}
    assert {log_id: row.result for log_id, row in found.items()} == {
        running: "running", retry: "cancelled", done: "success", others: "queued"}
    assert (found[retry].reason, found[retry].finished_at) == ({"code": "deleted"}, at())
    with store.reading():
        assert Revision.get_by_id(1).deletions == 1
    assert told == [1, 1, 1]


# --- run now ----------------------------------------------------------------------------------------------------


def test_run_now_queues_a_copy_beside_the_schedule(store: Store, service: TaskService, told: list[int]) -> None:
    service.create(a_task(options={"retries": 1}))
    before = row(store)
    log_id = service.run("tidy")
    (found,) = logs(store)
    assert found.id == log_id
    assert (found.result, found.cause, found.attempt) == ("queued", "manual", 1)
    assert (found.task_key, found.task_id, found.task_type) == (before.key, "tidy", "send_cmd")
    assert (found.trigger, found.params, found.options) == (before.trigger, before.params, {"retries": 1})
    assert (found.scheduled_at, found.at, found.started_at) == (at(), at(), None)
    after = row(store)
    assert (after.next_run_at, after.anchor_at, after.run_count, after.revision) == (
        before.next_run_at, before.anchor_at, 0, before.revision)
    assert service.get("tidy").state == "queued"
    assert told == [1, 1]


@pytest.mark.parametrize("result", ["running", "queued"])
def test_run_now_while_it_runs_is_a_conflict_and_leaves_no_row(store: Store, service: TaskService,
                                                               result: str) -> None:
    service.create(a_task())
    add_log(store, result)
    error = refused(store, Conflict, lambda: service.run("tidy"))
    assert "running or queued" in str(error)


def test_the_second_press_is_a_conflict_even_before_the_start(store: Store, service: TaskService) -> None:
    service.create(a_task())
    service.run("tidy")
    refused(store, Conflict, lambda: service.run("tidy"))


@pytest.mark.parametrize("overlap", ["queue", "allow"])
def test_with_another_overlap_run_now_adds_a_run(store: Store, service: TaskService, overlap: str) -> None:
    service.create(a_task(options={"overlap": overlap}))
    add_log(store, "running")
    service.run("tidy")
    service.run("tidy")
    assert [found.result for found in logs(store)] == ["running", "queued", "queued"]


def test_neither_a_waiting_retry_nor_another_tasks_run_hinders(store: Store, service: TaskService) -> None:
    service.create(a_task())
    add_log(store, "queued", "retry")
    add_log(store, "running", key=2)
    assert service.run("tidy")


def test_a_paused_or_finished_task_can_be_run(service: TaskService) -> None:
    service.create(a_task(paused=True))
    service.create_all([a_task(id="old", trigger=once(days=-1))], past=True)
    assert service.run("tidy")
    assert service.run("old")


# --- pause and resume -------------------------------------------------------------------------------------------


def test_pause_and_resume_of_an_interval_keep_the_grid(store: Store, service: TaskService, clock: HandClock) -> None:
    service.create(a_task(trigger=EVERY_5))
    clock.advance(60)
    view = service.pause("tidy")
    assert (view.paused, view.state, view.next_run_at) == (True, "paused", None)
    assert row(store).next_run_at is None
    clock.advance(16 * 60)
    view = service.resume("tidy")
    assert (view.paused, view.state, view.next_run_at) == (False, "scheduled", at(minutes=20))
    (skipped,) = logs(store)
    assert (skipped.result, skipped.reason, skipped.cause) == ("skipped", {"code": "paused"}, "schedule")
    assert skipped.covers == {"count": 3, "first": iso(at(minutes=5)), "last": iso(at(minutes=15))}
    assert (skipped.scheduled_at, skipped.at, skipped.started_at) == (at(minutes=15), at(minutes=15), None)
    assert skipped.finished_at == at(minutes=17)
    assert row(store).paused_at is None


def test_a_short_pause_leaves_no_row(store: Store, service: TaskService, clock: HandClock) -> None:
    service.create(a_task(trigger=EVERY_5))
    service.pause("tidy")
    clock.advance(299)
    assert service.resume("tidy").next_run_at == at(minutes=5)
    assert logs(store) == []


def test_due_times_at_the_very_edges_are_counted_once(store: Store, service: TaskService, clock: HandClock) -> None:
    service.create(a_task(trigger=EVERY_5))
    clock.advance(300)
    change_row(store, next_run_at=at(minutes=10))  # the engine has claimed the one of this instant
    service.pause("tidy")
    clock.advance(300)
    view = service.resume("tidy")
    assert [found.covers["count"] for found in logs(store)] == [1]
    assert logs(store)[0].scheduled_at == at(minutes=10)
    assert view.next_run_at == at(minutes=15)


def test_a_due_time_that_nobody_claimed_before_the_pause_is_told_too(store: Store, service: TaskService,
                                                                    clock: HandClock) -> None:
    service.create(a_task(trigger=EVERY_5))
    clock.advance(301)
    service.pause("tidy")
    clock.advance(60)
    service.resume("tidy")
    assert [found.covers for found in logs(store)] == [
        {"count": 1, "first": iso(at(minutes=5)), "last": iso(at(minutes=5))}]


def test_a_date_that_passed_in_a_pause_is_told_and_finished(store: Store, service: TaskService,
                                                           clock: HandClock) -> None:
    service.create(a_task(trigger=once(minutes=1)))
    service.pause("tidy")
    clock.advance(3600)
    assert service.resume("tidy").state == "finished"
    assert [found.covers["count"] for found in logs(store)] == [1]


def test_an_idle_task_has_no_due_times_to_tell(store: Store, service: TaskService, clock: HandClock) -> None:
    service.create(a_task(trigger=IDLE))
    service.pause("tidy")
    clock.advance(3600)
    assert service.resume("tidy").state == "idle"
    assert logs(store) == []


def test_a_queued_retry_waits_through_a_pause(store: Store, service: TaskService) -> None:
    service.create(a_task())
    add_log(store, "queued", "retry")
    service.pause("tidy")
    assert [found.result for found in logs(store)] == ["queued"]


def test_pausing_twice_and_resuming_twice_change_nothing_more(store: Store, service: TaskService, clock: HandClock,
                                                             told: list[int]) -> None:
    service.create(a_task(trigger=EVERY_5))
    service.pause("tidy")
    before = everything(store)
    clock.advance(600)
    assert service.pause("tidy").paused
    assert everything(store) == before
    service.resume("tidy")
    assert not service.resume("tidy").paused
    assert [found.covers["count"] for found in logs(store)] == [2]
    assert told == [1, 1, 1]


def test_paused_by_a_change_is_paused(store: Store, service: TaskService, clock: HandClock) -> None:
    service.create(a_task(trigger=EVERY_5))
    assert service.update("tidy", {"paused": True}).state == "paused"
    clock.advance(600)
    assert service.update("tidy", {"paused": "off"}).next_run_at == at(minutes=15)
    assert [found.covers["count"] for found in logs(store)] == [2]


def test_a_paused_task_can_be_edited_and_stays_paused(store: Store, service: TaskService, clock: HandClock) -> None:
    service.create(a_task(trigger=EVERY_5))
    service.pause("tidy")
    clock.advance(600)
    view = service.update("tidy", {"params": {"command": "x"}})
    assert (view.paused, view.next_run_at, view.params) == (True, None, {"command": "x"})
    assert logs(store) == []
    service.resume("tidy")
    assert [found.covers["count"] for found in logs(store)] == [2]


def test_each_trigger_tells_its_own_due_times_of_a_pause(store: Store, service: TaskService,
                                                         clock: HandClock) -> None:
    service.create(a_task(trigger=EVERY_5))
    service.pause("tidy")
    clock.advance(12 * 60)
    view = service.update("tidy", {"trigger": {"type": "interval", "minutes": 1}})
    assert (view.paused, view.next_run_at) == (True, None)
    clock.advance(3 * 60)
    assert service.resume("tidy").next_run_at == at(minutes=16)
    first, second = logs(store)
    assert (first.trigger, first.covers["count"], first.reason) == (EVERY_5, 2, {"code": "paused"})
    assert (second.trigger["minutes"], second.covers["count"]) == (1, 3)


def test_a_new_trigger_owes_nothing_for_the_instant_it_was_set(store: Store, service: TaskService,
                                                              clock: HandClock) -> None:
    service.create(a_task(trigger=EVERY_5))
    service.pause("tidy")
    service.update("tidy", {"trigger": {**EVERY_5, "start_date": iso(at())}})
    clock.advance(60)
    assert service.resume("tidy").next_run_at == at(minutes=5)
    assert logs(store) == []


def test_resumed_with_a_new_trigger_it_tells_what_the_old_one_missed(store: Store, service: TaskService,
                                                                    clock: HandClock) -> None:
    service.create(a_task(trigger=EVERY_5))
    service.pause("tidy")
    clock.advance(12 * 60)
    view = service.update("tidy", {"trigger": {"type": "interval", "minutes": 1}, "paused": False})
    assert view.next_run_at == at(minutes=13)
    (skipped,) = logs(store)
    assert (skipped.trigger, skipped.covers["count"]) == (EVERY_5, 2)


def test_a_due_time_that_a_change_overtook_is_told(store: Store, service: TaskService, clock: HandClock) -> None:
    service.create(a_task(trigger=EVERY_5))
    clock.advance(300)
    service.update("tidy", {"trigger": {"type": "interval", "minutes": 7}})
    (skipped,) = logs(store)
    assert (skipped.result, skipped.reason, skipped.trigger) == ("skipped", {"code": "changed"}, EVERY_5)
    assert skipped.covers == {"count": 1, "first": iso(at(minutes=5)), "last": iso(at(minutes=5))}


# --- preview ----------------------------------------------------------------------------------------------------


def test_a_preview_is_computed_and_nothing_is_stored(store: Store, service: TaskService) -> None:
    before = everything(store)
    shown = service.preview({"type": "interval", "minutes": 15}, 3)
    assert shown.times == [at(minutes=15), at(minutes=30), at(minutes=45)]
    assert {str(time.tzinfo) for time in shown.times} == {"Asia/Shanghai"}
    assert service.preview(EVERY_5, 1, anchor=at(minutes=-2)).times == [at(minutes=3)]
    assert everything(store) == before


def test_a_preview_takes_a_date_gone_by(service: TaskService) -> None:
    assert service.preview(once(days=-1)).times == []


@pytest.mark.parametrize("trigger", [{"type": "cron", "expression": "25:60"}, [], None, {"type": []}, {}])
def test_a_preview_of_what_is_no_trigger(service: TaskService, trigger: object) -> None:
    with pytest.raises(Invalid) as error:
        service.preview(trigger)
    assert all(field.split(".")[0] == "trigger" for field in error.value.errors)


@pytest.mark.parametrize("count", [0, -1, 101, 10**9])
def test_a_preview_has_bounds(service: TaskService, count: int) -> None:
    with pytest.raises(Invalid) as error:
        service.preview(EVERY_5, count)
    assert list(error.value.errors) == ["count"]


# --- several at once --------------------------------------------------------------------------------------------


def together(*acts: Callable[[], object]) -> list[BaseException]:
    """Runs all in threads that begin at one moment; what they raised."""
    raised: list[BaseException] = []
    gate = threading.Barrier(len(acts))

    def go(act: Callable[[], object]) -> None:
        gate.wait(10)
        try:
            act()
        except Exception as error:  # noqa: BLE001 (handed to the test)
            raised.append(error)

    threads = [threading.Thread(target=go, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return raised


def test_eight_threads_creating_and_changing_lose_nothing(store: Store, service: TaskService) -> None:
    service.create(a_task(id="shared"))
    names = ("retries", "retry_delay_seconds", "timeout_seconds")

    def work(n: int) -> None:
        for step in range(1, 9):
            service.create(a_task(id=f"{n}-{step}"))
            service.update(f"{n}-{step}", {"params": {"command": [str(step)]}})
            service.update("shared", {"options": {names[n % 3]: step}})

    assert together(*(lambda n=n: work(n) for n in range(8))) == []
    with store.reading():
        tasks = list(Task.select().where(Task.id != "shared"))
    assert len(tasks) == 64
    assert all(task.params == {"command": [task.id.split("-")[1]]} for task in tasks)
    assert len({task.key for task in tasks}) == 64
    assert set(row(store, "shared").options) == set(names)


def test_of_threads_that_create_one_id_one_succeeds(store: Store, service: TaskService) -> None:
    raised = together(*(lambda n=n: service.create(a_task(params={"command": [str(n)]}))
                        for n in range(6)))
    assert [type(error) for error in raised] == [Conflict] * 5
    with store.reading():
        assert Task.select().count() == 1


def test_of_threads_that_press_run_one_succeeds(store: Store, service: TaskService) -> None:
    service.create(a_task())
    raised = together(*(lambda: service.run("tidy") for _ in range(6)))
    assert [type(error) for error in raised] == [Conflict] * 5
    assert len(logs(store)) == 1


def test_a_foreign_lock_stops_every_change_and_changes_nothing(store: Store, service: TaskService, tmp_path: Path,
                                                               told: list[int]) -> None:
    service.create(a_task())
    quick = Store(store.path, busy_seconds=0.02)
    quick.open()
    held = TaskService(quick, make_settings(tmp_path), HandClock(), changed=lambda: told.append(1))
    foreign = sqlite3.connect(store.path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    for act in (lambda: held.create(a_task(id="x")), lambda: held.update("tidy", {"params": {"command": "x"}}),
                lambda: held.delete("tidy"), lambda: held.run("tidy"), lambda: held.pause("tidy")):
        refused(quick, StoreBusy, act)
    assert held.get("tidy").id == "tidy"
    foreign.execute("ROLLBACK")
    foreign.close()
    held.pause("tidy")
    quick.close()
    assert told == [1, 1]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only: a mode that not even root may write past")
def test_a_read_only_store_can_be_read_and_says_why_not_written(store: Store, service: TaskService, tmp_path: Path,
                                                                told: list[int]) -> None:
    service.create(a_task())
    frozen = Store(store.path)
    frozen.database.init(f"{store.path.as_uri()}?mode=ro", uri=True)
    frozen.open()
    held = TaskService(frozen, make_settings(tmp_path), HandClock(), changed=lambda: told.append(1))
    for act in (lambda: held.create(a_task(id="x")), lambda: held.update("tidy", {"params": {"command": "x"}}),
                lambda: held.delete("tidy"), lambda: held.run("tidy"), lambda: held.pause("tidy")):
        error = refused(frozen, StoreReadOnly, act)
        assert error.path == str(store.path)
    assert held.get("tidy").params == {"command": ["true"]}
    frozen.close()
    assert told == [1]


# --- scheduler.log ----------------------------------------------------------------------------------------------


def test_every_change_is_told_in_the_log(service: TaskService, clock: HandClock,
                                         caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "dingshi.tasks"):
        service.create(a_task())
        service.update("tidy", {"params": {"command": "x"}, "options": {"retries": 1}})
        service.pause("tidy")
        service.resume("tidy")
        service.run("tidy")
        service.delete("tidy")
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(" id=")[0] for line in lines] == [
        "task created", "task changed", "task paused", "task resumed", "run requested", "task deleted"]
    assert all("id=tidy" in line for line in lines)
    assert "params,options" in lines[1]
