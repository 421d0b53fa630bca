"""Another time zone in the settings moves due times that are to come, and no others."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dashboard.engine.rezone import rezone
from dashboard.models import Task
from dashboard.models.store import Store
from dashboard.services.task_service import TaskService
from tests.factories import HandClock, a_task, make_settings, make_store

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
SHANGHAI, NEW_YORK = ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = make_store(tmp_path)
    tasks = TaskService(store, make_settings(tmp_path), HandClock(NOW))
    tasks.create_all([
        a_task(id="eight", trigger={"type": "cron", "expression": "08:00"}),
        a_task(id="span", trigger={"type": "interval", "hours": 1}),
        a_task(id="offset", trigger={"type": "date", "run_date": "2026-12-01T08:00:00+08:00"}),
        a_task(id="once", trigger={"type": "date", "run_date": "2026-12-01 08:00:00"}),
        a_task(id="idle", trigger={"type": "idle"})])
    assert rezone(store, SHANGHAI, NOW) == 0
    yield store
    store.close()


def due(store: Store) -> dict[str, datetime | None]:
    with store.reading():
        return {task.id: task.next_run_at for task in Task.select()}


def test_times_of_day_move_and_spans_do_not(store: Store) -> None:
    before = due(store)
    assert before["eight"] == datetime(2026, 11, 24, 0, 0, tzinfo=UTC)
    assert rezone(store, NEW_YORK, NOW) == 2
    after = due(store)
    assert after["eight"] == datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
    assert after["once"] == datetime(2026, 12, 1, 13, 0, tzinfo=UTC)
    assert {name: after[name] for name in ("span", "offset", "idle")} == {
        name: before[name] for name in ("span", "offset", "idle")}


def test_once_told_it_is_not_done_again(store: Store) -> None:
    rezone(store, NEW_YORK, NOW)
    moved = due(store)
    assert rezone(store, NEW_YORK, NOW + timedelta(days=3)) == 0
    assert due(store) == moved


def test_what_has_passed_keeps_its_time_and_gets_its_row(store: Store) -> None:
    before = due(store)
    assert rezone(store, NEW_YORK, NOW + timedelta(days=1)) == 1  # once alone; eight has passed
    assert due(store)["eight"] == before["eight"]


def test_what_the_new_zone_puts_into_the_past_keeps_its_time(store: Store) -> None:
    """Else it would have no due time, and never a row."""
    with store.writing():
        Task.update(trigger={"type": "date", "run_date": "2026-11-23 19:00:00"},
                    next_run_at=datetime(2026, 11, 23, 11, 0, tzinfo=UTC)).where(Task.id == "once").execute()
    rezone(store, ZoneInfo("Pacific/Auckland"), NOW)
    assert due(store)["once"] == datetime(2026, 11, 23, 11, 0, tzinfo=UTC)


def test_one_that_cannot_be_read_stops_no_other(store: Store) -> None:
    with store.writing():
        Task.update(trigger={"type": "moon"}).where(Task.id == "once").execute()
    assert rezone(store, NEW_YORK, NOW) == 1
    assert due(store)["eight"] == datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
