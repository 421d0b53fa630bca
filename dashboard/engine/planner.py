"""From what is due to what shall be committed. Changes nothing: a commit may fail, and the plan is then made anew."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from dashboard.clock import iso
from dashboard.engine.board import Board
from dashboard.engine.definition import Definition
from dashboard.engine.due import Plan, plan, plan_known
from dashboard.engine.seats import Seats
from dashboard.models.bulk import NewRun
from dashboard.triggers.contract import Missed

log = logging.getLogger("dingshi.scheduler")

MOST_PUT_OFF = 32
"""After so many there is hardly a worker for the rest."""


class Planner:
    """One for each batch. ``why``: the reason that due times too old to run in time are given (``down``, ``late``,
    ``disk``). ``broken(key, error)``: a timetable fails. ``patient``: due times for which there is no worker are
    ``put_off``, not queued. ``planned``: the tasks whose due times were looked at. ``over``:
    how many runs of each task end in the same commit."""

    def __init__(self, *, board: Board, seats: Seats, owner: str, now: datetime, why: str, grace: timedelta,
                 broken: Callable[[int, Exception], None], patient: bool = False,
                 over: Counter[int] | None = None) -> None:
        self.board = board
        self.seats = seats
        self.owner = owner
        self.now = now
        self.why = why
        self.grace = grace
        self.broken = broken
        self.patient = patient
        self.claims: list[NewRun] = []
        self.planned: set[int] = set()
        self.put_off: set[int] = set()
        self._planned: Counter[int] = Counter()
        self._planned.subtract(over or {})

    def due(self, tasks: Iterable[Definition]) -> None:
        """Claims for the due times of these tasks that have come."""
        for task in tasks:
            found = self._plan(task)
            self.planned.add(task.key)
            if found is None:
                continue
            if self.patient and self._waits(task, found):
                self.put_off.add(task.key)
                if len(self.put_off) == MOST_PUT_OFF:
                    break
                continue
            if found.missed is not None:
                self._missed(task, found.missed, found.next_run_at)
            if found.run_at is not None:
                self._occurrence(task, found.cause, found.run_at, found.next_run_at, advance=True)
            elif found.missed is None:  # nothing to tell, only the schedule goes on
                self.claims.append(NewRun(task.key, task.revision, "", "schedule", self.now, self.now,
                                          next_run_at=found.next_run_at))

    def idle(self, tasks: Mapping[int, Definition], fired: Mapping[int, datetime]) -> None:
        """Claims for tasks that waited for idleness; the schedule of none is touched. What could not be claimed in
        time is missed: the machine may be in use again."""
        for key, at in fired.items():
            task = tasks.get(key)
            if task is None or task.paused:
                continue
            if self.now - at <= self.grace:
                self._occurrence(task, "idle", at, None, advance=False)
            else:
                self._missed(task, Missed(1, at, at), None, cause="idle")

    def _plan(self, task: Definition) -> Plan | None:
        try:
            found = plan(task, self.now, self.grace)
            if found is not None and found.next_run_at is not None and found.next_run_at <= self.now:
                raise ValueError(f"the next due time {found.next_run_at} is not after {self.now}")
        except Exception as error:
            log.exception("trigger failed id=%s: the task has no further due times", task.id)
            self.broken(task.key, error)
            return plan_known(task, self.now, self.grace)
        return found

    def _waits(self, task: Definition, found: Plan) -> bool:
        """Whether it would be queued now for want of a worker."""
        return (found.run_at is not None and not self.seats.there(task.type)
                and self.board.has_room(task.key, task.options["overlap"], self._planned[task.key]) == "start")

    def _occurrence(self, task: Definition, cause: str, at: datetime, upcoming: datetime | None, *,
                    advance: bool) -> None:
        room = self.board.has_room(task.key, task.options["overlap"], self._planned[task.key])
        claim = NewRun(task.key, task.revision, "queued", cause, at, at, next_run_at=upcoming, advance=advance)
        if room == "skip":
            claim.result, claim.reason, claim.finished_at = "skipped", {"code": "overlap"}, self.now
        elif room == "start":
            self._planned[task.key] += 1
            if self.seats.take(task.type):
                claim.result, claim.at, claim.owner = "running", self.now, self.owner
        self.claims.append(claim)

    def _missed(self, task: Definition, missed: Missed, upcoming: datetime | None, cause: str = "schedule") -> None:
        covers: dict[str, Any] = {"count": missed.count, "first": iso(missed.first), "last": iso(missed.last)}
        self.claims.append(NewRun(task.key, task.revision, "missed", cause, missed.last, missed.last,
                                  next_run_at=upcoming, advance=cause == "schedule", reason={"code": self.why},
                                  covers=covers, finished_at=self.now))
