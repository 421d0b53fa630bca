"""What a handler sees of the engine: one context a run."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from dashboard.clock import Clock, to_ms
from dashboard.engine.definition import Run
from dashboard.engine.kept_output import KeptOutput
from dashboard.handlers.contract import Failed
from dashboard.servers import chosen


class RunContext:
    """``dashboard.handlers.contract.Context``. ``why``: the reason for which it was cancelled, first one wins:
    ``timeout`` (its deadline), ``stopped`` (somebody asked), ``shutdown`` (the scheduler stops)."""

    def __init__(self, run: Run, marker: str, clock: Clock, servers: Mapping[str, Mapping[str, Any]],
                 started: Callable[[int, list[list[float]]], None]) -> None:
        self.run_id = run.log_id
        self.task_id = run.task_id
        self.scheduled_at: datetime = run.scheduled_at
        self.attempt = run.attempt
        self.marker = marker
        self.occurrence = f"{marker.split(':', maxsplit=1)[0]}.{run.key}.{to_ms(run.occurrence_at)}"
        self.carried = dict(run.carried) if isinstance(run.carried, dict) else {}
        self.cancelled = threading.Event()
        self.deadline: float = clock.monotonic() + run.options["timeout_seconds"]
        self.why = ""
        self.kept = KeptOutput()
        self._clock = clock
        self._servers = servers
        self._started = started
        self._processes: list[list[float]] = []
        self._stops: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def remaining(self) -> float:
        return max(0.0, self.deadline - self._clock.monotonic())

    def on_cancel(self, stop: Callable[[], None]) -> None:
        with self._lock:
            if not self.cancelled.is_set():
                self._stops.append(stop)
                return
        stop()

    def output(self, text: str) -> None:
        self.kept.add(text)

    def started(self, pid: int, create_time: float) -> None:
        with self._lock:
            self._processes.append([pid, create_time])
            known = list(self._processes)
        self._started(self.run_id, known)

    def server(self, kind: str, name: str | None) -> Any:
        server = chosen(self._servers.get(kind, {}), name)
        if server is not None:
            return server
        if name is None:
            raise Failed("server_none", final=True, kind=kind)  # the settings stay as they are until the next start
        raise Failed("server_unknown", final=True, kind=kind, name=name)

    def cancel(self, why: str) -> list[Callable[[], None]]:
        """Marks the run cancelled; returns what to call for it, from any thread but the caller's own loop: a
        stop may take a moment. Empty the second time."""
        with self._lock:
            if self.cancelled.is_set():
                return []
            self.why = why
            self.cancelled.set()
            stops, self._stops = self._stops, []
        return stops

