"""``task …`` as typed: what is made, changed, shown, and what is refused with nothing changed."""

import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dashboard.engine.lock import InstanceLock
from dashboard.models import Task, TaskLog
from tests.console import ZONE, Console, with_store

COMMAND = ("--param", "command=echo hi")


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Console:
    return with_store(Console(tmp_path, monkeypatch, capsys))


def shown(console: Console, task_id: str) -> Any:
    return console("task", "show", task_id, "--json").json


def add(console: Console, task_id: str = "tidy", *more: str, code: int = 0) -> str:
    """A task of every five minutes unless told otherwise; returns what was said."""
    given = any(word in more for word in ("--cron", "--at", "--every", "--idle", "--trigger"))
    when = () if given else ("--every", "5m")
    answer = console("task", "add", task_id, "--type", "send_cmd", *when, *COMMAND, *more, code=code)
    return answer.out + answer.err


@pytest.mark.parametrize(("words", "trigger"), [
    (("--cron", "08:00"), {"type": "cron", "expression": "08:00"}),
    (("--cron", "0 8 * * 1-5"), {"type": "cron", "expression": "0 8 * * 1-5"}),
    (("--every", "2h30m"), {"type": "interval", "hours": 2, "minutes": 30}),
    (("--every", "10s"), {"type": "interval", "seconds": 10}),
    (("--every", "1w 1d"), {"type": "interval", "weeks": 1, "days": 1}),
    (("--at", "2199-12-01 08:00"), {"type": "date", "run_date": "2199-12-01 08:00:00"}),
    (("--idle", "60"), {"type": "idle", "idle_duration": 60}),
    (("--idle", "5m"), {"type": "idle", "idle_duration": 300}),
    (("--trigger", '{"type": "cron", "hour": 3}'), {"type": "cron", "hour": "3"}),
])
def test_short_forms_of_triggers(console: Console, words: tuple[str, str], trigger: dict[str, Any]) -> None:
    add(console, "tidy", *words)
    found = shown(console, "tidy")["trigger"]
    assert {name: str(value) for name, value in found.items()} == {
        name: str(value) for name, value in trigger.items()}


@pytest.mark.parametrize(("words", "params"), [
    (("--param", "command=echo a=b"), {"command": "echo a=b"}),
    (("--param", 'command=["echo", "1"]', "--param", "timeout=5"), {"command": ["echo", "1"], "timeout": "5"}),
    (("--param", "command=2026"), {"command": "2026"}),
    (("--param", "command=[not json"), {"command": "[not json"}),
    (("--params", '{"command": "echo 你好"}'), {"command": "echo 你好"}),
    (("--params", '{"command": "a", "cwd": "x"}', "--param", "command=b"), {"command": "b", "cwd": "x"}),
])
def test_params_from_words(console: Console, words: tuple[str, ...], params: dict[str, Any]) -> None:
    console("task", "add", "tidy", "--type", "send_cmd", "--every", "5m", *words)
    assert shown(console, "tidy")["params"] == params


def test_params_from_a_file(console: Console, tmp_path: Path) -> None:
    file = tmp_path / "参数.json"
    file.write_text('{"command": "echo 你好"}', encoding="utf-8-sig")
    for task_id, words in (("a", ("--params", f"@{file}")), ("b", ("--params-file", str(file)))):
        console("task", "add", task_id, "--type", "send_cmd", "--every", "5m", *words)
        assert shown(console, task_id)["params"] == {"command": "echo 你好"}


def test_options_and_a_pause(console: Console) -> None:
    add(console, "tidy", "--retries", "2", "--retry-delay-seconds", "5", "--timeout-seconds", "9",
        "--overlap", "queue", "--missed", "skip", "--paused")
    task = shown(console, "tidy")
    assert task["options"] == {"retries": 2, "retry_delay_seconds": 5, "timeout_seconds": 9, "overlap": "queue",
                               "missed": "skip"}
    assert (task["paused"], task["state"], task["next_run_at"]) == (True, "paused", None)


