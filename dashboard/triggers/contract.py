"""What a kind of trigger is. A module of this package with a ``KEY`` is one; nothing lists them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from marshmallow import Schema

TriggerDocument = dict[str, Any]
"""A trigger as it is stored and shown: ``{"type": "cron", "expression": "08:00"}``, plain JSON."""

SEARCH_YEARS = 40
"""How far a due time is looked for: 29 February on a given weekday comes once in 28 years, across 2100 once in 40."""


@dataclass(frozen=True)
class Missed:
    """Due times that passed: how many, the first and the last (aware UTC)."""

    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Preview:
    """The next due times (aware, in the zone shown), the sentence, and warnings for people."""

    text: str
    times: list[datetime]
    warnings: list[str]


class Timetable(Protocol):
    """When a task is due. Pure: no clock, no state, safe from any thread. All instants are aware UTC."""

    def after(self, instant: datetime) -> datetime | None:
        """The first due time strictly after ``instant``; None when there is none any more."""

    def passed(self, start: datetime, until: datetime) -> Missed | None:
        """The due times in [start, until], counted by arithmetic. None if there is none."""


class Kind(Protocol):
    """A module of this package."""

    KEY: str
    Spec: type[Schema]

    def check(self, spec: TriggerDocument, zone: ZoneInfo, now: datetime | None) -> None:
        """What fields alone cannot tell (order of start and end, never fires); what lies in the past only with
        ``now``. Raises ValidationError by field."""

    def build(self, spec: TriggerDocument, zone: ZoneInfo, anchor: datetime) -> Timetable | None:
        """The timetable of a loaded spec; None for a kind that has no due times (idle)."""

    def describe(self, spec: TriggerDocument, zone: ZoneInfo) -> str:
        """A sentence in the language in force."""

    def warnings(self, spec: TriggerDocument, zone: ZoneInfo, times: list[datetime]) -> Iterator[str]:
        """What a person should know about these due times (a gap hour, a weekday's number …)."""


class TimetableTrigger(BaseTrigger):  # type: ignore[misc]
    """A timetable as APScheduler wants it. A time that lies further back than ``SLACK`` is jumped over in one
    step, so that a long sleep of the machine costs no enumeration: APScheduler then sees the old due time
    and the latest one, never the thousands between.
    """

    SLACK = timedelta(seconds=1)

    def __init__(self, timetable: Timetable) -> None:
        self.timetable = timetable

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """Strictly after ``previous``, or after ``now`` if there is none."""
        upcoming = self.timetable.after(now if previous is None else previous)
        if previous is None or upcoming is None or upcoming >= now - self.SLACK:
            return upcoming
        passed = self.timetable.passed(upcoming, now)
        return passed.last if passed else upcoming
