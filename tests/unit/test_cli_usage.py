"""The command line itself: help and complaints in both languages, tables, exit codes."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.cli.console import cells
from dashboard.cli.tables import GAP, fit
from dashboard.cli.tree import build
from dashboard.i18n import LANGUAGES, speaking
from tests.console import Console, with_store

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = {
    "init", "scheduler", "logs", "doctor", "task list", "task add", "task show", "task edit", "task delete",
    "task run", "task pause", "task resume", "task preview", "db migrate", "db check", "db backup", "db restore"}


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Console:
    return with_store(Console(tmp_path, monkeypatch, capsys))


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*path, name))
    else:
        yield " ".join(path), command


def test_the_commands_of_the_contract_and_no_others() -> None:
    assert {path for path, _ in leaves(build())} == CONTRACT


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_command_and_option_has_help(language: str) -> None:
    with speaking(language):
        for path, command in leaves(build()):
            assert command.help, path
            for param in command.params:
                if isinstance(param, click.Option) and not param.hidden:
                    assert param.help, (path, param.opts)
                    assert language == "en" or not param.help.isascii(), (path, param.opts)


def test_help_speaks_chinese(console: Console) -> None:
    console.environment(LANGUAGE="zh")
    for words in ((), ("task",), ("task", "add"), ("db",), ("logs",)):
        said = console(*words, "--help").out
        assert "选项：" in said and "选项:" not in said
        assert "用法：" in said and "显示本帮助" in said
        assert "Usage" not in said and "Show this message" not in said


@pytest.mark.parametrize(("words", "said"), [
    (("tsk",), "task"), (("task", "lst"), "list"), (("task", "add", "x", "--evry", "5m"), "--every"),
    (("task", "show"), "ID"), (("task", "show", "a", "b"), "b"), (("task", "add", "x", "--type"), "--type"),
    (("logs", "--follow=3"), "--follow"), (("db", "restore"), "FILE"), (("scheduler", "now"), "now"),
    (("--port",), "--port"),
])
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_slip_of_the_pen_is_told_with_help(console: Console, words: tuple[str, ...], said: str,
                                             language: str) -> None:
    console.environment(LANGUAGE=language)
    answer = console(*words, code=2)
    assert said in answer.err
    assert "--help" in answer.err
    assert answer.out == ""
    assert language == "en" or not answer.err.isascii()


def test_wrong_settings_are_told_and_nothing_is_made(console: Console) -> None:
    console.environment(WORKERS="none", COLOUR="red")
    said = console("init", code=2).err
    assert "DINGSHI_WORKERS" in said and "DINGSHI_COLOUR" in said
    assert sorted(path.name for path in console.folder.iterdir()) == ["dingshi.toml", "task.db"]


@given(st.lists(st.lists(st.text("ab 中文-", max_size=12), min_size=3, max_size=3), max_size=5),
       st.integers(0, 60))
def test_no_word_is_broken_and_no_table_is_too_wide(rows: list[list[str]], room: int) -> None:
    widths = fit(["Task", "When", "Next run"], rows, room)
    words = [max(cells(word) for cell in column for word in cell.split() or [""])
             for column in zip(["Task", "When", "Next run"], *rows, strict=True)]
    if widths is None:
        assert sum(words) + 2 * GAP > room
    else:
        assert sum(widths) + 2 * GAP <= room
        assert all(width >= least for width, least in zip(widths, words, strict=True))


def test_into_a_pipe_each_row_is_one_line(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    console("task", "add", "x" * 60, "--type", "send_cmd", "--cron", "0 8 1,15 * 1-5", "--param", "command=true")
    lines = [line for line in console("task", "list").out.splitlines() if "x" * 60 in line]
    assert not any(line != line.rstrip() for line in console("task", "list").out.splitlines())
    assert len(lines) == 1 and "send_cmd" in lines[0] and "scheduled" in lines[0]


@pytest.mark.parametrize("spoken_by", ["environment", "file"])
def test_wrong_settings_are_told_in_the_language_that_is_set(console: Console, monkeypatch: pytest.MonkeyPatch,
                                                            spoken_by: str) -> None:
    if spoken_by == "environment":
        console.environment(LANGUAGE="zh")
    else:
        monkeypatch.delenv("DINGSHI_LANGUAGE")
    (console.folder / "dingshi.toml").write_text("language = 'zh'\nworkers = 'none'\n", encoding="utf-8")
    assert "此处应为整数" in console("task", "list", code=2).err
    (console.folder / "dingshi.toml").write_text("language = 'zh'\nworkers = [\n", encoding="utf-8")
    assert "不是 TOML" in console("task", "list", code=2).err


@pytest.mark.parametrize("words", [(), ("task", "add"), ("db",), ("logs",)])
def test_help_needs_no_settings(console: Console, words: tuple[str, ...]) -> None:
    console.environment(WORKERS="none")
    assert "Usage" in console(*words, "--help").out
    for value in (("--paused", "--retries", "--help"), ()):
        said = console("task", "add", "x", "--type", "send_cmd", "--every", "1m", *value, code=2).err
        assert "DINGSHI_WORKERS" in said


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only: /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_output_is_told_in_one_line(console: Console, unbuffered: str) -> None:
    console("task", "add", "x", "--type", "send_cmd", "--every", "1m", "--param", "command=true")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "run.py", "task", "list"], cwd=ROOT, stdout=full,
                              stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": unbuffered}, check=False)
    assert done.returncode == 1
    assert done.stderr.decode("utf-8").strip() == f"The output cannot be written: {os.strerror(errno.ENOSPC)}."
    assert "Traceback" not in (console.folder / "scheduler.log").read_text(encoding="utf-8")
