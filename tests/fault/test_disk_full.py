"""R5: the disk runs full while commands run, and has room again."""

import json
import os
import time
from pathlib import Path

import pytest

from dashboard.services.task_service import TaskService
from tests.fault import rights
from tests.fault.outside import Outside, Scheduler, accounted, now_ms, until
from tests.fault.rights import AS_ROOT
from tests.fault.size import pick

pytestmark = AS_ROOT
MEGABYTE = 2**20
CYCLES = {"tmpfs": pick(2, 20), "ext4": pick(1, 20)}
BACK_SECONDS = 10.0
READ_SECONDS = 1.0


@pytest.mark.parametrize("kind", CYCLES)
def test_a_full_disk_loses_nothing_and_runs_go_on_when_there_is_room(outside: Outside, kind: str) -> None:
    mount(outside, kind)
    outside.set(MIN_FREE_MB="64")
    outside("init")
    service = TaskService(outside.store(), outside.settings())
    ran = outside.words / "ran.txt"  # beside the full disk
    service.create({"id": "tick", "type": "send_cmd", "trigger": {"type": "interval", "seconds": 1},
                    "params": {"command": f"echo x >> '{ran}'"}})
    service.create({"id": "long", "type": "send_cmd", "trigger": {"type": "interval", "hours": 1},
                    "params": {"command": "sleep 2; echo late"}})
    scheduler = outside.start()
    until(lambda: outside.rows("tick"), 5, "it ticks")
    figures = [cycle(outside, scheduler, service, number) for number in range(CYCLES[kind])]
    scheduler.stop()
    rows = outside.rows("tick")
    due = accounted(rows, 1000)
    assert due == list(range(due[0], due[-1] + 1, 1000)), "each due time is told once"
    assert {row["result"] for row in rows} - {"skipped"} == {"success", "missed"}  # its end waits to be recorded
    assert {json.loads(row["reason"])["code"] for row in rows if row["result"] == "missed"} <= {"disk", "store"}
    assert len(ran.read_text("utf-8").splitlines()) == len([row for row in rows if row["started_at"]]), \
        "what ran has its claim, once"
    assert [row["result"] for row in outside.rows("long")] == ["success"] * CYCLES[kind]
    assert {row["output"] for row in outside.rows("long")} == {"late\n"}
    assert "Traceback" not in outside.log()
    reads, backs = zip(*figures, strict=True)
    print(f"disk full ({kind}): {len(figures)} cycles; reading took at most {max(reads):.3f} s, runs went on after "
          f"at most {max(backs):.2f} s")


def mount(outside: Outside, kind: str) -> None:
    """A file system of 256 MB as the data folder."""
    if kind == "tmpfs":
        rights.mounted(outside, "-t", "tmpfs", "-o", "size=256m", "tmpfs")
        return
    image = outside.words / "image"
    with image.open("wb") as file:
        os.truncate(file.fileno(), 256 * MEGABYTE)
    rights.sh("mkfs.ext4", "-q", image)
    rights.mounted(outside, "-o", "loop", image)


def cycle(outside: Outside, scheduler: Scheduler, service: TaskService, number: int) -> tuple[float, float]:
    """Full while a command runs, and empty again: the longest time of a read, and how long until a run started."""
    said = len(scheduler.err)
    long = service.run("long")
    until(lambda: [row for row in outside.rows("long") if row["id"] == long and row["started_at"]], 5, "the long one")
    block = outside.folder / "block"
    fill(block)
    until(lambda: "nearly full" in scheduler.err[said:], 5, "it says so")
    full = now_ms()
    read = 0.0
    acknowledged = outside("task", "add", f"new-{number}", "--type", "send_cmd", "--every", "1h", "--param",
                           "command=echo x", code=None)
    while now_ms() < full + 3500:
        began = time.monotonic()
        assert service.list().total >= 2
        read = max(read, time.monotonic() - began)
        time.sleep(0.05)
    assert not outside.left(), "the long one has ended"
    assert [row for row in outside.rows() if row["started_at"] and row["started_at"] > full] == []
    assert "tick" in outside("task", "list").out and outside("logs", "--limit", "1").out
    block.unlink()
    freed = now_ms()
    again = until(lambda: [row for row in outside.rows("tick") if (row["started_at"] or 0) > freed], BACK_SECONDS,
                  "runs go on")[0]
    until(lambda: "The trouble is over" in scheduler.err[said:], BACK_SECONDS, "it says so")
    until(lambda: outside.rows("long")[-1]["result"] == "success", BACK_SECONDS, "the late result is saved")
    outside.whole()
    assert read <= READ_SECONDS
    assert acknowledged.code in (0, 5) and "Traceback" not in scheduler.err
    assert (f"new-{number}" in {task.id for task in service.list().items}) == (acknowledged.code == 0)
    return read, (again["started_at"] - freed) / 1000


def fill(path: Path) -> None:
    """One file, to the last byte."""
    with path.open("wb", buffering=0) as file:
        for size in (MEGABYTE, 4096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
