"""The list of tasks: filters, states, orders and pages, each against what the views say."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.errors import Invalid
from dashboard.models import Task, TaskLog
from dashboard.models.store import Store
from dashboard.models.task_log import FAILING, RESULTS
from dashboard.schemas.task import SORTS, STATES
from dashboard.services.task_service import TaskService
from tests.factories import SCHEDULED_AT, HandClock, make_settings, make_store

TRIGGERS: dict[str, dict[str, Any]] = {
    "date": {"type": "date", "run_date": "2030-01-01T00:00:00Z"}, "interval": {"type": "interval", "minutes": 5},
    "cron": {"type": "cron", "expression": "08:00"}, "idle": {"type": "idle", "idle_duration": 60}}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = make_store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def service(store: Store, tmp_path: Path) -> TaskService:
    return TaskService(store, make_settings(tmp_path), HandClock())


def insert(store: Store, *tasks: dict[str, Any]) -> None:
    """Rows as the engine may leave them, which no door would make. Their keys count from 1."""
    with store.writing():
        for key, changes in enumerate(tasks, 1):
            Task.create(**{"key": key, "id": f"task-{key:03}", "type": "send_cmd", "trigger": TRIGGERS["interval"],
                           "params": {}, "options": {}, "anchor_at": SCHEDULED_AT, "created_at": SCHEDULED_AT,
                           "updated_at": SCHEDULED_AT, **changes})


def insert_log(store: Store, key: int, result: str, cause: str = "manual") -> None:
    with store.writing():
        TaskLog.create(task_key=key, task_id="x", task_type="send_cmd", trigger={}, params={}, options={},
                       result=result, cause=cause, scheduled_at=SCHEDULED_AT, occurrence_at=SCHEDULED_AT,
                       at=SCHEDULED_AT)


def found(service: TaskService, **query: Any) -> list[str]:
    return [item.id for item in service.list({"page_size": 200, **query}).items]


# --- search and filters -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("search", "expected"), [
    ("", ["100%", "A_b", "Tidy", "a.b", "axb", "École", "备份-1"]), ("tidy", ["Tidy"]), ("IDY", ["Tidy"]),
    ("é", ["École"]), ("ÉCOLE", ["École"]), ("e\u0301cole", ["École"]), ("备", ["备份-1"]), ("份-", ["备份-1"]),
    ("%", ["100%"]), ("_", ["A_b"]), (".", ["a.b"]), ("a_", ["A_b"]), ("a%b", []), ("\\", []), ("'", []), ("*", []),
    ("x" * 1000, []),
])
def test_search_is_literal_and_knows_no_case(store: Store, service: TaskService, search: str,
                                             expected: list[str]) -> None:
    insert(store, *({"id": name} for name in ("Tidy", "a.b", "A_b", "axb", "100%", "École", "备份-1")))
    page = service.list({"search": search})
    assert [item.id for item in page.items] == expected
    assert page.total == len(expected)


def test_filters_of_type_and_trigger(store: Store, service: TaskService) -> None:
    insert(store, *({"id": name, "trigger": trigger} for name, trigger in TRIGGERS.items()),
           {"id": "mail", "type": "send_email"})
    assert found(service, type="send_email") == ["mail"]
    assert found(service, type="nothing") == []
    for name in TRIGGERS:
        assert found(service, trigger=name, type="send_cmd") == [name]
    assert found(service, trigger="date,idle") == ["date", "idle"]
    assert found(service, trigger="idle", search="c") == []


@pytest.mark.parametrize("query", [{"state": "idel"}, {"sort": "params"}, {"page": 0}, {"trigger": "weekly"},
                                   {"search": "\0"}, {"nothing": 1}, {"page_size": "x"}])
def test_a_bad_query_is_refused_by_name(service: TaskService, query: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as told:
        service.list(query)
    assert list(told.value.errors) == list(query)


# --- states -----------------------------------------------------------------------------------------------------


def test_each_state(store: Store, service: TaskService) -> None:
    due = {"next_run_at": SCHEDULED_AT}
    insert(store,
           {"id": "running", **due}, {"id": "both", "paused": True}, {"id": "queued", **due}, {"id": "paused", **due,
                                                                                               "paused": True},
           {"id": "idle", "trigger": TRIGGERS["idle"]}, {"id": "scheduled", **due}, {"id": "finished"},
           {"id": "idle-paused", "trigger": TRIGGERS["idle"], "paused": True})
    for key, result in ((1, "running"), (2, "running"), (2, "queued"), (3, "queued"), (6, "success")):
        insert_log(store, key, result)
    assert {item.id: item.state for item in service.list({}).items} == {
        "running": "running", "both": "running", "queued": "queued", "paused": "paused", "idle": "idle",
        "scheduled": "scheduled", "finished": "finished", "idle-paused": "paused"}
    assert service.get("paused").next_run_at is None
    assert service.get("both").running
    assert not service.get("queued").running
    assert found(service, state="queued") == ["queued"]


def test_failing_and_never_run(store: Store, service: TaskService) -> None:
    insert(store, *({"id": result, "last_result": result, "last_run_at": SCHEDULED_AT} for result in RESULTS),
           {"id": "new"})
    assert found(service, state="failing") == sorted(FAILING)
    assert found(service, state="never_run") == ["new"]
    assert found(service, state="never_run,failing") == sorted((*FAILING, "new"))
    assert not service.get("new").executed
    assert service.get("success").executed


TASKS = st.lists(st.fixed_dictionaries({
    "trigger": st.sampled_from(sorted(TRIGGERS)), "paused": st.booleans(), "due": st.booleans(),
    "logs": st.lists(st.tuples(st.sampled_from(["queued", "running", "success", "skipped"]),
                               st.sampled_from(["manual", "retry", "idle"])), max_size=3)}), max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tasks=TASKS, wanted=st.sets(st.sampled_from(STATES)))
def test_the_state_filters_part_the_tasks_as_their_views_do(store: Store, service: TaskService,
                                                            tasks: list[dict[str, Any]], wanted: set[str]) -> None:
    with store.writing():
        Task.delete().execute()
        TaskLog.delete().execute()
    insert(store, *({"trigger": TRIGGERS[task["trigger"]], "paused": task["paused"],
                     "next_run_at": SCHEDULED_AT if task["due"] else None} for task in tasks))
    for key, task in enumerate(tasks, 1):
        for result, cause in task["logs"]:
            insert_log(store, key, result, cause)
    shown = {item.id: item.state for item in service.list({"page_size": 200}).items}
    assert set(shown.values()) <= set(STATES)
    parts = {name: found(service, state=name) for name in STATES}
    assert sorted(task_id for part in parts.values() for task_id in part) == sorted(shown)
    assert {task_id: name for name, part in parts.items() for task_id in part} == shown
    expected = [task_id for task_id, name in sorted(shown.items()) if name in wanted or not wanted]
    assert found(service, state=",".join(wanted)) == expected


# --- order and pages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SORTS)
def test_every_order_both_ways_with_what_has_no_value_last(store: Store, service: TaskService, name: str) -> None:
    insert(store, *(
        {"type": ["send_cmd", "http_request"][n % 2], "trigger": list(TRIGGERS.values())[n % 4], "run_count": n % 3,
         "last_run_at": SCHEDULED_AT + timedelta(seconds=n % 4) if n % 3 else None,
         "next_run_at": SCHEDULED_AT + timedelta(seconds=-n) if n % 2 else None,
         "last_result": [None, "success", "failure"][n % 3], "created_at": SCHEDULED_AT + timedelta(seconds=-n)}
        for n in range(12)))
    with store.reading():
        rows = list(Task.select())

    def value(task: Task) -> Any:
        return str(sorted(task.trigger.items())) if name == "trigger" else getattr(task, name)

    present = [task for task in rows if value(task) is not None]
    absent = sorted(task.id for task in rows if value(task) is None)
    upwards = sorted(sorted(task.id for task in present), key=lambda task_id: value(_named(present, task_id)))
    downwards = sorted(sorted(task.id for task in present), key=lambda task_id: value(_named(present, task_id)),
                       reverse=True)
    if name == "trigger":
        kinds = {task.id: task.trigger["type"] for task in rows}
        assert [kinds[task_id] for task_id in found(service, sort="trigger")] == sorted(kinds.values())
        assert [kinds[task_id] for task_id in found(service, sort="-trigger")] == sorted(kinds.values(), reverse=True)
        return
    assert found(service, sort=name) == upwards + absent
    assert found(service, sort=f"-{name}") == downwards + absent


def _named(rows: list[Task], task_id: str) -> Task:
    return next(task for task in rows if task.id == task_id)


def test_pages(store: Store, service: TaskService) -> None:
    insert(store, *({} for _ in range(45)))
    first, last, beyond = (service.list({"page": page}) for page in ("1", 3, 4))
    assert (len(first.items), len(last.items), len(beyond.items)) == (20, 5, 0)
    assert (first.total, last.total, beyond.total) == (45, 45, 45)
    assert (last.page, last.page_size) == (3, 20)
    assert [item.id for page in range(1, 6) for item in service.list({"page": page, "page_size": 10}).items] == [
        f"task-{n:03}" for n in range(1, 46)]
    assert service.list({"page": 1_000_000, "page_size": 200}).items == []


def test_equal_values_keep_one_order_over_all_pages(store: Store, service: TaskService) -> None:
    insert(store, *({"run_count": n % 2} for n in range(30)))
    for sort in ("run_count", "-run_count", "last_run_at"):
        seen = [item.id for page in (1, 2, 3)
                for item in service.list({"page": page, "page_size": 10, "sort": sort}).items]
        assert sorted(seen) == [f"task-{n:03}" for n in range(1, 31)]


def test_a_list_costs_a_few_queries_whatever_its_length(store: Store, service: TaskService,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    insert(store, *({} for _ in range(100)))
    asked: list[str] = []
    original: Callable[..., Any] = store.database.execute_sql

    def counting(sql: str, *values: Any, **more: Any) -> Any:
        asked.append(sql)
        return original(sql, *values, **more)

    monkeypatch.setattr(store.database, "execute_sql", counting)
    service.list({"page_size": 100, "state": "scheduled,finished"})
    assert len(asked) == 3
