"""The task document at the door: ids, types, params, options, and that every error is told at once by its field."""

import json
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import handlers
from dashboard.errors import Invalid
from dashboard.i18n import speaking
from dashboard.schemas.json_size import PARAMS_BYTES, json_size
from dashboard.schemas.options import DEFAULTS, effective
from dashboard.schemas.task import TaskQuery, load_task
from tests.factories import SCHEDULED_AT, a_task

ZONE = ZoneInfo("Asia/Shanghai")
DATE = {"type": "date", "run_date": "2026-11-23T10:00:00Z"}


def load(document: object, **changes: Any) -> dict[str, Any]:
    return load_task(document, zone=ZONE, now=SCHEDULED_AT, **changes)


def errors(document: object) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as told:
        load(document)
    return told.value.errors


def refused_id(task_id: object) -> str:
    told = errors(a_task(id=task_id))
    assert list(told) == ["id"]
    return told["id"][0]


# --- ids --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task_id", [
    "a", "new", "a.b", "..a", "-", "_", "-x", "A", "0", "import", "备份-nightly", "备" * 64, "x" * 64, "задача",
    "مهمة", "日報", "กำหนด", "हिन्दी", "二〇二六", "٣", "𝒜", "con", "NUL", "null", "1.", ".1",
])
def test_ids_of_any_script(task_id: str) -> None:
    assert load(a_task(id=task_id))["id"] == task_id


def test_an_id_has_one_spelling() -> None:
    assert load(a_task(id="e\u0301cole"))["id"] == "\u00e9cole"
    assert load(a_task(id="e\u0301" * 64))["id"] == "\u00e9" * 64


@pytest.mark.parametrize(("task_id", "words"), [
    ("", "1 to 64"), ("x" * 65, "this one has 65"), ("备" * 65, "65"), (".", "dots alone"), ("..", "dots alone"),
    ("." * 64, "dots alone"), ("a b", "' '"), (" a", "' '"), ("a/b", "'/'"), ("a\\b", "not allowed"), ("a:b", "':'"),
    ("<script>", "'<'"), ("a%2e", "'%'"), ("a?b", "'?'"), ("a#b", "'#'"), ("a\nb", "control"), ("a\0", "NUL"),
    ("a\x7f", "control"), ("\ud800", "half of a character"), ("a\u200bb", "not allowed"), ("a\u202eb", "not allowed"),
    ("a\ufe0f", "not allowed"), ("\u3164", "not allowed"), ("a\u00a0b", "not allowed"), ("a，b", "not allowed"),
    ("😀", "not allowed"), ("a\u0085", "not allowed"), (None, "null"), (5, "A text"), (["a"], "A text"),
    ({}, "A text"),
])
def test_what_is_no_id(task_id: object, words: str) -> None:
    assert words in refused_id(task_id)


@given(st.text(max_size=70))
def test_a_taken_id_can_stand_in_an_url_and_be_found_again(text: str) -> None:
    try:
        task_id = load(a_task(id=text))["id"]
    except Invalid as told:
        assert list(told.errors) == ["id"]
        return
    assert load(a_task(id=task_id))["id"] == task_id
    assert 1 <= len(task_id) <= 64
    assert not set(task_id) & set("/\\?#%&=<>\"' \t\n:;,")
    assert task_id.strip(".")


# --- the document -----------------------------------------------------------------------------------------------


def test_what_comes_out_is_whole() -> None:
    loaded = load({"id": "a", "type": "send_cmd", "trigger": {"type": "interval", "minutes": 5},
                   "params": {"command": "echo 你好"}})
    assert loaded == {"id": "a", "type": "send_cmd", "trigger": {"type": "interval", "minutes": 5},
                      "params": {"command": "echo 你好"}, "options": {}, "paused": False}
    assert json.loads(json.dumps(loaded)) == loaded


def test_every_error_is_told_at_once() -> None:
    told = errors({"id": "a b", "type": "send_cmd", "trigger": {"type": "cron", "expression": "25:60"},
                   "params": {"command": 5, "cmd": "x"}, "options": {"retries": -1, "overlap": "never"},
                   "paused": "perhaps", "when": 1})
    assert {"id", "params.command", "params.cmd", "options.retries", "options.overlap", "paused", "when"} <= set(told)
    assert any(field.startswith("trigger") for field in told)


@pytest.mark.parametrize(("document", "fields"), [
    ({}, {"id", "type", "trigger"}), ([], {"task"}), ("text", {"task"}), (None, {"task"}), (5, {"task"}),
    ({**a_task(), "state": "running"}, {"state"}), ({**a_task(), "key": 1}, {"key"}),
])
def test_documents_that_are_none(document: object, fields: set[str]) -> None:
    assert set(errors(document)) == fields


@pytest.mark.parametrize("kind", [[], {}, None, 5, True, "", "nothing", "SEND_CMD", "send_cmd ", "__class__", "a\0",
                                  "\ud800"])
def test_what_is_no_task_type(kind: object) -> None:
    assert set(errors(a_task(type=kind))) == {"type"}


def test_an_unknown_type_is_answered_with_the_known_ones() -> None:
    told = errors(a_task(type="send_fax"))["type"][0]
    assert "send_fax" in told
    assert "send_cmd" in told
    with speaking("zh"):
        assert "任务类型" in errors(a_task(type="send_fax"))["type"][0]


@pytest.mark.parametrize("trigger", [[], "08:00", None, 5, {}, {"type": []}, {"type": None}, {"type": "weekly"},
                                     {"type": "cron", "expression": "25:60"}, {"type": "interval"},
                                     {"type": "date", "run_date": "\0"}, {"type": "date", "run_date": ["x"]}, DATE])
