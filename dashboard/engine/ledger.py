"""Claim, run, record: one thread that owns every write of the engine.

Whatever came in since its last look goes into one transaction: ends, retries, starts, claims. Memory changes
after the commit alone, and a run starts after it alone; when a commit fails, nothing is forgotten and the next look
tries again.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from dashboard.clock import Clock, whole_ms
from dashboard.engine.arrivals import Arrivals
from dashboard.engine.batch import Batch
from dashboard.engine.board import Board
from dashboard.engine.definition import Run, first_run
from dashboard.engine.disk import Disk
from dashboard.engine.inbox import Inbox, News
from dashboard.engine.outcome import Ended
from dashboard.engine.planner import Planner
from dashboard.engine.runner import Runner
from dashboard.engine.task_book import TaskBook
from dashboard.errors import DingshiError, StoreBusy
from dashboard.models.store import Store

log = logging.getLogger("dingshi.runs")
POLL_SECONDS = 0.25
NET_SECONDS = 5.0
PATIENCE_SECONDS = 0.05
"""So long due times for which there is no worker are not claimed yet: short runs have ended by then, and a row that
is queued first costs a second commit."""
MOST_AT_ONCE = 1000
"""Due times in one commit: longer transactions would make other processes wait."""


class Ledger:
    """One thread calls ``step`` again and again (``ledger_loop``). ``touched(definitions)`` is called after commits
    that change what the snapshot holds. ``problem``: why the last look failed, '' if it did not; ``locked``: another
    program had the store. ``put_off``: due times wait a moment for a worker."""

    def __init__(self, *, store: Store, book: TaskBook, runner: Runner, inbox: Inbox, disk: Disk, clock: Clock,
                 owner: str, grace: timedelta, touched: Callable[[bool], None],
                 patience: float = PATIENCE_SECONDS) -> None:
        self.store = store
        self.book = book
        self.runner = runner
        self.inbox = inbox
        self.disk = disk
        self.clock = clock
        self.owner = owner
        self.grace = grace
        self.touched = touched
        self.patience = patience
        self.board = Board()
        self.arrivals = Arrivals(self.board, book, runner, clock)
        self.claiming = True
        self.problem = ""
        self._why = "down"
        self._kept = News()
        self._polled = self._netted = float("-inf")
        self.locked = False
        self.put_off = False
        self._patient_until = 0.0
        self._resting = threading.Event()

    def load(self, runs: list[Run]) -> None:
        """Every task, and the queued rows that an earlier scheduler left. Before ``start``."""
        changes = self.book.poll(whole_ms(self.clock.now()))
        for run in runs:
            self.arrivals.place(run)
        if changes is not None:
            self._kept.due |= changes.due
            self.arrivals.apply(changes)

    def rest(self) -> None:
        """No claims from now on; ``is_resting`` once none is under way either."""
        self.claiming = False
        self.inbox.look()

    def is_resting(self) -> bool:
        """Whether nothing is claimed any more."""
        return self._resting.is_set()

    def only_ends(self) -> bool:
        """Whether runs wait for a worker, and nothing that has come in would start another."""
        return bool(self.runner.backlog()) and not self._kept.due and not self.inbox.urgent()

    def may_claim(self) -> bool:
        """Whether something is due, or a run that waited for another of its task may begin."""
        if not self.claiming or self.disk.is_low:
            return False
        return bool(self._kept.due) or (
            bool(self.board.ready) and self.runner.seats().there(self.board.ready[0].type))

    def step(self) -> None:
        """One look: what has changed, what is due, one commit. Never raises."""
        if not self.claiming:
            self._resting.set()
        try:
            self._take()
            now = whole_ms(self.clock.now())
            self._poll(now)
            self.arrivals.mature(now)
            batch = self._plan(now)
            if not batch.empty():
                self._commit(batch)
            self._done(batch)
            self.arrivals.retries(self.store)
        except Exception as error:  # noqa: BLE001  this thread must live; what came in is kept for the next look
            self._complain(error)

    def _take(self) -> None:
        calm = not self._kept.due
        self._kept.add(self.inbox.take())
        if calm and self._kept.due:
            self._patient_until = self.clock.monotonic() + self.patience

    def _done(self, batch: Batch) -> None:
        self.problem = ""
        self._kept.due.difference_update(batch.keys)
        for key in batch.idle:
            self._kept.idle.pop(key, None)
        if self.claiming and not self.disk.is_low and not self._kept.due:
            self._why = "late"

    def _poll(self, now: datetime) -> None:
        tick = self.clock.monotonic()
        if self._kept.look or tick - self._polled >= POLL_SECONDS:
            changes = self.book.poll(now, self.board.known())
            self._polled, self._kept.look = tick, False
            if changes is not None:
                self._kept.due |= changes.due
                self.arrivals.apply(changes)
                if changes.definitions:
                    self.touched(True)
        if tick - self._netted >= NET_SECONDS:
            self._netted = tick
            self._kept.due |= self.book.overdue(now)

    def _plan(self, now: datetime) -> Batch:
        batch = Batch(now, ended=list(self._kept.ended), processes=dict(self._kept.processes),
                      skips=list(self.arrivals.refused.values()), back=list(self._kept.back))
        if not self.claiming:
            return batch
        if self.disk.low():
            self._why = "disk"
            return batch
        seats = self.runner.seats()
        for run in self.board.ready:
            if not seats.take(run.type):
                break
            batch.starts.append(run)
        planner = Planner(board=self.board, seats=seats, owner=self.owner, now=now, why=self._why, grace=self.grace,
                          broken=self.book.end, patient=self.clock.monotonic() < self._patient_until,
                          over=Counter(ended.run.key for ended in batch.ended))
        keys = sorted(self._kept.due)[:MOST_AT_ONCE]
        planner.due(self.book.by_key[key] for key in keys if key in self.book.by_key)
        planner.idle(self.book.by_key, self._kept.idle)
        self.put_off = bool(planner.put_off)
        batch.claims, batch.idle = planner.claims, list(self._kept.idle)
        batch.keys = [key for key in keys
                      if key not in planner.put_off and (key in planner.planned or key not in self.book.by_key)]
        return batch

    def _commit(self, batch: Batch) -> None:
        try:
            batch.commit(self.store, self.owner)
        except DingshiError:
            raise
        except Exception:
            log.exception("a batch could not be committed; trying its parts")
            for part in batch.parts():
                self._commit_part(part)
        else:
            self._committed(batch)

    def _commit_part(self, part: Batch) -> None:
        try:
            part.commit(self.store, self.owner)
        except DingshiError:
            raise
        except Exception as error:
            log.exception("could not be stored: %s", [ended.run.log_id for ended in part.ended])
            part = Batch(part.now, ended=[ended.stripped(repr(error)) for ended in part.ended])
            part.commit(self.store, self.owner)
        self._committed(part)

    def _committed(self, batch: Batch) -> None:
        """The commit is done: memory follows, and runs start."""
        begun = self.board.took(len(batch.starts), batch.started)
        for claim in batch.claims:
            task = self.book.by_key[claim.key]
            if claim.advance:
                task.next_run_at = claim.next_run_at
            if claim.log_id and claim.result in ("running", "queued"):
                run = first_run(task, claim.log_id, claim.cause, claim.scheduled_at)
                if claim.result == "running":
                    self.board.began(run)
                    begun.append(run)
                else:
                    self.board.arrive(run)
            elif claim.log_id:
                log.info("run %s id=%s run=%d due=%s", claim.result, task.id, claim.log_id, claim.scheduled_at)
        self.runner.submit(begun)
        for run in begun:  # told after it was begun: logging takes as long as claiming
            log.info("run started id=%s run=%d cause=%s attempt=%d", run.task_id, run.log_id, run.cause, run.attempt)
        self._put_back(batch.back)
        stored = {id(ended) for ended in batch.ended}
        self._kept.ended = [ended for ended in self._kept.ended if id(ended) not in stored]
        for ended in batch.ended:
            self._over(ended)
        for log_id in batch.processes:
            self._kept.processes.pop(log_id, None)
        for run in batch.skips:
            self.arrivals.refused.pop(run.log_id, None)
        self.arrivals.attempts += batch.retries
        if batch.ended or batch.claims or batch.starts:
            self.touched(False)

    def _put_back(self, runs: list[Run]) -> None:
        gone = {id(run) for run in runs}
        self._kept.back = [run for run in self._kept.back if id(run) not in gone]
        for run in reversed(runs):
            log.info("run queued again id=%s run=%d: it had not begun", run.task_id, run.log_id)
            if run.key in self.book.by_key:
                self.board.put_back(run)
            else:
                self.board.ended(run.key)

    def _over(self, ended: Ended) -> None:
        self.board.ended(ended.run.key)
        level = logging.INFO if ended.result == "success" else logging.WARNING
        told = f" reason={ended.reason} error={ended.error}" if ended.reason or ended.error else ""
        log.log(level, "run %s id=%s run=%d ms=%d%s", ended.result, ended.run.task_id, ended.run.log_id,
                ended.duration_ms, told)

    def _complain(self, error: Exception) -> None:
        known = isinstance(error, DingshiError)
        words = str(error) if known else f"{type(error).__name__}: {error}"
        if self._why == "late":
            self._why = "store"
        if words != self.problem:
            log.error("the ledger cannot go on for now: %s", words, exc_info=None if known else error)
        self.problem, self.locked = words, isinstance(error, StoreBusy)
