"""From what is due to what shall be committed. Changes nothing: a commit may fail, and the plan is then made anew."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from dashboard.clock import iso
from dashboard.engine import due
from dashboard.engine.board import Board
from dashboard.engine.definition import Definition
from dashboard.engine.seats import Seats
from dashboard.models.bulk import NewRun
from dashboard.triggers.contract import Missed


class Planner:
    """One for each batch. ``why``: the reason that due times too old to run in time are given (``down``, ``late``,
    ``disk``)."""

    def __init__(self, board: Board, seats: Seats, owner: str, now: datetime, why: str) -> None:
        self.board = board
        self.seats = seats
        self.owner = owner
        self.now = now
        self.why = why
        self.claims: list[NewRun] = []
        self._planned: Counter[int] = Counter()

    def due(self, tasks: Iterable[Definition], grace: timedelta) -> None:
        """Claims for the due times of these tasks that have come."""
        for task in tasks:
            plan = due.plan(task, self.now, grace)
            if plan is None:
                continue
            if plan.missed is not None:
                self._missed(task, plan.missed, plan.next_run_at)
            if plan.run_at is not None:
                self._occurrence(task, plan.cause, plan.run_at, plan.next_run_at, advance=True)
            elif plan.missed is None:  # nothing to tell, only the schedule goes on
                self.claims.append(NewRun(task.key, task.revision, "", "schedule", self.now, self.now,
                                          next_run_at=plan.next_run_at))

    def idle(self, tasks: Mapping[int, Definition], fired: Mapping[int, datetime]) -> None:
        """Claims for tasks that waited for idleness; the schedule of none is touched."""
        for key, at in fired.items():
            if key in tasks and not tasks[key].paused:
                self._occurrence(tasks[key], "idle", at, None, advance=False)

    def _occurrence(self, task: Definition, cause: str, at: datetime, upcoming: datetime | None, *,
                    advance: bool) -> None:
        room = self.board.has_room(task.key, task.options["overlap"], self._planned[task.key])
        claim = NewRun(task.key, task.revision, "queued", cause, at, at, next_run_at=upcoming, advance=advance)
        if room == "skip":
            claim.result, claim.reason = "skipped", {"code": "overlap"}
        elif room == "start":
            self._planned[task.key] += 1
            if self.seats.take(task.type):
                claim.result, claim.at, claim.owner = "running", self.now, self.owner
        self.claims.append(claim)

    def _missed(self, task: Definition, missed: Missed, upcoming: datetime | None) -> None:
        covers: dict[str, Any] = {"count": missed.count, "first": iso(missed.first), "last": iso(missed.last)}
        if missed.capped:
            covers["more"] = True
        self.claims.append(NewRun(task.key, task.revision, "missed", "schedule", missed.last, missed.last,
                                  next_run_at=upcoming, reason={"code": self.why}, covers=covers))
