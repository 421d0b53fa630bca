"""R9: a store that is damaged, empty or another program's is refused and left as it is; a backup brings all back."""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dashboard.services.task_service import TaskService
from tests.fault.outside import Outside, until

PAGE = 4096


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_bytes(b"tasks\n" * 1000)


def header_zeroed(path: Path) -> None:
    path.write_bytes(bytes(100) + path.read_bytes()[100:])


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")


def garbage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // PAGE, 3):
        data[page * PAGE:(page + 1) * PAGE] = b"\xa5" * PAGE
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "header zeroed": header_zeroed, "half cut off": cut, "empty": empty, "text": text,
    "another program's": foreign, "pages of garbage": garbage,
}


def everything(outside: Outside) -> dict[str, list[dict[str, Any]]]:
    return {name: outside.sql(f"SELECT * FROM {name} ORDER BY 1") for name in ("task", "task_log")}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with tasks, their log and a backup, its scheduler stopped."""
    folder = tmp_path_factory.mktemp("template") / "data"
    folder.mkdir()
    outside = Outside(folder)
    try:
        outside("init")
        service = TaskService(outside.store(), outside.settings())
        for number in range(200):
            service.create({"id": f"任务-{number}", "type": "send_cmd", "params": {"command": "echo 你好"},
                            "trigger": {"type": "interval", "hours": 1}, "paused": number % 2 == 1})
        scheduler = outside.start()
        for number in range(0, 200, 2):
            service.run(f"任务-{number}")
        until(lambda: len([row for row in outside.rows() if row["result"] == "success"]) == 100, 20, "all have run")
        scheduler.stop()
        service.store.close()
        outside("db", "backup", str(folder / "backups" / "task-good.db"))
    finally:
        outside.end()
    return folder


@pytest.mark.parametrize("kind", DAMAGE)
def test_it_is_refused_untouched_and_comes_back_from_a_backup(outside: Outside, template: Path, kind: str) -> None:
    shutil.copytree(template, outside.folder, dirs_exist_ok=True)
    before = everything(outside)
    assert len(before["task"]) == 200 and len(before["task_log"]) == 100
    store, copy = outside.folder / "task.db", outside.folder / "backups" / "task-good.db"
    DAMAGE[kind](store)
    damaged = hashlib.sha256(store.read_bytes()).hexdigest()
    scheduler = outside.start(ready=False)
    assert scheduler.wait(10) == 4 and scheduler.out == ""
    for said in (scheduler.err, outside("init", code=4).err):
        assert str(store) in said and "db restore" in said and str(copy) in said and "Traceback" not in said
    assert hashlib.sha256(store.read_bytes()).hexdigest() == damaged

    assert "200 tasks" in outside("db", "restore", str(copy)).out
    assert everything(outside) == before
    aside = [path for path in outside.folder.glob("task.db.*") if path.suffix not in (".lock", ".owner")]
    assert damaged in [hashlib.sha256(path.read_bytes()).hexdigest() for path in aside], "what was there is kept"
    outside.whole()
