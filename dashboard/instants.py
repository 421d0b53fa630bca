"""Instants as people write them. Naive ones are meant in the configured zone."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from marshmallow import ValidationError

from dashboard.i18n import gettext

_SHAPE = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ]+(\d{1,2}:\d{2}(?::\d{2})?)(?:[.,](\d{1,9}))?)?"
    r"\s*(Z|z|[+-]\d{2}(?::?\d{2})?)?", re.ASCII)


def parse_local(text: str) -> datetime:
    """The instant as written: naive, or aware if it has an offset; whole milliseconds. Raises ValidationError."""
    match = _SHAPE.fullmatch(text.strip())
    if match is None or (match[4] and not match[2]):
        raise ValidationError(gettext(
            "%(text)s is no date and time. Allowed are 2026-12-31 08:00:00, 2026-12-31 08:00, 2026-12-31, and "
            "ISO 8601 such as 2026-12-31T08:00:00+08:00.", text=text[:60]))
    clock = match[2] or "00:00"
    clock = clock.zfill(5) if clock.count(":") == 1 else clock.zfill(8)
    try:
        found = datetime.fromisoformat(f"{match[1]}T{clock}{_offset(match[4])}")
    except ValueError:
        raise ValidationError(gettext("%(text)s does not exist in the calendar or on the clock.",
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
    found = parse_local(text)
    return found.isoformat(" ", "milliseconds" if found.microsecond else "seconds")


def resolve(naive: datetime, zone: ZoneInfo) -> datetime:
    """The instant at which clocks in ``zone`` show ``naive``, aware UTC: the first of two; for a time that they skip,
    the first instant after the gap (facts.md, FixedTimeCron rule 3)."""
    instant = naive.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == naive:
        return instant
    return _after_gap(instant, zone)


def _after_gap(instant: datetime, zone: ZoneInfo) -> datetime:
    """The change of offset within a day of ``instant``, to the second."""
    low, high = instant - timedelta(days=1), instant + timedelta(days=1)
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def _offset(text: str | None) -> str:
    if not text:
        return ""
    if text in "Zz":
        return "+00:00"
    return text if len(text) != 5 else f"{text[:3]}:{text[3:]}"
