"""``interval``: again and again, on a grid that nothing shifts: start + k · interval (G2)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from marshmallow import ValidationError

from dashboard.fields import Document, Integer, between
from dashboard.i18n import gettext, ngettext
from dashboard.instants import DAY, next_change
from dashboard.triggers._fields import LAST, InstantText, bounds, bounds_text, check_bounds, clock_text, every
from dashboard.triggers.contract import Missed, TriggerDocument

KEY = "interval"
UNITS = ("weeks", "days", "hours", "minutes", "seconds")
LONGEST = timedelta(days=36_525)
YEAR = timedelta(days=366)


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

    def passed(self, start: datetime, until: datetime) -> Missed | None:
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
        largest = max(UNITS, key=lambda unit: timedelta(**{unit: spec.get(unit, 0)}))
        raise ValidationError({largest: [gettext(
            "The interval is longer than 100 years. At most 36525 days together are allowed.")]})
    check_bounds(spec, zone, now)
    if now is not None and build(spec, zone, now).after(now) is None:
        start, _ = bounds(spec, zone)
        due = Grid(start or now, step, 0 if start else 1, None).after(now)
        if due is None or "end_date" not in spec:
            raise ValidationError({"start_date": [gettext("No due time lies beyond the year 2199.")]})
        raise ValidationError({"end_date": [gettext(
            "It is not due before the end. The first due time is %(time)s; the end may not lie before it.",
            time=clock_text(due, zone))]})


def build(spec: TriggerDocument, zone: ZoneInfo, anchor: datetime) -> Grid:
    start, end = bounds(spec, zone)
    return Grid(start or anchor, interval(spec), 0 if start else 1, end)


def describe(spec: TriggerDocument, zone: ZoneInfo) -> str:
    given = [unit for unit in UNITS if spec.get(unit)]
    if len(given) == 1:
        sentence = every(given[0], spec[given[0]])
    else:
        sentence = gettext("every %(interval)s", interval=" ".join(_amount(unit, spec[unit]) for unit in given))
    return bounds_text(spec, sentence, zone)


def warnings(spec: TriggerDocument, zone: ZoneInfo, times: list[datetime]) -> Iterator[str]:
    if not times or interval(spec) < DAY:
        return
    _, end = bounds(spec, zone)
    change = next_change(times[0], min(times[0] + YEAR, end or LAST), zone)
    if change is not None:
        yield gettext("On %(date)s clocks in %(zone)s change: an interval counts real time, so from then on it is "
                      "due at another time of day. A cron trigger keeps the time of day.", zone=zone.key,
                      date=change.astimezone(zone).strftime("%Y-%m-%d"))


def _amount(unit: str, number: int) -> str:
    return {"weeks": ngettext("%(n)s week", "%(n)s weeks", number),
            "days": ngettext("%(n)s day", "%(n)s days", number),
            "hours": ngettext("%(n)s hour", "%(n)s hours", number),
            "minutes": ngettext("%(n)s minute", "%(n)s minutes", number),
            "seconds": ngettext("%(n)s second", "%(n)s seconds", number)}[unit]
