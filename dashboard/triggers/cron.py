"""``cron``: at times of the calendar (G3–G5), as fields, ``HH:MM``, a macro or a five-field crontab line."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import ValidationError, fields

from dashboard.fields import Document, Text, say
from dashboard.i18n import gettext
from dashboard.triggers._cron_fields import CRONTAB_DAY, FIELDS, LONGEST, normal, parse, parse_days
from dashboard.triggers._cron_search import Pattern
from dashboard.triggers._cron_times import Change, CronTimes
from dashboard.triggers._cron_words import sentence
from dashboard.triggers._fields import InstantText, bounds, bounds_text, check_bounds, clock_text
from dashboard.triggers.contract import SEARCH_YEARS, TriggerDocument

KEY = "cron"
CRONTAB = ("minute", "hour", "day", "month", "day_of_week")
MACROS = {"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
          "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *"}
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_LOWEST = {"year": "*", "month": "1", "day": "1", "week": "*", "day_of_week": "*", "hour": "0", "minute": "0",
           "second": "0"}
_NUMBERED = re.compile(r"(^|[,-])\d|\*/")
_YEAR = timedelta(days=366)


class CronField(fields.Field[Any]):
    """A field's text, or a whole number; checked by the grammar of that field."""

    def make_error(self, key: str, **kwargs: Any) -> ValidationError:
        return say(key)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str | int:
        return normal(str(attr), value)


