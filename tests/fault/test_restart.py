"""A restart brings everything back: grids, what was missed, tasks against their snapshot, a lost store, what a killed
scheduler left."""

import json
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dashboard.engine import snapshot
from dashboard.services.task_service import TaskService
from tests.fault.outside import ZONE, Outside, accounted, now_ms, until
from tests.fault.trees import PROCESSES, TREES

MINUTE = 60_000
SWEPT_SECONDS = 5.0
ECHO = {"command": "echo hello"}


def service_of(outside: Outside) -> TaskService:
    """The service in this process, over a store that ``init`` has made."""
    outside("init")
    return TaskService(outside.store(), outside.settings())


def interval(task_id: str, options: dict[str, Any] | None = None, **units: int) -> dict[str, Any]:
    return {"id": task_id, "type": "send_cmd", "trigger": {"type": "interval", **units}, "params": ECHO,
            "options": options or {}}


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_intervals_keep_their_grid_and_each_due_time_is_told_once(outside: Outside, killed: bool) -> None:
    service = service_of(outside)
    service.create(interval("grid", seconds=1))
    anchor = outside.sql("SELECT anchor_at FROM task")[0]["anchor_at"]
    for _ in range(3):
        before = len(outside.rows())
        scheduler = outside.start()
        until(lambda: len(outside.rows()) >= before + 2, 10, "it runs")  # noqa: B023
        if killed:
            scheduler.kill()
        else:
            scheduler.stop()
        down = now_ms()
        until(lambda: now_ms() > down + 2500, 4, "it is down for a while")  # noqa: B023
    rows = outside.rows()
    due = accounted(rows, 1000)
    assert due == list(range(anchor + 1000, due[-1] + 1, 1000)), "each due time once, on the grid, none left out"
    assert any(row["result"] == "missed" and "down" in row["reason"] for row in rows)
    told = {row["result"] for row in rows} - {"skipped"}  # a run that made up for others was still going on
    assert told <= {"success", "missed", *(["running", "interrupted"] if killed else [])}


def test_missed_runs_follow_the_policy_of_their_task(outside: Outside) -> None:
    service = service_of(outside)
    service.create(interval("once", {"missed": "run_once"}, minutes=10))
    service.create(interval("跳过", {"missed": "skip"}, minutes=10))
    service.create(interval("in-time", {"missed": "skip"}, minutes=10))
    for task_id, back in (("once", 65 * MINUTE), ("跳过", 65 * MINUTE), ("in-time", 60 * MINUTE + 30_000)):
        outside.sql("UPDATE task SET anchor_at = anchor_at - ?, next_run_at = next_run_at - ? WHERE id = ?", back,
                    back, task_id)  # as if nothing had run for that long
    anchors = {task["id"]: task["anchor_at"] for task in outside.sql("SELECT id, anchor_at FROM task")}
    scheduler = outside.start()
    until(lambda: len([row for row in outside.rows() if row["result"] == "success"]) == 2, 10, "what is made up for")
    scheduler.stop()
    told = {task_id: [(row["result"], row["cause"], (row["scheduled_at"] - anchors[task_id]) // (10 * MINUTE),
                       json.loads(row["covers"])["count"] if row["covers"] else None)
                      for row in outside.rows(task_id)] for task_id in anchors}
    assert told == {
        "once": [("missed", "schedule", 5, 5), ("success", "catchup", 6, None)],
        "跳过": [("missed", "schedule", 6, 6)],
        "in-time": [("missed", "schedule", 5, 5), ("success", "schedule", 6, None)],
    }
    for task_id, anchor in anchors.items():
        assert accounted(outside.rows(task_id), 10 * MINUTE) == [anchor + k * 10 * MINUTE for k in range(1, 7)]
        task = outside.sql("SELECT next_run_at FROM task WHERE id = ?", task_id)[0]
        assert task["next_run_at"] == anchor + 70 * MINUTE
    again = outside.start()
    again.stop()
    assert sum(len(outside.rows(task_id)) for task_id in anchors) == 5, "another restart repeats nothing"


