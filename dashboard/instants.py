"""Instants as people write them, and what the clocks of a zone do. Naive ones are meant in the configured zone."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from marshmallow import ValidationError

from dashboard.i18n import gettext

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
_SHAPE = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:(?:T| +)(\d{1,2}:\d{2}(?::\d{2})?)(?:[.,](\d{1,9}))?)?"
    r"\s*(Z|z|[+-]\d{2}(?::?\d{2})?)?", re.ASCII)
_BASIC = re.compile(r"(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})", re.ASCII)


def parse_local(text: str) -> datetime:
    """The instant as written: naive, or aware if it has an offset; whole milliseconds. Raises ValidationError."""
    match = _SHAPE.fullmatch(_BASIC.sub(r"\1-\2-\3T\4:\5:\6", text.strip(), count=1))
    if match is None or (match[4] and not match[2]) or (match[3] and match[2].count(":") < 2):
        raise ValidationError(gettext(
            "%(text)s is no date and time. Allowed are 2026-12-31 08:00:00, 2026-12-31 08:00, 2026-12-31, and "
            "ISO 8601 such as 2026-12-31T08:00:00+08:00.", text=text[:60]))
    clock = match[2] or "00:00"
    clock = clock.zfill(5) if clock.count(":") == 1 else clock.zfill(8)
    try:
        if clock >= "24":  # newer Pythons read 24:00 as the next day
            raise ValueError(clock)
        found = datetime.fromisoformat(f"{match[1]}T{clock}{(match[4] or '').upper()}")
    except ValueError:
        raise ValidationError(gettext(
            "%(text)s does not exist: the calendar has no such day, or a clock no such time (00:00:00-23:59:59).",
            text=text[:60])) from None
    if not 1970 <= found.year <= 2199:
        raise ValidationError(gettext("The year must be from 1970 to 2199."))
    return found + timedelta(milliseconds=int((match[3] or "0").ljust(3, "0")[:3]))


def parse_instant(text: str, zone: ZoneInfo) -> datetime:
    """Aware UTC. A naive time that a clock change skips counts on as if it had not (02:30 is 03:30); one that it
    repeats is the first of the two. Raises ValidationError."""
    found = parse_local(text)
    return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)


def normal_text(text: str) -> str:
    """The form in which a trigger keeps it: ``2026-12-31 08:00:00``, with milliseconds and offset if given."""
    return _written(parse_local(text))


def shown(text: str, zone: ZoneInfo) -> str:
    """For people: what has an offset of its own as clocks in ``zone`` show it."""
    found = parse_local(text)
    return _written(found.astimezone(zone).replace(tzinfo=None) if found.tzinfo else found)


def reading(instant: datetime, zone: ZoneInfo) -> datetime:
    """What clocks in ``zone`` show, naive."""
    return instant.astimezone(zone).replace(tzinfo=None)


def offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    """How far clocks in ``zone`` are ahead of UTC."""
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def resolve(naive: datetime, zone: ZoneInfo) -> datetime:
    """The instant at which clocks in ``zone`` show ``naive``, aware UTC: the first of two; for a time that they skip,
    the first instant after the gap (facts.md, FixedTimeCron rule 3)."""
    instant = naive.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if reading(instant, zone) == naive:
        return instant
    return next_change(instant - DAY, instant + DAY, zone) or instant


def next_change(start: datetime, end: datetime, zone: ZoneInfo) -> datetime | None:
    """The first instant in (start, end] from which clocks in ``zone`` are ahead of UTC by another amount; a whole
    second, as all changes of the last hundred years are."""
    low, end = start.replace(microsecond=0), end.replace(microsecond=0)
    before = offset(low, zone)
    while low < end:
        high = min(low + WEEK, end)
        if offset(high, zone) != before:
            while high - low > SECOND:
                middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
                low, high = (middle, high) if offset(middle, zone) == before else (low, middle)
            return high
        low = high
    return None


def _written(found: datetime) -> str:
    return found.isoformat(" ", "milliseconds" if found.microsecond else "seconds")