@pytest.mark.parametrize(("words", "said"), [
    (("--cron", "25:60"), r"--cron \(trigger\.expression\): .*25"),
    (("--every", "0s"), r"--every \(trigger\.seconds\): "), (("--every", "5x"), "--every: 5x .*2h30m"),
    (("--every", "m"), "--every: "),
    (("--at", "2020-01-01"), r"--at \(trigger\.run_date\): .*past"), (("--at", "soon"), r"run_date\): soon"),
    (("--idle", "0"), r"--idle \(trigger\.idle_duration\): "), (("--idle", "soon"), "idle"),
    (("--trigger", "[]"), "trigger"), (("--trigger", '{"type": "moon"}'), r"trigger\.type: .*cron"),
    (("--retries", "many"), r"options\.retries: "), (("--overlap", "maybe"), r"options\.overlap: .*queue"),
    (("--param", "colour=red"), r"params\.colour: .*command"), (("--param", "colour"), "--param: colour"),
])
def test_a_refused_task_names_the_field_and_leaves_nothing(console: Console, words: tuple[str, ...],
                                                           said: str) -> None:
    assert re.search(said, add(console, "tidy", *words, code=1))
    assert console("task", "list", "--json").json["total"] == 0


@pytest.mark.parametrize("text", ['{to=xxx, title="x"}', "{command: echo}", '{"command": "a",, }', '["a"]', "", "{"])
def test_params_that_are_no_json_are_told_where_and_how(console: Console, text: str) -> None:
    said = console("task", "add", "tidy", "--type", "send_cmd", "--every", "5m", "--params", text, code=1).err
    assert "params" in said
    assert "--param" in said
    assert console("task", "list", "--json").json["total"] == 0


def test_a_file_that_is_none_or_no_text(console: Console, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"\xff\xfe{}")
    for name in ("bad", "absent", "."):
        for words in (("--params-file", str(tmp_path / name)), ("--params", f"@{tmp_path / name}")):
            said = console("task", "add", "tidy", "--type", "send_cmd", "--every", "5m", *words, code=1).err
            assert str(tmp_path / name) in said


def test_a_type_is_needed_and_known(console: Console) -> None:
    assert "--type" in console("task", "add", "tidy", "--every", "5m", code=2).err
    assert "send_email" in console("task", "add", "tidy", "--type", "dance", "--every", "5m", code=1).err
    assert "--cron" in console("task", "add", "tidy", "--type", "send_cmd", *COMMAND, code=2).err
    said = console("task", "add", "x", "--type", "send_cmd", "--every", "5m", "--cron", "08:00", *COMMAND, code=2).err
    assert "--every" in said and "--cron" in said


@pytest.mark.parametrize("task_id", ["备份-夜间", "v1.2_x", "_"])
def test_ids_of_any_script(console: Console, task_id: str) -> None:
    add(console, task_id)
    assert shown(console, task_id)["id"] == task_id
    assert task_id in console("task", "list").out


@pytest.mark.parametrize("task_id", ["..", "a b", "a/b", "x" * 65, "a\x1b[31m", "\u202ecod", "[bold]", ""])
def test_ids_that_are_none(console: Console, task_id: str) -> None:
    said = add(console, task_id, code=1)
    assert "id: " in said
    assert "\x1b" not in said and "\u202e" not in said


def test_an_id_is_taken_once(console: Console) -> None:
    add(console)
    assert "tidy" in add(console, code=1)


def test_an_edit_changes_what_is_given(console: Console) -> None:
    add(console, "tidy", "--retries", "2")
    before = shown(console, "tidy")
    console("task", "edit", "tidy", "--cron", "08:00")
    console("task", "edit", "tidy", "--param", "timeout=7")
    console("task", "edit", "tidy", "--retries", "default", "--overlap", "allow")
    after = shown(console, "tidy")
    assert after["trigger"] == {"type": "cron", "expression": "08:00"}
    assert after["params"] == {**before["params"], "timeout": "7"}
    assert (after["options"]["retries"], after["options"]["overlap"]) == (0, "allow")
    assert (after["id"], after["type"], after["created_at"]) == (before["id"], before["type"], before["created_at"])
    console("task", "edit", "tidy", "--params", '{"command": "b"}')
    assert shown(console, "tidy")["params"] == {"command": "b"}