class Expression(Text):
    """``HH:MM``, a macro or five fields, in its normal form (``8:05`` becomes ``08:05``)."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        parts = text.lower().split() if len(text) <= LONGEST else []
        line = " ".join(parts)
        if clock := _TIME.fullmatch(line):
            return f"{int(clock[1]):02d}:{clock[2]}"
        if line in MACROS:
            return line
        if line.startswith("@") or ":" in line or len(parts) != len(CRONTAB):
            raise ValidationError(_not_understood(line, len(parts)))
        errors: list[str] = []
        for index, name in enumerate(CRONTAB):
            try:
                (parse_days(parts[index], CRONTAB_DAY) if name == "day" else parse(name, parts[index]))
            except ValidationError as error:
                errors += [f"{name}: {message}" for message in error.messages]
        if errors:
            raise ValidationError(errors)
        return " ".join("*" if part == "?" else part for part in parts)


class Spec(Document):
    """Either fields or ``expression``; both with ``start_date`` and ``end_date``."""

    expression = Expression()
    year = CronField()
    month = CronField()
    day = CronField()
    week = CronField()
    day_of_week = CronField()
    hour = CronField()
    minute = CronField()
    second = CronField()
    start_date = InstantText()
    end_date = InstantText()


def check(spec: TriggerDocument, zone: ZoneInfo, now: datetime | None) -> None:
    given = [name for name in FIELDS if name in spec]
    if "expression" in spec and given:
        raise ValidationError({"expression": [gettext(
            "Give either expression or single fields (%(fields)s), not both.", fields=", ".join(given))]})
    if "expression" not in spec and not given:
        raise ValidationError({"expression": [gettext(
            'Say when: an expression such as "08:00" or "0 8 * * 1-5", or fields such as "hour": 8.')]})
    check_bounds(spec, zone, now)
    if now is not None:
        _check_fires(spec, zone, now)


def _check_fires(spec: TriggerDocument, zone: ZoneInfo, now: datetime) -> None:
    if build(spec, zone, now).after(now) is not None:
        return
    unbounded = {name: value for name, value in spec.items() if name not in ("start_date", "end_date")}
    start, _ = bounds(spec, zone)
    begin = now if start is None else max(now, start - timedelta(microseconds=1))
    due = build(unbounded, zone, now).after(begin)
    if due is not None:
        raise ValidationError({"end_date": [gettext(
            "It is not due before the end. The first due time is %(time)s; the end may not lie before it.",
            time=clock_text(due, zone))]})
    if begin > now and build(unbounded, zone, now).after(now) is not None:
        raise ValidationError({"start_date": [gettext(
            "After the start it is not due any more. A start before the last due time is needed.")]})
    name = _at_fault(unbounded, zone, now)
    if name == "year":
        raise ValidationError({name: [gettext(
            "This never fires: no such day comes in %(years)s. A year from %(now)s to 2099 that has such a day is "
            "needed.", years=spec[name], now=now.astimezone(zone).year)]})
    raise ValidationError({name: [gettext(
        "This never fires: no such day comes in the next %(n)s years. A day that the calendar has is needed.",
        n=SEARCH_YEARS)]})


def _at_fault(spec: TriggerDocument, zone: ZoneInfo, now: datetime) -> str:
    """The field without which it would fire; else the one that most likely is wrong."""
    given = [name for name in ("expression", "year", "day", "week", "month", "day_of_week") if name in spec]
    for name in given:
        others = {other: value for other, value in spec.items() if other != name}
        if any(field in others for field in FIELDS) and build(others, zone, now).after(now) is not None:
            return name
    return given[0]


def build(spec: TriggerDocument, zone: ZoneInfo, anchor: datetime) -> CronTimes:
    start, end = bounds(spec, zone)
    return CronTimes(pattern(spec), zone, start, end)


def pattern(spec: TriggerDocument) -> Pattern:
    """What the fields of a loaded spec mean."""
    texts = field_texts(spec)
    timed = [texts["minute"], texts["hour"]]
    either = False
    if "expression" in spec:
        either = not texts["day"].startswith("*") and not texts["day_of_week"].startswith("*")
    else:
        timed.append(texts["second"])
    return Pattern(
        years=_any("year", texts["year"]), months=parse("month", texts["month"]), days=parse_days(texts["day"]),
        weeks=_any("week", texts["week"]), weekdays=_any("day_of_week", texts["day_of_week"]),
        hours=parse("hour", texts["hour"]), minutes=parse("minute", texts["minute"]),
        seconds=parse("second", texts["second"]), either=either,
        fixed=not any(text.startswith("*") for text in timed))


def field_texts(spec: TriggerDocument) -> dict[str, str]:
    """Every field as text. Those that are not given: ``*`` above the least significant one given, their lowest
    below."""
    if "expression" in spec:
        return {**_LOWEST, **dict(zip(CRONTAB, crontab(spec["expression"]), strict=True))}
    given = [name for name in FIELDS if name in spec]
    least = list(FIELDS).index(given[-1])
    return {name: str(spec[name]) if name in spec else "*" if index < least else _LOWEST[name]
            for index, name in enumerate(FIELDS)}


def crontab(expression: str) -> list[str]:
    """The five fields that a loaded expression stands for."""
    if clock := _TIME.fullmatch(expression):
        return [str(int(clock[2])), str(int(clock[1])), "*", "*", "*"]
    return MACROS.get(expression, expression).split(" ")


def describe(spec: TriggerDocument, zone: ZoneInfo) -> str:
    return bounds_text(spec, sentence(field_texts(spec), pattern(spec)), zone)


def warnings(spec: TriggerDocument, zone: ZoneInfo, times: list[datetime]) -> Iterator[str]:
    made = pattern(spec)
    if made.either:
        yield gettext("Day and weekday are both given: a crontab line runs when either of them fits.")
    elif made.weekdays is not None and not set(range(1, 32)) <= made.days.numbers:
        yield gettext("Day and weekday are both given: it runs only when both of them fit.")
    if spec.get("expression") not in MACROS and _NUMBERED.search(field_texts(spec)["day_of_week"]):
        yield gettext("Weekday numbers count from Sunday: 0 and 7 are Sunday, 1 is Monday, 6 is Saturday.")
    if times and (made.fixed or len(made.hours) < 24):  # what runs at every hour follows real time
        yield from _clock_warnings(build(spec, zone, times[0]), times[0])


def _clock_warnings(timetable: CronTimes, first: datetime) -> Iterator[str]:
    """What the next gap and the next repeated hour do to it, if they do."""
    last = first + _YEAR if timetable.end is None else min(first + _YEAR, timetable.end)
    told: set[bool] = set()
    for change in timetable.changes(first - timedelta(days=1), last):
        gap = change.after > change.before
        touched = change.touched(timetable.pattern)
        if touched is not None and gap not in told:
            told.add(gap)
            yield _clock_warning(timetable, change, touched)


def _clock_warning(timetable: CronTimes, change: Change, touched: datetime) -> str:
    low, high = sorted((change.before, change.after))
    words = {"zone": timetable.zone.key, "date": f"{touched:%Y-%m-%d}", "time": f"{touched:%H:%M}",
             "low": f"{low:%H:%M}", "high": f"{high:%H:%M}"}
    if change.after > change.before:
        if timetable.pattern.fixed:
            return gettext("On %(date)s clocks in %(zone)s skip from %(low)s to %(high)s: what is due at %(time)s "
                           "runs at %(high)s that day.", **words)
        return gettext("On %(date)s clocks in %(zone)s skip from %(low)s to %(high)s: it does not run in between "
                       "that day.", **words)
    if timetable.pattern.fixed:
        return gettext("On %(date)s clocks in %(zone)s show the time from %(low)s to %(high)s twice: what is due at "
                       "%(time)s runs once, the first time.", **words)
    return gettext("On %(date)s clocks in %(zone)s show the time from %(low)s to %(high)s twice: what is due then "
                   "runs both times.", **words)


def _any(name: str, text: str) -> frozenset[int] | None:
    return None if text == "*" else parse(name, text)


def _not_understood(line: str, count: int) -> str:
    if line == "@reboot":
        return gettext("@reboot is not supported: tasks are due at times. Use an interval or idle trigger.")
    if line.startswith("@"):
        return gettext("%(text)s is unknown. Known: %(known)s.", text=line[:60], known=", ".join(MACROS))
    if ":" in line:
        return gettext("%(text)s is no time of day: 00:00 to 23:59 is allowed.", text=line[:60])
    if count == 6:
        return gettext("Six fields are too many: a crontab line has five (minute hour day month weekday). For "
                       'seconds use fields such as "second": "*/10".')
    return gettext('An expression is a time such as "08:00", one of @hourly, @daily, @weekly, @monthly, @yearly, or '
                   'five fields (minute hour day month weekday) such as "0 8 * * 1-5".')
