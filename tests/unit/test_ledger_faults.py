"""What fails inside a look of the ledger stops nothing else and loses nothing."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboard.engine import task_book
from dashboard.engine.definition import definition
from dashboard.errors import StoreBusy
from dashboard.handlers.contract import Context, Failed, Outcome
from dashboard.models import Task, TaskLog
from dashboard.services.log_service import LogService
from dashboard.triggers.contract import Missed
from tests.factories import SCHEDULED_AT as START
from tests.ledger_house import LedgerHouse

DUE = START + timedelta(minutes=10)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[LedgerHouse]:
    made = LedgerHouse(tmp_path)
    yield made
    made.close()


@dataclass
class Broken:
    """A timetable that fails. ``answer``: what ``after`` says instead of raising."""

    answer: datetime | None = None
    asked: list[datetime] = field(default_factory=list)

    def after(self, instant: datetime) -> datetime | None:
        self.asked.append(instant)
        if self.answer is None:
            raise OverflowError("date value out of range")
        return self.answer

    def passed(self, start: datetime, until: datetime, cap: int = 100_000) -> Missed | None:
        return Missed(1, start, start)


# --- triggers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [None, DUE, START])
def test_a_timetable_that_fails_runs_what_is_known_to_be_due_and_ends_alone(
        house: LedgerHouse, answer: datetime | None, caplog: pytest.LogCaptureFixture) -> None:
    house.add("bad")
    house.add("good")
    house.book.by_key[1].timetable = Broken(answer)
    with caplog.at_level(logging.ERROR, "dingshi.scheduler"):
        house.due()
    house.finish(2)
    assert [(row.task_id, row.result, row.scheduled_at) for row in house.rows()] == [
        ("bad", "success", DUE), ("good", "success", DUE)]
    assert house.task("bad").next_run_at is None
    assert house.task("good").next_run_at == DUE + timedelta(minutes=10)
    assert set(house.book.broken) == {1} and house.scheduler.get_job("1") is None
    assert "id=bad" in caplog.text and house.ledger.problem == ""
    house.due()
    house.finish(1)
    assert [row.task_id for row in house.rows()] == ["bad", "good", "good"]


@pytest.mark.parametrize(("missed", "then"), [("run_once", ("success", "catchup")), ("skip", ("missed", "schedule"))])
def test_a_timetable_that_fails_long_after_follows_the_policy(
        house: LedgerHouse, missed: str, then: tuple[str, str]) -> None:
    house.add(options={"missed": missed})
    house.book.by_key[1].timetable = Broken()
    house.due(3600)
    if missed == "run_once":
        house.finish()
    row = house.rows()[0]
    assert ((row.result, row.cause), row.scheduled_at, len(house.rows())) == (then, DUE, 1)
    if missed == "skip":
        assert row.covers == {"count": 1, "first": "2026-11-23T10:10:00.000Z", "last": "2026-11-23T10:10:00.000Z"}


def test_a_new_definition_ends_the_trouble(house: LedgerHouse) -> None:
    house.add()
    house.book.by_key[1].timetable = Broken()
    house.due()
    house.finish()
    house.tasks.update("t", {"trigger": {"type": "interval", "minutes": 5}})
    house.look()
    assert house.book.broken == {} and house.scheduler.get_job("1") is not None
    house.due(300)
    house.finish()
    assert house.results() == ["success", "success"]


def test_a_timetable_that_fails_while_it_is_loaded_keeps_no_other_waiting(
        house: LedgerHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A due time has passed when the definition is read, so the timetable is asked at once."""
    make = definition

    def spoiled(row: Task, zone: Any) -> Any:
        made = make(row, zone)
        if row.id == "bad":
            made.timetable = Broken()
        return made
    monkeypatch.setattr(task_book, "definition", spoiled)
    for task_id in ("bad", "good"):
        house.tasks.create({"id": task_id, "type": "act", "trigger": {"type": "interval", "minutes": 10}})
    house.clock.advance(600)
    house.look()
    house.finish(2)
    assert house.results() == ["success", "success"]
    assert set(house.book.broken) == {1}


def spoil(house: LedgerHouse, task_id: str) -> None:
    """A definition that no door lets in, as an older or a newer version may have left it."""
    with house.store.writing():
        Task.update(trigger={"type": "moon"}).where(Task.id == task_id).execute()


def request(house: LedgerHouse, task_id: str) -> int:
    """A row as ``TaskService.run`` makes it; that one would refuse to show such a task."""
    task, now = house.task(task_id), house.clock.now()
    with house.store.writing():
        made = TaskLog.create(
            task_key=task.key, task_id=task.id, task_type=task.type, trigger={}, params={}, options={},
            result="queued", cause="manual", scheduled_at=now, occurrence_at=now, at=now)
    return int(made.id)


def test_a_definition_that_cannot_be_read_has_no_due_times_and_runs_when_asked(
        house: LedgerHouse, caplog: pytest.LogCaptureFixture) -> None:
    house.add("bad")
    house.add("good")
    spoil(house, "bad")
    with caplog.at_level(logging.ERROR, "dingshi.scheduler"):
        house.look()
    assert "id=bad" in caplog.text
    assert set(house.book.broken) == {1} and house.scheduler.get_job("1") is None
    house.due()
    house.finish()
    assert [row.task_id for row in house.rows()] == ["good"]
    log_id = request(house, "bad")
    house.look()
    house.finish()
    assert house.rows(id=log_id)[0].result == "success"


