"""When ``tasks.pkl`` is written: soon after a change, once a minute for counters, at the stop."""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dashboard.clock import SystemClock
from dashboard.engine import snapshot
from dashboard.engine.snapshotter import RETRY_SECONDS, Snapshotter
from tests.factories import HandClock


def content(number: int = 0) -> dict[str, Any]:
    return {"version": 1, "store_id": str(number), "written_at": "2026-11-23T10:00:00.000Z", "tasks": []}


class House:
    """A snapshotter whose content is the number of times it was asked."""

    def __init__(self, folder: Path, clock: Any = None) -> None:
        self.path = folder / "tasks.pkl"
        self.clock = clock or HandClock()
        self.asked = 0
        self.before: Callable[[], object] = lambda: None
        self.snapshotter = Snapshotter(self.path, self.collect, self.clock)

    def collect(self) -> dict[str, Any]:
        self.before()
        self.asked += 1
        return content(self.asked)

    def written(self) -> int:
        return int(snapshot.read(self.path)["store_id"])


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_nothing_is_due_until_something_changes(house: House) -> None:
    assert house.snapshotter.wait() == float("inf")


def test_a_definition_waits_half_a_second_and_many_wait_no_longer(house: House) -> None:
    house.snapshotter.touch_definition()
    assert house.snapshotter.wait() == 0.5
    for _ in range(4):
        house.clock.advance(0.1)
        house.snapshotter.touch_definition()
    assert house.snapshotter.wait() == pytest.approx(0.1)
    house.clock.advance(0.1)
    assert house.snapshotter.wait() == pytest.approx(0)
    assert house.snapshotter.write() and house.written() == 1
    assert house.snapshotter.wait() == float("inf")


def test_counters_alone_are_written_once_a_minute(house: House) -> None:
    house.snapshotter.write()
    times = []
    for _ in range(600):  # ten minutes in which a run ends each second
        house.clock.advance(1)
        house.snapshotter.touch_counters()
        if house.snapshotter.wait() <= 0:
            house.snapshotter.write()
            times.append(house.clock.steady)
    assert len(times) == 10
    assert min(b - a for a, b in pairwise(times)) >= 60


def test_a_definition_does_not_wait_for_the_minute(house: House) -> None:
    house.snapshotter.write()
    house.snapshotter.touch_counters()
    assert house.snapshotter.wait() == 60
    house.snapshotter.touch_definition()
    assert house.snapshotter.wait() == 0.5


def test_counters_that_come_long_after_the_last_write_are_written_soon(house: House) -> None:
    house.snapshotter.write()
    house.clock.advance(3600)
    house.snapshotter.touch_counters()
    assert house.snapshotter.wait() == 0.5


@pytest.mark.parametrize("fault", ["collect", "path"])
def test_a_failure_is_told_once_and_tried_again(house: House, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise RuntimeError("the store does not answer")
    if fault == "collect":
        house.before = fails
    else:
        house.path.mkdir()
        (house.path / "in the way").touch()
    with caplog.at_level(logging.INFO, "dingshi.snapshot"):
        for _ in range(3):
            assert not house.snapshotter.write()
            assert house.snapshotter.problem
            assert house.snapshotter.wait() == RETRY_SECONDS
            house.clock.advance(RETRY_SECONDS)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        house.before = lambda: None
        if fault == "path":
            (house.path / "in the way").unlink()
            house.path.rmdir()
        assert house.snapshotter.wait() == 0
        assert house.snapshotter.write()
    assert house.snapshotter.problem == ""
    assert caplog.records[-1].getMessage() == "snapshot is written again"
    assert house.snapshotter.wait() == float("inf")


def test_what_takes_long_to_write_is_written_less_often(house: House) -> None:
    house.before = partial(house.clock.advance, 2)
    house.snapshotter.write()
    house.snapshotter.touch_definition()
    assert house.snapshotter.wait() == 6  # three times as long as it took
    house.before = lambda: None
    house.clock.advance(6)
    house.snapshotter.write()
    house.snapshotter.touch_definition()
    assert house.snapshotter.wait() == 0.5


def test_the_thread_writes_within_a_second_of_a_change(tmp_path: Path) -> None:
    house = House(tmp_path, SystemClock())
    house.snapshotter.start()
    house.snapshotter.touch_definition()
    changed = time.monotonic()
    while not house.path.exists():
        assert time.monotonic() - changed < 1
        time.sleep(0.01)
    house.snapshotter.stop()
    assert house.written() == 2


def test_a_failure_of_any_kind_does_not_end_the_thread(tmp_path: Path) -> None:
    house = House(tmp_path)  # its clock stands: nothing is due but at the stop
    failed = threading.Event()

    def fails() -> None:
        failed.set()
        raise MemoryError
    house.before = fails
    house.snapshotter.start()
    house.snapshotter.touch_definition()
    house.clock.advance(1)
    house.snapshotter.touch_definition()
    assert failed.wait(5)
    house.before = lambda: None
    house.snapshotter.stop()
    assert house.written() == 1


def test_what_changes_while_it_writes_is_written_at_the_stop(tmp_path: Path) -> None:
    house = House(tmp_path)
    inside, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        inside.set()
        assert go_on.wait(5)
    house.before = slow
    house.snapshotter.start()
    house.snapshotter.touch_definition()
    house.clock.advance(1)
    house.snapshotter.touch_definition()
    assert inside.wait(5)
    stopping = threading.Thread(target=house.snapshotter.stop)
    stopping.start()  # while content that is old by now is being written
    while not house.snapshotter._stopping:
        time.sleep(0.001)
    go_on.set()
    stopping.join(5)
    assert house.written() == house.asked == 2


def test_it_can_be_stopped_before_it_began(house: House) -> None:
    house.snapshotter.stop()
    assert not house.path.exists()
