"""The whole engine, in this process and in real time: it fires, tells, restarts, and takes what others change."""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboard.clock import iso
from dashboard.engine import snapshot
from dashboard.engine.engine import Engine
from dashboard.engine.lock import holder
from dashboard.errors import DingshiError, SchedulerRunning, StoreDamaged
from dashboard.handlers.contract import Context, Failed, Outcome
from dashboard.models import Task, TaskLog
from dashboard.models.store import Store
from tests.engine_house import EngineHouse, Gate, eventually, once, second_console, soon

MS = timedelta(milliseconds=1)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[EngineHouse]:
    made = EngineHouse(tmp_path)
    yield made
    made.close()


# --- it fires ---------------------------------------------------------------------------------------------------


def test_every_kind_of_trigger_fires_and_its_row_tells_the_truth(house: EngineHouse) -> None:
    spans: dict[int, tuple[datetime, datetime]] = {}

    def does(params: dict[str, Any], context: Context) -> Outcome | None:
        begun = datetime.now(UTC)
        context.output(f"hello {params['say']}")
        time.sleep(0.02)
        spans[context.run_id] = (begun, datetime.now(UTC))
        return None
    house.does = does
    house.source.input_age = 0.0
    house.start()
    due = soon(0.4)
    triggers: dict[str, dict[str, Any]] = {
        "date": {"type": "date", "run_date": iso(due)}, "interval": {"type": "interval", "seconds": 1},
        "cron": {"type": "cron", "second": "*"}, "idle": {"type": "idle", "idle_duration": 1}}
    for name, trigger in triggers.items():
        house.add(name, trigger, params={"say": name})
    eventually(lambda: house.engine.idle.status()["input_age_seconds"] == 0.0)
    house.source.input_age, left = 10_000.0, datetime.now(UTC)
    eventually(lambda: all(house.results(name)[:1] == ["success"] for name in triggers))
    house.engine.stop()
    anchor = house.task("interval").anchor_at
    assert house.rows("date")[0].scheduled_at == due and len(house.rows("date")) == 1
    assert all((row.scheduled_at - anchor) % timedelta(seconds=1) == timedelta(0) for row in house.rows("interval"))
    assert all(row.scheduled_at.microsecond == 0 for row in house.rows("cron"))
    for row in house.rows():
        begun, ended = spans[row.id]
        assert row.trigger["type"] == row.task_id and row.params == {"say": row.task_id}
        assert (row.cause, row.attempt) == ("idle" if row.task_id == "idle" else "schedule", 1)
        assert timedelta(0) <= row.started_at - row.scheduled_at < timedelta(seconds=0.5)
        assert row.at == row.started_at and row.finished_at == row.started_at + (row.duration_ms or 0) * MS
        assert (row.duration_ms or 0) >= 20
        assert -MS < begun - row.started_at < 50 * MS and abs(row.finished_at - ended) < 50 * MS
        assert row.output == f"hello {row.task_id}" and row.error is None and row.reason is None
    assert len(house.rows("idle")) == 1 and house.task("idle").next_run_at is None
    assert timedelta(seconds=0.9) < house.rows("idle")[0].scheduled_at - left < timedelta(seconds=1.5)
    assert house.task("date").next_run_at is None and house.task("date").run_count == 1
    for name in ("interval", "cron"):
        last, task = house.rows(name)[-1], house.task(name)
        assert task.next_run_at > last.scheduled_at and task.run_count == len(house.rows(name))
        assert (task.last_run_at, task.last_result, task.failure_count) == (last.started_at, "success", 0)


def test_two_hundred_tasks_due_in_one_second_all_start_and_none_twice(house: EngineHouse) -> None:
    house.start()
    due = soon(1.5)
    house.tasks.create_all([{"id": f"t{number}", "type": "act", "trigger": {"type": "date", "run_date": iso(due)}}
                            for number in range(200)])
    assert datetime.now(UTC) < due, "the machine is too slow for this lead"
    eventually(lambda: len(house.begun) >= 200)
    house.engine.stop()
    assert sorted(task_id for task_id, _, _ in house.begun) == sorted(f"t{number}" for number in range(200))
    assert house.results() == ["success"] * 200
    assert {row.scheduled_at for row in house.rows()} == {due}
    assert max(at for _, _, at in house.begun) - due < timedelta(seconds=1.5)
    with house.store.reading():
        assert Task.select().where(Task.run_count == 1, Task.next_run_at.is_null()).count() == 200


