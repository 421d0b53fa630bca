"""Tasks of files against a store: what is new, what is there already, and every error at once."""

import unicodedata
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboard.errors import Invalid
from dashboard.i18n import speaking
from dashboard.models import Task, TaskLog
from dashboard.services.task_import import new_ones
from dashboard.services.task_service import TaskService
from tests.factories import HandClock, a_task, make_settings, make_store

SOON = {"type": "date", "run_date": "2026-11-23 18:00:30"}  # half a minute after the clock's beginning


@pytest.fixture
def service(tmp_path: Path) -> Iterator[TaskService]:
    store = make_store(tmp_path)
    yield TaskService(store, make_settings(tmp_path), HandClock())
    store.close()


def rows(service: TaskService) -> list[dict[str, Any]]:
    with service.store.reading():
        assert TaskLog.select().count() == 0
        return [row.__data__ for row in Task.select().order_by(Task.key)]


def refused(service: TaskService, *documents: Any, taken: set[str] | None = None) -> dict[str, list[str]]:
    before = rows(service)
    with pytest.raises(Invalid) as caught:
        new_ones(service, documents, taken)
    assert rows(service) == before
    return caught.value.errors


def test_all_are_new_in_an_empty_store_and_none_once_they_are_there(service: TaskService) -> None:
    documents = [a_task(id="a"), a_task(id="备份", trigger=SOON, options={"retries": 1}), a_task(id="c", paused=True)]
    assert new_ones(service, documents) == documents
    assert rows(service) == []  # looking creates nothing
    service.create_all(documents)
    assert new_ones(service, documents) == []
    assert new_ones(service, [*documents, a_task(id="d")]) == [a_task(id="d")]


def test_the_same_definition_in_another_spelling_is_the_same(service: TaskService) -> None:
    name = unicodedata.normalize("NFC", "café")
    service.create(a_task(id=name, trigger={"type": "cron", "expression": "8:05"}, options={}))
    other = unicodedata.normalize("NFD", name)
    assert other != name
    assert new_ones(service, [a_task(id=other, trigger={"type": "cron", "expression": "08:05"}, paused=True)]) == []


def test_a_task_that_is_there_is_not_refused_for_its_past(service: TaskService) -> None:
    documents = [a_task(id="once", trigger=SOON)]
    service.create_all(documents)
    assert isinstance(service.clock, HandClock)
    service.clock.advance(3600)
    assert new_ones(service, documents) == []
    assert "tasks.1.trigger.run_date" in refused(service, *documents, a_task(id="again", trigger=SOON))


@pytest.mark.parametrize("changes", [
    {"trigger": {"type": "interval", "minutes": 16}}, {"params": {"command": ["false"]}}, {"options": {"retries": 2}},
    {"type": "http_request", "params": {"url": "https://example.com"}},
])
def test_another_definition_under_a_name_that_is_taken_is_an_error(service: TaskService, changes: Any) -> None:
    service.create(a_task(id="x"))
    errors = refused(service, a_task(id="new"), a_task(id="x", **changes))
    assert list(errors) == ["tasks.1.id"]
    assert "python run.py task edit x" in errors["tasks.1.id"][0]
    with speaking("zh"):
        assert "已有任务 x" in refused(service, a_task(id="x", **changes))["tasks.0.id"][0]


def test_every_error_of_every_task_at_once(service: TaskService) -> None:
    service.create(a_task(id="there"))
    errors = refused(
        service, a_task(id="good"), a_task(id="a b"), a_task(trigger={"type": "cron", "expression": "25:60"}), 7,
        a_task(id="there", params={}), a_task(id="good"), a_task(id="x", colour="red", options={"retries": -1}),
        {"id": "bare"}, a_task(id=["x"]), a_task(id="there", params={"command": ["no"]}))
    assert set(errors) == {
        "tasks.1.id", "tasks.2.trigger.expression", "tasks.3.task", "tasks.4.params.command", "tasks.5.id",
        "tasks.6.colour", "tasks.6.options.retries", "tasks.7.type", "tasks.7.trigger", "tasks.8.id", "tasks.9.id"}
    assert "occurs twice" in errors["tasks.5.id"][0]


def test_an_id_of_an_earlier_file_is_taken(service: TaskService) -> None:
    taken: set[str] = set()
    first = [a_task(id="a"), a_task(id="b")]
    assert new_ones(service, first, taken) == first
    assert taken == {"a", "b"}
    assert list(refused(service, a_task(id="c"), a_task(id="b"), taken=taken)) == ["tasks.1.id"]


def test_what_is_new_can_be_created(service: TaskService) -> None:
    service.create(a_task(id="x"))
    fresh = new_ones(service, [a_task(id="x"), a_task(id="y"), a_task(id="z", trigger=SOON)])
    made = service.create_all(fresh)
    assert [task.id for task in made] == ["y", "z"]
    assert made[1].next_run_at == service.clock.now() + timedelta(seconds=30)
