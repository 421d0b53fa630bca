"""The log: filters, pages that lose and repeat nothing, text search within bounds, requests to stop."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.clock import iso, to_ms
from dashboard.errors import Conflict, Invalid, NotFound
from dashboard.models import Revision, TaskLog
from dashboard.models import task_log as stored_words
from dashboard.models.store import Store
from dashboard.schemas import log as log_schema
from dashboard.schemas.log import LogSchema
from dashboard.services import log_query
from dashboard.services.log_query import Cursor, LogPage
from dashboard.services.log_service import LogService
from tests.factories import SCHEDULED_AT, HandClock, make_settings, make_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = make_store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def service(store: Store, tmp_path: Path) -> LogService:
    return LogService(store, make_settings(tmp_path), HandClock())


def row(seconds: float = 0, **changes: Any) -> dict[str, Any]:
    at = SCHEDULED_AT + timedelta(seconds=seconds)
    return {"task_key": 1, "task_id": "tidy", "task_type": "send_cmd", "trigger": {"type": "cron"}, "params": {},
            "options": {}, "result": "success", "cause": "manual", "scheduled_at": at, "occurrence_at": at, "at": at,
            "started_at": at, "finished_at": at, "duration_ms": 0, "output": "", **changes}


def add(store: Store, *rows: dict[str, Any]) -> list[int]:
    with store.writing():
        return [int(TaskLog.create(**values).id) for values in rows]


def ids(page: LogPage) -> list[int]:
    return [item.id for item in page.items]


def walk(service: LogService, query: dict[str, Any]) -> list[int]:
    """Every row that the pages of a query show, in their order."""
    seen: list[int] = []
    page = service.find(query)
    seen += ids(page)
    while page.next_cursor:
        page = service.find({**query, "cursor": page.next_cursor})
        seen += ids(page)
    return seen


# --- filters ----------------------------------------------------------------------------------------------------


def test_newest_first_whatever_the_order_of_arrival(store: Store, service: LogService) -> None:
    a, b, c, d = add(store, row(5), row(9), row(1), row(5))
    assert ids(service.find()) == [b, d, a, c]


@pytest.mark.parametrize(("query", "expected"), [
    ({"task_id": "tidy"}, [0]), ({"task_id": "Tidy"}, []), ({"task_id": "备份"}, [1, 2]),
    ({"task_type": "send_cmd"}, [0, 1]), ({"task_type": "nothing"}, []),
    ({"result": "failure"}, [1]), ({"result": "failure,success"}, [0, 1]), ({"result": " queued , success "}, [0, 2]),
    ({"cause": "retry"}, [2]), ({"cause": "retry,manual"}, [0, 2]), ({"cause": "chain"}, []),
    ({"task_id": "备份", "result": "failure"}, [1]), ({"task_type": "send_cmd", "cause": "retry"}, []),
    ({"result": ""}, [0, 1, 2]), ({"task_id": "", "started_after": "", "search": "", "cursor": ""}, [0, 1, 2]),
])
def test_filters(store: Store, service: LogService, query: dict[str, Any], expected: list[int]) -> None:
    given_ids = add(store, row(0), row(1, task_id="备份", result="failure", cause="schedule"),
                    row(2, task_id="备份", task_type="send_email", result="queued", cause="retry"))
    page = service.find(query)
    assert ids(page) == [given_ids[index] for index in reversed(expected)]
    assert page.total == len(expected)


def test_bounds_of_time_exclude_themselves_and_compare_at(store: Store, service: LogService) -> None:
    a, b, c = add(store, row(0), row(10, started_at=None), row(20))
    at = [iso(SCHEDULED_AT + timedelta(seconds=n)) for n in (0, 10, 20)]
    assert ids(service.find({"started_after": at[0]})) == [c, b]
    assert ids(service.find({"started_before": at[2]})) == [b, a]
    assert ids(service.find({"started_after": at[0], "started_before": at[2]})) == [b]
    assert ids(service.find({"started_after": at[2]})) == []
    # 18:00:05 in Asia/Shanghai is five seconds after SCHEDULED_AT
    assert ids(service.find({"started_after": "2026-11-23 18:00:05"})) == [c, b]


@pytest.mark.parametrize(("query", "field", "words"), [
    ({"result": "ok"}, "result", "ok is none of queued, running"),
    ({"result": "success,ok"}, "result", "ok is none of"),
    ({"cause": "cron"}, "cause", "cron is none of schedule"),
    ({"started_after": "yesterday"}, "started_after", ""),
    ({"started_before": "2026-13-01"}, "started_before", ""),
    ({"page_size": 0}, "page_size", "from 1 to 200"), ({"page_size": "201"}, "page_size", "from 1 to 200"),
    ({"page_size": "many"}, "page_size", "whole number"),
    ({"task": "x"}, "task", "no such field"), ({"search": "a\0"}, "search", "NUL"),
    ({"task_id": "\ud800"}, "task_id", "half of a character"), ({"task_id": ["x"]}, "task_id", "A text"),
])
def test_a_bad_filter_is_refused_by_name(service: LogService, query: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(Invalid) as told:
        service.find(query)
    assert list(told.value.errors) == [field]
    assert words in told.value.errors[field][0]


def test_every_bad_filter_is_told_at_once(service: LogService) -> None:
    with pytest.raises(Invalid) as told:
        service.find({"result": "ok", "started_after": "x", "cursor": "x", "page_size": 0})
    assert set(told.value.errors) == {"result", "started_after", "cursor", "page_size"}


def test_an_end_that_is_not_after_the_start_is_named(service: LogService) -> None:
    with pytest.raises(Invalid) as told:
        service.find({"started_after": "2026-11-23 10:00:00", "started_before": "2026-11-23 10:00:00"})
    assert list(told.value.errors) == ["started_before"]


def test_the_words_of_the_schema_are_those_of_the_store() -> None:
    assert log_schema.RESULTS == stored_words.RESULTS
    assert log_schema.CAUSES == stored_words.CAUSES


# --- pages ------------------------------------------------------------------------------------------------------


def test_pages(store: Store, service: LogService) -> None:
    given_ids = add(store, *(row(n) for n in range(85)))
    first = service.find()
    assert ids(first) == given_ids[:-41:-1]
    assert (first.total, first.total_is_more, first.searched_back_to) == (85, False, None)
    second = service.find({"cursor": first.next_cursor})
    third = service.find({"cursor": second.next_cursor})
    assert [len(page.items) for page in (first, second, third)] == [40, 40, 5]
    assert (second.total, third.next_cursor) == (85, None)
    assert ids(first) + ids(second) + ids(third) == given_ids[::-1]


def test_a_last_page_that_is_just_full_leads_nowhere(store: Store, service: LogService) -> None:
    add(store, *(row(n) for n in range(4)))
    page = service.find({"page_size": "2"})
    assert page.next_cursor
    assert service.find({"page_size": 2, "cursor": page.next_cursor}).next_cursor is None


def test_rows_that_arrive_meanwhile_shift_no_page(store: Store, service: LogService) -> None:
    given_ids = add(store, *(row(n) for n in range(6)))
    page = service.find({"page_size": 3})
    add(store, row(100), row(101))
    assert ids(service.find({"page_size": 3, "cursor": page.next_cursor})) == given_ids[2::-1]


@pytest.mark.parametrize("cursor", [
    "x", "====", "中文", "bnVsbA==", "WzEsMl0=", "MS4y", "LTEuLTEuMA==", "MS4yLjMuNA==", "W" * 5000, "Wzk5OV0",
    "OTk5OTk5OTk5OTk5OTk5OTk5OTk5LjEuMQ==",
])
def test_what_is_no_cursor_of_ours_is_refused(service: LogService, cursor: str) -> None:
    with pytest.raises(Invalid) as told:
        service.find({"cursor": cursor})
    assert list(told.value.errors) == ["cursor"]


@pytest.mark.parametrize("cursor", [Cursor(999_999_999_999_999, 10**18 - 1), Cursor(-999_999_999_999_999, 0, 5)])
def test_cursors_from_nowhere_do_no_harm(store: Store, service: LogService, cursor: Cursor) -> None:
    add(store, row(0))
    assert len(service.find({"cursor": cursor.text()}).items) == (1 if cursor.at > 0 else 0)
    assert len(service.find({"cursor": cursor.text(), "search": "tidy"}).items) == (1 if cursor.at > 0 else 0)


def test_a_cursor_does_not_lift_the_upper_bound(store: Store, service: LogService) -> None:
    a, _b, c = add(store, row(0), row(10), row(20))
    beyond = Cursor(to_ms(SCHEDULED_AT) + 60_000, 99).text()
    assert ids(service.find({"cursor": beyond, "started_before": iso(SCHEDULED_AT + timedelta(seconds=10))})) == [a]
    assert ids(service.find({"cursor": beyond, "started_after": iso(SCHEDULED_AT + timedelta(seconds=10))})) == [c]


ROWS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["tidy", "备份"]),
                          st.sampled_from(["success", "failure"])), max_size=25)


QUERIES = st.fixed_dictionaries({
    "page_size": st.integers(1, 6), "task_id": st.sampled_from(["", "tidy"]),
    "result": st.sampled_from(["", "failure", "failure,success"]), "search": st.sampled_from(["", "TIDY", "备"])})
BOUNDS = st.tuples(st.none() | st.integers(-1, 6), st.none() | st.integers(0, 8)).filter(
    lambda bounds: bounds[0] is None or bounds[1] is None or bounds[0] < bounds[1])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, query=QUERIES, bounds=BOUNDS)
def test_a_walk_over_the_pages_meets_each_row_once(
        store: Store, service: LogService, rows: list[tuple[int, str, str]], query: dict[str, Any],
        bounds: tuple[int | None, int | None]) -> None:
    after, before = bounds
    with store.writing():
        TaskLog.delete().execute()
    given_ids = add(store, *(row(at, task_id=name, result=how) for at, name, how in rows))
    asked = dict(query)
    for field, bound in (("started_after", after), ("started_before", before)):
        if bound is not None:
            asked[field] = iso(SCHEDULED_AT + timedelta(seconds=bound))
    wanted = [
        (at, log_id) for log_id, (at, name, how) in zip(given_ids, rows, strict=True)
        if (after is None or at > after) and (before is None or at < before) and query["task_id"] in ("", name)
        and (not query["result"] or how in query["result"]) and query["search"].lower() in name]
    assert walk(service, asked) == [log_id for _, log_id in sorted(wanted, reverse=True)]
    first = service.find(asked)
    second = service.find({**asked, "cursor": first.next_cursor or ""})
    assert (first.total, second.total, first.total_is_more) == (len(wanted), len(wanted), False)


def many(store: Store, count: int, output: str = "''") -> None:
    at = to_ms(SCHEDULED_AT)
    with store.writing():
        store.database.execute_sql(f"""
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
            INSERT INTO task_log (task_key, task_id, task_type, trigger, params, options, result, cause, attempt,
              scheduled_at, occurrence_at, at, output)
            SELECT 1, 'tidy', 'send_cmd', '{{}}', '{{}}', '{{}}', 'success', 'manual', 1,
              ? + i, ? + i, ? + i, {output} FROM n""", (count, at, at, at))


def test_the_total_counts_to_ten_thousand(store: Store, service: LogService) -> None:
    many(store, 10_000)
    page = service.find({"task_type": "send_cmd"})
    assert (page.total, page.total_is_more) == (10_000, False)
    add(store, row(20))
    page = service.find({"task_type": "send_cmd"})
    assert (page.total, page.total_is_more) == (10_000, True)


# --- text search ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("search", "expected"), [
    ("tidy", [0]), ("TIDY", [0]), ("备", [1]), ("straße", [2]), ("STRAßE", [2]), ("ÉCOLE", [3]), ("%", [4]),
    ("_", [5]), ("copied 12", [0]), ("Connection", [1]), ("\\", [6]), ("'", [6]), ("zzz", []), ("Ж", [7]), ("ж", [7]),
    ("份", [1]), ("e\u0301cole", [3]),
])
def test_search_is_literal_and_knows_no_case_in_any_script(store: Store, service: LogService, search: str,
                                                           expected: list[int]) -> None:
    given_ids = add(store, row(0, output="Copied 12 files"), row(1, task_id="备份", error="connection refused"),
                    row(2, task_id="x", output="Straße"), row(3, task_id="x", output=None, error="école"),
                    row(4, task_id="x", output="100%"), row(5, task_id="a_b"), row(6, task_id="x", output="it's \\"),
                    row(7, task_id="Жук"))
    assert ids(service.find({"search": search})) == [given_ids[index] for index in reversed(expected)]


def test_search_looks_at_neither_params_nor_type(store: Store, service: LogService) -> None:
    add(store, row(0, params={"needle": 1}, task_type="needle"))
    assert ids(service.find({"search": "needle"})) == []


def test_search_stops_after_its_bound_says_so_and_goes_on(store: Store, service: LogService,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_query, "SEARCH_SLICE", 10)
    monkeypatch.setattr(log_query, "SEARCH_CAP", 30)
    many(store, 75, "CASE WHEN i % 25 = 1 THEN 'needle' ELSE '' END")  # rows 1, 26 and 51
    first = service.find({"search": "needle"})
    assert (ids(first), first.total, first.total_is_more) == ([51], 1, True)
    assert first.searched_back_to == SCHEDULED_AT + timedelta(milliseconds=46)
    second = service.find({"search": "needle", "cursor": first.next_cursor})
    assert (ids(second), second.total, second.total_is_more) == ([26], 2, True)
    third = service.find({"search": "needle", "cursor": second.next_cursor})
    assert (ids(third), third.total, third.total_is_more) == ([1], 3, False)
    assert (third.next_cursor, third.searched_back_to) == (None, None)


def test_search_does_not_skip_what_did_not_fit_on_the_page(store: Store, service: LogService,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_query, "SEARCH_SLICE", 10)
    monkeypatch.setattr(log_query, "SEARCH_CAP", 30)
    many(store, 50, "'needle'")
    assert walk(service, {"search": "needle", "page_size": 7}) == list(range(50, 0, -1))


def test_search_stops_after_its_time(store: Store, service: LogService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_query, "SEARCH_SLICE", 10)
    many(store, 75)
    clock = service.clock
    assert isinstance(clock, HandClock)

    def later() -> float:
        clock.steady += 0.6
        return clock.steady

    monkeypatch.setattr(clock, "monotonic", later)
    page = service.find({"search": "needle"})
    assert page.searched_back_to == SCHEDULED_AT + timedelta(milliseconds=56)
    assert page.next_cursor


def test_one_request_examines_fifty_thousand_rows(store: Store, service: LogService) -> None:
    many(store, 50_001, "CASE WHEN i = 1 THEN 'needle' ELSE '' END")
    page = service.find({"search": "needle"})
    assert (ids(page), page.total_is_more) == ([], True)
    assert page.searched_back_to == SCHEDULED_AT + timedelta(milliseconds=2)
    assert ids(service.find({"search": "needle", "cursor": page.next_cursor})) == [1]


# --- one row, following, stopping -------------------------------------------------------------------------------


def test_one_row_and_the_document_it_leaves_as(store: Store, service: LogService) -> None:
    (log_id,) = add(store, row(0.123, params={"command": ["备份"]}, result="skipped", reason={"code": "overlap"},
                               covers={"count": 2}, started_at=None, duration_ms=None, error=None))
    document = LogSchema().dump(service.get(log_id))
    assert document == {
        "id": log_id, "task_id": "tidy", "task_type": "send_cmd", "trigger": {"type": "cron"},
        "params": {"command": ["备份"]}, "result": "skipped", "reason": {"code": "overlap"}, "covers": {"count": 2},
        "cause": "manual", "attempt": 1, "scheduled_at": "2026-11-23T10:00:00.123Z", "started_at": None,
        "finished_at": "2026-11-23T10:00:00.123Z", "at": "2026-11-23T10:00:00.123Z", "duration_ms": None,
        "output": "", "error": None}
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize("log_id", [0, -1, 4711, 2**63, 10**30])
def test_a_row_that_is_not_there(service: LogService, log_id: int) -> None:
    with pytest.raises(NotFound, match="no run"):
        service.get(log_id)
    with pytest.raises(NotFound, match="no run"):
        service.stop(log_id)


def test_following(store: Store, service: LogService) -> None:
    a, b, c = add(store, row(9), row(1, result="failure"), row(5))
    assert [found.id for found in service.since(0)] == [a, b, c]
    assert [found.id for found in service.since(a)] == [b, c]
    assert [found.id for found in service.since(a, {"result": "failure"})] == [b]
    assert service.since(c) == []
    with pytest.raises(Invalid):
        service.since(0, {"result": "ok"})


def revision(store: Store) -> int:
    with store.reading():
        return int(Revision.get_by_id(1).value)


def test_stopping_a_running_run_is_a_request(store: Store, tmp_path: Path) -> None:
    told: list[int] = []
    service = LogService(store, make_settings(tmp_path), HandClock(), changed=lambda: told.append(1))
    (log_id,) = add(store, row(0, result="running", finished_at=None))
    before = revision(store)
    service.stop(log_id)
    found = service.get(log_id)
    assert (found.result, found.stop_requested_at, found.finished_at) == ("running", SCHEDULED_AT, None)
    assert revision(store) == before + 1
    assert told == [1]


def test_stopping_twice_keeps_the_first_request(store: Store, service: LogService) -> None:
    (log_id,) = add(store, row(0, result="running"))
    service.stop(log_id)
    assert isinstance(service.clock, HandClock)
    service.clock.advance(5)
    service.stop(log_id)
    assert service.get(log_id).stop_requested_at == SCHEDULED_AT


def test_stopping_a_queued_run_cancels_it(store: Store, service: LogService) -> None:
    (log_id,) = add(store, row(60, result="queued", started_at=None, finished_at=None))
    before = revision(store)
    service.stop(log_id)
    found = service.get(log_id)
    assert (found.result, found.reason, found.finished_at) == ("cancelled", {"code": "stopped"}, SCHEDULED_AT)
    assert revision(store) > before


@pytest.mark.parametrize("result", [name for name in stored_words.RESULTS if name not in ("queued", "running")])
def test_what_has_ended_cannot_be_stopped(store: Store, service: LogService, result: str) -> None:
    (log_id,) = add(store, row(0, result=result))
    before = revision(store)
    with pytest.raises(Conflict, match="ended already"):
        service.stop(log_id)
    assert service.get(log_id).stop_requested_at is None
    assert revision(store) == before


# --- indexes ----------------------------------------------------------------------------------------------------

AFTER, BEFORE = SCHEDULED_AT, SCHEDULED_AT + timedelta(days=1)
NOTHING: dict[str, Any] = {"task_id": "", "task_type": "", "result": [], "cause": [], "started_after": None,
                           "started_before": None}


@pytest.mark.parametrize(("wanted", "index"), [
    ({}, "task_log_at"), ({"task_id": "tidy"}, "task_log_task"), ({"task_type": "send_cmd"}, "task_log_type"),
    ({"result": ["failure"]}, "task_log_result"), ({"cause": ["retry"]}, "task_log_at"),
])
def test_pages_are_read_from_an_index_in_its_order(store: Store, wanted: dict[str, Any], index: str) -> None:
    bounds: list[dict[str, Any]] = [{}, {"started_after": AFTER}, {"started_before": BEFORE},
                                    {"started_after": AFTER, "started_before": BEFORE}]
    for bound, cursor in product(bounds, [None, Cursor(to_ms(AFTER) + 1000, 7)]):
        rows = log_query.older(TaskLog.select(), {**NOTHING, **wanted, **bound}, cursor)
        with store.reading():
            sql, values = rows.limit(41).sql()
            found = store.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
        plan = [step[3] for step in found]
        assert len(plan) == 1, plan  # a second step would be a sort
        assert f"USING INDEX {index}" in plan[0]
        assert ("at<?" in plan[0]) == bool(cursor or "started_before" in bound)
        assert ("at>?" in plan[0]) == ("started_after" in bound)
        assert (to_ms(BEFORE) in values) == ("started_before" in bound and cursor is None)  # two bounds are slow


def test_the_zone_of_the_settings_reads_naive_instants(store: Store, tmp_path: Path) -> None:
    (log_id,) = add(store, row(0))
    settings_there = replace(make_settings(tmp_path), timezone=ZoneInfo("America/New_York"))
    service = LogService(store, settings_there)
    assert ids(service.find({"started_after": "2026-11-23 04:59:59"})) == [log_id]
    assert ids(service.find({"started_after": "2026-11-23 05:00:00"})) == []
