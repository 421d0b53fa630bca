"""APScheduler's ways to die, each closed. Real threads and the real clock where a due time must come."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from apscheduler.jobstores.memory import MemoryJobStore

from dashboard.clock import SystemClock
from dashboard.engine.scheduler import LONGEST_WAIT, GuardedScheduler
from dashboard.triggers.contract import Missed, Timetable
from tests.factories import HandClock


class Table:
    """A timetable each 50 ms, of which the test may take a method over."""

    STEP = timedelta(milliseconds=50)

    def __init__(self, after: Callable[[datetime], datetime | None] | None = None) -> None:
        self.origin = datetime.now(UTC)
        self.after: Callable[[datetime], datetime | None] = after or self._after

    def _after(self, instant: datetime) -> datetime | None:
        return self.origin + ((instant - self.origin) // self.STEP + 1) * self.STEP

    def passed(self, start: datetime, until: datetime, cap: int = 100_000) -> Missed | None:
        return Missed(1, start, start + (until - start) // self.STEP * self.STEP)


class House:
    """A scheduler; ``came`` holds the keys that it said were due."""

    def __init__(self) -> None:
        self.came: queue.Queue[int] = queue.Queue()
        self.told: Callable[[int], None] = self.came.put
        self.scheduler = GuardedScheduler(self.due, SystemClock())

    def due(self, key: int) -> None:
        self.told(key)

    def put(self, key: int, table: Timetable | None = None, after: float = 0.05) -> None:
        self.scheduler.put(key, f"t{key}", table or Table(), datetime.now(UTC) + timedelta(seconds=after))

    def next(self, key: int, seconds: float = 3) -> None:
        """Waits until this task is due again."""
        limit = time.monotonic() + seconds
        while self.came.get(timeout=max(0.0, limit - time.monotonic())) != key:
            pass


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    made.scheduler.start()
    yield made
    if made.scheduler.running:
        made.scheduler.shutdown(wait=False)


def test_it_tells_what_is_due_again_and_again(house: House) -> None:
    house.put(1)
    for _ in range(3):
        house.next(1)


def raising(instant: datetime) -> datetime | None:
    raise RuntimeError("no such day")


@pytest.mark.parametrize(("after", "why"), [
    (raising, "RuntimeError: no such day"), (lambda instant: instant, "does not follow"),
    (lambda instant: instant - timedelta(hours=1), "does not follow"), (lambda instant: "noon", "TypeError")])
def test_a_trigger_that_fails_ends_its_own_schedule_alone(
        house: House, after: Any, why: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "dingshi.scheduler"):
        house.put(1, Table(after))
        house.next(1)  # this due time was known
        house.put(2)
        house.next(2)
        house.next(2)
    assert house.scheduler.get_job("1") is None
    assert why in house.scheduler.broken[1]
    assert "id=t1" in caplog.text and 2 not in house.scheduler.broken
    assert house.came.empty() or 1 not in list(house.came.queue)


def test_what_is_put_anew_or_dropped_is_broken_no_more(house: House) -> None:
    for key in (1, 2):
        house.put(key, Table(raising))
        house.next(key)
    while len(house.scheduler.broken) < 2:
        time.sleep(0.001)
    house.put(1)
    house.scheduler.drop(2)
    assert house.scheduler.broken == {}
    house.next(1)


def test_a_trigger_that_ends_removes_its_job_and_no_more(house: House) -> None:
    house.put(1, Table(lambda instant: None))
    house.next(1)
    house.put(2)
    house.next(2)
    assert house.scheduler.get_job("1") is None and house.scheduler.broken == {}


@pytest.mark.parametrize("method", ["get_due_jobs", "update_job", "remove_job", "get_next_run_time"])
def test_a_pass_that_raises_is_followed_by_the_next(
        house: House, method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()

    def fails(*_: Any) -> Any:
        failed.set()
        raise MemoryError("no room")
    with caplog.at_level(logging.ERROR, "dingshi.scheduler"), monkeypatch.context() as patched:
        patched.setattr(MemoryJobStore, method, fails)
        house.put(1, Table(lambda instant: None) if method == "remove_job" else None)
        assert failed.wait(3)
    house.put(2)
    house.next(2, seconds=3)
    assert house.scheduler._thread.is_alive()


def test_an_executor_that_raises_loses_its_own_due_time_alone(house: House) -> None:
    def told(key: int) -> None:
        if key == 1:
            raise RuntimeError("no")
        house.came.put(key)
    house.told = told
    house.put(1)
    house.put(2)
    house.next(2)
    house.told = house.came.put
    house.next(1)


def test_each_pass_waits_a_second_at_most_and_says_that_it_lives(house: House) -> None:
    assert house.scheduler._process_jobs() == LONGEST_WAIT  # nothing to do
    house.put(1, after=3600)
    assert house.scheduler._process_jobs() == LONGEST_WAIT
    house.put(2, after=0.3)
    assert 0 <= house.scheduler._process_jobs() <= 0.3
    before = house.scheduler.last_tick
    limit = time.monotonic() + 3
    house.scheduler.drop(2)
    while house.scheduler.last_tick - before < 0.9:  # nobody wakes it
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_task_put_again_a_moment_late_keeps_the_due_time_that_was_meant(house: House) -> None:
    """Who puts it has looked at the clock a moment ago; the due time may have come meanwhile."""
    house.put(1, after=3600)
    house.put(1, Table(lambda instant: instant + timedelta(hours=1)), after=-0.005)
    house.next(1, seconds=0.5)


def test_a_task_whose_job_ends_while_it_is_changed_gets_a_new_one(house: House) -> None:
    ended = threading.Event()
    house.told = lambda key: ended.set()
    for _ in range(20):
        ended.clear()
        house.put(1, Table(lambda instant: None), after=0.0)
        house.put(1, Table(lambda instant: None), after=0.001)
        assert ended.wait(1)
    house.told = house.came.put
    house.put(1)
    house.next(1)


def test_a_task_whose_job_is_gone_a_moment_after_it_was_there(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.put(1, after=3600)
    house.scheduler.remove_job("1")  # APScheduler's own thread does so when a trigger has ended
    house.put(1)
    house.next(1)


def test_no_count_is_kept_of_jobs_that_are_over(house: House) -> None:
    executor = house.scheduler._lookup_executor("default")
    for key in range(100):
        house.put(key, Table(lambda instant: None), after=0)
    for key in range(100):
        house.next(key)
    assert not executor._instances and house.scheduler.get_jobs() == []


def test_a_jump_of_the_clock_is_told(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandClock()
    scheduler = GuardedScheduler(lambda key: None, clock)
    with caplog.at_level(logging.WARNING, "dingshi.scheduler"):
        for _ in range(100):
            clock.advance(60)  # a pass may take its time
            scheduler._tick()
        clock.jump(5.0)
        scheduler._tick()
        assert caplog.records == []
        clock.jump(3600)
        scheduler._tick()
        clock.jump(-3600)
        scheduler._tick()
        scheduler._tick()
    assert [record.getMessage() for record in caplog.records] == [
        "clock jumped by 3600.0 s (changed, or the machine slept)",
        "clock jumped by -3600.0 s (changed, or the machine slept)"]


def test_what_is_due_after_a_jump_is_told_within_two_seconds(house: House) -> None:
    house.put(1, after=3600)
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=3601), tick=True):
        house.next(1, seconds=2)


def test_a_long_sleep_of_the_machine_is_no_enumeration(house: House) -> None:
    asked = []
    table = Table()

    def after(instant: datetime) -> datetime | None:
        asked.append(instant)
        return table._after(instant)
    house.put(1, Table(after), after=3600)
    with time_machine.travel(datetime.now(UTC) + timedelta(days=30), tick=True):
        house.next(1, seconds=2)
    assert len(asked) < 100  # of 50 million due times
