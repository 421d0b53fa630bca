"""``logs …`` as typed: rows, one row, following, scheduler.log."""

import errno
import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboard.cli.follow import Follower
from dashboard.models import TaskLog
from dashboard.services.log_service import LogService
from tests.console import Console, with_store
from tests.factories import make_settings, make_store

START = datetime(2026, 11, 23, 2, 0, 0, 123_000, tzinfo=UTC)


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Console:
    return with_store(Console(tmp_path, monkeypatch, capsys))


def a_row(console: Console, number: int = 0, *, close: bool = True, **values: Any) -> int:
    """A row of ``number`` minutes after START. ``close`` False while a command is at work: the models then go on
    with this connection."""
    at = START + timedelta(minutes=number)
    store = console.store()
    with store.writing():
        row = TaskLog.create(**{
            "task_key": 1, "task_id": "tidy", "task_type": "send_cmd", "trigger": {"type": "interval", "minutes": 5},
            "params": {"command": "echo hi"}, "options": {}, "result": "success", "cause": "schedule",
            "scheduled_at": at, "occurrence_at": at, "started_at": at, "finished_at": at + timedelta(seconds=1.5),
            "at": at, "duration_ms": 1500, "output": "hi\n", **values})
    if close:
        store.close()
    return int(row.id)


def ids(console: Console, *words: str) -> list[int]:
    return [row["id"] for row in console("logs", *words, "--json").json["items"]]


