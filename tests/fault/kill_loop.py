"""R1–R3: kill -9 at any instant, again and again, and look at what is left."""

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field

from dashboard.engine import snapshot
from tests.fault import witness
from tests.fault.outside import HOST, Outside, Scheduler

QUIET_SECONDS = 60.0
START_SECONDS = 20.0
EARLY = 0.2
"""Of so many rounds the kill comes while the scheduler is starting."""
WAITING = """
SELECT (SELECT count(*) FROM task WHERE next_run_at NOT NULL AND json_extract(trigger, '$.type') = 'date')
     + (SELECT count(*) FROM task_log WHERE result IN ('queued', 'running')
        AND json_extract(trigger, '$.type') = 'date')"""


@dataclass
class Report:
    """Violations, in words, and how much was done."""

    kills: int = 0
    early: int = 0
    tasks: int = 0
    deleted: int = 0
    runs: int = 0
    interrupted: int = 0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {value}" for name, value in vars(self).items() if isinstance(value, int))
        told = "; ".join(self.violations[:20])
        return f"{counts}; violations {len(self.violations)}" + (f": {told}" if told else "")


class KillLoop:
    """One store, one client, a scheduler that is killed and started again. ``claim_late``: with the guard taken out;
    ends as soon as an occurrence has begun twice."""

    def __init__(self, outside: Outside, seed: int, *, claim_late: bool = False) -> None:
        self.outside = outside
        self.seed = seed
        self.chance = random.Random(seed)
        self.claim_late = claim_late
        self.noted = outside.words / "noted.txt"
        self.witness = outside.words / "witness.txt"
        self.report = Report()
        outside.environ[witness.FILE] = str(self.witness)

    def run(self, kills: int) -> Report:
        """All of it."""
        self.outside("init")
        with (self.outside.words / "output.txt").open("wb") as output:
            client = subprocess.Popen(
                [sys.executable, "-m", "tests.fault.client", str(self.noted), str(self.seed)],
                env=self.outside.environ, stdout=output, stderr=output, cwd=self.outside.words)
            try:
                while self.report.kills < kills and not (self.claim_late and self._doubled()):
                    if not self._round():
                        break
                assert client.poll() is None, "the client has ended"
            finally:
                client.kill()
                client.wait()
            self._settle()
        self._judge()
        return self.report

    def _scheduler(self) -> Scheduler:
        late = ["--claim-late"] if self.claim_late else []
        return Scheduler([*HOST, *late, "scheduler"], self.outside.environ, self.outside.words / "scheduler")

    def _round(self) -> bool:
        """Whether it can go on."""
        before = self.witness.stat().st_size if self.witness.exists() else 0
        scheduler = self._scheduler()
        try:
            if self.report.kills and self.chance.random() < EARLY:
                time.sleep(self.chance.uniform(0.1, 0.8))
                self.report.early += 1
            elif self._at_work(scheduler, before):
                time.sleep(self.chance.uniform(0.0, 0.5))
        finally:
            ended = scheduler.process.poll()
            scheduler.kill()
        if ended is not None:
            self.report.violations.append(f"the scheduler ended by itself: {ended}\n{scheduler.err}")
            return False
        self.report.kills += 1
        self._look()
        return True

    def _at_work(self, scheduler: Scheduler, before: int) -> bool:
        limit = time.monotonic() + START_SECONDS
        while not self.witness.exists() or self.witness.stat().st_size == before:
            if time.monotonic() > limit:
                self.report.violations.append(f"nothing had run {START_SECONDS} s after the start")
                return True
            if scheduler.process.poll() is not None:
                return False
            time.sleep(0.01)
        return True

    def _look(self) -> None:
        """Between kill and restart: what was acknowledged is there. The client goes on meanwhile, so what it has
        noted is read first."""
        noted = self._noted()
        with closing(self._open()) as store:
            if store.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                self.report.violations.append("integrity")
            tasks = {row[0] for row in store.execute("SELECT id FROM task")}
            results = dict(store.execute("SELECT id, result FROM task_log"))
        going = self._of(self._noted(), "going")
        self.report.violations += [f"task {task} lost" for task in self._of(noted, "task") - going - tasks]
        self.report.violations += [f"task {task} back again" for task in self._of(noted, "gone") & tasks]
        for words in noted:
            if words[0] == "run" and results.get(int(words[1])) != words[2]:
                self.report.violations.append(f"run {words[1]}: {words[2]} became {results.get(int(words[1]))}")
        path = self.outside.folder / "tasks.pkl"
        if path.exists():
            try:
                snapshot.read(path)
            except snapshot.SnapshotBad as error:
                self.report.violations.append(f"snapshot: {error}")

    def _settle(self) -> None:
        """A last start, until nothing is left to do, and a stop in good order."""
        scheduler = self._scheduler()
        try:
            scheduler.ready()  # what an earlier one left running is in order then
            limit = time.monotonic() + QUIET_SECONDS
            while self._waiting() and time.monotonic() < limit:
                time.sleep(0.1)
            scheduler.stop()
        finally:
            scheduler.kill()

    def _waiting(self) -> int:
        with closing(self._open()) as store:
            return int(store.execute(WAITING).fetchone()[0])

    def _judge(self) -> None:
        self.report.violations += [f"{task} of {due} ran {count} times" for (task, due), count in self._doubled()]
        with closing(self._open()) as store:
            active = store.execute("SELECT count(*) FROM task_log WHERE result IN ('running','queued')").fetchone()[0]
            if active:
                self.report.violations.append(f"{active} rows left running or queued")
            rows = {row[0] for row in store.execute("SELECT task_id FROM task_log")}
            self.report.runs = store.execute("SELECT count(*) FROM task_log WHERE result='success'").fetchone()[0]
            self.report.interrupted = store.execute(
                "SELECT count(*) FROM task_log WHERE result='interrupted'").fetchone()[0]
        tasks = self._of(self._noted(), "task")
        self.report.tasks = len(tasks)
        self.report.deleted = len(self._of(self._noted(), "gone"))
        self.report.violations += [f"task {task} was due and has no row" for task in sorted(tasks - rows)]

    def _doubled(self) -> list[tuple[tuple[str, int], int]]:
        counts: dict[tuple[str, int], int] = {}
        for occurrence in witness.lines(self.witness, "start"):
            counts[occurrence] = counts.get(occurrence, 0) + 1
        return [(occurrence, count) for occurrence, count in counts.items() if count > 1]

    def _noted(self) -> list[list[str]]:
        text = self.noted.read_text("utf-8") if self.noted.exists() else ""
        return [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]

    @staticmethod
    def _of(noted: list[list[str]], word: str) -> set[str]:
        return {words[1] for words in noted if words[0] == word}

    def _open(self) -> sqlite3.Connection:
        """Through SQLite: nothing else may open the file while the client holds it."""
        return sqlite3.connect(self.outside.folder / "task.db", timeout=10)