def test_what_is_no_trigger(trigger: object) -> None:
    told = errors(a_task(trigger=trigger))
    assert told
    assert all(field.split(".")[0] == "trigger" for field in told)


# --- instants in the past ---------------------------------------------------------------------------------------


def test_past_instants_are_refused_in_a_new_or_changed_trigger_alone() -> None:
    document = a_task(trigger=DATE)
    assert load_task(document, zone=ZONE, now=SCHEDULED_AT - timedelta(seconds=1))
    stored = load_task(document, zone=ZONE, now=None)["trigger"]
    assert "trigger.run_date" in errors(document)
    assert load(document, stored=stored)["trigger"] == stored
    assert load(a_task(trigger=stored), stored=stored)["trigger"] == stored
    with pytest.raises(Invalid):
        load(a_task(trigger={"type": "date", "run_date": "2026-11-23T09:59:59Z"}), stored=stored)
    with pytest.raises(Invalid):
        load(document, stored={"type": "idle", "idle_duration": 60})


# --- params -----------------------------------------------------------------------------------------------------


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("params", [
    [], "text", 5, True, None, {"command": "a\0"}, {"command": "\ud800"}, {"\ud800": 1}, {"command": float("nan")},
    nested(500), nested(100_000), {"command": ["x"], "env": {"a": "\0"}}, {1: 2}, {},
])
def test_what_are_no_params(params: object) -> None:
    told = errors(a_task(params=params))
    assert told
    assert all(field.split(".")[0] == "params" for field in told)


def test_params_that_are_no_object_are_answered_with_an_example() -> None:
    told = errors(a_task(params="{to=\"xxx\"}"))["params"][0]
    assert json.loads(told[told.index("{"):told.rindex("}") + 1]) == handlers.installed()["send_cmd"].EXAMPLE


def command(size: int) -> dict[str, Any]:
    """Params of so many bytes."""
    empty = len(b'{"command":""}')
    return {"command": "备" * ((size - empty) // 3) + "x" * ((size - empty) % 3)}


def test_params_are_bounded_in_bytes() -> None:
    assert json_size(command(PARAMS_BYTES)) == PARAMS_BYTES == 65_536
    assert load(a_task(params=command(PARAMS_BYTES)))
    told = errors(a_task(params=command(PARAMS_BYTES + 1)))
    assert told == {"params": ["The params are 65537 bytes long; at most 65536 are allowed."]}


def test_bad_text_in_params_is_told_as_that() -> None:
    assert "NUL" in errors(a_task(params={"command": "a\0"}))["params"][0]


# --- options ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [
    {}, {"retries": 0}, {"retries": 100}, {"retry_delay_seconds": 0}, {"timeout_seconds": 1}, {"overlap": "queue"},
    {"overlap": "allow", "missed": "skip", "retries": "3"}, {"timeout_seconds": 30 * 86_400},
])
def test_options(options: dict[str, Any]) -> None:
    assert set(load(a_task(options=options))["options"]) == set(options)


@pytest.mark.parametrize(("options", "field"), [
    ({"retries": -1}, "options.retries"), ({"retries": 101}, "options.retries"),
    ({"retries": 1.5}, "options.retries"), ({"retries": None}, "options.retries"),
    ({"retries": True}, "options.retries"), ({"retries": []}, "options.retries"),
    ({"retry_delay_seconds": -1}, "options.retry_delay_seconds"),
    ({"timeout_seconds": 0}, "options.timeout_seconds"), ({"timeout_seconds": 10**12}, "options.timeout_seconds"),
    ({"overlap": "never"}, "options.overlap"), ({"missed": "run_all"}, "options.missed"),
    ({"overlap": []}, "options.overlap"), ({"retry": 1}, "options.retry"), ([], "options"), ("x", "options"),
    (None, "options"), (5, "options"),
])
def test_what_are_no_options(options: object, field: str) -> None:
    assert list(errors(a_task(options=options))) == [field]


def test_effective_options_are_the_tasks_then_the_types_then_the_general_ones() -> None:
    class Mail:
        DEFAULTS = {"retries": 3, "timeout_seconds": 60}  # noqa: RUF012

    assert effective({}, None) == dict(DEFAULTS)
    found = effective({"retries": 5}, Mail)  # type: ignore[arg-type]
    assert (found["retries"], found["timeout_seconds"], found["overlap"]) == (5, 60, "skip")


# --- the query of a list ----------------------------------------------------------------------------------------


def test_the_query_of_a_list() -> None:
    assert TaskQuery().load({}) == {"search": "", "type": "", "trigger": [], "state": [], "sort": "id", "page": 1,
                                    "page_size": 20}
    loaded = TaskQuery().load({"state": "running,failing", "trigger": "cron", "sort": "-next_run_at", "page": "2",
                               "page_size": "200"})
    assert loaded["state"] == ["running", "failing"]
    assert (loaded["trigger"], loaded["sort"]) == (["cron"], "-next_run_at")
    assert (loaded["page"], loaded["page_size"]) == (2, 200)


@pytest.mark.parametrize(("query", "field"), [
    ({"state": "idel"}, "state"), ({"trigger": "weekly"}, "trigger"), ({"sort": "params"}, "sort"),
    ({"sort": "--id"}, "sort"), ({"sort": ""}, "sort"), ({"page": 0}, "page"), ({"page": "x"}, "page"),
    ({"page_size": 201}, "page_size"), ({"search": "\0"}, "search"), ({"serch": "x"}, "serch"),
    ({"type": []}, "type"),
])
def test_a_bad_query_is_refused_by_name(query: dict[str, Any], field: str) -> None:
    assert list(TaskQuery().validate(query)) == [field]