def test_ten_due_at_once_start_within_half_a_second(tmp_path: Path) -> None:
    house = EngineHouse(tmp_path, workers=10)
    house.does = gate = Gate()
    house.start()
    for number in range(10):
        house.add(f"t{number}", once(0.5))
    gate.entered(10)
    assert max(at - due for _, due, at in house.begun) < timedelta(seconds=0.5)
    assert house.engine.status()["runs"] == {"workers": 10, "running": 10, "abandoned": 0, "stuck": 0,
                                               "queued": 0}
    gate.go.set()
    house.close()


def test_idleness_cools_down_across_a_restart(house: EngineHouse) -> None:
    house.past.create({"id": "idle", "type": "act", "trigger": {"type": "idle", "idle_duration": 1}})
    task, ran = house.task("idle"), soon(-200)
    with house.store.writing():
        TaskLog.create(task_key=task.key, task_id="idle", task_type="act", trigger={}, params={}, options={},
                       result="success", cause="idle", scheduled_at=ran, occurrence_at=ran, at=ran)
    engine = house.start()
    eventually(lambda: (engine.idle.status()["idle_seconds"] or 0) > 1.1)
    assert house.results() == ["success"]


# --- run now, overlap, retries, deadlines -----------------------------------------------------------------------


@pytest.mark.parametrize(("overlap", "then"), [
    ("skip", ["success", "skipped"]), ("queue", ["success", "success"]), ("allow", ["success", "success"])])
def test_a_due_time_that_meets_a_run(house: EngineHouse, overlap: str, then: list[str]) -> None:
    house.does = gate = Gate()
    house.start()
    house.add("t", once(0.3), options={"overlap": overlap})
    house.tasks.run("t")
    gate.entered()
    eventually(lambda: len(house.rows()) == 2)
    between = {"skip": "skipped", "queue": "queued", "allow": "running"}[overlap]
    assert house.results() == ["running", between]
    gate.go.set()
    eventually(lambda: house.results() == then)
    if overlap == "queue":
        first, second = house.rows()
        assert second.started_at >= first.finished_at
        assert second.started_at - first.finished_at < timedelta(seconds=0.2)


def test_run_now_is_beside_the_schedule_and_obeys_overlap(house: EngineHouse) -> None:
    house.does = gate = Gate()
    house.start()
    house.add("t")
    upcoming = house.task("t").next_run_at
    asked = time.monotonic()
    log_id = house.tasks.run("t")
    gate.entered()
    assert time.monotonic() - asked < 0.5
    with pytest.raises(DingshiError):
        house.tasks.run("t")
    gate.go.set()
    eventually(lambda: house.results() == ["success"])
    row = house.rows()[0]
    assert (row.id, row.cause) == (log_id, "manual") and house.task("t").next_run_at == upcoming


def test_a_retry_is_a_new_run_and_holds_no_worker(tmp_path: Path) -> None:
    house = EngineHouse(tmp_path, workers=1)

    def does(params: dict[str, Any], context: Context) -> Outcome | None:
        if context.task_id == "fails" and context.attempt < 2:
            raise Failed("no", error="try again")
        return None
    house.does = does
    house.start()
    house.add("fails", options={"retries": 2, "retry_delay_seconds": 1})
    house.add("other")
    house.tasks.run("fails")
    eventually(lambda: house.results("fails") == ["failure", "queued"])
    house.tasks.run("other")
    eventually(lambda: house.results("other") == ["success"], 0.5)
    eventually(lambda: house.results("fails") == ["failure", "success"])
    first, second = house.rows("fails")
    assert [(row.cause, row.attempt) for row in (first, second)] == [("manual", 1), ("retry", 2)]
    assert second.scheduled_at == first.finished_at + timedelta(seconds=1)
    assert timedelta(0) <= second.started_at - second.scheduled_at < timedelta(seconds=0.3)
    assert second.occurrence_at == first.scheduled_at
    assert (house.task("fails").run_count, house.task("fails").failure_count) == (2, 1)
    house.close()