@pytest.mark.parametrize(("words", "code", "said"), [
    (("--type", "http_request"), 1, "type: "), (("--id", "other"), 1, "id: "), ((), 2, "change"),
    (("--cron", "25:60"), 1, "--cron (trigger.expression)"), (("--params", "{}"), 1, "command"),
    (("--colour", "red"), 2, "--colour"),
])
def test_an_edit_that_is_refused(console: Console, words: tuple[str, ...], code: int, said: str) -> None:
    add(console)
    before = shown(console, "tidy")
    assert said in console("task", "edit", "tidy", *words, code=code).err
    assert shown(console, "tidy") == before


@pytest.mark.parametrize("words", [
    ("show", "x"), ("edit", "x", "--cron", "08:00"), ("delete", "x", "--yes"), ("run", "x"), ("pause", "x"),
    ("resume", "x"), ("preview", "x"), ("show", "\x1b[31m"),
])
def test_no_such_task(console: Console, words: tuple[str, ...]) -> None:
    said = console("task", *words, code=1).err
    assert words[1] in said or "\\x1b" in said


def test_deleting_asks(console: Console) -> None:
    add(console)
    for typed in ("n\n", "\n", ""):
        console.typed(typed)
        answer = console("task", "delete", "tidy", code=1)
        assert ("--yes" in answer.err) == (typed == "")
    console.typed("maybe\ny\n")
    assert "tidy" in console("task", "delete", "tidy").out
    add(console)
    console("task", "delete", "tidy", "--yes")
    assert console("task", "list", "--json").json["items"] == []


def test_deleting_asks_in_chinese(console: Console) -> None:
    add(console)
    console.environment(LANGUAGE="zh")
    console.typed("是\n")
    assert "删除" in console("task", "delete", "tidy").out
    console("task", "show", "tidy", code=1)


def test_pause_and_resume(console: Console) -> None:
    add(console)
    console("task", "pause", "tidy")
    assert shown(console, "tidy")["state"] == "paused"
    console("task", "resume", "tidy")
    assert shown(console, "tidy")["state"] == "scheduled"


def test_the_list_has_every_column_and_filters(console: Console) -> None:
    add(console, "b", "--cron", "08:00")
    add(console, "a", "--paused")
    said = console("task", "list").out
    assert said.index("\na ") < said.index("\nb ")
    for word in ("send_cmd", "every 5 minutes", "08:00", "paused", "scheduled", ZONE, " - ", "no"):
        assert word in said
    assert [task["id"] for task in console("task", "list", "--state", "paused", "--json").json["items"]] == ["a"]
    assert [task["id"] for task in console("task", "list", "--trigger", "cron", "--json").json["items"]] == ["b"]
    page = console("task", "list", "--sort", "-id", "--page-size", "1", "--page", "2", "--json").json
    assert ([task["id"] for task in page["items"]], page["total"], page["page"]) == (["a"], 2, 2)
    assert "sort" in console("task", "list", "--sort", "colour", code=1).err


def test_an_empty_list_says_what_to_do(console: Console) -> None:
    assert "task add" in console("task", "list").out


