"""``interval``: again and again, on a grid that nothing shifts: start + k · interval (G2)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from marshmallow import ValidationError

from dashboard.fields import Document, Integer, between
from dashboard.i18n import gettext, ngettext
from dashboard.triggers._fields import LAST, InstantText, bounds, bounds_text, check_bounds
from dashboard.triggers.contract import Missed, TriggerDocument

KEY = "interval"
UNITS = ("weeks", "days", "hours", "minutes", "seconds")
LONGEST = timedelta(days=36_525)


class Spec(Document):
    """Whole numbers of each unit, added up; ``start_date`` is a due time itself, ``end_date`` may be one."""

    weeks = Integer(validate=between(0, 10_000))
    days = Integer(validate=between(0, 100_000))
    hours = Integer(validate=between(0, 1_000_000))
    minutes = Integer(validate=between(0, 100_000_000))
    seconds = Integer(validate=between(0, 4_000_000_000))
    start_date = InstantText()
    end_date = InstantText()


@dataclass(frozen=True)
class Grid:
    """Due at ``origin + k · step`` for k ≥ ``first``, up to ``end``; aware UTC."""

    origin: datetime
    step: timedelta
    first: int
    end: datetime | None

    def after(self, instant: datetime) -> datetime | None:
        k = max(self.first, (instant - self.origin) // self.step + 1)
        if k > (LAST - self.origin) // self.step:
            return None
        upcoming = self.origin + k * self.step
        return None if self.end is not None and upcoming > self.end else upcoming

    def passed(self, start: datetime, until: datetime, cap: int = 100_000) -> Missed | None:
        if self.end is not None:
            until = min(until, self.end)
        first = max(self.first, -((self.origin - start) // self.step))
        last = (until - self.origin) // self.step
        if last < first:
            return None
        return Missed(last - first + 1, self.origin + first * self.step, self.origin + last * self.step)


def interval(spec: TriggerDocument) -> timedelta:
    """The sum of all units."""
    return timedelta(**{unit: spec.get(unit, 0) for unit in UNITS})


def check(spec: TriggerDocument, zone: ZoneInfo, now: datetime | None) -> None:
    step = interval(spec)
    if not step:
        raise ValidationError({"seconds": [gettext(
            "The interval is 0. At least one of weeks, days, hours, minutes and seconds is above 0.")]})
    if step > LONGEST:
        raise ValidationError({"days": [gettext("The interval is longer than 100 years.")]})
    check_bounds(spec, zone, now)
    if now is not None and build(spec, zone, now).after(now) is None:
        raise ValidationError({"end_date": [gettext("No due time lies before the end.")]})


def build(spec: TriggerDocument, zone: ZoneInfo, anchor: datetime) -> Grid:
    start, end = bounds(spec, zone)
    return Grid(start or anchor, interval(spec), 0 if start else 1, end)


def describe(spec: TriggerDocument, zone: ZoneInfo) -> str:
    parts = [_amount(unit, spec[unit]) for unit in UNITS if spec.get(unit)]
    return bounds_text(spec, gettext("every %(interval)s", interval=" ".join(parts)))


def warnings(spec: TriggerDocument, zone: ZoneInfo, times: list[datetime]) -> Iterator[str]:
    offsets = {time.astimezone(zone).utcoffset() for time in times}
    if len(offsets) > 1 and interval(spec) >= timedelta(days=1):
        yield gettext("Clocks in %(zone)s change in between: an interval counts real time, so the time of day moves. "
                      "A cron trigger keeps it.", zone=zone.key)


def _amount(unit: str, number: int) -> str:
    if unit == "weeks":
        return ngettext("%(n)s week", "%(n)s weeks", number)
    if unit == "days":
        return ngettext("%(n)s day", "%(n)s days", number)
    if unit == "hours":
        return ngettext("%(n)s hour", "%(n)s hours", number)
    if unit == "minutes":
        return ngettext("%(n)s minute", "%(n)s minutes", number)
    return ngettext("%(n)s second", "%(n)s seconds", number)
