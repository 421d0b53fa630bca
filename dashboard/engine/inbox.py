"""What other threads tell the ledger, collected until it looks."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from dashboard.engine.definition import Run
from dashboard.engine.outcome import Ended


@dataclass(slots=True)
class News:
    """``due``: keys of tasks whose due time came. ``idle``: (key, when) of tasks that waited for idleness.
    ``processes``: what runs have started, as {log id: [[pid, create time], …]}. ``back``: runs that were claimed and
    have not begun."""

    due: set[int] = field(default_factory=set)
    idle: dict[int, datetime] = field(default_factory=dict)
    ended: list[Ended] = field(default_factory=list)
    processes: dict[int, list[list[float]]] = field(default_factory=dict)
    back: list[Run] = field(default_factory=list)
    look: bool = False

    def add(self, later: "News") -> None:
        """Takes in what came after this."""
        self.due |= later.due
        self.idle = {**later.idle, **self.idle}
        self.ended += later.ended
        self.back += later.back
        self.processes.update(later.processes)
        self.look = self.look or later.look

    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.due or self.idle or self.ended or self.processes or self.back or self.look)


class Inbox:
    """Each method is safe from any thread and never blocks for long, never raises."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._news = News()

    def due(self, key: int) -> None:
        """A task's due time has come."""
        self._tell(lambda news: news.due.add(key))

    def idle(self, key: int, at: datetime) -> None:
        """The machine has been idle for as long as the task asked."""
        self._tell(lambda news: news.idle.setdefault(key, at))

    def ended(self, ended: Ended) -> None:
        """A run is over."""
        self._tell(lambda news: news.ended.append(ended))

    def back(self, runs: list[Run]) -> None:
        """Runs that were claimed will not begin now."""
        self._tell(lambda news: news.back.extend(runs))

    def started(self, log_id: int, processes: list[list[float]]) -> None:
        """A run has started one more process; these are all so far."""
        self._tell(lambda news: news.processes.update({log_id: processes}))

    def look(self) -> None:
        """Something in the store has changed, or a worker is free: look now."""
        self._tell(lambda news: setattr(news, "look", True))

    def wait(self, seconds: float) -> None:
        """Until there is news, at most ``seconds``."""
        with self._condition:
            if self._news.empty():
                self._condition.wait(seconds)

    def urgent(self) -> bool:
        """Whether something has come that may start a run."""
        with self._condition:
            return bool(self._news.due or self._news.idle or self._news.look)

    def take(self) -> News:
        """Everything told since the last time."""
        with self._condition:
            news, self._news = self._news, News()
        return news

    def _tell(self, change: Callable[[News], object]) -> None:
        with self._condition:
            change(self._news)
            self._condition.notify()
