"""Where runs wait: a state machine against the rules in plain words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dashboard.engine.board import LONGEST_QUEUE, Board
from dashboard.engine.definition import Run
from dashboard.engine.seats import Seats

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def a_run(log_id: int, key: int = 1, overlap: str = "skip", **changes: Any) -> Run:
    values: dict[str, Any] = {
        "log_id": log_id, "key": key, "task_id": f"t{key}", "type": "send_cmd", "params": {},
        "options": {"overlap": overlap}, "cause": "schedule", "attempt": 1, "scheduled_at": NOW,
        "occurrence_at": NOW}
    return Run(**{**values, **changes})


@pytest.mark.parametrize(("overlap", "active", "room"), [
    ("skip", 0, "start"), ("skip", 1, "skip"), ("queue", 0, "start"), ("queue", 1, "wait"), ("allow", 3, "start")])
def test_overlap(overlap: str, active: int, room: str) -> None:
    board = Board()
    for log_id in range(active):
        board.began(a_run(log_id))
    assert board.has_room(1, overlap) == room


def test_a_claim_of_the_same_batch_counts() -> None:
    assert Board().has_room(1, "skip", planned=1) == "skip"


def test_the_queue_of_one_task_is_bounded() -> None:
    board = Board()
    for log_id in range(LONGEST_QUEUE + 1):
        assert board.has_room(1, "queue") != "skip"
        board.arrive(a_run(log_id, overlap="queue"))
    assert board.has_room(1, "queue") == "skip"


def test_the_next_one_is_ready_when_the_one_before_it_ends() -> None:
    board = Board()
    first, second = a_run(1), a_run(2)
    board.arrive(first)
    board.arrive(second)
    assert board.took(1, {1}) == [first] and not board.ready
    board.ended(1)
    assert list(board.ready) == [second]


def test_a_run_that_was_cancelled_meanwhile_makes_room() -> None:
    board = Board()
    board.arrive(a_run(1))
    board.arrive(a_run(2))
    assert board.took(1, set()) == []
    assert [run.log_id for run in board.ready] == [2]


def test_delayed_runs_come_in_their_order() -> None:
    board = Board()
    late, soon = (a_run(n, scheduled_at=NOW + timedelta(seconds=n)) for n in (9, 3))
    board.delay(late)
    board.delay(soon)
    assert board.next_delayed() == soon.scheduled_at
    assert board.matured(NOW + timedelta(seconds=2)) == []
    assert board.matured(NOW + timedelta(seconds=10)) == [soon, late]


def test_a_pause_holds_what_is_queued_but_not_what_somebody_asked_for() -> None:
    board = Board()
    asked = a_run(1, overlap="allow", cause="manual")
    queued = a_run(2, overlap="allow")
    board.arrive(asked)
    board.arrive(queued)
    board.pause(1)
    assert list(board.ready) == [asked]
    assert board.knows(2)
    assert board.release(1) == [queued]
    assert board.active[1] == 1


def test_a_pause_leaves_a_run_that_somebody_asked_for_in_its_place() -> None:
    board = Board()
    first = a_run(1, overlap="queue")
    board.arrive(first)
    assert board.took(1, {1}) == [first]
    board.arrive(a_run(2, overlap="queue"))
    board.arrive(a_run(3, overlap="queue", cause="manual"))
    board.pause(1)
    board.ended(1)
    assert [run.log_id for run in board.ready] == [3]
    assert [run.log_id for run in board.release(1)] == [2]


def test_a_pause_that_takes_the_ready_run_lets_the_one_behind_it_come() -> None:
    board = Board()
    board.arrive(a_run(1, overlap="queue"))
    board.arrive(a_run(2, overlap="queue", cause="manual"))
    board.pause(1)
    assert [run.log_id for run in board.ready] == [2] and board.active[1] == 1


def test_nothing_is_left_of_a_task_that_is_gone() -> None:
    board = Board()
    board.arrive(a_run(1))
    board.arrive(a_run(2))
    board.delay(a_run(3, scheduled_at=NOW + timedelta(hours=1)))
    board.hold(a_run(4))
    board.arrive(a_run(5, key=2))
    board.forget([1])
    assert [run.log_id for run in board.ready] == [5]
    assert board.queued() == 1 and board.next_delayed() is None and board.release(1) == []
    assert dict(board.active) == {2: 1} and not board._waiting and not board._held


class OneTaskAtATime(RuleBasedStateMachine):
    """Whatever comes and goes: without ``allow``, never two runs of one task at once, and none is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Board()
        self.ids = 0
        self.running: list[Run] = []
        self.over = 0

    @rule(key=st.integers(1, 3), overlap=st.sampled_from(["skip", "queue"]))
    def arrive(self, key: int, overlap: str) -> None:
        self.ids += 1
        self.board.arrive(a_run(self.ids, key, overlap))

    @rule(count=st.integers(0, 3))
    def start(self, count: int) -> None:
        count = min(count, len(self.board.ready))
        ids = {run.log_id for run in list(self.board.ready)[:count]}
        self.running += self.board.took(count, ids)

    @rule(which=st.integers(0, 5))
    def end(self, which: int) -> None:
        if self.running:
            run = self.running.pop(which % len(self.running))
            self.board.ended(run.key)
            self.over += 1

    @rule(key=st.integers(1, 3))
    def pause_and_go_on(self, key: int) -> None:
        self.board.pause(key)
        for run in self.board.release(key):
            self.board.arrive(run)

    @rule(key=st.integers(1, 3))
    def forget(self, key: int) -> None:
        gone = sum(run.key == key for run in self.board.ready) + len(self.board._waiting.get(key, ()))
        self.board.forget([key])
        self.over += gone

    @invariant()
    def one_at_a_time(self) -> None:
        keys = [run.key for run in self.running]
        assert len(keys) == len(set(keys))

    @invariant()
    def none_lost(self) -> None:
        assert self.board.queued() + len(self.running) + self.over == self.ids

    @invariant()
    def none_stuck(self) -> None:
        busy = {run.key for run in self.running} | {run.key for run in self.board.ready}
        assert all(key in busy for key in self.board.active)
        assert all(key in busy for key in self.board._waiting)


TestOneTaskAtATime = OneTaskAtATime.TestCase


def test_seats_are_free_workers_first_then_quick_types_only() -> None:
    seats = Seats(free=1, lively=2, usual={"quick": 0.04, "slow": 5.0}, pending=0.0)
    assert seats.take("slow")
    assert not seats.take("slow")
    assert not seats.take("never seen")
    assert [seats.take("quick") for _ in range(6)] == [True, True, True, True, False, False]


def test_no_worker_is_expected_to_be_free_soon() -> None:
    assert not Seats(free=0, lively=0, usual={"quick": 0.001}, pending=0.0).take("quick")
