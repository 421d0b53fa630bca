"""What is done every now and then, free space, and the inbox of the ledger."""

import logging
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dashboard.engine.disk import Disk
from dashboard.engine.inbox import Inbox, News
from dashboard.engine.keeper import WAL_BYTES, Checkpoints, Loop
from dashboard.errors import StoreBusy
from dashboard.models import Meta
from dashboard.models.store import Store
from tests.factories import SCHEDULED_AT as NOW
from tests.factories import HandClock, make_store

# --- loops ------------------------------------------------------------------------------------------------------


def test_a_loop_outlives_what_its_look_raises(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("dashboard.engine.keeper.LOOK_SECONDS", 0.001)
    looks: list[int] = []
    done = threading.Event()

    def look() -> float:
        looks.append(1)
        if len(looks) < 3:
            raise MemoryError
        done.set()
        return 60.0
    loop = Loop("dingshi-test", look)
    with caplog.at_level(logging.ERROR, "dingshi.scheduler"):
        loop.start()
        assert done.wait(5)
    begun = time.monotonic()
    loop.stop(5)
    assert time.monotonic() - begun < 1 and loop.stopping()  # it does not sit out its minute
    assert caplog.messages == ["dingshi-test failed; it goes on"] * 2
    assert len(looks) == 3


def test_a_loop_that_never_ran_can_be_stopped() -> None:
    loop = Loop("dingshi-test", lambda: 1.0)
    loop.stop(5)
    assert loop.stopping()


# --- checkpoints ------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    yield made
    made.close()


def grow(store: Store, size: int) -> None:
    with store.writing():
        Meta.insert(name="x", value="x" * size).on_conflict_replace().execute()


def in_the_file(store: Store) -> int:
    return store.path.stat().st_size


def test_a_log_that_has_grown_is_moved_into_the_store(store: Store) -> None:
    checkpoints = Checkpoints(store, HandClock())
    before = in_the_file(store)
    grow(store, 1000)
    checkpoints.look()
    assert in_the_file(store) == before
    grow(store, WAL_BYTES)
    checkpoints.look()
    assert in_the_file(store) > before + WAL_BYTES


def test_once_a_minute_it_is_moved_however_small_it_is(store: Store) -> None:
    clock = HandClock()
    checkpoints = Checkpoints(store, clock)
    before = in_the_file(store)
    grow(store, 50_000)
    clock.advance(60)
    checkpoints.look()
    assert in_the_file(store) == before
    clock.advance(1)
    checkpoints.look()
    assert in_the_file(store) > before


def test_a_checkpoint_that_others_hinder_is_put_off(
        store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    grow(store, WAL_BYTES + 1)

    def busy() -> None:
        raise StoreBusy("locked")
    monkeypatch.setattr(store, "checkpoint", busy)
    with caplog.at_level(logging.WARNING, "dingshi.scheduler"):
        Checkpoints(store, HandClock()).look()
    assert caplog.messages == ["checkpoint put off: locked"]


def test_without_a_log_there_is_nothing_to_move(tmp_path: Path) -> None:
    Checkpoints(Store(tmp_path / "task.db"), HandClock()).look()
    assert not list(tmp_path.iterdir())


# --- free space -------------------------------------------------------------------------------------------------


class Space:
    """What ``shutil.disk_usage`` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free: int | OSError = 10**12
        self.asked = 0
        monkeypatch.setattr(shutil, "disk_usage", self.usage)

    def usage(self, folder: Any) -> SimpleNamespace:
        self.asked += 1
        if isinstance(self.free, OSError):
            raise self.free
        return SimpleNamespace(free=self.free)


def test_low_is_below_the_floor_told_once_and_over_when_there_is_room(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    space, clock = Space(monkeypatch), HandClock()
    disk = Disk(tmp_path, 64, clock)
    found = []
    with caplog.at_level(logging.INFO, "dingshi.scheduler"):
        for free in (65 << 20, 64 << 20, (64 << 20) - 1, 0, OSError(5, "I/O"), 63 << 20, 64 << 20, 10**12):
            space.free = free
            clock.advance(1)
            found.append(disk.low())
            assert disk.is_low == found[-1]
    assert found == [False, False, True, True, True, True, False, False]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING", "INFO"]
    assert str(tmp_path) in caplog.messages[0]


def test_the_disk_is_looked_at_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space, clock = Space(monkeypatch), HandClock()
    disk = Disk(tmp_path, 64, clock)
    for _ in range(30):
        disk.low()
        clock.advance(0.1)
    assert space.asked in (3, 4)


# --- the inbox --------------------------------------------------------------------------------------------------


def test_what_is_told_is_taken_once() -> None:
    inbox = Inbox()
    assert inbox.take() == News() and News().empty()
    inbox.due(1)
    inbox.due(1)
    inbox.due(2)
    inbox.idle(3, NOW)
    inbox.idle(3, NOW.replace(year=2030))  # the first time counts
    inbox.started(7, [[10, 1.5]])
    inbox.started(7, [[10, 1.5], [11, 2.5]])
    inbox.look()
    assert inbox.take() == News(due={1, 2}, idle={3: NOW}, processes={7: [[10, 1.5], [11, 2.5]]}, look=True)
    assert inbox.take().empty()


def test_what_was_kept_takes_in_what_came_later() -> None:
    kept = News(due={1}, idle={3: NOW}, processes={7: [[1, 1.0]]})
    kept.add(News(due={2}, idle={3: NOW.replace(year=2030), 4: NOW}, processes={7: [[1, 1.0], [2, 2.0]]}, look=True))
    kept.add(News())
    assert kept == News(due={1, 2}, idle={3: NOW, 4: NOW}, processes={7: [[1, 1.0], [2, 2.0]]}, look=True)
    assert not kept.empty()


def test_who_waits_is_woken_at_once_and_news_that_came_before_is_not_waited_for() -> None:
    inbox = Inbox()
    inbox.look()
    begun = time.monotonic()
    inbox.wait(60)
    inbox.take()
    threading.Timer(0.02, inbox.due, (1,)).start()
    inbox.wait(60)
    assert time.monotonic() - begun < 5 and inbox.take().due == {1}
    inbox.wait(0.01)
    assert inbox.take().empty()
