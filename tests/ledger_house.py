"""An engine's middle (store, task book, board, workers, ledger) on a hand-moved clock and without its threads."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from dashboard import handlers
from dashboard.engine.definition import Run
from dashboard.engine.disk import Disk
from dashboard.engine.inbox import Inbox
from dashboard.engine.ledger import Ledger
from dashboard.engine.outcome import Ended
from dashboard.engine.run_context import RunContext
from dashboard.engine.runner import Runner
from dashboard.engine.scheduler import GuardedScheduler
from dashboard.engine.task_book import TaskBook
from dashboard.fields import Document, Text
from dashboard.handlers.contract import Context, Outcome
from dashboard.models import Task, TaskLog
from dashboard.services.task_service import TaskService
from tests.factories import HandClock, make_settings, make_store


class ActParams(Document):
    """``say``: for telling definitions apart."""

    say = Text(load_default="")


class Act:
    """A task type that does what the test last said."""

    KEY = "act"
    SUMMARY = "does what the test says"
    EXAMPLE: ClassVar[dict[str, Any]] = {}
    DEFAULTS: ClassVar[dict[str, int]] = {}
    REASONS: ClassVar[dict[str, str]] = {}
    Params = ActParams

    def __init__(self) -> None:
        self.does: Callable[[dict[str, Any], Context], Outcome | None] = lambda params, context: None

    def run(self, params: dict[str, Any], context: Context) -> Outcome | None:
        return self.does(params, context)


class LedgerHouse:
    """``step`` is one look of the ledger; ``finish`` waits for that many runs to end, then looks."""

    def __init__(self, folder: Path, *, workers: int = 4, **settings: Any) -> None:
        self.act = Act()
        handlers.register(self.act)
        self.clock = HandClock()
        self.settings = make_settings(folder, workers=workers, **{"min_free_mb": 0, **settings})
        self.store = make_store(folder)
        self.tasks = TaskService(self.store, self.settings, self.clock)
        self.inbox = Inbox()
        self.scheduler = GuardedScheduler(self.inbox.due, self.clock)
        self.scheduler.start(paused=True)
        self.book = TaskBook(self.store, self.settings.timezone, self.scheduler)
        self.ended = threading.Semaphore(0)
        self.runner = Runner(workers, self.clock, self._context, self._over, self.inbox.back)
        self.touched: list[bool] = []
        self.disk = Disk(folder, self.settings.min_free_mb, self.clock)
        self.ledger = Ledger(store=self.store, book=self.book, runner=self.runner, inbox=self.inbox, disk=self.disk,
                             clock=self.clock, owner="boot", touched=self.touched.append, patience=0.0,
                             grace=timedelta(seconds=self.settings.missed_grace_seconds))

    def close(self) -> None:
        """Ends the threads and the store."""
        del handlers.installed()["act"]
        self.runner.close()
        self.scheduler.shutdown(wait=False)
        self.store.close()

    def add(self, task_id: str = "t", trigger: dict[str, Any] | None = None, **more: Any) -> None:
        """A task of type ``act``, each 10 minutes unless told otherwise; the ledger knows it already."""
        self.tasks.create({"id": task_id, "type": "act", "trigger": trigger or {"type": "interval", "minutes": 10},
                           **more})
        self.look()

    def look(self) -> None:
        """The ledger looks at the table, too."""
        self.inbox.look()
        self.ledger.step()

    def due(self, seconds: float = 600) -> None:
        """Time passes; every task that is due then is reported due."""
        now = self.clock.advance(seconds)
        for key, task in self.book.by_key.items():
            if task.next_run_at is not None and task.next_run_at <= now:
                self.inbox.due(key)
        self.ledger.step()

    def finish(self, count: int = 1) -> None:
        """That many runs end and are recorded."""
        for _ in range(count):
            assert self.ended.acquire(timeout=10), "no run ended"
        self.ledger.step()

    def rows(self, **wanted: Any) -> list[TaskLog]:
        """Rows of the log with these values, oldest first."""
        with self.store.reading():
            found = TaskLog.select().order_by(TaskLog.id)
            for name, value in wanted.items():
                found = found.where(getattr(TaskLog, name) == value)
            return list(found)

    def results(self) -> list[str]:
        """Result of every row, oldest first."""
        return [row.result for row in self.rows()]

    def task(self, task_id: str = "t") -> Task:
        """The task's row."""
        with self.store.reading():
            row: Task = Task.get(Task.id == task_id)
        return row

    def _context(self, run: Run) -> RunContext:
        return RunContext(run, f"store:boot:{run.log_id}", self.clock, {"smtp": {}}, self.inbox.started)

    def _over(self, ended: Ended) -> None:
        self.inbox.ended(ended)
        self.ended.release()
