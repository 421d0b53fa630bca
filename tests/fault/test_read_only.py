"""R7: files and folders that may not be written. The message names the path and what to do; nothing is lost."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.engine import snapshot
from dashboard.services.task_service import TaskService
from tests.fault import rights
from tests.fault.outside import Outside, Scheduler, accounted, until
from tests.fault.rights import AS_ROOT

pytestmark = AS_ROOT
BACK_SECONDS = 10.0
STOP_SECONDS = 12.0
SIGBUS = -7
Before = tuple[str, ...]


@pytest.fixture
def outside() -> Iterator[Outside]:
    """A folder that other users may enter, with a task that has run once."""
    found = rights.public()
    try:
        yield found
    finally:
        found.end()


def stocked(outside: Outside) -> None:
    """A task that has run, and one that is paused."""
    outside("init")
    service = TaskService(outside.store(), outside.settings())
    for task_id in ("kept", "暂停"):
        service.create({"id": task_id, "type": "send_cmd", "params": {"command": "echo hello"},
                        "trigger": {"type": "interval", "hours": 1}, "paused": task_id != "kept"})
    scheduler = outside.start()
    runs(outside)
    scheduler.stop()
    service.store.close()


def runs(outside: Outside, before: Before = ()) -> None:
    """The task runs when it is asked for."""
    log_id = outside("task", "run", "kept", "--json", before=before).json["log_id"]
    until(lambda: [row for row in outside.rows("kept") if row["id"] == log_id and row["result"] == "success"],
          BACK_SECONDS, "a run that was asked for")


def tables(outside: Outside) -> dict[str, Any]:
    """Everything that the store holds of tasks and runs."""
    return {name: outside.sql(f"SELECT * FROM {name} ORDER BY 1") for name in ("task", "task_log")}


def readable(outside: Outside, before: Before = ()) -> None:
    """The reading commands show what is there."""
    tasks = outside("task", "list", "--json", before=before).json["items"]
    assert {task["id"]: task["paused"] for task in tasks} == {"kept": False, "暂停": True}
    rows = outside("logs", "--json", before=before).json["items"]
    assert [row["result"] for row in rows][-1] == "success"
    assert "scheduler stopped" in outside("logs", "--file", "--limit", "200", before=before).out


def refused(outside: Outside, path: Path, before: Before = ()) -> None:
    """Whatever would change the store is refused, by name and with a remedy."""
    told = [outside("task", "add", "new", "--type", "send_cmd", "--every", "1h", "--param", "command=x", code=5,
                    before=before).err,
            outside("task", "delete", "kept", "--yes", code=5, before=before).err]
    scheduler = outside.start(ready=False, before=before)
    assert scheduler.wait(10) == 5 and scheduler.out == ""
    for said in (*told, scheduler.err):
        assert str(path) in said and "write permission" in said and "Traceback" not in said


def immutable_store(outside: Outside) -> tuple[Before, Callable[[], None]]:
    paths = rights.immutable(outside, "task.db")
    return (), lambda: rights.mutable(paths)


def immutable_folder(outside: Outside) -> tuple[Before, Callable[[], None]]:
    paths = rights.immutable(outside, ".")
    return (), lambda: rights.mutable(paths)


def read_only_mount(outside: Outside) -> tuple[Before, Callable[[], None]]:
    rights.mounted(outside, "--bind", outside.folder)
    rights.sh("mount", "-o", "remount,bind,ro", outside.folder)
    return (), lambda: rights.sh("mount", "-o", "remount,bind,rw", outside.folder)


def modes(folder: int, files: int) -> Callable[[Outside], tuple[Before, Callable[[], None]]]:
    def taken(outside: Outside) -> tuple[Before, Callable[[], None]]:
        before, owner = rights.somebody()
        rights.owned(outside, owner, folder=folder, files=files)
        return before, lambda: rights.owned(outside, owner, folder=0o755, files=0o644)

    return taken


CASES = {
    "immutable store": immutable_store, "immutable folder": immutable_folder, "read-only mount": read_only_mount,
    "files 0444": modes(0o755, 0o444), "folder 0555": modes(0o555, 0o644),
    "folder 0555, files 0444": modes(0o555, 0o444),
}


@pytest.mark.parametrize("case", CASES)
def test_a_store_that_may_not_be_written_is_read_and_works_again_later(outside: Outside, case: str) -> None:
    stocked(outside)
    held, names = tables(outside), {path.name for path in outside.folder.iterdir()}
    before, give_back = CASES[case](outside)
    refused(outside, outside.folder / "task.db", before)
    readable(outside, before)
    give_back()
    assert {path.name for path in outside.folder.iterdir()} - {"task.db-wal", "task.db-shm"} == names
    assert tables(outside) == held
    readable(outside, before)
    scheduler = outside.start(before=before)
    runs(outside, before)
    scheduler.stop()
    outside("task", "resume", "暂停", before=before)
    outside.whole()


def test_where_nothing_may_be_made_nothing_is(outside: Outside) -> None:
    before, owner = rights.somebody()
    rights.owned(outside, owner, folder=0o555, files=0o444)
    scheduler = outside.start(ready=False, before=before)
    assert scheduler.wait(10) == 5 and scheduler.out == ""
    for said in (scheduler.err, outside("init", code=5, before=before).err):
        assert str(outside.folder) in said and "write permission" in said and "Traceback" not in said
    assert list(outside.folder.iterdir()) == []
    outside.folder.chmod(0o755)
    assert "is ready" in outside("init", before=before).out


@pytest.fixture
def ticking(outside: Outside) -> Scheduler:
    """A scheduler with a task every second, and a command of three seconds that has just begun."""
    stocked(outside)
    service = TaskService(outside.store(), outside.settings())
    scheduler = outside.start()
    service.create({"id": "tick", "type": "send_cmd", "params": {"command": "echo tick"},
                    "trigger": {"type": "interval", "seconds": 1}})
    service.create({"id": "long", "type": "send_cmd", "params": {"command": "sleep 3; echo late"},
                    "trigger": {"type": "interval", "hours": 1}})
    until(lambda: outside.rows("tick"), 5, "it ticks")
    service.run("long")
    until(outside.left, 5, "the long one runs")
    service.store.close()
    return scheduler


def test_a_store_that_becomes_read_only_stops_claims_and_keeps_the_late_result(outside: Outside,
                                                                             ticking: Scheduler) -> None:
    # not task.db-shm, which is memory to SQLite: the kernel would end whoever touches it (SIGBUS)
    paths = rights.immutable(outside, "task.db", "task.db-wal")
    until(lambda: "Trouble" in ticking.err, 5, "it says so")
    assert str(outside.folder / "task.db") in ticking.err and "write permission" in ticking.err
    assert "write permission" in outside("task", "pause", "kept", code=5).err
    assert outside("task", "list", "--json").json["total"] == 4
    assert outside("logs", "--json").json["items"]
    until(lambda: not outside.left(), 5, "the long one ends")
    assert "over" not in ticking.err
    rights.mutable(paths)
    until(lambda: "The trouble is over" in ticking.err, BACK_SECONDS, "it goes on")
    row = until(lambda: [row for row in outside.rows("long") if row["result"] == "success"], BACK_SECONDS,
                "the late result is saved")[0]
    assert row["output"] == "late\n" and 2900 <= row["duration_ms"] <= 4000
    runs(outside)
    ticking.stop()
    ticks = outside.rows("tick")
    due = accounted(ticks, 1000)
    assert due == list(range(due[0], due[-1] + 1, 1000)), "each due time is told once"
    missed = [json.loads(row["reason"])["code"] for row in ticks if row["result"] == "missed"]
    assert missed == ["store"]
    assert {row["result"] for row in ticks} - {"skipped"} == {"success", "missed"}  # its end waits to be recorded
    outside.whole()


@pytest.mark.parametrize(("name", "about"), [
    ("tasks.pkl", "tasks.pkl"), (".", "tasks.pkl"), ("scheduler.log", "scheduler.log")])
def test_what_is_beside_the_store_is_warned_of_and_hinders_nothing(outside: Outside, ticking: Scheduler, name: str,
                                                                   about: str) -> None:
    service = TaskService(outside.store(), outside.settings())
    paths = rights.immutable(outside, name)
    service.update("kept", {"trigger": {"type": "interval", "hours": 2}})
    before = len(outside.rows("tick"))
    until(lambda: "Trouble" in ticking.err, 5, "it warns")
    assert str(outside.folder / about) in ticking.err and "permissions" in ticking.err
    edited = outside("task", "edit", "暂停", "--every", "3h", code=5 if name == "." else 0)
    assert ("scheduler.log cannot be written" in edited.err) == (name == "scheduler.log")
    until(lambda: len(outside.rows("tick")) >= before + 2, 5, "runs go on")
    rights.mutable(paths)
    until(lambda: "The trouble is over" in ticking.err, BACK_SECONDS, "it is over")
    runs(outside)
    ticking.stop()
    held = {task["id"]: task["trigger"] for task in snapshot.read(outside.folder / "tasks.pkl")["tasks"]}
    assert held["kept"]["hours"] == 2 and held["暂停"]["hours"] == (1 if name == "." else 3) and len(held) == 4
    begun = [line for line in outside.log().splitlines() if "run started id=tick" in line]
    assert len(begun) == len([row for row in outside.rows("tick") if row["started_at"]]), "each is logged, in the end"
    outside.whole()


def test_a_file_system_that_turns_read_only_under_it(outside: Outside) -> None:
    image = outside.words / "image"
    with image.open("wb") as file:
        os.truncate(file.fileno(), 64 * 2**20)
    rights.sh("mkfs.ext4", "-q", image)
    rights.mounted(outside, "-o", "loop", image)
    stocked(outside)
    scheduler = outside.start()
    outside("task", "edit", "kept", "--every", "1s", "--param", "command=sleep 30")
    until(outside.left, 5, "it runs")
    held = tables(outside)
    rights.sh("mount", "-o", "remount,abort", outside.folder)  # what an I/O error does to such a file system
    until(lambda: str(outside.folder / "task.db") in scheduler.err or scheduler.process.poll(), 10, "it says so")
    assert {task["id"] for task in outside("task", "list", "--json").json["items"]} == {"kept", "暂停"}
    assert "write permission" in outside("task", "delete", "kept", "--yes", code=5).err
    if scheduler.process.poll() == SIGBUS:  # task.db-shm is memory to SQLite, and had just been written back
        print("read-only file system: the kernel ended the scheduler")
        scheduler.kill()
        for process in outside.left():
            process.kill()
    else:
        assert str(outside.folder / "task.db") in scheduler.err
        assert scheduler.stop(signal.SIGTERM) <= STOP_SECONDS
        assert outside.left() == []
    rights.unmount(outside.folder)
    rights.mounted(outside, "-o", "loop", image)
    outside.whole()
    assert [row["id"] for row in outside.rows()] == [row["id"] for row in held["task_log"]]
    outside("task", "edit", "kept", "--every", "1h", "--param", "command=echo again")
    scheduler = outside.start()
    assert {row["result"] for row in outside.rows("kept")} <= {"success", "interrupted", "skipped", "missed"}
    runs(outside)
    scheduler.stop()
