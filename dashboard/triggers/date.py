"""``date``: once, at ``run_date`` (G1)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from marshmallow import ValidationError

from dashboard.fields import Document
from dashboard.i18n import gettext
from dashboard.instants import parse_instant, parse_local
from dashboard.triggers._fields import InstantText
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

    def passed(self, start: datetime, until: datetime, cap: int = 100_000) -> Missed | None:
        return Missed(1, self.at, self.at) if start <= self.at <= until else None


def check(spec: TriggerDocument, zone: ZoneInfo, now: datetime | None) -> None:
    if now is not None and parse_instant(spec["run_date"], zone) <= now:
        raise ValidationError({"run_date": [gettext(
            "%(date)s lies in the past (now it is %(now)s, %(zone)s). A date of the future is needed.",
            date=spec["run_date"], now=now.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"), zone=zone.key)]})


def build(spec: TriggerDocument, zone: ZoneInfo, anchor: datetime) -> Once:
    return Once(parse_instant(spec["run_date"], zone))


def describe(spec: TriggerDocument, zone: ZoneInfo) -> str:
    return gettext("once, at %(date)s", date=spec["run_date"])


def warnings(spec: TriggerDocument, zone: ZoneInfo, times: list[datetime]) -> Iterator[str]:
    local = parse_local(spec["run_date"])
    if local.tzinfo is None:
        shown = parse_instant(spec["run_date"], zone).astimezone(zone)
        if shown.replace(tzinfo=None) != local:
            yield gettext("Clocks in %(zone)s skip that time; it runs at %(time)s.", zone=zone.key,
                          time=shown.strftime("%Y-%m-%d %H:%M:%S"))
        elif shown.utcoffset() != shown.replace(fold=1).utcoffset():
            yield gettext("Clocks in %(zone)s show that time twice; it runs at the first.", zone=zone.key)