def until(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> None:
    """Each pause of a command that follows does the next step; then comes Ctrl+C."""
    waiting = list(steps)

    def breathe() -> None:
        if not waiting:
            raise KeyboardInterrupt
        waiting.pop(0)()

    monkeypatch.setattr("dashboard.cli.logs.breathe", breathe)


def test_every_column_is_there_to_the_millisecond_and_newest_last(console: Console) -> None:
    a_row(console)
    a_row(console, 1, result="failure", error="boom [red]\nsecond line", reason={"code": "overlap"}, cause="retry",
          attempt=2)
    said = console("logs").out
    first, second = [line for line in said.splitlines() if "tidy" in line]
    for word in ("1", "2026-11-23 10:00:00.123", "tidy", "send_cmd", "schedule", "success", "1.500 s", "hi"):
        assert word in first
    for word in ("2026-11-23 10:01:00.123", "retry", "2", "failure", "boom [red]", "still going on"):
        assert word in second
    assert "second line" not in said
    assert "2 of 2" in said and "Asia/Shanghai" in said


def test_filters(console: Console) -> None:
    a_row(console)
    a_row(console, 1, result="failure", task_id="备份", error="网络断了")
    a_row(console, 2, task_type="send_email", result="missed")
    assert ids(console, "--task", "备份") == [2]
    assert ids(console, "--type", "send_email") == [3]
    assert ids(console, "--result", "failure,missed") == [3, 2]
    assert ids(console, "--since", "2026-11-23 10:00:30") == [3, 2]
    assert ids(console, "--until", "2026-11-23 10:01:00.123") == [1]
    assert ids(console, "--search", "网络") == [2]
    assert ids(console, "--limit", "1") == [3]
    assert ids(console, "--task", "nobody") == []
    assert "0 of 0" in console("logs", "--task", "nobody").out


def test_since_takes_a_span_that_ends_now(console: Console) -> None:
    now = datetime.now(UTC)
    a_row(console, at=now - timedelta(hours=3))
    a_row(console, 1, at=now - timedelta(minutes=10))
    assert ids(console, "--since", "1h") == [2]
    assert ids(console, "--since", "1d") == [2, 1]


@pytest.mark.parametrize(("words", "code", "said"), [
    (("--result", "good"), 1, "result: good"), (("--since", "soon"), 1, "--since: soon"),
    (("--until", "2026-13-01"), 1, "--until"), (("--limit", "0"), 2, "--limit"),
    (("--limit", "many"), 2, "--limit"), (("--id", "x"), 2, "--id"), (("--id", "7"), 1, "7"),
    (("--colour",), 2, "--colour"), (("tidy",), 2, "tidy"),
])
def test_what_is_wrong_is_named(console: Console, words: tuple[str, ...], code: int, said: str) -> None:
    assert said in console("logs", *words, code=code).err


def test_one_run_with_all_its_output(console: Console) -> None:
    output = "".join(f"line {n}\n" for n in range(500)) + "\x1b[31mred"
    number = a_row(console, output=output, reason={"code": "timeout", "seconds": 5}, result="timeout",
                   covers={"count": 3, "first": "2026-11-23T10:00:00.000Z", "last": "2026-11-23T10:02:00.000Z"})
    said = console("logs", "--id", str(number)).out
    for word in ("line 0\n", "line 499\n", "\\x1b[31mred", "deadline (5 s)", '"count": 3', "echo hi",
                 "2026-11-23 10:00:01.623"):
        assert word in said
    assert "\x1b[31mred" in console("logs", "--id", str(number), "--raw").out
    assert console("logs", "--id", str(number), "--json").json["output"] == output


def test_following_shows_rows_as_they_come_and_once_more_when_they_end(
        console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    a_row(console)
    running = a_row(console, 1, result="running", finished_at=None, duration_ms=None, output="")

    def end() -> None:
        store = console.store()
        with store.writing():
            TaskLog.update(result="failure", error="ended").where(TaskLog.id == running).execute()

    until(monkeypatch, lambda: a_row(console, 2, close=False), end, lambda: None)
    rows = [json.loads(line) for line in console("logs", "--follow", "--json").out.splitlines()]
    assert [(row["id"], row["result"]) for row in rows] == [
        (1, "success"), (2, "running"), (3, "success"), (2, "failure")]


def test_following_a_filter_waits_for_the_result(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    service = LogService(store, make_settings(tmp_path))

    def row(number: int, result: str) -> None:
        at = START + timedelta(seconds=number)
        with store.writing():
            TaskLog.create(task_key=number, task_id="t", task_type="send_cmd", trigger={}, params={}, options={},
                           result=result, cause="manual", scheduled_at=at, occurrence_at=at, at=at)

    def become(number: int, result: str) -> None:
        with store.writing():
            TaskLog.update(result=result).where(TaskLog.id == number).execute()

    row(1, "failure")
    row(2, "running")
    row(3, "success")
    follower = Follower(service, {"result": "failure"})
    assert [found.id for found in follower.begin(10)] == [1]
    become(2, "failure")
    row(4, "queued")
    row(5, "failure")
    row(6, "success")
    assert [found.id for found in follower.more()] == [2, 5]
    become(4, "running")
    assert follower.more() == []
    become(4, "failure")
    assert [found.id for found in follower.more()] == [4]
    assert follower.more() == []
    store.close()


def test_many_rows_at_once_are_all_followed(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    follower = Follower(LogService(store, make_settings(tmp_path)), {})
    assert follower.begin(10) == []
    with store.writing():
        for number in range(1200):
            TaskLog.create(task_key=number, task_id="t", task_type="send_cmd", trigger={}, params={}, options={},
                           result="success", cause="manual", scheduled_at=START, occurrence_at=START, at=START)
    assert [row.id for row in follower.more()] == list(range(1, 1201))
    store.close()


def test_the_programs_own_log_is_shown_and_followed(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    path = console.folder / "scheduler.log"
    path.write_text("".join(f"line {n}\n" for n in range(100)), encoding="utf-8")
    assert console("logs", "--file", "--limit", "2").out == "line 98\nline 99\n"

    def add() -> None:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write("任务 \x1b[31m\n")

    until(monkeypatch, add, lambda: None)
    assert console("logs", "--file", "--limit", "1", "--follow").out == "line 99\n任务 \\x1b[31m\n"


def test_no_log_of_the_program_yet(console: Console) -> None:
    answer = console("logs", "--file")
    assert (answer.out, "scheduler.log" in answer.err) == ("", True)


def test_ctrl_c_without_following_is_a_cancelled_command(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LogService, "find", press)
    assert "Cancelled" in console("logs", code=1).err


def test_in_chinese(console: Console) -> None:
    a_row(console, result="skipped", reason={"code": "paused"}, covers={"count": 3})
    console.environment(LANGUAGE="zh")
    said = console("logs").out
    for word in ("跳过", "任务处于暂停状态", "3 个预定时间", "按时", "结果"):
        assert word in said


@pytest.mark.parametrize(("words", "said"), [
    (("--file", "--json"), "--file", ), (("--file", "--task", "x"), "--task"), (("--file", "--id", "1"), "--id"),
    (("--id", "1", "--follow"), "--follow"), (("--id", "1", "--limit", "5"), "--limit"), (("--raw",), "--id"),
    (("--raw", "--file"), "--raw"),
])
def test_options_that_do_not_go_together(console: Console, words: tuple[str, ...], said: str) -> None:
    a_row(console)
    err = console("logs", *words, code=2).err
    assert said in err and words[0] in err and "logs --help" in err


@pytest.mark.parametrize(("words", "said", "span"), [
    (("--since", "soon"), "--since: ", True), (("--until", "soon"), "--until: ", True),
    (("--result", "foo"), "--result: foo", False), (("--since", "1h", "--until", "2h"), "--until: ", False),
    (("--follow", "--since", "soon"), "--since: ", True),
])
def test_a_question_that_cannot_be_answered_names_the_option(console: Console, words: tuple[str, ...], said: str,
                                                             span: bool) -> None:
    err = console("logs", *words, code=1).err
    assert err.startswith(said)
    assert ("30m, 2h, 1d" in err) == span
    assert "nothing was changed" not in err


def test_following_begins_with_the_heads_of_the_columns(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    a_row(console)
    until(monkeypatch)
    head, row = console("logs", "--follow").out.splitlines()
    assert head.split() == ["Run", "At", "Task", "Type", "Cause", "Attempt", "Result", "Duration", "Note"]
    assert "tidy" in row


def test_output_that_cannot_be_written(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    a_row(console)
    monkeypatch.setattr("sys.stdout", Full())
    for words in (("logs",), ("--help",), ("logs", "--json")):
        err = console(*words, code=1).err
        assert err.count("\n") == 1 and os.strerror(errno.ENOSPC) in err
    log = console.folder / "scheduler.log"
    assert not log.exists() or "Traceback" not in log.read_text(encoding="utf-8")