def test_the_store_wins_over_the_snapshot_and_differences_are_logged(outside: Outside) -> None:
    service = service_of(outside)
    for task_id in ("kept", "edited", "删除"):
        service.create(interval(task_id, hours=1))
    outside.start().stop()
    held = {task["id"]: task for task in snapshot.read(outside.folder / "tasks.pkl")["tasks"]}
    assert held.keys() == {"kept", "edited", "删除"}
    outside("task", "edit", "edited", "--every", "2h", "--param", "command=echo other")
    outside("task", "delete", "删除", "--yes")
    outside("task", "add", "新的", "--type", "send_cmd", "--cron", "08:00", "--param", "command=echo new")
    before = outside.sql("SELECT * FROM task ORDER BY key")
    lines = len(outside.log().splitlines())
    scheduler = outside.start()
    told = [line.partition("snapshot differs from the store, which wins: ")[2]
            for line in outside.log().splitlines()[lines:] if "snapshot differs" in line]
    assert {line.removesuffix(", anchor_at, updated_at") for line in told} == {
        "task '删除' extra", "task 'edited' changed: trigger, params", "task '新的' missing",
        "task 'edited' counters: next_run_at"}
    until(lambda: {task["id"]: task["trigger"] for task in snapshot.read(outside.folder / "tasks.pkl")["tasks"]} ==
          {task["id"]: json.loads(task["trigger"]) for task in before}, 2, "the snapshot is as the store again")
    scheduler.stop()
    assert outside.sql("SELECT * FROM task ORDER BY key") == before


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:len(data) // 2], "empty": lambda data: b"", "text": lambda data: b"tasks\n" * 99,
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_snapshot_that_cannot_be_read_is_set_aside_and_the_store_serves(outside: Outside, how: str) -> None:
    service_of(outside).create(interval("kept", seconds=1))
    outside.start().stop()
    path = outside.folder / "tasks.pkl"
    damaged = DAMAGED[how](path.read_bytes())
    path.write_bytes(damaged)
    before = len(outside.rows())
    scheduler = outside.start()
    until(lambda: len(outside.rows()) > before, 5, "the task runs")
    aside = list(outside.folder.glob("tasks.pkl.bad-*"))
    assert [one.read_bytes() for one in aside] == [damaged]
    assert "cannot be read" in outside.log() and aside[0].name in outside.log()
    until(path.exists, 3, "a new one is written")
    scheduler.stop()
    assert [task["id"] for task in snapshot.read(path)["tasks"]] == ["kept"]


def everything(outside: Outside) -> dict[str, dict[str, Any]]:
    """What a person has defined."""
    fields = ("id", "type", "trigger", "params", "options", "paused", "created_at", "updated_at")
    return {task["id"]: {name: task[name] for name in fields}
            for task in outside("task", "list", "--json").json["items"]}


