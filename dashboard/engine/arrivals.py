"""Queued rows find their place on the board: made by others, by a retry, or left from before a restart."""

from datetime import datetime

from dashboard.clock import Clock
from dashboard.engine.board import Board
from dashboard.engine.definition import Run, run_of
from dashboard.engine.runner import Runner
from dashboard.engine.task_book import Changes, TaskBook
from dashboard.models import TaskLog
from dashboard.models.store import Store


class Arrivals:
    """The ledger's thread alone. ``refused``: requested runs, by log id, that may not start. ``attempts``: rows of
    next attempts that were made and have no place yet."""

    def __init__(self, board: Board, book: TaskBook, runner: Runner, clock: Clock) -> None:
        self.board = board
        self.book = book
        self.runner = runner
        self.clock = clock
        self.refused: dict[int, Run] = {}
        self.attempts: list[int] = []

    def apply(self, changes: Changes) -> None:
        """What the table told."""
        self.board.forget(changes.gone)
        self.board.cancel(set(changes.cancelled))
        for key in changes.resumed:
            for run in self.board.release(key):
                self.place(run)
        for key in changes.paused:
            self.board.pause(key)
        for row in changes.requests:
            if not self.board.knows(row.id):
                self._request(run_of(row))
        for log_id in changes.stops:
            self.runner.cancel(log_id, "stopped")

    def place(self, run: Run) -> None:
        """It waits for its time, for its task to go on, for its task's other runs, for a worker."""
        if run.scheduled_at > self.clock.now():
            self.board.delay(run)
        elif run.cause != "manual" and (task := self.book.by_key.get(run.key)) is not None and task.paused:
            self.board.hold(run)
        else:
            self.board.arrive(run)

    def mature(self, now: datetime) -> None:
        """Delayed runs whose time has come."""
        for run in self.board.matured(now):
            self.place(run)

    def retries(self, store: Store) -> None:
        """Next attempts get their place; when they cannot be read now, the next look tries again."""
        if self.attempts:
            with store.reading():
                rows = list(TaskLog.select().where(TaskLog.id.in_(self.attempts)))
            self.attempts = []
            for row in rows:
                self.place(run_of(row))

    def _request(self, run: Run) -> None:
        """Somebody asked for a run; meanwhile the task may have begun one."""
        if self.board.has_room(run.key, run.options["overlap"]) == "skip":
            self.refused[run.log_id] = run
        else:
            self.place(run)
