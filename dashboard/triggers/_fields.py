"""Fields and words that triggers share."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import ValidationError

from dashboard.fields import Text
from dashboard.i18n import gettext
from dashboard.instants import normal_text, parse_instant, shown

LAST = datetime(2200, 1, 1, tzinfo=UTC)
"""No due time lies beyond: arithmetic in any zone stays inside the calendar."""


class InstantText(Text):
    """An instant as a text, in its normal form."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        return normal_text(super()._deserialize(value, attr, data, **kwargs))


def check_bounds(spec: dict[str, Any], zone: ZoneInfo, now: datetime | None) -> None:
    """``start_date`` before ``end_date``, and with ``now`` an end that lies ahead. Raises ValidationError."""
    start, end = bounds(spec, zone)
    if start and end and end < start:
        raise ValidationError({"end_date": [gettext(
            "The end (%(end)s) lies before the start (%(start)s). An end after the start is needed.",
            end=shown(spec["end_date"], zone), start=shown(spec["start_date"], zone))]})
    if now is not None and end and end < now:
        raise ValidationError({"end_date": [past(spec["end_date"], zone, now)]})


def past(text: str, zone: ZoneInfo, now: datetime) -> str:
    """That an instant lies in the past, and what is allowed."""
    return gettext("%(date)s lies in the past (now it is %(now)s, %(zone)s). A date of the future is needed.",
                   date=shown(text, zone), now=clock_text(now, zone), zone=zone.key)


def clock_text(instant: datetime, zone: ZoneInfo) -> str:
    """Date and time as clocks in ``zone`` show them."""
    return instant.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def bounds(spec: dict[str, Any], zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
    """Start and end as aware UTC."""
    start, end = spec.get("start_date"), spec.get("end_date")
    return (parse_instant(start, zone) if start else None), (parse_instant(end, zone) if end else None)


def bounds_text(spec: dict[str, Any], sentence: str, zone: ZoneInfo) -> str:
    """The sentence with start and end added."""
    start, end = (shown(spec[name], zone) if name in spec else None for name in ("start_date", "end_date"))
    if start and end:
        return gettext("%(when)s, from %(start)s until %(end)s", when=sentence, start=start, end=end)
    if start:
        return gettext("%(when)s, from %(start)s", when=sentence, start=start)
    return gettext("%(when)s, until %(end)s", when=sentence, end=end) if end else sentence


def every(unit: str, number: int) -> str:
    """``every minute``, ``every 5 minutes``."""
    one = {"weeks": gettext("every week"), "days": gettext("every day"), "hours": gettext("every hour"),
           "minutes": gettext("every minute"), "seconds": gettext("every second")}
    many = {"weeks": gettext("every %(n)s weeks", n=number), "days": gettext("every %(n)s days", n=number),
            "hours": gettext("every %(n)s hours", n=number), "minutes": gettext("every %(n)s minutes", n=number),
            "seconds": gettext("every %(n)s seconds", n=number)}
    return one[unit] if number == 1 else many[unit]