def test_a_handler_that_never_returns_times_out_and_frees_its_slot(tmp_path: Path) -> None:
    house = EngineHouse(tmp_path, workers=1)
    gate = Gate()
    house.does = lambda params, context: gate(params, context) if context.task_id == "hung" else None
    house.start()
    house.add("hung", options={"timeout_seconds": 1})
    house.add("other")
    house.tasks.run("hung")
    gate.entered()
    begun = time.monotonic()
    house.tasks.run("other")
    eventually(lambda: house.results("hung") == ["timeout"])
    assert 1.0 <= time.monotonic() - begun < 3.0
    eventually(lambda: house.results("other") == ["success"], 1.0)
    row = house.rows("hung")[0]
    assert row.reason == {"code": "timeout", "seconds": 1} and 1000 <= (row.duration_ms or 0) < 3000
    assert house.engine.status()["runs"] == {"workers": 1, "running": 0, "abandoned": 1, "stuck": 0,
                                               "queued": 0}
    gate.go.set()
    eventually(lambda: house.engine.runner.abandoned == 0)
    assert house.results("hung") == ["timeout"]
    house.close()


# --- restarts ---------------------------------------------------------------------------------------------------


def test_a_restart_keeps_the_grid_of_an_interval(house: EngineHouse) -> None:
    house.past.create({"id": "t", "type": "act", "trigger": {"type": "interval", "seconds": 1}})
    anchor = house.task("t").anchor_at
    house.start()
    eventually(lambda: house.begun)
    house.engine.stop()
    house.tasks.update("t", {"params": {"say": "an edit of anything else moves it neither"}})
    house.start()
    eventually(lambda: len(house.begun) >= 2)
    house.engine.stop()
    assert {(due - anchor) % timedelta(seconds=1) for _, due, _ in house.begun} == {timedelta(0)}
    assert len({due for _, due, _ in house.begun}) == len(house.begun)
    assert house.task("t").anchor_at == anchor
    missed = house.rows()[0]
    assert missed.result == "missed" and missed.covers is not None and missed.covers["count"] > 3.5 * 3600 - 2


def test_what_was_due_while_nothing_ran_follows_the_policy_of_its_task(house: EngineHouse) -> None:
    for policy in ("run_once", "skip"):
        house.past.create({"id": policy, "type": "act", "trigger": {"type": "interval", "hours": 1},
                           "options": {"missed": policy}})
    made = house.task("skip").anchor_at
    due = [made + timedelta(hours=hours) for hours in (1, 2, 3)]
    house.past.create({"id": "date", "type": "act", "trigger": {"type": "date", "run_date": iso(due[0])}})
    house.start()
    eventually(lambda: house.results() and "running" not in house.results() and len(house.rows()) >= 4)
    told = {name: [(row.result, row.cause, row.scheduled_at, (row.covers or {}).get("count"), row.reason)
                   for row in house.rows(name)] for name in ("run_once", "skip", "date")}
    down = {"code": "down"}
    assert told["run_once"] == [("missed", "schedule", due[1], 2, down), ("success", "catchup", due[2], None, None)]
    assert told["skip"] == [("missed", "schedule", due[2], 3, down)]
    assert told["date"] == [("success", "catchup", due[0], None, None)]
    assert house.task("skip").next_run_at == house.task("run_once").next_run_at == made + timedelta(hours=4)
    assert house.task("date").next_run_at is None
    house.engine.stop()
    house.start()
    eventually(lambda: house.engine.ledger._why == "late")
    assert len(house.rows()) == 4  # told once


def test_what_a_crash_left_is_put_in_order(house: EngineHouse) -> None:
    house.add_quietly("ran", "asked", "old", "failed")
    now = soon(0)
    with house.store.writing():
        for task_id, result, cause, age in (
                ("ran", "running", "schedule", 0), ("asked", "queued", "manual", 60),
                ("old", "queued", "manual", 3700), ("failed", "queued", "retry", 30)):
            task = Task.get(Task.id == task_id)
            due = now - timedelta(seconds=age)
            TaskLog.create(task_key=task.key, task_id=task.id, task_type="act", trigger=task.trigger, params={},
                           options={}, result=result, cause=cause, scheduled_at=due, occurrence_at=due, at=due,
                           owner="dead" if result == "running" else None, attempt=2 if cause == "retry" else 1)
    house.start()
    eventually(lambda: not {"running", "queued"} & set(house.results()))
    assert {row.task_id: (row.result, (row.reason or {}).get("code")) for row in house.rows()} == {
        "ran": ("interrupted", "crash"), "asked": ("success", None), "old": ("missed", "request_old"),
        "failed": ("success", None)}
    assert sorted(task_id for task_id, _, _ in house.begun) == ["asked", "failed"]
    assert house.task("ran").last_result == "interrupted"


