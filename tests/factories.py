"""Things that tests are made of."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

from dashboard import config
from dashboard.handlers.contract import Failed
from dashboard.models.store import Store

SCHEDULED_AT = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


class HandClock:
    """A clock moved by hand. ``advance`` moves both, ``jump`` the wall clock alone."""

    def __init__(self, start: datetime = SCHEDULED_AT) -> None:
        self.wall = start
        self.steady = 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def advance(self, seconds: float) -> datetime:
        self.steady += seconds
        return self.jump(seconds)

    def jump(self, seconds: float) -> datetime:
        self.wall += timedelta(seconds=seconds)
        return self.wall


def make_settings(folder: Path, **changes: Any) -> config.Settings:
    """The defaults, whatever this machine's environment says: data in ``folder``, times in Asia/Shanghai. ``changes``
    are fields of ``Settings``."""
    settings = config.load({}, root=folder)
    files = {"data_dir": folder, "database": folder / "task.db", "snapshot": folder / "tasks.pkl",
             "log_file": folder / "scheduler.log"}
    return replace(settings, **{**files, "timezone": ZoneInfo("Asia/Shanghai"), "language": None, **changes})


@cache
def _new_store() -> bytes:
    """A closed, migrated store: making one takes ten times as long as copying it."""
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "task.db")
        store.create()
        return store.path.read_bytes()


def make_store(folder: Path) -> Store:
    """A new, migrated, open store, ``folder/task.db``. All have one ``store_id``. Close it from the same thread."""
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder / "task.db")
    store.path.write_bytes(_new_store())
    store.open()
    return store


def a_task(**changes: Any) -> dict[str, Any]:
    """A task document that every door takes; ``changes`` replace its fields."""
    return {"id": "tidy", "type": "send_cmd", "trigger": {"type": "interval", "minutes": 15},
            "params": {"command": ["true"]}, **changes}


class HandlerContext:
    """A ``dashboard.handlers.contract.Context`` for one run of a handler, without an engine. It records what the
    handler gives (``outputs``, ``processes``, ``queries``) and hands out what the test put in (``servers`` by
    (kind, name), name None being the default one; ``secrets``; ``rows``).
    """

    def __init__(self, *, seconds: float = 60.0, attempt: int = 1, carried: dict[str, Any] | None = None,
                 servers: Mapping[tuple[str, str | None], Any] | None = None) -> None:
        self.run_id = 1
        self.task_id = "task"
        self.scheduled_at = SCHEDULED_AT
        self.attempt = attempt
        self.marker = f"test-{uuid.uuid4().hex}"
        self.deadline = time.monotonic() + seconds
        self.cancelled = threading.Event()
        self.occurrence = f"occurrence-{self.marker}"
        self.carried: dict[str, Any] = {} if carried is None else carried
        self.servers = dict(servers or {})
        self.outputs: list[str] = []
        self.processes: list[tuple[int, float]] = []
        self.on_output: Callable[[str], None] = lambda text: None
        self._lock = threading.Lock()
        self._stops: list[Callable[[], None]] = []

    @property
    def text(self) -> str:
        """The whole output so far."""
        with self._lock:
            return "".join(self.outputs)

    def cancel(self) -> None:
        """What the engine does at the deadline and when somebody stops the run. The callbacks run here."""
        with self._lock:
            self.cancelled.set()
            stops, self._stops = self._stops, []
        for stop in stops:
            stop()

    @contextmanager
    def cancelled_after(self, seconds: float) -> Iterator[None]:
        """The run is cancelled from another thread, unless the block ends sooner."""
        timer = threading.Timer(seconds, self.cancel)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def remaining(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def on_cancel(self, stop: Callable[[], None]) -> None:
        with self._lock:
            if not self.cancelled.is_set():
                self._stops.append(stop)
                return
        stop()

    def output(self, text: str) -> None:
        with self._lock:
            self.outputs.append(text)
        self.on_output(text)

    def started(self, pid: int, create_time: float) -> None:
        self.processes.append((pid, create_time))

    def server(self, kind: str, name: str | None) -> Any:
        if (kind, name) in self.servers:
            return self.servers[kind, name]
        raise Failed("server_none" if name is None else "server_unknown", kind=kind, name=name)
