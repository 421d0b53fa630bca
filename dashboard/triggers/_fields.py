"""Fields that triggers share."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import ValidationError

from dashboard.fields import Text
from dashboard.i18n import gettext
from dashboard.instants import normal_text, parse_instant

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
        raise ValidationError({"end_date": [gettext("The end lies before the start.")]})
    if now is not None and end and end < now:
        raise ValidationError({"end_date": [gettext("The end lies in the past.")]})


def bounds(spec: dict[str, Any], zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
    """Start and end as aware UTC."""
    start, end = spec.get("start_date"), spec.get("end_date")
    return (parse_instant(start, zone) if start else None), (parse_instant(end, zone) if end else None)


def bounds_text(spec: dict[str, Any], sentence: str) -> str:
    """The sentence with start and end added, as they are given."""
    start, end = spec.get("start_date"), spec.get("end_date")
    if start and end:
        return gettext("%(when)s, from %(start)s until %(end)s", when=sentence, start=start, end=end)
    if start:
        return gettext("%(when)s, from %(start)s", when=sentence, start=start)
    return gettext("%(when)s, until %(end)s", when=sentence, end=end) if end else sentence