def some_tasks(outside: Outside) -> None:
    service = service_of(outside)
    due = datetime.now(ZoneInfo(ZONE)) + timedelta(days=900)
    options = {"retries": 2, "retry_delay_seconds": 7, "timeout_seconds": 90, "overlap": "queue", "missed": "skip"}
    service.create(interval("grid", seconds=2))
    service.create({**interval("所有选项", options, hours=3), "paused": True})
    for task_id, trigger in {"date": {"type": "date", "run_date": due.isoformat(timespec="seconds")},
                             "cron": {"type": "cron", "day_of_week": "mon-fri", "hour": "9-17/2", "minute": 30},
                             "crontab": {"type": "cron", "expression": "0 9 1,15 * fri"},
                             "空闲": {"type": "idle", "idle_duration": 600}}.items():
        service.create({"id": task_id, "type": "send_email", "trigger": trigger, "params": {
            "to": ["a@example.com", "张三 <b@example.com>"], "title": "标题", "body": "正文\n第二行 \U0001f4e8"}})
    service.store.close()


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_a_store_that_is_gone_is_not_taken_for_a_new_one_and_comes_back(outside: Outside, killed: bool) -> None:
    some_tasks(outside)
    scheduler = outside.start()
    until(lambda: len(outside.rows("grid")) >= 2, 10, "the interval runs")
    until((outside.folder / "tasks.pkl").exists, 3, "the snapshot is written")
    before, anchor = everything(outside), outside.sql("SELECT anchor_at FROM task WHERE id = 'grid'")[0]["anchor_at"]
    if killed:
        scheduler.kill()
    else:
        scheduler.stop()
    for suffix in ("", "-wal", "-shm"):
        (outside.folder / f"task.db{suffix}").unlink(missing_ok=True)
    kept = (outside.folder / "tasks.pkl").read_bytes()
    present = {path.name for path in outside.folder.iterdir()}

    refused = outside.start(ready=False)
    assert refused.wait(10) == 4
    for said in (refused.err, outside("init", code=4).err, outside("task", "list", code=4).err,
                 outside("task", "add", "new", "--type", "send_cmd", "--every", "1h", "--param", "command=x",
                         code=4).err):
        assert "db restore" in said and str(outside.folder / "tasks.pkl") in said and "6 tasks" in said
        assert "Traceback" not in said
    assert {path.name for path in outside.folder.iterdir()} == present
    assert (outside.folder / "tasks.pkl").read_bytes() == kept

    restored = outside("db", "restore", str(outside.folder / "tasks.pkl"))
    assert "6 tasks" in restored.out
    assert everything(outside) == before
    scheduler = outside.start()
    row = until(lambda: [row for row in outside.rows("grid") if row["result"] == "success"], 10, "it runs again")[0]
    assert (row["scheduled_at"] - anchor) % 2000 == 0, "on the grid that it had"
    scheduler.stop()
    assert everything(outside) == before
    assert {row["task_id"] for row in outside.rows()} == {"grid"}
    outside.whole()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only: shapes of trees")
def test_what_ran_when_the_scheduler_was_killed_is_interrupted_and_its_processes_end(outside: Outside) -> None:
    service = service_of(outside)
    for name, command in TREES.items():
        service.create({"id": name.replace(" ", "-"), "type": "send_cmd", "params": {"command": command},
                        "trigger": {"type": "date", "run_date": soon()}})
    scheduler = outside.start()
    until(lambda: len(outside.left()) >= PROCESSES, 10, "all of them stand")
    begun = outside.rows()
    assert len(begun) == len(TREES) and {row["result"] for row in begun} == {"running"}
    scheduler.kill()
    orphans = outside.left()
    assert len(orphans) >= PROCESSES, "they outlive their scheduler"
    began = time.monotonic()
    again = outside.start()
    until(lambda: not outside.left(), SWEPT_SECONDS - (time.monotonic() - began), "none of them is left")
    swept = time.monotonic() - began
    rows = outside.rows()
    assert [row["id"] for row in rows] == [row["id"] for row in begun], "nothing is repeated"
    for row, before in zip(rows, begun, strict=True):
        assert (row["result"], json.loads(row["reason"])["code"]) == ("interrupted", "crash")
        assert row["started_at"] == before["started_at"] <= row["finished_at"]
    again.stop(signal.SIGINT)
    assert outside.rows() == rows
    assert outside.sql("SELECT id FROM task WHERE next_run_at NOT NULL OR run_count != 1") == []
    print(f"restart: {len(orphans)} processes of {len(TREES)} killed runs were gone {swept:.2f} s after the start")


def soon() -> str:
    """A date that has come when the scheduler runs."""
    return (datetime.now(ZoneInfo(ZONE)) + timedelta(milliseconds=400)).isoformat(timespec="milliseconds")