def test_a_narrow_terminal_loses_nothing(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    add(console, "一个很长很长很长很长的任务名字-abcdefghijklmnopqrstuvwxyz")
    said = console("task", "list").out
    assert "一个很长很长很长很长的任务名字-abcdefghijklmnopqrstuvwxyz" in said


def test_one_task_with_its_last_runs(console: Console) -> None:
    add(console)
    a_run(console, error="boom [red]")
    said = console("task", "show", "tidy").out
    for word in ("tidy", "send_cmd", "every 5 minutes", "minutes=5", "echo hi", "failure", "boom [red]"):
        assert word in said


def a_run(console: Console, **values: Any) -> int:
    """A row of the log, as an engine would leave it."""
    now = datetime.now(UTC)
    store = console.store()
    with store.writing():
        row = TaskLog.create(**{
            "task_key": 1, "task_id": "tidy", "task_type": "send_cmd", "trigger": {"type": "interval", "minutes": 5},
            "params": {"command": "echo hi"}, "options": {}, "result": "failure", "cause": "schedule",
            "scheduled_at": now, "occurrence_at": now, "started_at": now, "finished_at": now, "at": now,
            "duration_ms": 1532, **values})
    store.close()
    return int(row.id)


def test_a_run_now_needs_a_scheduler(console: Console) -> None:
    add(console)
    assert "python run.py" in console("task", "run", "tidy", code=1).err
    assert console("logs", "--json").json["items"] == []


@pytest.mark.parametrize(("result", "code"), [("success", 0), ("failure", 1), ("skipped", 1)])
def test_a_run_now_is_followed_to_its_end(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                          result: str, code: int) -> None:
    add(console)

    def breathe() -> None:
        store = console.store()
        with store.writing():
            TaskLog.update(result=result, output="said \x1b[31mred\n", error="why").execute()

    monkeypatch.setattr("dashboard.cli.task_change.breathe", breathe)
    lock = InstanceLock(tmp_path / "task.db")
    lock.acquire()
    try:
        answer = console("task", "run", "tidy", "--wait", code=code)
        assert "said \\x1b[31mred" in answer.out
        assert result in answer.out
        row = console("task", "run", "tidy", "--wait", "--json", code=code).json
        assert (row["task_id"], row["result"], row["error"], row["cause"]) == ("tidy", result, "why", "manual")
        found = console("task", "run", "tidy", "--json").json
        assert console("logs", "--id", str(found["log_id"]), "--json").json["result"] == "queued"
    finally:
        lock.release()


def test_a_scheduler_that_goes_is_not_waited_for(console: Console, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    add(console)
    lock = InstanceLock(tmp_path / "task.db")
    lock.acquire()
    monkeypatch.setattr("dashboard.cli.task_change.breathe", lock.release)
    assert "scheduler" in console("task", "run", "tidy", "--wait", code=1).err


def test_a_preview_by_the_trigger_that_fires(console: Console) -> None:
    answer = console("task", "preview", "--cron", "08:00", "--count", "3")
    assert answer.out.count("08:00:00") == 3
    assert ZONE in answer.out
    found = console("task", "preview", "--cron", "08:00", "--count", "3", "--json").json
    times = [datetime.fromisoformat(text) for text in found["next"]]
    assert [time.astimezone(ZoneInfo(ZONE)).strftime("%H:%M:%S.%f") for time in times] == ["08:00:00.000000"] * 3
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text) for text in found["next"])
    assert set(found) == {"text", "next", "warnings"}


def test_a_preview_of_a_stored_interval_keeps_its_grid(console: Console) -> None:
    add(console, "tidy", "--every", "7m")
    upcoming = datetime.fromisoformat(shown(console, "tidy")["next_run_at"])
    found = console("task", "preview", "tidy", "--count", "2", "--json").json
    assert [datetime.fromisoformat(text) for text in found["next"]] == [upcoming, upcoming + timedelta(minutes=7)]


@pytest.mark.parametrize(("words", "code"), [
    ((), 2), (("tidy", "--cron", "08:00"), 2), (("--cron", "08:00", "--count", "0"), 2),
    (("--cron", "08:00", "--count", "many"), 2), (("--cron", "25:60"), 1), (("--at", "never"), 1),
])
def test_a_preview_that_is_refused(console: Console, words: tuple[str, ...], code: int) -> None:
    answer = console("task", "preview", *words, code=code)
    assert answer.err and not answer.out


def test_commands_say_it_in_chinese(console: Console) -> None:
    console.environment(LANGUAGE="zh")
    for words in (("list",), ("show", "tidy"), ("pause", "tidy"), ("resume", "tidy"), ("preview", "tidy")):
        if words[0] == "list":
            assert re.search("[\u4e00-\u9fff]", add(console))
        assert re.search("[\u4e00-\u9fff]", console("task", *words).out)
    assert re.search("[\u4e00-\u9fff]", console("task", "show", "nobody", code=1).err)


