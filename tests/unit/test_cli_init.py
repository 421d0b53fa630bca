"""``init`` and ``db …`` as typed: a store out of nothing, tasks out of files, copies and back."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from dashboard.engine import snapshot
from dashboard.engine.lock import InstanceLock
from dashboard.models import Task
from tests.console import Console
from tests.factories import a_task

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Console:
    return Console(tmp_path, monkeypatch, capsys)


def a_file(console: Console, *tasks: Any, name: str = "tasks.json") -> str:
    path = console.folder / name
    path.write_text(json.dumps({"tasks": list(tasks)}, ensure_ascii=False), encoding="utf-8")
    return str(path)


def stored(console: Console) -> list[str]:
    return [task["id"] for task in console("task", "list", "--json").json["items"]]


def test_a_store_out_of_nothing_and_again(console: Console) -> None:
    assert "python run.py init" in console("task", "list", code=1).err
    assert not (console.folder / "task.db").exists()
    for _ in range(2):
        said = console("init").out
        assert str(console.folder / "task.db") in said
        assert "task add" in said
    assert "task add" in console("task", "list").out


@pytest.mark.parametrize("name", ["tasks.json", "tasks.toml"])
def test_the_examples_load_without_a_mail_server_and_say_so(console: Console, name: str) -> None:
    said = console("init", str(EXAMPLES / name)).out
    assert "4 tasks created" in said
    assert "No mail server is set up" in said and "[smtp.NAME]" in said
    assert set(stored(console)) == {"年终提醒", "half-minute", "every-minute", "空闲时整理"}
    assert "exist already" in console("init", str(EXAMPLES / "tasks.json"), str(EXAMPLES / "tasks.toml")).out


def test_all_or_none_and_every_error_with_its_place(console: Console) -> None:
    good = a_file(console, a_task(id="good"), name="good.json")
    bad = a_file(console, a_task(id="ok"), a_task(id="备份", trigger={"type": "cron", "expression": "25:60"}),
                 a_task(id="b", colour="red"), 7, name="bad.json")
    said = console("init", good, bad, str(console.folder / "absent.toml"), code=1).err
    for word in ("bad.json, task 2 (备份): trigger.expression", "25:60", "bad.json, task 3 (b): colour",
                 "bad.json, task 4", "absent.toml"):
        assert word in said
    assert stored(console) == []


def test_an_id_twice_in_one_file_or_in_two(console: Console) -> None:
    one, other = a_file(console, a_task(id="x"), name="1.json"), a_file(console, a_task(id="x"), name="2.json")
    assert "2.json, task 1 (x): id" in console("init", one, other, code=1).err
    twice = a_file(console, a_task(id="y"), a_task(id="y"), name="3.json")
    assert "3.json, task 2 (y): id" in console("init", twice, code=1).err
    assert stored(console) == []


def test_a_task_that_is_there_with_another_definition(console: Console) -> None:
    console("init", a_file(console, a_task(id="x")))
    changed = a_file(console, a_task(id="new"), a_task(id="x", params={"command": ["false"]}))
    assert "task edit x" in console("init", changed, code=1).err
    assert stored(console) == ["x"]


def test_a_file_that_is_no_json_is_told_by_line_and_column(console: Console) -> None:
    path = console.folder / "t.json"
    path.write_text('{"tasks": [\n  {"id": "x",,}\n]}', encoding="utf-8")
    assert "ine 2, column 14" in console("init", str(path), code=1).err
    assert stored(console) == []


def test_many_tasks_are_made_at_once_and_not_all_are_listed(console: Console) -> None:
    said = console("init", a_file(console, *(a_task(id=f"t{n}") for n in range(120)))).out
    assert "120 tasks created" in said
    assert "and 70 more" in said


def test_a_backup_and_back(console: Console) -> None:
    console("init", a_file(console, a_task(id="x")))
    copy = console.folder / "copies" / "one.db"
    assert str(copy) in console("db", "backup", str(copy)).out
    assert "overwrites nothing" in console("db", "backup", str(copy), code=1).err
    console("task", "delete", "x", "--yes")
    said = console("db", "restore", str(copy)).out
    assert "Restored: 1 task" in said and "Set aside" in said
    assert stored(console) == ["x"]
    assert "whole" in console("db", "check").out
    assert "up to date" in console("db", "migrate").out


def test_a_restore_wants_the_scheduler_stopped(console: Console) -> None:
    console("init", a_file(console, a_task(id="x")))
    copy = console.folder / "copy.db"
    console("db", "backup", str(copy))
    lock = InstanceLock(console.folder / "task.db")
    lock.acquire()
    try:
        assert "process" in console("db", "restore", str(copy), code=3).err
    finally:
        lock.release()
    assert stored(console) == ["x"]


def test_a_lost_store_is_refused_by_every_command_and_comes_back(console: Console) -> None:
    console("init", a_file(console, a_task(id="x"), a_task(id="备份")))
    store, path = console.store(), console.folder / "tasks.pkl"
    with store.reading():
        snapshot.write(path, snapshot.content(Task.select(), store.meta("store_id"), store_now()))
    store.close()
    (console.folder / "task.db").unlink()
    for words in (("init",), ("task", "list"), ("task", "add", "z", "--type", "send_cmd", "--every", "1m"),
                  ("scheduler",), (), ("db", "check")):
        said = console(*words, code=4).err
        assert f'db restore "{path}"' in said
        assert not (console.folder / "task.db").exists()
    assert "Restored: 2 tasks" in console("db", "restore", str(path)).out
    assert stored(console) == ["x", "备份"]


def store_now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)


@pytest.mark.parametrize("content", [b"", b"not a database, only text", b"\0" * 4096])
def test_a_store_that_is_none_stays_as_it_is(console: Console, content: bytes) -> None:
    path = console.folder / "task.db"
    path.write_bytes(content)
    assert str(path) in console("task", "list", code=4).err
    assert path.read_bytes() == content


def test_another_programs_database_stays_as_it_is(console: Console) -> None:
    path = console.folder / "task.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE task (x)")
    other.close()
    before = path.read_bytes()
    for words in (("init",), ("task", "list"), ("scheduler",)):
        assert str(path) in console(*words, code=4).err
    assert path.read_bytes() == before


def test_doctor_tells_what_is_missing_and_exits_by_it(console: Console) -> None:
    said = console("doctor").out
    assert "python run.py init" in said
    console("init")
    found = {finding["code"]: finding for finding in console("doctor", "--json").json}
    assert found["store"]["level"] == "ok"
    assert found["scheduler"]["level"] == "warning"
    (console.folder / "task.db").write_bytes(b"garbage")
    assert "PROBLEM" in console("doctor", code=1).out


@pytest.mark.parametrize("words", [("init",), (), ("scheduler",), ("task", "list"), ("logs",), ("db", "check")])
def test_a_file_in_the_place_of_the_data_folder_is_told_as_that(console: Console, words: tuple[str, ...]) -> None:
    place = console.folder / "place"
    place.write_text("mine", encoding="utf-8")
    for folder in (place, place / "inner"):
        console.environment(DATA_DIR=str(folder), LOG_FILE=str(console.folder / "x.log"))
        said = console(*words, code=5).err
        assert f"{place} is a file; a folder is needed" in said and "data_dir" in said
        assert "permission" not in said and "run.py init" not in said
        assert "a folder is needed" in console("doctor", code=1).out
    assert place.read_text(encoding="utf-8") == "mine"
