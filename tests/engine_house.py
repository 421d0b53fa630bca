"""A whole engine: real store, real threads, the real clock; only idleness is the test's own."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dashboard import handlers
from dashboard.clock import whole_ms
from dashboard.engine.engine import Engine
from dashboard.handlers.contract import Context, Outcome
from dashboard.models import Meta, Task, TaskLog
from dashboard.services.task_service import TaskService
from tests.factories import HandClock, make_settings, make_store
from tests.ledger_house import Act

ROOT = Path(__file__).resolve().parents[1]


class Quiet:
    """A source of samples: nobody is there unless the test says so."""

    name = "cpu+input"

    def __init__(self) -> None:
        self.cpu = 2.0
        self.input_age: float | None = 10_000.0

    def sample(self) -> tuple[float, float | None]:
        return self.cpu, self.input_age


def soon(seconds: float) -> datetime:
    """So far ahead, in whole milliseconds."""
    return whole_ms(datetime.now(UTC) + timedelta(seconds=seconds))


def once(seconds: float) -> dict[str, Any]:
    """A trigger due so far ahead."""
    return {"type": "date", "run_date": soon(seconds).isoformat(timespec="milliseconds")}


def eventually(true: Callable[[], Any], seconds: float = 5.0) -> None:
    """Waits until it is; at most so long."""
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it did not come true in time"
        time.sleep(0.005)


class EngineHouse:
    """A store, and the engines started on it one after the other. Tasks are of type ``act``; ``begun`` counts what
    their handler noted: (task id, due, when it began)."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.act = Act()
        handlers.register(self.act)
        self.settings = make_settings(folder, **{"workers": 8, "min_free_mb": 0, **settings})
        self.store = make_store(folder)
        with self.store.writing():  # so that no engine of another test takes our processes for its own
            Meta.update(value=uuid.uuid4().hex).where(Meta.name == "store_id").execute()
        self.source = Quiet()
        self.engines: list[Engine] = []
        self.begun: list[tuple[str, datetime, datetime]] = []
        self.does: Callable[[dict[str, Any], Context], Outcome | None] = lambda params, context: None
        self.act.does = self._run
        self.tasks = TaskService(self.store, self.settings, changed=self.sync)
        self.past = TaskService(self.store, self.settings, HandClock(soon(-3.5 * 3600)))
        """Makes tasks as if it were three and a half hours ago."""

    @property
    def engine(self) -> Engine:
        return self.engines[-1]

    def sync(self) -> None:
        """What a service of the engine's own process does after a commit."""
        if self.engines:
            self.engine.sync()

    def make(self) -> Engine:
        """A new engine, not started."""
        engine = Engine(self.store, self.settings, source=self.source)
        engine.idle._interval = 0.05
        self.engines.append(engine)
        return engine

    def start(self) -> Engine:
        """A new engine, running."""
        engine = self.make()
        engine.start()
        return engine

    def close(self) -> None:
        """Ends every engine, and the store."""
        for engine in self.engines:
            engine.abort()
            engine.stop(0.0)
        del handlers.installed()["act"]
        self.store.close()

    def add(self, task_id: str, trigger: dict[str, Any] | None = None, **more: Any) -> None:
        """A task, each hour unless told otherwise."""
        self.tasks.create({"id": task_id, "type": "act", "trigger": trigger or {"type": "interval", "hours": 1},
                           **more})

    def add_quietly(self, *ids: str) -> None:
        """Tasks that were there before an engine was."""
        assert not self.engines
        for task_id in ids:
            self.add(task_id)

    def rows(self, task_id: str | None = None) -> list[TaskLog]:
        """Rows of the log, oldest first."""
        with self.store.reading():
            found = TaskLog.select().order_by(TaskLog.id)
            return list(found if task_id is None else found.where(TaskLog.task_id == task_id))

    def results(self, task_id: str | None = None) -> list[str]:
        """Result of every row, oldest first."""
        return [row.result for row in self.rows(task_id)]

    def task(self, task_id: str) -> Task:
        """Its row."""
        with self.store.reading():
            found: Task = Task.get(Task.id == task_id)
        return found

    def known(self, task_id: str) -> Any:
        """The task as the engine has it in memory."""
        return next((task for task in list(self.engine.book.by_key.values()) if task.id == task_id), None)

    def _run(self, params: dict[str, Any], context: Context) -> Outcome | None:
        self.begun.append((context.task_id, context.scheduled_at, datetime.now(UTC)))
        return self.does(params, context)


class Gate:
    """A handler that waits until the test lets it go, whatever the engine asks."""

    def __init__(self) -> None:
        self.inside = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self, params: dict[str, Any], context: Context) -> Outcome | None:
        self.inside.release()
        assert self.go.wait(30)
        return None

    def entered(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.inside.acquire(timeout=5), "no run began"


CONSOLE = """
import json, sys
from pathlib import Path
from dashboard import handlers
from dashboard.models.store import Store
from dashboard.services.log_service import LogService
from dashboard.services.task_service import TaskService
from tests.factories import make_settings
from tests.ledger_house import Act
handlers.register(Act())
settings = make_settings(Path(sys.argv[1]))
store = Store(settings.database)
store.open()
doors = {"tasks": TaskService(store, settings), "logs": LogService(store, settings)}
print("ready", flush=True)
for line in sys.stdin:
    door, name, *arguments = json.loads(line)
    getattr(doors[door], name)(*arguments)
    print("done", flush=True)
"""


@contextmanager
def second_console(folder: Path) -> Iterator[Callable[..., None]]:
    """Another process with services of its own on the same store: ``call("tasks", "pause", "a")`` returns when it is
    committed there."""
    with subprocess.Popen([sys.executable, "-c", CONSOLE, str(folder)], cwd=ROOT, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, encoding="utf-8",
                          env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        assert process.stdin and process.stdout
        talk, hear = process.stdin, process.stdout

        def call(*words: Any) -> None:
            talk.write(json.dumps(words) + "\n")
            talk.flush()
            assert hear.readline() == "done\n"
        assert hear.readline() == "ready\n"
        try:
            yield call
        finally:
            talk.close()
