"""How an engine stops (R13): nothing new, some time for what runs, then an end; every row tells how."""

import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dashboard.engine import leaving, snapshot
from dashboard.engine.lock import holder
from dashboard.handlers.contract import Cancelled, Context, Outcome
from tests.engine_house import EngineHouse, Gate, eventually, once


@pytest.fixture
def house(tmp_path: Path) -> Iterator[EngineHouse]:
    made = EngineHouse(tmp_path)
    yield made
    made.close()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that were asked to end are killed and given up soon."""
    monkeypatch.setattr(leaving, "ASKED_SECONDS", 0.2)
    monkeypatch.setattr(leaving, "KILLED_SECONDS", 0.1)


def test_an_engine_with_nothing_to_do_stops_at_once(house: EngineHouse) -> None:
    before = set(threading.enumerate())
    engine = house.start()
    house.add("t")
    begun = time.monotonic()
    engine.stop()
    assert time.monotonic() - begun < 1
    assert holder(house.settings.database) is None and not engine.status()["running"]
    assert [task["id"] for task in snapshot.read(house.settings.snapshot)["tasks"]] == ["t"]
    eventually(lambda: {thread.name for thread in set(threading.enumerate()) - before} <= {"dingshi-sweep"})


def test_runs_may_end_by_themselves(house: EngineHouse) -> None:
    house.does = gate = Gate()
    engine = house.start()
    house.add("t")
    house.tasks.run("t")
    gate.entered()
    threading.Timer(0.2, gate.go.set).start()
    begun = time.monotonic()
    engine.stop(5.0)
    assert 0.1 < time.monotonic() - begun < 2
    assert house.results() == ["success"]


def test_nothing_begins_any_more(house: EngineHouse) -> None:
    house.does = gate = Gate()
    engine = house.start()
    house.add("long")
    house.add("due", once(0.3), options={"overlap": "queue"})
    house.tasks.run("long")
    gate.entered()
    stopping = threading.Thread(target=engine.stop, args=(5.0,))
    stopping.start()
    eventually(engine.ledger.is_resting)
    due = house.task("due").next_run_at
    asked = house.tasks.run("due")
    eventually(lambda: time.time() > due.timestamp() + 0.3)
    assert [task_id for task_id, _, _ in house.begun] == ["long"]
    gate.go.set()
    stopping.join(5)
    assert house.results("long") == ["success"] and house.results("due") == ["queued"]
    house.start()  # and nothing is lost
    eventually(lambda: len(house.begun) == 3)
    assert house.rows("due")[0].id == asked and house.rows("due")[1].scheduled_at == due


@pytest.mark.usefixtures("brief")
def test_a_run_that_heeds_is_interrupted_and_told_at_the_next_start(house: EngineHouse) -> None:
    began = threading.Event()

    def does(params: dict[str, Any], context: Context) -> Outcome | None:
        began.set()
        assert context.cancelled.wait(10)
        context.output("cut short")
        raise Cancelled
    house.does = does
    engine = house.start()
    house.add("t", options={"retries": 3})
    house.tasks.run("t")
    assert began.wait(5)
    engine.stop(0.1)
    row = house.rows()[0]
    assert (row.result, row.reason, row.output) == ("interrupted", {"code": "shutdown"}, "cut short")
    assert row.finished_at is not None and len(house.rows()) == 1
    house.start()
    assert house.results() == ["interrupted"]


@pytest.mark.usefixtures("brief")
def test_a_handler_that_does_not_heed_is_given_up(house: EngineHouse) -> None:
    house.does = gate = Gate()
    engine = house.start()
    house.add("t")
    house.tasks.run("t")
    gate.entered()
    begun = time.monotonic()
    engine.stop(0.2)
    assert 0.5 <= time.monotonic() - begun < 3
    assert [(row.result, row.reason) for row in house.rows()] == [("interrupted", {"code": "shutdown"})]
    assert holder(house.settings.database) is None
    gate.go.set()
    eventually(lambda: engine.runner.abandoned == 0)
    assert house.results() == ["interrupted"]


@pytest.mark.usefixtures("brief")
def test_what_was_claimed_and_has_not_begun_waits_for_the_next_start(tmp_path: Path) -> None:
    house = EngineHouse(tmp_path, workers=1)
    gate = Gate()
    house.does = lambda params, context: gate(params, context) if context.task_id == "hung" else None
    engine = house.start()
    house.add("quick")
    for _ in range(8):  # its type is taken for quick from then on
        house.tasks.run("quick")
        eventually(lambda: set(house.results()) == {"success"})
    house.add("hung", once(0.3))
    house.add("behind", house.task("hung").trigger)
    gate.entered()
    eventually(lambda: house.results("behind") == ["running"])
    engine.stop(0.1)
    assert (house.results("hung"), house.results("behind")) == (["interrupted"], ["queued"])
    assert "behind" not in [task_id for task_id, _, _ in house.begun]
    assert house.task("behind").run_count == 0
    gate.go.set()
    house.does = lambda params, context: None
    house.start()
    eventually(lambda: house.results("behind") == ["success"])
    assert house.task("behind").run_count == 1
    house.close()


def test_the_second_signal_ends_the_waiting(house: EngineHouse) -> None:
    house.does = gate = Gate()
    engine = house.start()
    house.add("t")
    house.tasks.run("t")
    gate.entered()
    stopping = threading.Thread(target=engine.stop, args=(60.0,))
    stopping.start()
    eventually(engine.ledger.is_resting)
    begun = time.monotonic()
    engine.abort()
    stopping.join(10)
    assert time.monotonic() - begun < 1
    assert house.results() == ["interrupted"]
    assert holder(house.settings.database) is None
    gate.go.set()


def test_a_second_stop_waits_for_the_first_and_does_nothing(
        house: EngineHouse, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dingshi.scheduler")
    house.does = gate = Gate()
    engine = house.start()
    house.add("t")
    house.tasks.run("t")
    gate.entered()
    stops = [threading.Thread(target=engine.stop, args=(5.0,)) for _ in range(2)]
    for stop in stops:
        stop.start()
    eventually(engine.ledger.is_resting)
    assert all(stop.is_alive() for stop in stops)
    gate.go.set()
    for stop in stops:
        stop.join(5)
        assert not stop.is_alive()
    begun = time.monotonic()
    engine.stop(60.0)
    assert time.monotonic() - begun < 0.1
    assert house.results() == ["success"] and caplog.messages.count("scheduler stopped") == 1


def test_an_engine_that_never_ran_can_be_stopped(house: EngineHouse, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "dingshi.scheduler"):
        house.make().stop()
    assert not house.settings.snapshot.exists() and caplog.messages == []


def test_a_store_locked_by_others_at_the_stop_is_waited_for(house: EngineHouse) -> None:
    """R18 at the worst moment: what has ended is recorded all the same."""
    house.store.busy_seconds = 0.1
    house.does = gate = Gate()
    engine = house.start()
    house.add("t")
    house.tasks.run("t")
    gate.entered()
    other = sqlite3.connect(house.settings.database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    gate.go.set()
    unlock = threading.Timer(1.0, other.execute, ("ROLLBACK",))
    unlock.start()
    engine.stop(0.1)
    unlock.join()
    other.close()
    assert house.results() == ["success"]
    assert holder(house.settings.database) is None


def test_a_store_that_stays_locked_is_not_given_to_the_next_while_we_may_write(
        house: EngineHouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(leaving, "RECORD_SECONDS", 0.2)
    monkeypatch.setattr(leaving, "CHECKPOINT_SECONDS", 0.05)
    house.store.busy_seconds = 2.0
    house.does = gate = Gate()
    engine = house.start()
    house.add("t")
    house.tasks.run("t")
    gate.entered()
    other = sqlite3.connect(house.settings.database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    gate.go.set()
    with caplog.at_level(logging.ERROR, "dingshi.scheduler"):
        engine.stop(0.1)
    assert "not everything could be recorded" in caplog.text
    assert holder(house.settings.database) is not None
    other.execute("ROLLBACK")
    other.close()
    eventually(lambda: not engine.loop.is_alive())
    engine.lock.release()


def test_one_step_that_fails_keeps_no_other_from_being_done(
        house: EngineHouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    engine = house.start()
    house.add("t")

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no")
    monkeypatch.setattr(engine.store, "checkpoint", fails)
    monkeypatch.setattr(engine.snapshotter, "stop", fails)
    shutdown = engine.scheduler.shutdown
    monkeypatch.setattr(engine.scheduler, "shutdown", lambda wait: (shutdown(wait=wait), fails()))
    with caplog.at_level(logging.ERROR, "dingshi.scheduler"):
        engine.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "the scheduler failed at the stop", "the snapshot failed at the stop", "the checkpoint failed at the stop"]
    assert holder(house.settings.database) is None
    monkeypatch.undo()


@pytest.mark.usefixtures("brief")
def test_no_process_is_left_even_if_it_ignores_being_asked(house: EngineHouse) -> None:
    code = ("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
            "print('up', flush=True); time.sleep(60)")
    engine = house.start()
    house.tasks.create({"id": "stubborn", "type": "send_cmd", "trigger": {"type": "interval", "hours": 1},
                        "params": {"command": [sys.executable, "-c", code]}})
    house.tasks.run("stubborn")
    eventually(lambda: house.rows() and house.rows()[0].processes)
    pid = int(house.rows()[0].processes[0][0])

    def said() -> str:
        contexts = [active.context for active in engine.runner.running().values()]
        return "".join(context.kept.text() for context in contexts if context)

    eventually(lambda: "up" in said())
    engine.stop(0.1)
    assert house.results() == ["interrupted"]
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