def test_a_row_of_another_version_is_shown_as_it_is(console: Console) -> None:
    add(console)
    store = console.store()
    with store.writing():
        Task.update(trigger={"type": "moon", "phase": "full"}, type="dance").execute()
    store.close()
    assert "moon phase=full" in console("task", "list").out
    said = console("task", "show", "tidy").out
    assert "moon phase=full" in said and "trigger.type" in said
    console("task", "pause", "tidy")
    console("task", "delete", "tidy", "--yes")


@pytest.mark.parametrize("closed", [False, True])
def test_deleting_where_nobody_can_answer(console: Console, monkeypatch: pytest.MonkeyPatch, closed: bool) -> None:
    add(console)
    nobody = io.StringIO()
    nobody.close()
    monkeypatch.setattr("sys.stdin", nobody if closed else None)
    assert "--yes" in console("task", "delete", "tidy", code=1).err
    assert shown(console, "tidy")["id"] == "tidy"


@pytest.mark.parametrize(("words", "said"), [
    (("list", "--state", "foo"), "--state: foo"), (("list", "--trigger", "foo"), "--trigger: foo"),
    (("list", "--sort", "foo"), "--sort: "), (("list", "--type", "foo"), "--type: .*foo.*send_cmd"),
    (("list", "--type", "foo", "--sort", "bar"), "--sort: "),
    (("preview", "--cron", "25:60"), r"--cron \(trigger\.expression\): .*25"),
    (("preview", "--every", "often"), "--every: often"), (("preview", "--at", "soon"), r"--at \(trigger\.run_date\)"),
    (("preview", "--trigger", '{"type": "moon"}'), r"^trigger\.type: "),
])
def test_a_question_that_cannot_be_answered_names_the_option(console: Console, words: tuple[str, ...],
                                                             said: str) -> None:
    err = console("task", *words, code=1).err
    assert re.search(said, err)
    assert "nothing was changed" not in err


def test_a_type_that_is_gone_can_be_asked_for_while_there_are_tasks_of_it(console: Console) -> None:
    add(console)
    store = console.store()
    with store.writing():
        Task.update(type="gone").execute()
    assert console("task", "list", "--type", "gone", "--json").json["total"] == 1


def test_a_page_beyond_the_last(console: Console) -> None:
    for number in range(3):
        add(console, f"t{number}")
    assert "the last one is 2" in console("task", "list", "--page", "99", "--page-size", "2").out
    assert "Tasks: 1 of 3" in console("task", "list", "--page", "2", "--page-size", "2").out


def test_resuming_says_what_comes(console: Console) -> None:
    add(console)
    assert "was not paused. Next run: 2" in console("task", "resume", "tidy").out
    add(console, "calm", "--idle", "5m", "--paused")
    assert console("task", "resume", "calm").out == "Task calm goes on.\n"
    add(console, "once", "--at", "2199-12-01 08:00")
    store = console.store()
    with store.writing():
        Task.update(next_run_at=None, trigger={"type": "date", "run_date": "2020-01-01 00:00:00"}).where(
            Task.id == "once").execute()
    said = console("task", "resume", "once").out
    assert "was not paused. It has no due time any more" in said
    console("task", "pause", "once")
    said = console("task", "resume", "once").out
    assert "goes on. It has no due time any more" in said and "Next run" not in said


@pytest.mark.parametrize(("text", "said"), [
    ('{to="xxx", title="xxxxx"}', '{"to": "xxx", "title": "xxxxx"}'), ('{"to": "a=b"}', '{"to": "a=b"}'),
    (" {to=xxx}", "as JSON"), ("{d=2026-01-01}", "as JSON"), ("{", "as JSON"),
])
def test_a_whole_object_is_no_param(console: Console, text: str, said: str) -> None:
    err = add(console, "tidy", "--param", text, code=1)
    assert "--params" in err and said in err
    assert console("task", "list", "--json").json["total"] == 0