def test_the_snapshot_follows_every_change_within_a_second(house: EngineHouse) -> None:
    path = house.settings.snapshot

    def held() -> list[tuple[str, bool]]:
        return [(task["id"], task["paused"]) for task in snapshot.read(path)["tasks"]] if path.exists() else []
    house.start()
    house.add("a")
    eventually(lambda: held() == [("a", False)], 1.0)
    house.tasks.pause("a")
    eventually(lambda: held() == [("a", True)], 1.0)
    house.tasks.delete("a")
    eventually(lambda: path.exists() and held() == [], 1.0)
    house.add("b")
    house.engine.stop()
    assert held() == [("b", False)]


def test_differences_between_snapshot_and_store_are_told_at_the_start(
        house: EngineHouse, caplog: pytest.LogCaptureFixture) -> None:
    house.start()
    house.add("a", params={"say": "one"})
    house.engine.stop()
    with house.store.writing():
        Task.update(params={"say": "two"}).execute()
    with caplog.at_level(logging.INFO, "dingshi.snapshot"):
        house.start()
    assert "snapshot differs from the store, which wins: task 'a' changed: params" in caplog.messages
    assert house.known("a").params == {"say": "two"}
    house.engine.stop()
    assert snapshot.read(house.settings.snapshot)["tasks"][0]["params"] == {"say": "two"}


def test_an_empty_store_beside_a_good_snapshot_is_not_taken_for_a_new_one(house: EngineHouse) -> None:
    house.start()
    house.add("a")
    house.engine.stop()
    kept = house.settings.snapshot.read_bytes()
    house.store.close()
    for rest in ("", "-wal", "-shm"):
        Path(f"{house.settings.database}{rest}").unlink(missing_ok=True)
    house.store = Store(house.settings.database)
    house.store.create()
    house.store.open()
    before = set(threading.enumerate())
    engine = house.make()
    with pytest.raises(StoreDamaged) as refused:
        engine.start()
    assert f'python run.py db restore "{house.settings.snapshot}"' in str(refused.value)
    assert refused.value.exit_code == 4
    engine.stop()  # does nothing: it never ran
    assert house.settings.snapshot.read_bytes() == kept
    assert holder(house.settings.database) is None and not set(threading.enumerate()) - before
    assert house.rows() == []


