"""``cron``: at times of the calendar (G3–G5), as fields, ``HH:MM``, a macro or a five-field crontab line."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import ValidationError, fields

from dashboard.fields import Document, Text
from dashboard.i18n import gettext
from dashboard.triggers._cron_fields import FIELDS, parse, parse_days
from dashboard.triggers._cron_search import Pattern
from dashboard.triggers._cron_times import CronTimes
from dashboard.triggers._cron_words import sentence
from dashboard.triggers._fields import InstantText, bounds, bounds_text, check_bounds
from dashboard.triggers.contract import TriggerDocument

KEY = "cron"
CRONTAB = ("minute", "hour", "day", "month", "day_of_week")
MACROS = {"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
          "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *"}
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_LOWEST = {"year": "*", "month": "1", "day": "1", "week": "*", "day_of_week": "*", "hour": "0", "minute": "0",
           "second": "0"}


class CronField(fields.Field[Any]):
    """A field's text, or a whole number; checked by the grammar of that field."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str | int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValidationError(gettext("A text such as */5 or a whole number is expected."))
        text = str(value).strip()
        (parse_days(text) if attr == "day" else parse(str(attr), text))
        return value if isinstance(value, int) else text


class Expression(Text):
    """``HH:MM``, a macro or five fields, in its normal form (``8:05`` becomes ``08:05``)."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = " ".join(super()._deserialize(value, attr, data, **kwargs).split())
        if clock := _TIME.fullmatch(text):
            return f"{int(clock[1]):02d}:{clock[2]}"
        if text.lower() in MACROS:
            return text.lower()
        parts = text.split(" ")
        if text.startswith("@") or ":" in text or len(parts) != len(CRONTAB):
            raise ValidationError(_not_understood(text, len(parts)))
        for name, part in zip(CRONTAB, parts, strict=True):
            try:
                parse(name, part)
            except ValidationError as error:
                raise ValidationError([f"{name}: {message}" for message in error.messages]) from error
        return text.lower()


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
    if len(unbounded) < len(spec) and build(unbounded, zone, now).after(now) is not None:
        raise ValidationError({"end_date": [gettext("No due time lies between now (or the start) and the end.")]})
    field = next((name for name in ("expression", "year", "day", "week", "month") if name in spec), "expression")
    raise ValidationError({field: [gettext("This never fires: no such day comes (again).")]})


def build(spec: TriggerDocument, zone: ZoneInfo, anchor: datetime) -> CronTimes:
    start, end = bounds(spec, zone)
    return CronTimes(pattern(spec), zone, start, end)


def pattern(spec: TriggerDocument) -> Pattern:
    """What the fields of a loaded spec mean."""
    texts = field_texts(spec)
    if "expression" in spec:
        timed = [texts["minute"], texts["hour"]]
        either = not texts["day"].startswith(("*", "?")) and not texts["day_of_week"].startswith(("*", "?"))
    else:
        timed, either = [texts["hour"], texts["minute"], texts["second"]], False
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
    return bounds_text(spec, sentence(field_texts(spec), pattern(spec)))


def warnings(spec: TriggerDocument, zone: ZoneInfo, times: list[datetime]) -> Iterator[str]:
    made = pattern(spec)
    texts = field_texts(spec)
    if made.either:
        yield gettext("Day and weekday are both given: in a crontab line it runs when either fits.")
    if re.search(r"\d", texts["day_of_week"]):
        yield gettext("Weekday numbers count from Sunday: 0 and 7 are Sunday, 1 is Monday.")
    for time in times:
        local = time.astimezone(zone)
        if made.fixed and not _as_written(made, local):
            yield gettext("On %(date)s clocks in %(zone)s skip the time: it runs at %(time)s.", zone=zone.key,
                          date=local.strftime("%Y-%m-%d"), time=local.strftime("%H:%M:%S"))
        elif made.fixed and local.utcoffset() != local.replace(fold=1).utcoffset():
            yield gettext("On %(date)s clocks in %(zone)s show the time twice: it runs once, at the first.",
                          zone=zone.key, date=local.strftime("%Y-%m-%d"))


def _as_written(made: Pattern, local: datetime) -> bool:
    return local.hour in made.hours and local.minute in made.minutes and local.second in made.seconds


def _any(name: str, text: str) -> frozenset[int] | None:
    return None if text in ("*", "?") else parse(name, text)


def _not_understood(text: str, count: int) -> str:
    if text == "@reboot":
        return gettext("@reboot is not supported: tasks are due at times. Use an interval or idle trigger.")
    if text.startswith("@"):
        return gettext("%(text)s is unknown. Known: %(known)s.", text=text[:60], known=", ".join(MACROS))
    if ":" in text:
        return gettext("%(text)s is no time of day: 00:00 to 23:59 is allowed.", text=text[:60])
    if count == 6:
        return gettext("Six fields are too many: a crontab line has five (minute hour day month weekday). For "
                       'seconds use fields such as "second": "*/10".')
    return gettext('An expression is a time such as "08:00", or five fields: minute hour day month weekday, such as '
                   '"0 8 * * 1-5". Here are %(n)s.', n=count)
