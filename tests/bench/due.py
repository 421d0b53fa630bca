"""A thousand tasks due in the same second: ours, with a claim and a result in the store for each, beside plain
APScheduler with a memory store and the same pool, which keeps nothing."""

import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from dashboard import handlers
from dashboard.clock import whole_ms
from dashboard.engine.engine import Engine
from dashboard.fields import Document
from dashboard.handlers.contract import Context, ParamsDocument
from dashboard.models import TaskLog
from dashboard.services.task_service import TaskService
from tests.factories import make_settings, make_store

LEAD = 2.0
WAIT = 60.0


class Witness:
    """Notes how late each call comes, in milliseconds after ``due``."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.due = 0.0
        self.late: list[float] = []
        self.done = threading.Event()

    def call(self) -> None:
        self.late.append((time.time() - self.due) * 1000)
        if len(self.late) == self.count:
            self.done.set()


class Nothing:
    """A task type that does nothing."""

    KEY = "bench_nothing"
    SUMMARY = "nothing"
    EXAMPLE: ClassVar[ParamsDocument] = {}
    DEFAULTS: ClassVar[dict[str, int]] = {}
    REASONS: ClassVar[dict[str, str]] = {}
    Params = Document

    def __init__(self) -> None:
        self.witness = Witness(0)

    def run(self, params: ParamsDocument, context: Context) -> None:
        self.witness.call()


NOTHING = Nothing()


def plain(count: int, workers: int) -> list[float]:
    """Lateness of each start under plain APScheduler."""
    witness = Witness(count)
    scheduler = BackgroundScheduler(
        executors={"default": ThreadPoolExecutor(workers)}, timezone=UTC,
        job_defaults={"misfire_grace_time": None, "coalesce": True})
    scheduler.start(paused=True)
    at = whole_ms(datetime.now(UTC) + timedelta(seconds=LEAD))
    witness.due = at.timestamp()
    for _ in range(count):
        scheduler.add_job(witness.call, "date", run_date=at)
    scheduler.resume()
    assert witness.done.wait(WAIT), f"{len(witness.late)} of {count}"
    scheduler.shutdown()
    return witness.late


def ours(count: int, workers: int) -> list[float]:
    """Lateness of each start under Dingshi; every one has its row, none twice."""
    handlers.register(NOTHING)
    with tempfile.TemporaryDirectory() as folder:
        settings = make_settings(Path(folder), workers=workers, min_free_mb=0)
        store = make_store(Path(folder))
        engine = Engine(store, settings)
        engine.start()
        NOTHING.witness = witness = Witness(count)
        at = whole_ms(datetime.now(UTC) + timedelta(seconds=LEAD))
        witness.due = at.timestamp()
        documents: list[Any] = [
            {"id": f"task-{n}", "type": NOTHING.KEY, "trigger": {"type": "date", "run_date": at.isoformat()}}
            for n in range(count)]
        TaskService(store, settings, changed=engine.sync).create_all(documents)
        assert time.time() < at.timestamp(), "created too late: the machine is too slow for this lead"
        assert witness.done.wait(WAIT), f"{len(witness.late)} of {count}"
        engine.stop()
        with store.reading():
            rows = TaskLog.select().where(TaskLog.result == "success", TaskLog.cause == "schedule")
            assert rows.count() == count, rows.count()
            assert rows.select(TaskLog.task_key).distinct().count() == count
        store.close()
        assert len(witness.late) == count, "a task ran twice"
        return witness.late
