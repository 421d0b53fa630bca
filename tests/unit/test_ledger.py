"""Claim, run, record, one look at a time, on a clock moved by hand."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboard.handlers.contract import Context, Failed, Outcome, Unknown
from dashboard.models import TaskLog
from dashboard.models.bulk import put_back
from dashboard.services.log_service import LogService
from tests.engine_house import Gate
from tests.factories import SCHEDULED_AT as START
from tests.ledger_house import LedgerHouse


@pytest.fixture
def house(tmp_path: Path) -> Iterator[LedgerHouse]:
    made = LedgerHouse(tmp_path)
    yield made
    made.close()


def test_the_claim_is_in_the_store_before_the_handler_begins(house: LedgerHouse) -> None:
    seen: list[tuple[str, str | None]] = []

    def act(params: dict[str, Any], context: Context) -> Outcome | None:
        seen.extend((row.result, row.owner) for row in house.rows(id=context.run_id))
        return None
    house.act.does = act
    house.add(params={"say": "hello"})
    house.due()
    house.finish()
    assert seen == [("running", "boot")]
    row, task = house.rows()[0], house.task()
    due = START + timedelta(minutes=10)
    assert (row.result, row.cause, row.scheduled_at, row.started_at, row.at, row.params) == (
        "success", "schedule", due, due, due, {"say": "hello"})
    assert (task.run_count, task.failure_count, task.last_run_at, task.last_result, task.next_run_at) == (
        1, 0, due, "success", START + timedelta(minutes=20))


def test_a_due_time_told_twice_is_claimed_once(house: LedgerHouse) -> None:
    house.add()
    house.due()
    house.inbox.due(1)
    house.finish()
    house.book.by_key[1].next_run_at = START + timedelta(minutes=10)  # as if memory had forgotten
    house.inbox.due(1)
    house.ledger.step()
    assert house.results() == ["success"]
    assert house.task().next_run_at == START + timedelta(minutes=20)


@pytest.mark.parametrize(("overlap", "then"), [
    ("skip", ["running", "skipped"]), ("queue", ["running", "queued"]), ("allow", ["running", "running"])])
def test_overlap(house: LedgerHouse, overlap: str, then: list[str]) -> None:
    house.act.does = gate = Gate()
    house.add(options={"overlap": overlap})
    house.due()
    gate.entered()
    house.due()
    assert house.results() == then
    if overlap == "skip":
        assert house.rows()[1].reason == {"code": "overlap"}
    gate.go.set()
    house.finish()
    if overlap == "queue":
        house.ledger.step()
        second = house.rows()[1]
        assert second.started_at == second.at == house.clock.now()
    if overlap != "skip":
        house.finish()
    assert set(house.results()) <= {"success", "skipped"}
    assert house.task().run_count == (1 if overlap == "skip" else 2)


@pytest.mark.parametrize(("missed", "results"), [("run_once", ["missed", "success"]), ("skip", ["missed"])])
def test_what_was_missed(house: LedgerHouse, missed: str, results: list[str]) -> None:
    house.add(options={"missed": missed})
    house.due(3600 + 300)  # six due times, the last one five minutes ago
    if missed == "run_once":
        house.finish()
        assert house.rows()[1].cause == "catchup"
        assert house.rows()[1].scheduled_at == START + timedelta(hours=1)
    assert house.results() == results
    covers = house.rows()[0].covers
    assert covers["count"] == (5 if missed == "run_once" else 6)
    assert covers["first"] == "2026-11-23T10:10:00.000Z"
    assert house.task().next_run_at == START + timedelta(minutes=70)


def test_a_retry_is_a_run_of_its_own_with_the_first_definition(house: LedgerHouse) -> None:
    attempts: list[tuple[int, str, str, dict[str, Any]]] = []

    def act(params: dict[str, Any], context: Context) -> Outcome | None:
        attempts.append((context.attempt, params["say"], context.occurrence, dict(context.carried)))
        context.carried["seen"] = context.attempt
        if context.attempt < 3:
            raise Failed("no", error="try later")
        return None
    house.act.does = act
    house.add(params={"say": "one"}, options={"retries": 3, "retry_delay_seconds": 30})
    house.due()
    house.finish()
    assert house.results() == ["failure", "queued"]
    house.tasks.update("t", {"params": {"say": "two"}})
    house.look()
    house.due(29)
    assert house.results() == ["failure", "queued"]
    house.due(1)
    house.finish()
    house.due(30)
    house.finish()
    assert house.results() == ["failure", "failure", "success"]
    assert [(row.cause, row.attempt) for row in house.rows()] == [("schedule", 1), ("retry", 2), ("retry", 3)]
    assert [(number, said) for number, said, _, _ in attempts] == [(1, "one"), (2, "one"), (3, "one")]
    assert len({occurrence for _, _, occurrence, _ in attempts}) == 1
    assert [carried for *_, carried in attempts] == [{}, {"seen": 1}, {"seen": 2}]
    assert (house.task().run_count, house.task().failure_count) == (3, 2)


@pytest.mark.parametrize("error", [Failed("no", final=True), Unknown("maybe")])
def test_what_is_final_is_not_retried(house: LedgerHouse, error: Exception) -> None:
    def act(params: dict[str, Any], context: Context) -> Outcome | None:
        raise error
    house.act.does = act
    house.add(options={"retries": 3})
    house.due()
    house.finish()
    assert len(house.rows()) == 1


def test_a_pause_holds_a_retry_until_resumed(house: LedgerHouse) -> None:
    def act(params: dict[str, Any], context: Context) -> Outcome | None:
        raise Failed("no")
    house.act.does = act
    house.add(trigger={"type": "interval", "hours": 1}, options={"retries": 1, "retry_delay_seconds": 5})
    house.due(3600)
    house.finish()
    house.tasks.pause("t")
    house.look()
    house.due(60)
    assert house.results() == ["failure", "queued"]
    house.tasks.resume("t")
    house.look()
    house.finish()
    assert house.results() == ["failure", "failure"]


def test_a_task_that_is_gone_starts_nothing_more(house: LedgerHouse) -> None:
    house.act.does = gate = Gate()
    house.add(options={"overlap": "queue"})
    house.due()
    gate.entered()
    house.due()
    house.tasks.delete("t")
    house.look()
    gate.go.set()
    house.finish()
    house.due()
    assert house.results() == ["success", "cancelled"]
    assert house.ledger.board.queued() == 0


def test_run_now_leaves_the_schedule_alone(house: LedgerHouse) -> None:
    house.add()
    log_id = house.tasks.run("t")
    house.look()
    house.finish()
    row = house.rows(id=log_id)[0]
    assert (row.result, row.cause) == ("success", "manual")
    assert house.task().next_run_at == START + timedelta(minutes=10)


def test_a_request_that_meets_a_run_is_skipped(house: LedgerHouse) -> None:
    house.act.does = gate = Gate()
    house.add()
    log_id = house.tasks.run("t")  # asked for before the ledger claims the due time in the same look
    house.clock.advance(600)
    house.ledger._polled = house.clock.monotonic()  # the due time comes first
    house.inbox.due(1)
    house.ledger.step()
    gate.entered()
    house.look()
    house.ledger.step()
    assert house.rows(id=log_id)[0].result == "skipped"
    gate.go.set()
    house.finish()


def test_somebody_stops_a_run(house: LedgerHouse) -> None:
    began = threading.Event()

    def act(params: dict[str, Any], context: Context) -> Outcome | None:
        began.set()
        assert context.cancelled.wait(10)
        raise Failed("cut")
    house.act.does = act
    house.add(options={"retries": 2})
    house.due()
    assert began.wait(10)
    LogService(house.store, house.settings, house.clock).stop(house.rows()[0].id)
    house.look()
    house.finish()
    assert [(row.result, row.reason) for row in house.rows()] == [("cancelled", {"code": "stopped"})]


def test_without_a_free_worker_the_row_is_queued_and_moves_when_it_starts(tmp_path: Path) -> None:
    house = LedgerHouse(tmp_path, workers=1)
    house.act.does = gate = Gate()
    house.add("a")
    house.add("b")
    house.due()
    gate.entered()
    assert house.results() == ["running", "queued"]
    house.clock.advance(3)
    gate.go.set()
    house.finish()
    house.ledger.step()
    house.finish()
    first, second = house.rows()
    assert (second.result, second.scheduled_at) == ("success", first.scheduled_at)
    assert second.at == second.started_at == first.at + timedelta(seconds=3)
    house.close()


def fails(house: LedgerHouse, when: str, words: str) -> None:
    """From now on SQLite itself refuses rows for which ``when`` holds."""
    house.store.database.execute_sql("PRAGMA query_only=0")
    house.store.database.execute_sql(
        f"CREATE TRIGGER broken BEFORE UPDATE OF result ON task_log WHEN {when} "
        f"BEGIN SELECT RAISE(ABORT, '{words}'); END")
    house.store.database.execute_sql("PRAGMA query_only=1")


def works_again(house: LedgerHouse) -> None:
    house.store.database.execute_sql("PRAGMA query_only=0")
    house.store.database.execute_sql("DROP TRIGGER broken")
    house.store.database.execute_sql("PRAGMA query_only=1")


def test_a_store_that_cannot_be_written_loses_no_result(house: LedgerHouse) -> None:
    house.add()
    house.due()
    fails(house, "1", "database or disk is full")
    house.finish()
    assert "full" in house.ledger.problem
    assert house.results() == ["running"]
    works_again(house)
    house.ledger.step()
    assert (house.results(), house.ledger.problem) == (["success"], "")


def test_one_result_that_cannot_be_stored_stops_no_other(house: LedgerHouse) -> None:
    def act(params: dict[str, Any], context: Context) -> Outcome | None:
        context.output(params["say"])
        return None
    house.act.does = act
    house.add("a", params={"say": "poison"})
    house.add("b", params={"say": "fine"})
    house.due()
    fails(house, "NEW.output = ''poison''".replace("''", "'"), "constraint of another kind")
    house.finish(2)
    works_again(house)
    assert [(row.result, row.output, row.reason) for row in house.rows()] == [
        ("success", "", {"code": "not_stored"}), ("success", "fine", None)]
    house.due()
    house.finish(2)
    assert house.results() == ["success"] * 4


def test_no_claim_below_the_floor_of_free_space(house: LedgerHouse) -> None:
    house.add()
    house.disk.floor = 2**60
    house.due(601)
    assert house.results() == []
    house.clock.advance(1500)
    house.disk.floor = 0
    house.due(0)
    house.ledger.step()
    house.finish()
    assert [(row.result, row.cause) for row in house.rows()] == [("missed", "schedule"), ("success", "catchup")]
    assert house.rows()[0].reason == {"code": "disk"}


def test_a_change_between_look_and_claim_wins(house: LedgerHouse) -> None:
    house.add()
    house.clock.advance(600)
    house.tasks.pause("t")  # committed by another process; the ledger has not looked yet
    house.ledger._polled = house.clock.monotonic()
    house.inbox.due(1)
    house.ledger.step()
    assert house.results() == []
    house.look()
    house.due()
    assert house.results() == []


def test_changes_touch_the_snapshot(house: LedgerHouse) -> None:
    house.add()
    assert house.touched == [True]
    house.due()
    house.finish()
    assert house.touched[1:] == [False, False]


def test_an_idle_run_touches_no_schedule(house: LedgerHouse) -> None:
    house.add(trigger={"type": "idle", "idle_duration": 60})
    assert house.book.idle == {1: 60}
    house.inbox.idle(1, house.clock.now())
    house.ledger.step()
    house.finish()
    assert [(row.result, row.cause) for row in house.rows()] == [("success", "idle")]
    house.tasks.pause("t")
    house.look()
    assert house.book.idle == {}
    house.inbox.idle(1, house.clock.now())
    house.ledger.step()
    assert len(house.rows()) == 1


def test_many_at_once_are_one_commit_each_way(house: LedgerHouse) -> None:
    for number in range(200):
        house.tasks.create({"id": f"t{number}", "type": "act", "trigger": {"type": "interval", "minutes": 10}})
    house.look()
    house.due()
    for _ in range(200):
        assert house.ended.acquire(timeout=20)
        house.ledger.step()
    with house.store.reading():
        assert TaskLog.select().where(TaskLog.result == "success").count() == 200
        assert TaskLog.select(TaskLog.task_key).distinct().count() == 200


def test_a_run_that_ends_with_the_next_due_time_is_not_in_its_way(house: LedgerHouse) -> None:
    """Both are in one commit: the row of the first tells an end before the second was due."""
    house.act.does = lambda params, context: None
    house.add(trigger={"type": "interval", "minutes": 10})
    house.due()
    assert house.ended.acquire(timeout=10)
    house.clock.advance(600)
    house.inbox.due(1)
    house.ledger.step()
    assert house.ended.acquire(timeout=10)
    house.ledger.step()
    assert [row.result for row in house.rows()] == ["success", "success"]


def test_runs_that_were_claimed_and_have_not_begun_are_queued_again_as_if_never_claimed(house: LedgerHouse) -> None:
    gate = Gate()
    house.act.does = gate
    house.add("a", options={"overlap": "allow"})
    house.due()
    gate.entered()
    begun = house.rows()[0]
    house.due()
    claimed = next(row for row in house.rows() if row.id != begun.id)
    house.inbox.back([house.runner.running()[claimed.id].run])
    house.ledger.claiming = False
    house.ledger.step()
    row, task = house.rows(id=claimed.id)[0], house.task("a")
    assert (row.result, row.started_at, row.owner, row.at) == ("queued", None, None, claimed.scheduled_at)
    assert (task.run_count, task.last_run_at) == (1, house.rows(id=begun.id)[0].started_at)
    gate.go.set()


def test_a_run_put_back_is_cancelled_if_its_task_is_gone(house: LedgerHouse) -> None:
    gate = Gate()
    house.act.does = gate
    house.add("a")
    house.due()
    gate.entered()
    row = house.rows()[0]
    house.tasks.delete("a")
    with house.store.writing():
        put_back(house.store, [(row.id, row.task_key)], house.clock.now())
    found = house.rows()[0]
    assert (found.result, found.reason, found.finished_at) == ("cancelled", {"code": "deleted"}, house.clock.now())
    gate.go.set()


def test_allow_queues_no_more_than_a_hundred(house: LedgerHouse) -> None:
    gate = Gate()
    house.act.does = gate
    house.add("a", trigger={"type": "interval", "seconds": 1}, options={"overlap": "allow"})
    for _ in range(120):
        house.due(1)
    results = [row.result for row in house.rows()]
    assert (results.count("running"), results.count("queued"), results.count("skipped")) == (4, 100, 16)
    gate.go.set()


def test_a_queued_run_that_somebody_cancelled_keeps_no_place(house: LedgerHouse) -> None:
    gate = Gate()
    house.act.does = gate
    for number in range(4):
        house.add(f"other{number}")
    house.due()
    for _ in range(4):
        gate.entered()
    house.add("a", trigger={"type": "interval", "hours": 9})
    queued = house.tasks.run("a")
    house.look()
    assert house.rows(id=queued)[0].result == "queued"
    LogService(house.store, house.settings, house.clock).stop(queued)
    house.look()
    again = house.tasks.run("a")
    house.look()
    gate.go.set()
    house.finish(4)
    house.finish()
    assert [house.rows(id=log_id)[0].result for log_id in (queued, again)] == ["cancelled", "success"]
