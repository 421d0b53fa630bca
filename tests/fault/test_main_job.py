"""The main job: a file of tasks goes in, they fire by all four triggers, a real e-mail arrives, every due time leaves
a row that is right to the millisecond."""

import json
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dashboard.clock import to_ms
from tests.fault.outside import ROOT, ZONE, Outside, now_ms, until
from tests.smtp_server import MailServer

EXAMPLE = ROOT / "docs" / "examples" / "tasks.json"
MAIL, INTERVAL, CRON, IDLE = "年终提醒", "half-minute", "every-minute", "空闲时整理"
CAUSES = {MAIL: "schedule", INTERVAL: "schedule", CRON: "schedule", IDLE: "idle"}
AHEAD, IDLE_SECONDS, LIMIT = 30, 20, 120
LATE_MS = 1000


def moved(target: Path) -> tuple[dict[str, Any], datetime]:
    """The committed example, its date ``AHEAD`` seconds ahead, its idleness shortened; and that date."""
    found = json.loads(EXAMPLE.read_text("utf-8"))
    by_id = {task["id"]: task for task in found["tasks"]}
    due = datetime.now(ZoneInfo(ZONE)).replace(microsecond=0) + timedelta(seconds=AHEAD)
    by_id[MAIL]["trigger"]["run_date"] = due.strftime("%Y-%m-%d %H:%M:%S")
    by_id[IDLE]["trigger"]["idle_duration"] = IDLE_SECONDS
    target.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
    return by_id, due


def test_a_file_of_tasks_goes_in_and_all_four_triggers_fire(outside: Outside, tmp_path: Path) -> None:
    idle = tmp_path / "idle.txt"
    idle.write_text("1.5", encoding="utf-8")
    with MailServer() as server:
        outside.configured(f'[smtp.local]\nhost = "127.0.0.1"\nport = {server.port}\nsecurity = "none"\n'
                           'sender = "定时 <dingshi@example.com>"\ndefault = true\n')
        tasks, due = moved(tmp_path / "任务.json")
        answer = outside("init", str(tmp_path / "任务.json"))
        assert "4 tasks created" in answer.out and "Note" not in answer.out + answer.err
        began = time.monotonic()
        scheduler = outside.start(host=("--idle", str(idle)))
        until(lambda: {row["task_id"] for row in outside.rows() if row["result"] == "success"} == set(tasks), LIMIT,
              "a date, an interval, a cron and an idle task have each fired")
        fired = time.monotonic() - began
        assert len(server.deliveries) == 1
        stopped = scheduler.stop(signal.SIGINT)
        rows = outside.rows()
        deliveries = list(server.deliveries)
    letter(deliveries, tasks[MAIL])
    for row in rows:
        exact(row, tasks[row["task_id"]])
    on_time(outside, rows, due, idle)
    counted(outside, rows)
    seen_from_the_console(outside, rows)
    late = max(row["started_at"] - row["scheduled_at"] for row in rows)
    print(f"main job: all four fired within {fired:.1f} s, {len(rows)} runs, at most {late} ms late; "
          f"stopped in {stopped:.2f} s")


def letter(deliveries: list[Any], task: dict[str, Any]) -> None:
    """It arrived once, with its subject, its text and its attachment."""
    assert [one.recipients for one in deliveries] == [[task["params"]["to"]]]
    message = deliveries[0].message
    assert message["Subject"] == task["params"]["title"] and not message["Subject"].isascii()
    assert message["From"] == "定时 <dingshi@example.com>"
    body = message.get_body(("plain",))
    assert body is not None and body.get_content().strip() == task["params"]["body"]
    attached = list(message.iter_attachments())
    assert [part.get_filename() for part in attached] == [EXAMPLE.name]
    content = attached[0].get_content()
    assert (content.encode() if isinstance(content, str) else content) == EXAMPLE.read_bytes()


def exact(row: dict[str, Any], task: dict[str, Any]) -> None:
    """What each row of a run that was due and went well holds."""
    assert (row["result"], row["cause"], row["attempt"]) == ("success", CAUSES[row["task_id"]], 1), row
    assert row["task_type"] == task["type"]
    assert json.loads(row["trigger"])["type"] == task["trigger"]["type"]
    assert json.loads(row["params"]).keys() == task["params"].keys()
    assert 0 <= row["started_at"] - row["scheduled_at"] <= LATE_MS, row
    assert row["at"] == row["started_at"]
    assert row["finished_at"] - row["started_at"] == row["duration_ms"] >= 0
    assert row["finished_at"] <= now_ms()
    assert row["occurrence_at"] == row["scheduled_at"]
    assert row["covers"] is None and row["error"] is None