def test_a_start_that_fails_late_leaves_nothing_running(
        house: EngineHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house.add_quietly("a")
    threads = threading.active_count()
    engine = house.make()

    def fails(*_: Any) -> None:
        raise OSError(5, "Input/output error")
    with monkeypatch.context() as patched:
        patched.setattr(engine.ledger, "load", fails)
        with pytest.raises(OSError, match="Input/output"):
            engine.start()
    assert not engine.scheduler.running and holder(house.settings.database) is None
    eventually(lambda: threading.active_count() <= threads)
    assert not house.settings.snapshot.exists()
    house.start()
    assert house.known("a")


def test_temporary_files_of_killed_processes_are_cleared_away(house: EngineHouse) -> None:
    left = house.folder / ".tasks.pkl.99999.tmp"
    left.write_bytes(b"half a snapshot")
    house.start()
    assert not left.exists()


# --- one scheduler a store --------------------------------------------------------------------------------------


def test_a_second_engine_is_refused_and_the_first_goes_on(house: EngineHouse) -> None:
    first = house.start()
    second = Engine(house.store, house.settings, source=house.source)
    begun = time.monotonic()
    with pytest.raises(SchedulerRunning) as refused:
        second.start()
    assert time.monotonic() - begun < 2
    assert refused.value.pid == os.getpid() and str(os.getpid()) in str(refused.value)
    assert refused.value.exit_code == 3
    second.stop()
    house.add("t", once(0.2))
    eventually(lambda: house.results() == ["success"])
    assert first.status()["running"] and len(house.begun) == 1


# --- what others change -----------------------------------------------------------------------------------------


def test_what_another_process_changes_is_in_force_within_half_a_second(house: EngineHouse) -> None:
    house.does = gate = Gate()
    house.start()
    with second_console(house.folder) as call:
        call("tasks", "create", {"id": "a", "type": "act", "trigger": {"type": "interval", "hours": 1}})
        eventually(lambda: house.known("a"), 0.5)
        key = str(house.known("a").key)
        call("tasks", "pause", "a")
        eventually(lambda: house.known("a").paused and house.engine.scheduler.get_job(key) is None, 0.5)
        call("tasks", "resume", "a")
        eventually(lambda: not house.known("a").paused and house.engine.scheduler.get_job(key), 0.5)
        call("tasks", "update", "a", {"trigger": {"type": "interval", "hours": 5}, "params": {"say": "new"}})
        eventually(lambda: house.known("a").params == {"say": "new"}, 0.5)
        upcoming = house.task("a").next_run_at
        assert house.engine.scheduler.get_job(key).next_run_time == upcoming
        assert upcoming - datetime.now(UTC) > timedelta(hours=4.9)
        call("tasks", "run", "a")
        eventually(lambda: house.begun, 0.5)
        gate.entered()
        context = house.engine.runner.running()[house.rows()[0].id].context
        assert context is not None
        call("logs", "stop", context.run_id)
        assert context.cancelled.wait(0.5)
        gate.go.set()
        call("tasks", "create", {"id": "soon", "type": "act", "trigger": once(0.4)})
        eventually(lambda: [task_id for task_id, _, _ in house.begun] == ["a", "soon"], 1.0)
        assert house.begun[-1][2] - house.begun[-1][1] < timedelta(seconds=0.3)
        call("tasks", "delete", "a")
        eventually(lambda: house.known("a") is None and house.engine.scheduler.get_job(key) is None, 0.5)


# --- a store in trouble -----------------------------------------------------------------------------------------


def test_a_store_that_others_lock_for_a_while_loses_nothing(house: EngineHouse) -> None:
    house.store.busy_seconds = 0.2
    house.does = gate = Gate()
    house.start()
    house.add("long")
    house.add("soon", once(0.7))
    house.tasks.run("long")
    gate.entered()
    other = sqlite3.connect(house.settings.database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    gate.go.set()  # its end cannot be recorded, and the due time of the other cannot be claimed
    eventually(lambda: house.engine.status()["problem"])
    assert "locked by another program" in house.engine.status()["problem"]
    due = house.task("soon").next_run_at
    eventually(lambda: datetime.now(UTC) > due + timedelta(seconds=0.2))
    assert house.results() == ["running"] and [task_id for task_id, _, _ in house.begun] == ["long"]
    other.execute("ROLLBACK")
    other.close()
    eventually(lambda: house.results("long") == house.results("soon") == ["success"])
    assert house.rows("soon")[0].scheduled_at == due and len(house.begun) == 2
    eventually(lambda: house.engine.status()["problem"] == "")
    assert house.engine.status()["running"]


def test_below_the_floor_of_free_space_nothing_starts(house: EngineHouse) -> None:
    house.start()
    house.engine.ledger.disk.floor = 2**60
    eventually(lambda: house.engine.status()["disk_low"], 3.0)
    house.add("t", once(0.3))
    due = house.task("t").next_run_at
    eventually(lambda: datetime.now(UTC) > due + timedelta(seconds=0.3))
    assert house.rows() == [] and house.engine.status()["disk_low"]
    house.engine.ledger.disk.floor = 0
    eventually(lambda: house.results() == ["success"], 3.0)
    assert house.rows()[0].scheduled_at == due


# --- the status -------------------------------------------------------------------------------------------------


def test_the_status_says_how_it_goes(house: EngineHouse) -> None:
    engine = house.start()
    house.add("t")
    eventually(lambda: engine.status()["tasks"] == 1)
    status = engine.status()
    assert status["running"] and 0 <= status["last_tick_seconds"] < 2
    assert status["broken"] == {} and not status["disk_low"]
    assert status["problem"] == status["snapshot_problem"] == ""
    assert abs(datetime.fromisoformat(status["now"]) - datetime.now(UTC)) < timedelta(seconds=1)
    with house.store.writing():
        Task.update(trigger={"type": "moon"}).execute()
    eventually(lambda: engine.status()["broken"] == {"t": "KeyError: 'moon'"})
    engine.stop()
    assert not engine.status()["running"]
