"""What becomes of due times that have come, against counting them one by one."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import triggers
from dashboard.engine.definition import Definition
from dashboard.engine.due import plan

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
GRACE = timedelta(seconds=60)


def definition(next_run_at: datetime | None, **changes: Any) -> Definition:
    trigger = {"type": "interval", "seconds": 10}
    values: dict[str, Any] = {
        "key": 1, "id": "a", "type": "send_cmd", "trigger": trigger, "params": {},
        "options": {"missed": "run_once"}, "paused": False, "revision": 1,
        "timetable": triggers.build(trigger, ZoneInfo("UTC"), START), "next_run_at": next_run_at}
    return Definition(**{**values, **changes})


@pytest.mark.parametrize("task", [
    definition(START + timedelta(seconds=10)), definition(None),
    definition(START - timedelta(seconds=10), paused=True), definition(START, timetable=None)],
    ids=["not yet", "never", "paused", "no timetable"])
def test_nothing_is_due(task: Definition) -> None:
    assert plan(task, START, GRACE) is None


@given(late_ms=st.integers(0, 400_000), first=st.integers(1, 20), policy=st.sampled_from(["run_once", "skip"]))
def test_every_due_time_is_run_or_told_once(late_ms: int, first: int, policy: str) -> None:
    start = START + first * timedelta(seconds=10)
    now = start + timedelta(milliseconds=late_ms)
    slots = [start + k * timedelta(seconds=10) for k in range(late_ms // 10_000 + 1)]
    found = plan(definition(start, options={"missed": policy}), now, GRACE)
    assert found is not None
    told = found.missed.count if found.missed else 0
    assert told + (found.run_at is not None) == len(slots)
    assert found.next_run_at == slots[-1] + timedelta(seconds=10)
    in_time = now - slots[-1] <= GRACE
    assert in_time  # a 10 s grid never is a minute late: see the next test for the policies
    assert found.run_at == slots[-1]
    if found.missed:
        assert (found.missed.first, found.missed.last) == (slots[0], slots[-2])


@pytest.mark.parametrize(("policy", "run_at", "cause", "missed"), [
    ("run_once", 7200, "catchup", 1), ("skip", None, "schedule", 2)])
def test_what_is_too_late_follows_the_policy(policy: str, run_at: int | None, cause: str, missed: int) -> None:
    trigger = {"type": "interval", "hours": 1}
    task = definition(START + timedelta(hours=1), trigger=trigger, options={"missed": policy},
                      timetable=triggers.build(trigger, ZoneInfo("UTC"), START))
    found = plan(task, START + timedelta(hours=2, minutes=5), GRACE)
    assert found is not None and found.missed is not None
    assert found.run_at == (None if run_at is None else START + timedelta(seconds=run_at))
    assert (found.cause, found.missed.count) == (cause, missed)
    assert found.next_run_at == START + timedelta(hours=3)


def test_a_clock_set_back_repeats_nothing() -> None:
    task = definition(START + timedelta(seconds=10))
    first = plan(task, START + timedelta(seconds=10), GRACE)
    assert first is not None
    task.next_run_at = first.next_run_at
    assert plan(task, START - timedelta(hours=1), GRACE) is None


def test_a_known_due_time_that_the_timetable_knows_no_more_is_told_all_the_same() -> None:
    """Another time zone: 11:00 was due, and the new timetable has nothing between it and now."""
    daily = {"type": "cron", "expression": "08:00"}
    task = definition(START + timedelta(hours=1), trigger=daily,
                      timetable=triggers.build(daily, ZoneInfo("UTC"), START))
    found = plan(task, START + timedelta(hours=1, seconds=5), GRACE)
    assert found is not None
    assert (found.run_at, found.cause) == (START + timedelta(hours=1), "schedule")
    assert found.next_run_at is not None and found.next_run_at > START + timedelta(hours=1)
