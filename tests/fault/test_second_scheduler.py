"""R4: one scheduler for each store."""

import sys
import time

import pytest

from dashboard import handlers
from dashboard.services.task_service import TaskService
from tests.fault import witness
from tests.fault.outside import Outside, now_ms, until
from tests.fault.size import pick

REFUSED_SECONDS = 2.0
AT_ONCE_SECONDS = 2.0
TOGETHER_MS = pick(12_000, 60_000)
TICKS = 20


def test_a_second_scheduler_is_refused_within_two_seconds_and_names_the_first(outside: Outside) -> None:
    first = outside.start()
    outside("task", "add", "tick", "--type", "send_cmd", "--every", "1s", "--param", "command=echo x")
    took = []
    for words in (["scheduler"], []):  # python run.py alone is the same
        began = time.monotonic()
        said = outside(*words, code=3)
        took.append(time.monotonic() - began)
        assert str(first.pid) in said.err and str(outside.folder / "task.db") in said.err and said.out == ""
    assert max(took) <= REFUSED_SECONDS
    before = len(outside.rows())
    until(lambda: len(outside.rows()) > before + 1, 5, "the first one goes on")
    assert {row["result"] for row in outside.rows()} <= {"success", "running"}
    first.stop()
    print(f"second scheduler: refused after {max(took):.2f} s, the interpreter's start included")


def test_a_restore_is_refused_while_a_scheduler_runs(outside: Outside) -> None:
    first = outside.start()
    outside("task", "add", "kept", "--type", "send_cmd", "--every", "1h", "--param", "command=echo x")
    copy = outside.words / "copy.db"
    outside("db", "backup", str(copy))
    until((outside.folder / "tasks.pkl").exists, 3, "the snapshot is written")
    outside("task", "add", "later", "--type", "send_cmd", "--every", "1h", "--param", "command=echo x")
    for source in (copy, outside.folder / "tasks.pkl"):
        assert str(first.pid) in outside("db", "restore", str(source), code=3).err
    tasks = {task["id"] for task in outside("task", "list", "--json").json["items"]}
    assert tasks == {"kept", "later"} and list(outside.folder.glob("*restore*")) == []
    first.stop()
    outside("db", "restore", str(copy))
    assert {task["id"] for task in outside("task", "list", "--json").json["items"]} == {"kept"}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only: there a command ends with its scheduler")
def test_after_a_kill_the_next_one_starts_at_once_though_a_command_lives(outside: Outside) -> None:
    first = outside.start()
    outside("task", "add", "长", "--type", "send_cmd", "--every", "1s", "--param", "command=setsid sleep 60")
    until(outside.left, 5, "the command runs")
    first.kill()
    assert outside.left(), "it lives on"
    again = outside.start(ready=False)
    assert again.ready(5) <= AT_ONCE_SECONDS
    assert again.pid != first.pid
    assert str(again.pid) in outside("scheduler", code=3).err


def test_two_schedulers_that_evade_the_lock_still_double_nothing(outside: Outside) -> None:
    noted = outside.words / "witness.txt"
    outside.environ[witness.FILE] = str(noted)
    outside("init")
    service = TaskService(outside.store(), outside.settings())
    both = [outside.start(host=("--no-lock",)) for _ in range(2)]
    handlers.register(witness.Witness())
    for number in range(TICKS):
        service.create({"id": f"tick-{number}", "type": witness.Witness.KEY, "params": {},
                        "trigger": {"type": "interval", "seconds": 1}})
    began = now_ms()
    until(lambda: now_ms() > began + TOGETHER_MS, 2 * TOGETHER_MS / 1000, "they work side by side")
    starts = witness.lines(noted, "start")
    owners = [row["n"] for row in outside.sql("SELECT count(*) AS n FROM task_log GROUP BY owner")]
    assert len(starts) == len(set(starts)), "an occurrence began twice"
    assert len(starts) >= TICKS * (TOGETHER_MS // 1000 - 2)
    assert len(owners) == 2 and min(owners) > 0, "both of them had work"
    for one in both:
        one.stop()
    print(f"two schedulers without the lock: {len(starts)} occurrences, shared {owners}, none twice")