def test_what_was_queued_of_a_task_that_became_unreadable_is_not_forgotten(house: LedgerHouse) -> None:
    def act(params: dict[str, Any], context: Context) -> Outcome | None:
        if context.attempt == 1:
            raise Failed("no")
        return None
    house.act.does = act
    house.add(options={"retries": 1, "retry_delay_seconds": 30})
    house.due()
    house.finish()
    spoil(house, "t")
    house.look()
    house.due(30)
    house.finish()
    assert house.results() == ["failure", "success"]


def test_a_task_that_is_gone_is_broken_no_more(house: LedgerHouse) -> None:
    house.add("bad")
    spoil(house, "bad")
    house.look()
    assert house.book.broken
    with house.store.writing():
        Task.delete().execute()
    house.look()
    assert house.book.broken == {} == house.book.by_key


# --- the store --------------------------------------------------------------------------------------------------


def test_a_next_attempt_that_cannot_be_read_now_is_placed_later(
        house: LedgerHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(params: dict[str, Any], context: Context) -> Outcome | None:
        if context.attempt == 1:
            raise Failed("no")
        return None
    house.act.does = act
    house.add(options={"retries": 1, "retry_delay_seconds": 30})
    house.due()
    reads = house.store.reading
    with monkeypatch.context() as patched:
        committed: list[bool] = []
        patched.setattr(house.ledger, "touched", committed.append)

        def reading() -> Any:
            if committed:  # from the commit on
                raise StoreBusy("locked")
            return reads()
        patched.setattr(house.store, "reading", reading)
        assert house.ended.acquire(timeout=10)
        house.ledger.step()
    assert house.results() == ["failure", "queued"] and house.ledger.problem
    house.ledger.step()
    assert house.ledger.problem == "" and house.task().failure_count == 1
    house.due(30)
    house.finish()
    assert house.results() == ["failure", "success"]


def test_idleness_that_could_not_be_used_in_time_is_missed(house: LedgerHouse) -> None:
    house.add(trigger={"type": "idle", "idle_duration": 60})
    house.disk.floor = 2**60
    house.clock.advance(1)
    house.inbox.idle(1, house.clock.now())
    house.ledger.step()
    assert house.results() == []
    house.clock.advance(3600)
    house.disk.floor = 0
    house.ledger.step()
    row = house.rows()[0]
    assert (row.result, row.cause, row.reason, row.scheduled_at) == (
        "missed", "idle", {"code": "disk"}, START + timedelta(seconds=1))
    house.inbox.idle(1, house.clock.now())
    house.ledger.step()
    house.finish()
    assert house.results() == ["missed", "success"]


# --- runs that wait for one another -----------------------------------------------------------------------------


def test_the_next_of_a_queue_may_begin_at_once(house: LedgerHouse) -> None:
    gate, inside = threading.Event(), threading.Semaphore(0)

    def act(params: dict[str, Any], context: Context) -> Outcome | None:
        inside.release()
        assert gate.wait(10)
        return None
    house.act.does = act
    house.add(options={"overlap": "queue"})
    house.due()
    house.due()
    assert inside.acquire(timeout=10) and not house.ledger.may_claim()
    gate.set()
    house.finish()
    assert house.ledger.may_claim()
    house.ledger.step()
    house.finish()
    assert house.results() == ["success", "success"] and not house.ledger.may_claim()


def test_a_pause_leaves_what_somebody_asked_for_in_the_queue(house: LedgerHouse) -> None:
    gate, inside = threading.Event(), threading.Semaphore(0)

    def act(params: dict[str, Any], context: Context) -> Outcome | None:
        inside.release()
        assert gate.wait(10)
        return None
    house.act.does = act
    house.add(options={"overlap": "queue"})
    house.due()
    assert inside.acquire(timeout=10)
    house.due()
    asked = house.tasks.run("t")
    house.look()
    assert house.results() == ["running", "queued", "queued"]
    house.tasks.pause("t")
    house.look()
    gate.set()
    house.finish()
    house.ledger.step()
    house.finish()
    assert house.results() == ["success", "queued", "success"] and house.rows()[2].id == asked
    house.tasks.resume("t")
    house.look()
    house.ledger.step()
    house.finish()
    assert house.results()[:3] == ["success", "success", "success"]


def test_somebody_stops_a_run_that_is_claimed_and_not_begun(tmp_path: Path) -> None:
    """Quick types are claimed ahead of a free worker; one that hangs keeps those behind it from beginning."""
    house = LedgerHouse(tmp_path, workers=1)
    gate, inside = threading.Event(), threading.Semaphore(0)

    def act(params: dict[str, Any], context: Context) -> Outcome | None:
        if params["say"] == "hang":
            inside.release()
            assert gate.wait(10)
        return None
    house.act.does = act
    house.add("quick")
    for _ in range(8):  # one quick run proves nothing
        house.due()
        house.finish()
    house.add("hang", params={"say": "hang"}, trigger={"type": "interval", "hours": 1})
    house.add("behind", trigger={"type": "interval", "hours": 1})
    house.tasks.pause("quick")
    house.due(3600)
    assert inside.acquire(timeout=10)
    behind = house.rows(task_id="behind")[0]
    assert behind.result == "running" and house.runner.backlog() == 1
    LogService(house.store, house.settings, house.clock).stop(behind.id)
    house.look()
    house.ledger.step()
    row = house.rows(id=behind.id)[0]
    assert (row.result, row.reason, row.duration_ms) == ("cancelled", {"code": "stopped"}, 0)
    gate.set()
    house.finish(2)
    assert house.runner.busy() == 0
    house.close()
