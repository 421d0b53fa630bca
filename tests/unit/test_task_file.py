"""Files of tasks: every form they come in, and what is said of a file that is none."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from dashboard.errors import Invalid
from dashboard.i18n import speaking
from dashboard.schemas.task_file import MOST_BYTES, explain, read_task_file
from tests.factories import a_task
from tests.modes import locked

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
DEEP: list[Any] = []
for _ in range(62):
    DEEP = [DEEP]


def a_file(folder: Path, content: str | bytes, name: str = "tasks.json") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def refused(path: Path) -> str:
    with pytest.raises(Invalid) as caught:
        read_task_file(path)
    ((name, texts),) = caught.value.errors.items()
    assert name == str(path)  # as it was typed
    (text,) = texts
    return text


ONE, TWO = a_task(id="备份"), a_task(id="b", options={"retries": 1})


@pytest.mark.parametrize("content", [{"tasks": [ONE, TWO]}, [ONE, TWO]])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_json_with_tasks_under_a_name_or_bare(tmp_path: Path, content: Any, bom: str) -> None:
    for ascii_only in (True, False):
        path = a_file(tmp_path, bom + json.dumps(content, ensure_ascii=ascii_only, indent=1))
        assert read_task_file(path) == [ONE, TWO]


def test_one_single_task(tmp_path: Path) -> None:
    assert read_task_file(a_file(tmp_path, json.dumps(ONE))) == [ONE]
    assert read_task_file(a_file(tmp_path, 'id = "a"\r\n[trigger]\r\ntype = "idle"\r\n', "one.TOML")) == [
        {"id": "a", "trigger": {"type": "idle"}}]


def test_toml_tasks(tmp_path: Path) -> None:
    text = """
        [[tasks]]
        id = 'a'
        type = 'send_email'
        trigger = {type = 'date', run_date = 2026-12-31 08:00:00}
        params.to = ['a@b.cn']
        [[tasks]]
        id = '备份'
        [tasks.trigger]
        type = 'interval'
        minutes = 5
        start_date = 2026-12-31
    """
    for bom in ("", "\ufeff"):
        assert read_task_file(a_file(tmp_path, bom + text, "t.toml")) == [
            {"id": "a", "type": "send_email", "trigger": {"type": "date", "run_date": "2026-12-31 08:00:00"},
             "params": {"to": ["a@b.cn"]}},
            {"id": "备份", "trigger": {"type": "interval", "minutes": 5, "start_date": "2026-12-31"}}]


def test_params_may_be_as_deep_in_a_file_as_everywhere(tmp_path: Path) -> None:
    task = a_task(params={"x": DEEP})
    assert read_task_file(a_file(tmp_path, json.dumps({"tasks": [task]}))) == [task]
    assert read_task_file(a_file(tmp_path, f"[[tasks]]\nid = 'a'\nparams.x = {DEEP}", "t.toml"))
    assert "levels" in refused(a_file(tmp_path, '{"tasks": ' + "[" * 70 + "]" * 70 + "}"))


@pytest.mark.parametrize("name", ["tasks.json", "tasks.toml"])
def test_the_examples_load(name: str) -> None:
    documents = read_task_file(EXAMPLES / name)
    assert {document["trigger"]["type"] for document in documents} == {"date", "interval", "cron", "idle"}
    assert documents == read_task_file(EXAMPLES / "tasks.json")  # both say the same


@pytest.mark.parametrize(("name", "content", "words"), [
    ("t.json", '{"tasks": [\n  {"id": "x",,}\n]}', "Line 2, column 14: a name in double quotes"),
    ("t.json", '\ufeff{"tasks": [{"id": "中", "id": "b"}]}', 'Line 1, column 24: the name "id" stands twice'),
    ("t.json", '[{"id": "a", "params": {to="xxx"}}]', "Line 1, column 25: a name in double quotes"),
    ("t.json", "", "Line 1, column 1: a value is expected"), ("t.json", "[]", "There is no task in this file"),
    ("t.json", '{"tasks": []}', "There is no task"), ("t.json", '{"tasks": {}}', 'A list of tasks is expected'),
    ("t.json", "{}", "A list of tasks"), ("t.json", "7", "A list of tasks"), ("t.json", "null", "A list"),
    ("t.json", '{"tasks": [], "task": 1, "x": 2}', "nothing else is expected; here is also: task, x"),
    ("t.toml", "[[tasks]]\nid = \"x\"\ncwd = \"C:\\temp\"", "Line 3, column 7: in double quotes"),
    ("t.toml", "[[tasks]]\nid = x", "Line 2, column 6: a value is expected"), ("t.toml", "", "Each task begins with"),
    ("t.toml", "[[task]]\nid = 'x'", "Each task begins with a line [[tasks]]"),
    ("t.toml", "tasks = []", "There is no task"), ("t.toml", "[tasks]\nid = 'a'", "Each task begins with"),
    ("t.toml", "version = 1\n[[tasks]]\nid = 'a'", "here is also: version"),
    ("t.json", "[[tasks]]\nid = 'x'", "Line 1, column 3"), ("t.yaml", "tasks:", "ends in .json or .toml"),
    ("tasks", "[]", "ends in .json or .toml"),
])
def test_what_is_no_file_of_tasks_is_told_with_its_place(tmp_path: Path, name: str, content: str, words: str) -> None:
    path = a_file(tmp_path, content, name)
    assert words in refused(path)
    with speaking("zh"):
        assert any("\u4e00" <= letter <= "\u9fff" for letter in refused(path))


@pytest.mark.parametrize(("content", "line", "column", "byte"), [
    ('[{"id": "任务"}]'.encode("gbk"), 1, 10, "0xC8"), ("[\r\n中 \xff".encode("latin-1", "replace"), 2, 3, "0xFF"),
    (b'\xef\xbb\xbf["\xe4\xb8\xad\xe4\xb8"]', 1, 4, "0xE4"), ("[]".encode("utf-16"), 1, 1, "0xFF"),
    ("[\n中中".encode() + b"\x80", 2, 3, "0x80"),
])
def test_another_encoding_is_told_by_its_first_wrong_byte(tmp_path: Path, content: bytes, line: int, column: int,
                                                         byte: str) -> None:
    text = refused(a_file(tmp_path, content))
    assert text.startswith(f"Line {line}, column {column}: the byte {byte} is not UTF-8.")
    assert "Save the file in the encoding UTF-8" in text


def test_a_file_of_10_mb_is_read_and_a_larger_one_is_not(tmp_path: Path) -> None:
    path = a_file(tmp_path, "[7]")
    with path.open("ab") as file:
        file.write(b" " * (MOST_BYTES - 3))
    assert read_task_file(path) == [7]
    with path.open("ab") as file:
        file.write(b" ")
    assert refused(path) == "This file is larger than 10 MB. Split it."


def test_a_folder_a_file_that_is_not_there_and_a_name_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    assert "a folder" in refused(tmp_path / "folder.json")
    assert "no such file" in refused(tmp_path / "absent.json")
    assert "no such file" in refused(tmp_path / "absent" / "tasks.toml")
    assert "cannot be read" in refused(tmp_path / "a\0.json")
    a_file(tmp_path, "[]", "file")
    assert refused(tmp_path / "file" / "tasks.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only: pipes in folders")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "tasks.json")
    assert refused(tmp_path / "tasks.json") == "This is no ordinary file."


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = a_file(tmp_path, "[7]")
    with locked(path, mode=0):
        assert "may not be read" in refused(path)
    with locked(tmp_path, mode=0):
        assert "may not be read" in refused(path)
    assert read_task_file(path) == [7]


def test_errors_name_file_number_id_and_field() -> None:
    documents = [a_task(), a_task(id="备份"), 7, {"id": 5}, a_task(id="x" * 65)]
    error = Invalid({"tasks.1.trigger.hour": ["a", "b"], "tasks.2": ["c"], "tasks.3.task": ["d"], "tasks.4.id": ["e"],
                     "tasks.9.id": ["f"], "tasks.\u0661.id": ["g"], "name": ["h"], "tasks.0.params.tasks.0": ["i"]})
    told = explain(error, documents, Path("t.toml")).errors
    assert told == {
        "t.toml, task 2 (备份): trigger.hour": ["a", "b"], "t.toml, task 3": ["c"], "t.toml, task 4": ["d"],
        "t.toml, task 5: id": ["e"], "tasks.9.id": ["f"], "tasks.\u0661.id": ["g"], "name": ["h"],
        "t.toml, task 1 (tidy): params.tasks.0": ["i"]}
    with speaking("zh"):
        assert "t.toml，第 2 个任务（备份）：trigger.hour" in explain(error, documents, Path("t.toml")).errors
