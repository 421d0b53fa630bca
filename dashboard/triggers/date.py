"""``date``: once, at ``run_date`` (G1)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from marshmallow import ValidationError

from dashboard.fields import Document
from dashboard.i18n import gettext
from dashboard.instants import parse_instant, parse_local, reading, shown
from dashboard.triggers._fields import InstantText, clock_text, past
from dashboard.triggers.contract import Missed, TriggerDocument

KEY = "date"


class Spec(Document):
    """``run_date``: ISO 8601, ``YYYY-MM-DD HH:MM:SS`` or a date; naive ones in the configured zone."""

    run_date = InstantText(required=True)


@dataclass(frozen=True)
class Once:
    """A timetable of one due time, aware UTC."""

    at: datetime

    def after(self, instant: datetime) -> datetime | None:
        return self.at if self.at > instant else None

    def passed(self, start: datetime, until: datetime) -> Missed | None:
        return Missed(1, self.at, self.at) if start <= self.at <= until else None


def check(spec: TriggerDocument, zone: ZoneInfo, now: datetime | None) -> None:
    if now is not None and parse_instant(spec["run_date"], zone) <= now:
        raise ValidationError({"run_date": [past(spec["run_date"], zone, now)]})


def build(spec: TriggerDocument, zone: ZoneInfo, anchor: datetime) -> Once:
    return Once(parse_instant(spec["run_date"], zone))


def describe(spec: TriggerDocument, zone: ZoneInfo) -> str:
    return gettext("once, at %(date)s", date=shown(spec["run_date"], zone))


def warnings(spec: TriggerDocument, zone: ZoneInfo, times: list[datetime]) -> Iterator[str]:
    if not times:
        return
    written, at = parse_local(spec["run_date"]), parse_instant(spec["run_date"], zone)
    if written.tzinfo is None and reading(at, zone) != written:
        yield gettext("Clocks in %(zone)s skip that time; it runs at %(time)s.", zone=zone.key,
                      time=clock_text(at, zone))
    elif written.tzinfo is None and written.replace(tzinfo=zone, fold=1).astimezone(UTC) != at:
        yield gettext("Clocks in %(zone)s show that time twice; it runs the first time.", zone=zone.key)
