"""Bad input of every kind (G7, T7, Y9) against a running engine: each refusal names its field, and nothing of it
reaches store, snapshot or scheduler."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from marshmallow import ValidationError

from dashboard.engine import snapshot
from dashboard.engine.engine import Engine
from dashboard.errors import Conflict, Invalid
from dashboard.models import Task, TaskLog
from dashboard.schemas.json_text import parse_object
from dashboard.services.task_service import TaskService
from tests.factories import a_task, make_settings, make_store


class House:
    """A running engine with one good task, ``kept``."""

    def __init__(self, engine: Engine, tasks: TaskService) -> None:
        self.engine = engine
        self.tasks = tasks

    def state(self) -> tuple[Any, ...]:
        """Everything that bad input must leave as it is."""
        with self.engine.store.reading():
            rows = list(Task.select().dicts())
            logs = TaskLog.select().count()
        self.engine.snapshotter.write()
        kept = snapshot.read(self.engine.settings.snapshot)["tasks"]
        jobs = sorted((job.id, str(job.next_run_time)) for job in self.engine.scheduler.get_jobs())
        return rows, logs, kept, jobs, dict(self.engine.book.broken)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    store = make_store(folder)
    settings = make_settings(folder, min_free_mb=1)
    engine = Engine(store, settings)
    engine.start()
    tasks = TaskService(store, settings, changed=engine.sync)
    tasks.create(a_task(id="kept", trigger={"type": "cron", "expression": "08:00"}))
    yield House(engine, tasks)
    engine.stop(0.0)
    store.close()


TRIGGERS: list[tuple[Any, str]] = [
    ({"type": "cron", "expression": "25:60"}, "trigger.expression"),
    ({"type": "cron", "expression": "08:60"}, "trigger.expression"),
    ({"type": "cron", "expression": "0 8 * *"}, "trigger.expression"),
    ({"type": "cron", "expression": "0 0 8 * * *"}, "trigger.expression"),
    ({"type": "cron", "expression": "0 8 * * 8"}, "trigger.expression"),
    ({"type": "cron", "expression": "0 22-2 * * *"}, "trigger.expression"),
    ({"type": "cron", "expression": "0 0 30 2 *"}, "trigger"),
    ({"type": "cron", "expression": "@reboot"}, "trigger.expression"),
    ({"type": "cron", "expression": ""}, "trigger"),
    ({"type": "cron", "day": 30, "month": 2}, "trigger"),
    ({"type": "cron", "year": 2020}, "trigger"),
    ({"type": "cron", "year": 1969}, "trigger.year"),
    ({"type": "cron", "month": 13}, "trigger.month"),
    ({"type": "cron", "day": "32"}, "trigger.day"),
    ({"type": "cron", "week": 54}, "trigger.week"),
    ({"type": "cron", "day_of_week": "8"}, "trigger.day_of_week"),
    ({"type": "cron", "day_of_week": "monday"}, "trigger.day_of_week"),
    ({"type": "cron", "day_of_week": "mon#2"}, "trigger.day_of_week"),
    ({"type": "cron", "hour": 24}, "trigger.hour"),
    ({"type": "cron", "minute": "*/0"}, "trigger.minute"),
    ({"type": "cron", "second": "x"}, "trigger.second"),
    ({"type": "cron", "hour": 8, "expression": "08:00"}, "trigger"),
    ({"type": "cron", "hour": 8, "colour": "red"}, "trigger.colour"),
    ({"type": "cron"}, "trigger"),
    ({"type": "cron", "hour": 8, "start_date": "2030-01-02", "end_date": "2030-01-01"}, "trigger.end_date"),
    ({"type": "interval"}, "trigger"),
    ({"type": "interval", "seconds": 0}, "trigger"),
    ({"type": "interval", "seconds": -5}, "trigger.seconds"),
    ({"type": "interval", "seconds": 0.5}, "trigger.seconds"),
    ({"type": "interval", "hours": "one"}, "trigger.hours"),
    ({"type": "interval", "minutes": 5, "start_date": "soon"}, "trigger.start_date"),
    ({"type": "interval", "minutes": 5, "end_date": "2020-01-01"}, "trigger.end_date"),
    ({"type": "interval", "minutes": 5, "every": 3}, "trigger.every"),
    ({"type": "date"}, "trigger.run_date"),
    ({"type": "date", "run_date": "2020-01-01 08:00:00"}, "trigger.run_date"),
    ({"type": "date", "run_date": "2030-02-30"}, "trigger.run_date"),
    ({"type": "date", "run_date": "tomorrow"}, "trigger.run_date"),
    ({"type": "idle", "idle_duration": 0}, "trigger.idle_duration"),
    ({"type": "idle", "idle_duration": "long"}, "trigger.idle_duration"),
    ({"type": "moon"}, "trigger.type"), ({}, "trigger.type"), ([], "trigger"), (None, "trigger"),
    ("08:00", "trigger"),
    ({"type": []}, "trigger.type"),
]
IDS: list[Any] = ["", "..", "x" * 65, "a b", "a/b", "a\\b", "a\0", "a\n", "\ud800", "a:b", "?", None, 7, [],
                  "a\u202eb"]
PARAMS: list[tuple[Any, Any, str]] = [
    ("send_cmd", {}, "params.command"), ("send_cmd", {"command": []}, "params.command"),
    ("send_cmd", {"command": "x", "timeout": 0}, "params.timeout"),
    ("send_cmd", {"command": "x", "colour": 1}, "params.colour"), ("send_cmd", [], "params"),
    ("send_cmd", '{"command": "x"}', "params"), ("send_cmd", None, "params"),
    ("send_email", {"to": "nobody", "title": "t", "body": "b"}, "params.to"),
    ("send_email", {"to": "a@b.cn", "body": "b"}, "params.title"),
    ("send_email", {"to": "a@b.cn", "title": "a\nb", "body": "b"}, "params.title"),
    ("http_request", {"url": "ftp://x"}, "params.url"), ("http_request", {}, "params.url"),
    ("dance", {}, "type"), ([], {}, "type"),
]
OPTIONS: list[tuple[Any, str]] = [
    ({"retries": -1}, "options.retries"), ({"overlap": "maybe"}, "options.overlap"),
    ({"missed": 1}, "options.missed"),
    ({"timeout_seconds": 0}, "options.timeout_seconds"), ({"colour": 1}, "options.colour"), ([], "options"),
]
DOCUMENTS: list[tuple[Any, str]] = [
    *[(a_task(id="new", trigger=trigger), field) for trigger, field in TRIGGERS],
    *[(a_task(id=task_id), "id") for task_id in IDS],
    *[(a_task(id="new", type=kind, params=params), field) for kind, params, field in PARAMS],
    *[(a_task(id="new", options=options), field) for options, field in OPTIONS],
    (None, "task"), ([], "task"), ({}, "id"), (a_task(id="new", colour="red"), "colour"),
]


@pytest.mark.parametrize(("document", "field"), DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_a_new_task_is_refused_by_field_and_nothing_is_left(house: House, document: Any, field: str) -> None:
    before = house.state()
    with pytest.raises(Invalid) as refused:
        house.tasks.create(document)
    assert [name for name in refused.value.errors if name == field or name.startswith(f"{field}.")]
    assert all(text for texts in refused.value.errors.values() for text in texts)
    assert house.state() == before


@pytest.mark.parametrize(("document", "field"), DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_one_bad_task_among_good_ones_refuses_all(house: House, document: Any, field: str) -> None:
    before = house.state()
    with pytest.raises(Invalid) as refused:
        house.tasks.create_all([a_task(id="fine"), document, a_task(id="fine-too")])
    wanted = "tasks.1" if field == "task" else f"tasks.1.{field}"
    assert [name for name in refused.value.errors if name == wanted or name.startswith(f"{wanted}.")]
    assert house.state() == before


@pytest.mark.parametrize(("changes", "field"), [
    *[({"trigger": trigger}, field) for trigger, field in TRIGGERS],
    *[({"params": params}, field) for kind, params, field in PARAMS if kind == "send_cmd"],
    *[({"options": options}, field) for options, field in OPTIONS],
    ({"id": "other"}, "id"), ({"type": "send_email"}, "type"), ({"colour": "red"}, "colour"),
])
def test_an_edit_is_refused_and_the_task_stays(house: House, changes: Any, field: str) -> None:
    before = house.state()
    with pytest.raises(Invalid) as refused:
        house.tasks.update("kept", changes)
    assert [name for name in refused.value.errors if name == field or name.startswith(f"{field}.")]
    assert house.state() == before


def test_an_id_that_is_taken(house: House) -> None:
    before = house.state()
    with pytest.raises(Conflict, match="kept"):
        house.tasks.create_all([a_task(id="fine"), a_task(id="kept")])
    assert house.state() == before


@pytest.mark.parametrize(("text", "said"), [
    ('{to="xxx", title="xxxxx"}', r'[Ll]ine 1, column 2.*"to": "xxx", "title": "xxxxx"'),
    ('{"to": "x"', r"[Ll]ine 1, column 11"), ('["x"]', r"[Ll]ine 1, column 1"), ("\n\n7", r"[Ll]ine 3, column 1"),
    ("", r"[Ll]ine 1, column 1"), ('{"a": 1, "a": 2}', r"[Ll]ine 1, column 10"),
    ('{"a": NaN}', r"[Ll]ine 1, column 7"),
    ("{'a': 1}", r"[Ll]ine 1, column 2.*double quotes"),
])
def test_params_that_are_no_json_object_are_told_by_line_and_column(text: str, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        parse_object(text)
    assert re.search(said, " ".join(map(str, refused.value.messages)), re.DOTALL)
