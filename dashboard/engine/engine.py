"""The engine as the rest sees it: start, stop, look, status. Wiring of its parts, nothing else."""

import logging
import os
import threading
import uuid
from datetime import datetime, timedelta
from typing import Any

from dashboard.clock import Clock, SystemClock, iso, whole_ms
from dashboard.config import Settings
from dashboard.engine import retention, snapshot
from dashboard.engine.definition import Run
from dashboard.engine.disk import Disk
from dashboard.engine.files import remove_leftovers
from dashboard.engine.idle_monitor import IdleMonitor
from dashboard.engine.idle_source import Source, find_source
from dashboard.engine.inbox import Inbox
from dashboard.engine.keeper import PRUNE_SECONDS, Checkpoints, Loop
from dashboard.engine.leaving import Leaving
from dashboard.engine.ledger import Ledger
from dashboard.engine.ledger_loop import LedgerLoop
from dashboard.engine.lock import InstanceLock
from dashboard.engine.reconcile import reconcile
from dashboard.engine.recovery import Left, last_idle_runs, recover, was_cut_short
from dashboard.engine.rezone import rezone
from dashboard.engine.run_context import RunContext
from dashboard.engine.runner import Runner
from dashboard.engine.scheduler import GuardedScheduler
from dashboard.engine.snapshotter import Snapshotter
from dashboard.engine.task_book import TaskBook
from dashboard.handlers import processes
from dashboard.models import Task
from dashboard.models.store import Store

log = logging.getLogger("dingshi.scheduler")


