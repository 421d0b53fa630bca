"""R1–R3: kill -9 at any instant, again and again, and look at what is left."""

import os
import random
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashboard.engine import snapshot
from tests.fault import witness

ROOT = Path(__file__).resolve().parents[2]
QUIET_SECONDS = 30.0


@dataclass
class Report:
    """Violations, in words, and how much was done."""

    kills: int = 0
    tasks: int = 0
    runs: int = 0
    interrupted: int = 0
    violations: list[str] = field(default_factory=list)


class KillLoop:
    """One store in ``folder``, one client, a scheduler that is killed and started again."""

    def __init__(self, folder: Path, seed: int, *, claim_late: bool = False) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.seed = seed
        self.claim_late = claim_late
        self.noted = folder / "noted.txt"
        self.witness = folder / "witness.txt"
        self.report = Report()
        self.environ = {**os.environ, "DINGSHI_DATA_DIR": str(folder), "DINGSHI_TIMEZONE": "UTC",
                        "DINGSHI_MIN_FREE_MB": "1", witness.FILE: str(self.witness), "PYTHONPATH": str(ROOT)}

    def run(self, kills: int) -> Report:
        """All of it; stops early at the first violation of a loop that is meant to fail."""
        subprocess.run([sys.executable, str(ROOT / "run.py"), "init"], env=self.environ, check=True,
                       capture_output=True, cwd=self.folder)
        with (self.folder / "output.txt").open("wb") as output:
            client = subprocess.Popen(
                [sys.executable, "-m", "tests.fault.client", str(self.noted), str(self.seed)], env=self.environ,
                stdout=output, stderr=output, cwd=self.folder)
            try:
                for _ in range(kills):
                    self._round(output)
                    if self.claim_late and self._doubled():
                        break
            finally:
                client.kill()
                client.wait()
            self._settle(output)
        self._judge()
        return self.report

    def _scheduler(self, output: Any) -> subprocess.Popen[bytes]:
        late = ["--claim-late"] if self.claim_late else []
        return subprocess.Popen([sys.executable, "-m", "tests.fault.host", *late, "scheduler"], env=self.environ,
                                stdout=output, stderr=output, cwd=self.folder)

    def _round(self, output: Any) -> None:
        before = len(witness.lines(self.witness, "start"))
        scheduler = self._scheduler(output)
        limit = time.monotonic() + 20
        while len(witness.lines(self.witness, "start")) == before:  # it is at work
            if scheduler.poll() is not None or time.monotonic() > limit:
                self.report.violations.append(f"the scheduler did not start again (exit {scheduler.poll()})")
                scheduler.kill()
                scheduler.wait()
                return
            time.sleep(0.01)
        time.sleep(self.chance.uniform(0.0, 0.5))
        scheduler.kill()
        scheduler.wait()
        self.report.kills += 1
        self._look()

    def _look(self) -> None:
        """Between kill and restart: what was acknowledged is there."""
        with self._open() as store:
            if store.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                self.report.violations.append("integrity")
            tasks = {row[0] for row in store.execute("SELECT id FROM task")}
            results = dict(store.execute("SELECT id, result FROM task_log"))
        for words in self._noted():
            if words[0] == "task" and words[1] not in tasks:
                self.report.violations.append(f"task {words[1]} lost")
            if words[0] == "run" and results.get(int(words[1])) != words[2]:
                self.report.violations.append(f"run {words[1]}: {words[2]} became {results.get(int(words[1]))}")
        path = self.folder / "tasks.pkl"
        if path.exists():
            try:
                snapshot.read(path)
            except snapshot.SnapshotBad as error:
                self.report.violations.append(f"snapshot: {error}")

    def _settle(self, output: Any) -> None:
        """A last start, until nothing is left to do, and a stop in good order."""
        scheduler = self._scheduler(output)
        limit = time.monotonic() + QUIET_SECONDS
        waiting = "SELECT count(*) FROM task WHERE next_run_at < ? "
        while time.monotonic() < limit:
            time.sleep(0.5)
            with self._open() as store:
                now = int((time.time() - 3) * 1000)
                if not store.execute(waiting, (now,)).fetchone()[0]:
                    break
        scheduler.terminate()
        if scheduler.wait(15) != 0:
            self.report.violations.append(f"the stop answered {scheduler.returncode}")

    def _judge(self) -> None:
        self.report.violations += [f"{task} of {due} ran {count} times" for (task, due), count in self._doubled()]
        with self._open() as store:
            active = store.execute("SELECT count(*) FROM task_log WHERE result IN ('running','queued')").fetchone()[0]
            if active:
                self.report.violations.append(f"{active} rows left running or queued")
            rows = {row[0] for row in store.execute("SELECT task_id FROM task_log")}
            self.report.runs = store.execute("SELECT count(*) FROM task_log WHERE result='success'").fetchone()[0]
            self.report.interrupted = store.execute(
                "SELECT count(*) FROM task_log WHERE result='interrupted'").fetchone()[0]
        noted = {words[1] for words in self._noted() if words[0] == "task"}
        self.report.tasks = len(noted)
        self.report.violations += [f"task {task} was due and has no row" for task in sorted(noted - rows)]

    def _doubled(self) -> list[tuple[tuple[str, int], int]]:
        counts: dict[tuple[str, int], int] = {}
        for occurrence in witness.lines(self.witness, "start"):
            counts[occurrence] = counts.get(occurrence, 0) + 1
        return [(occurrence, count) for occurrence, count in counts.items() if count > 1]

    def _noted(self) -> list[list[str]]:
        text = self.noted.read_text("utf-8") if self.noted.exists() else ""
        return [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def _open(self) -> sqlite3.Connection:
        """Through SQLite: nothing else may open the file while the client holds it."""
        return sqlite3.connect(self.folder / "task.db", timeout=10)