def on_time(outside: Outside, rows: list[dict[str, Any]], due: datetime, idle: Path) -> None:
    """Each was due when its trigger says, and nothing that was due is missing."""
    times = {task_id: [row["scheduled_at"] for row in rows if row["task_id"] == task_id] for task_id in CAUSES}
    assert times[MAIL] == [to_ms(due)]
    anchor = outside.sql("SELECT anchor_at FROM task WHERE id = ?", INTERVAL)[0]["anchor_at"]
    assert times[INTERVAL] == [anchor + k * 30_000 for k in range(1, len(times[INTERVAL]) + 1)]
    assert all(time % 60_000 == 0 for time in times[CRON])
    assert [time - times[CRON][0] for time in times[CRON]] == [k * 60_000 for k in range(len(times[CRON]))]
    since = round(idle.stat().st_mtime * 1000)
    assert len(times[IDLE]) == 1
    assert IDLE_SECONDS * 1000 <= times[IDLE][0] - since <= (IDLE_SECONDS + 15) * 1000, "idle since the last input"


def counted(outside: Outside, rows: list[dict[str, Any]]) -> None:
    """The task's own row agrees with its log."""
    for task in outside.sql("SELECT * FROM task"):
        mine = [row for row in rows if row["task_id"] == task["id"]]
        assert (task["run_count"], task["failure_count"]) == (len(mine), 0)
        assert task["last_run_at"] == mine[-1]["started_at"] and task["last_result"] == "success"
        if task["id"] == MAIL:
            assert task["next_run_at"] is None
        elif task["id"] != IDLE:
            assert task["next_run_at"] - mine[-1]["scheduled_at"] in (30_000, 60_000)


def seen_from_the_console(outside: Outside, rows: list[dict[str, Any]]) -> None:
    """``logs`` and ``task list`` tell the same, instants to the millisecond."""
    page = outside("logs", "--json").json
    assert page["total"] == len(rows) and not page["total_is_more"]
    shown = {item["id"]: item for item in page["items"]}
    for row in rows:
        item = shown[row["id"]]
        for name in ("scheduled_at", "started_at", "finished_at", "at"):
            assert to_ms(datetime.fromisoformat(item[name])) == row[name]
        assert (item["result"], item["cause"]) == (row["result"], row["cause"])
        assert (item["duration_ms"], item["output"] or "") == (row["duration_ms"], row["output"] or "")
    tasks = outside("task", "list", "--json").json["items"]
    states = {task["id"]: (task["state"], task["executed"]) for task in tasks}
    assert states == {MAIL: ("finished", True), INTERVAL: ("scheduled", True), CRON: ("scheduled", True),
                      IDLE: ("idle", True)}
    echoed = next(item for item in page["items"] if item["task_id"] == IDLE)
    assert echoed["output"].strip() == "电脑空闲了，可以整理文件"


@pytest.mark.parametrize("kind", ["json", "toml"])
def test_the_committed_example_loads_unchanged_on_any_day_without_a_mail_server(outside: Outside, kind: str) -> None:
    file = EXAMPLE.with_suffix(f".{kind}")
    answer = outside("init", str(file))
    assert "4 tasks created" in answer.out
    assert "server" in answer.out + answer.err and MAIL in (answer.out + answer.err).split("Note")[1]
    made = {task["id"]: task for task in outside("task", "list", "--json").json["items"]}
    for task in json.loads(EXAMPLE.read_text("utf-8"))["tasks"]:
        mine = made[task["id"]]
        assert (mine["type"], mine["params"]) == (task["type"], {**mine["params"], **task["params"]})
        assert task["trigger"].items() <= mine["trigger"].items()
        assert mine["state"] == ("idle" if task["trigger"]["type"] == "idle" else "scheduled")
    again = outside("init", str(file))
    assert "exist already" in again.out and len(outside("task", "list", "--json").json["items"]) == 4
    assert datetime.now(UTC) < datetime.fromisoformat(made[MAIL]["next_run_at"])