class Engine:
    """One for each store and process; made anew for another start. ``port``: where the page of this process is, for
    others to name."""

    def __init__(self, store: Store, settings: Settings, clock: Clock | None = None, source: Source | None = None,
                 port: int | None = None) -> None:
        self.store = store
        self.settings = settings
        self.clock = clock or SystemClock()
        self.port = port
        self.boot = uuid.uuid4().hex[:12]
        self.lock = InstanceLock(settings.database)
        self.inbox = Inbox()
        self.scheduler = GuardedScheduler(self.inbox.due, self.clock)
        self.book = TaskBook(store, settings.timezone, self.scheduler)
        self.runner = Runner(settings.workers, self.clock, self._context, self.inbox.ended, self.inbox.back)
        self.snapshotter = Snapshotter(settings.snapshot, self._snapshot, self.clock)
        self.ledger = Ledger(
            store=store, book=self.book, runner=self.runner, inbox=self.inbox, owner=self.boot, clock=self.clock,
            disk=Disk(settings.database.parent, settings.min_free_mb, self.clock),
            grace=timedelta(seconds=settings.missed_grace_seconds), touched=self._touched)
        self.loop = LedgerLoop(self.ledger)
        self.idle = IdleMonitor(
            source or find_source(), fire=self._idle, tasks=lambda: self.book.idle,
            busy=lambda: self.runner.busy() > 0, clock=self.clock, idle_cpu=settings.idle_cpu,
            cooldown_seconds=settings.idle_cooldown_seconds)
        self._checkpoints = Checkpoints(store, self.clock)
        self.watchdog = Loop("dingshi-watchdog", self.runner.watch)
        self.keeper = Loop("dingshi-keeper", self._keep)
        self._pruned = self.clock.monotonic() - PRUNE_SECONDS + 60.0
        self._leaving = Leaving(self)
        self._store_id = ""

    def start(self) -> None:
        """Takes the store and begins. Raises SchedulerRunning, StoreDamaged (the store is empty while the snapshot
        holds tasks), StoreReadOnly, StoreBusy; nothing runs then and the lock is free."""
        self.lock.acquire(self.port)
        try:
            left = self._prepare()
            self.scheduler.start(paused=True)
            self.ledger.load(left.runs)
            self._seed_idle()
            for part in (self.watchdog, self.keeper, self.snapshotter, self.idle, self.loop):
                part.start()
        except BaseException:
            self._leaving.undo()
            raise
        self.scheduler.resume()
        self.snapshotter.touch_definition()
        log.info("scheduler started pid=%d store=%s tasks=%d workers=%d zone=%s", os.getpid(), self.store.path,
                 len(self.book.by_key), self.settings.workers, self.settings.timezone)

    @property
    def marker_prefix(self) -> str:
        """What the markers of this engine's runs begin with."""
        return f"{self._store_id}:{self.boot}:"

    def sync(self) -> None:
        """A service of this process has committed a change: look now."""
        self.inbox.look()

    def stop(self, grace_seconds: float = 8.0) -> None:
        """No new claims; running runs may end by themselves for ``grace_seconds``, are asked to, are killed. Returns
        after at most that and 3 s (longer while another program keeps the store locked); every row then tells how
        its run ended. Does nothing before ``start`` and the second time."""
        self._leaving.stop(grace_seconds)

    def abort(self) -> None:
        """Makes a ``stop`` under way wait for nothing any more. Safe from a signal handler."""
        self._leaving.hurry.set()

    def status(self) -> dict[str, Any]:
        """How it goes, plain JSON, for people and for health checks."""
        tick = self.clock.monotonic() - self.scheduler.last_tick
        return {
            "running": self.loop.is_alive() and tick < 10.0,
            "last_tick_seconds": round(tick, 3),
            "now": iso(self.clock.now()),
            "tasks": len(self.book.by_key),
            "broken": self._broken(),
            "runs": {**self.runner.status(), "queued": self.ledger.board.queued()},
            "problem": self.ledger.problem,
            "disk_low": self.ledger.disk.is_low,
            "snapshot_problem": self.snapshotter.problem,
            "idle": self.idle.status(),
        }

    def _broken(self) -> dict[str, str]:
        """Why tasks, by id, have no due times any more."""
        found = {**dict(self.scheduler.broken), **dict(self.book.broken)}
        tasks = dict(self.book.by_key)
        return {tasks[key].id: why for key, why in found.items() if key in tasks}

    def _prepare(self) -> Left:
        self.store.probe()
        remove_leftovers(self.settings.snapshot)
        reconcile(self.store, self.settings.snapshot)
        self._store_id = self.store.meta("store_id")
        now = whole_ms(self.clock.now())
        rezone(self.store, self.settings.timezone, now)
        left = recover(self.store, now, self.ledger.grace)
        self._sweep(left)
        return left

    def _sweep(self, left: Left) -> None:
        """What runs that ended with an earlier scheduler have left behind ends, beside the start. What a run left
        that ended by itself is meant to live on."""
        ours, present = f"{self._store_id}:", self.marker_prefix

        def cut_short(found: str) -> bool:
            return (found.startswith(ours) and not found.startswith(present)
                    and was_cut_short(self.store, found.rpartition(":")[2]))

        def look() -> None:
            try:
                count = processes.sweep(cut_short, left.processes)
            except Exception:
                log.exception("looking for processes of interrupted runs failed")
                return
            if count:
                log.warning("%d processes of interrupted runs ended", count)

        threading.Thread(target=look, name="dingshi-sweep", daemon=True).start()

    def _seed_idle(self) -> None:
        waiting = [self.book.by_key[key].id for key in self.book.idle]
        for key, at in last_idle_runs(self.store, waiting).items():
            self.idle.seed(key, at)

    def _idle(self, key: int, at: datetime) -> None:
        self.inbox.idle(key, whole_ms(at))

    def _context(self, run: Run) -> RunContext:
        return RunContext(run, f"{self.marker_prefix}{run.log_id}", self.clock, {"smtp": self.settings.smtp},
                          self.inbox.started)

    def _touched(self, definitions: bool) -> None:
        (self.snapshotter.touch_definition if definitions else self.snapshotter.touch_counters)()

    def _snapshot(self) -> dict[str, Any]:
        with self.store.reading():
            return snapshot.content(Task.select(), self._store_id, self.clock.now())

    def _keep(self) -> float:
        self._checkpoints.look()
        now = self.clock.monotonic()
        if now - self._pruned >= PRUNE_SECONDS:
            self._pruned = now
            gone = retention.prune(self.store, days=self.settings.retention_days, rows=self.settings.retention_rows,
                                   now=self.clock.now(), stop=self.keeper.stopping)
            if gone:
                log.info("%d old log rows removed", gone)
        return 1.0
