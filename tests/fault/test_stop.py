"""R13: Ctrl+C and its kin end the scheduler in good order, whatever runs."""

import json
import signal
import sys
import time

import pytest

from dashboard.services.task_service import TaskService
from tests.fault.outside import Outside, Scheduler, now_ms, until
from tests.fault.trees import PROCESSES, TREES

STOP_SECONDS = 12.0
HURRY_SECONDS = 1.0
SIGNALS = [signal.SIGINT, signal.SIGTERM]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only: signals of another process")


def with_trees(outside: Outside) -> Scheduler:
    """A scheduler while six commands run, TERM-ignorers among them, and an interval ticks."""
    scheduler = outside.start()
    service = TaskService(outside.store(), outside.settings())
    for name, command in TREES.items():
        task = service.create({"id": name.replace(" ", "-"), "type": "send_cmd", "params": {"command": command},
                               "trigger": {"type": "interval", "hours": 1}})
        service.run(task.id)
    service.create({"id": "滴答", "type": "send_cmd", "params": {"command": "echo tick"},
                    "trigger": {"type": "interval", "seconds": 1}})
    until(lambda: len(outside.left()) >= PROCESSES, 10, "all of them stand")
    until(lambda: outside.rows("滴答"), 5, "the interval ticks")
    return scheduler


def in_order(outside: Outside, asked: int) -> None:
    """What a stop leaves: every row told, nothing begun after it was asked for, no process."""
    rows = outside.rows()
    assert outside.left() == []
    assert {row["result"] for row in rows if row["task_id"] == "滴答"} <= {"success"}
    cut = [row for row in rows if row["task_id"] != "滴答"]
    assert [row["result"] for row in cut] == ["interrupted"] * len(TREES)
    assert {json.loads(row["reason"])["code"] for row in cut} == {"shutdown"}
    assert all(row["finished_at"] - row["started_at"] == row["duration_ms"] for row in cut)
    assert max(row["started_at"] for row in rows) <= asked + 250
    assert "scheduler stopped" in outside.log().splitlines()[-1]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_stop_ends_commands_that_ignore_being_asked_and_leaves_nothing(outside: Outside, number: int) -> None:
    scheduler = with_trees(outside)
    asked = now_ms()
    took = scheduler.stop(number)
    assert took <= STOP_SECONDS
    in_order(outside, asked)
    assert "Stopped." in scheduler.out
    assert not (outside.folder / "task.db.owner").exists()
    print(f"stop with {len(TREES)} commands running: {took:.2f} s")


def test_the_second_ctrl_c_ends_it_within_a_second(outside: Outside) -> None:
    scheduler = with_trees(outside)
    asked = now_ms()
    scheduler.process.send_signal(signal.SIGINT)
    until(lambda: "Stopping" in scheduler.out, 2, "it has heard the first")
    time.sleep(1.0)
    assert scheduler.process.poll() is None, "it waits for the commands"
    took = scheduler.stop(signal.SIGINT)
    assert took <= HURRY_SECONDS
    in_order(outside, asked)
    print(f"second Ctrl+C: {took:.2f} s")


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_what_ends_within_the_grace_is_a_success_and_what_waits_is_kept(outside: Outside, number: int) -> None:
    outside.set(WORKERS="1")
    scheduler = outside.start()
    service = TaskService(outside.store(), outside.settings())
    for task_id in ("first", "second"):
        service.create({"id": task_id, "type": "send_cmd", "params": {"command": "sleep 2; echo done"},
                        "trigger": {"type": "interval", "hours": 1}})
        service.run(task_id)
    until(outside.left, 5, "the first runs")
    took = scheduler.stop(number)
    assert 1.0 <= took <= 4.0
    assert [row["result"] for row in outside.rows()] == ["success", "queued"]
    assert outside.rows("first")[0]["output"] == "done\n"
    again = outside.start()
    until(lambda: outside.rows("second")[0]["result"] == "success", 10, "what waited runs after the restart")
    assert again.stop(number) <= 2.0, "with nothing running it ends at once"
    assert [row["result"] for row in outside.rows()] == ["success", "success"]
    print(f"stop, a command of 2 s ending by itself: {took:.2f} s")


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_while_it_starts_ends_it_in_order(outside: Outside, number: int) -> None:
    outside("init")
    service = TaskService(outside.store(), outside.settings())
    service.create({"id": "tick", "type": "send_cmd", "params": {"command": "echo x"},
                    "trigger": {"type": "interval", "seconds": 1}})
    for pause in (0.3, 0.45, 0.6, 0.8):
        scheduler = outside.start(ready=False)
        time.sleep(pause)
        scheduler.process.send_signal(number)
        scheduler.wait(STOP_SECONDS)
        assert "Traceback" not in scheduler.out + scheduler.err
        assert [row for row in outside.rows() if row["result"] in ("running", "queued")] == []
        outside.whole()
    outside.start().stop()
