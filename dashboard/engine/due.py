"""What becomes of the due times of one task that have come: pure arithmetic over its timetable."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dashboard.engine.definition import Definition
from dashboard.triggers.contract import Missed


@dataclass(frozen=True, slots=True)
class Plan:
    """``run_at``: the due time to run now, of cause ``cause``; None if none is. ``missed``: those that get one row
    between them. ``next_run_at``: the first due time after all of these. Instants are aware UTC."""

    run_at: datetime | None
    cause: str
    missed: Missed | None
    next_run_at: datetime | None


def plan(task: Definition, now: datetime, grace: timedelta) -> Plan | None:
    """The latest due time runs if it is at most ``grace`` old, else as the task's ``missed`` option says; the ones
    before it are missed. None if nothing is due."""
    timetable, start = task.timetable, task.next_run_at
    if timetable is None or start is None or start > now or task.paused:
        return None
    passed, upcoming = timetable.passed(start, now), timetable.after(now)
    if passed is None:  # another time zone: the known due time has passed all the same, and is told
        known = plan_known(task, now, grace)
        return None if known is None else replace(known, next_run_at=upcoming)
    in_time = now - passed.last <= grace
    if not in_time and task.options["missed"] == "skip":
        return Plan(None, "schedule", passed, upcoming)
    return Plan(passed.last, "schedule" if in_time else "catchup", _before_last(task, passed), upcoming)


def plan_known(task: Definition, now: datetime, grace: timedelta) -> Plan | None:
    """The same without the timetable, when that fails: of the one due time that is known; none follows."""
    at = task.next_run_at
    if at is None or at > now or task.paused:
        return None
    in_time = now - at <= grace
    if not in_time and task.options["missed"] == "skip":
        return Plan(None, "schedule", Missed(1, at, at), None)
    return Plan(at, "schedule" if in_time else "catchup", None, None)


def _before_last(task: Definition, passed: Missed) -> Missed | None:
    if passed.count < 2 or task.timetable is None:
        return None
    earlier = task.timetable.passed(passed.first, passed.last - timedelta(microseconds=1))
    if earlier is None:
        return None
    return Missed(passed.count - 1, earlier.first, earlier.last)
