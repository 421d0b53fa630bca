"""``idle``: when the machine has been idle for ``idle_duration`` seconds (G6). It has no due times; the engine's idle
monitor watches for it."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from dashboard.fields import Document, Integer, between
from dashboard.i18n import ngettext
from dashboard.triggers.contract import Timetable, TriggerDocument

KEY = "idle"
LONGEST = 30 * 86_400


class Spec(Document):
    """``idle_duration``: whole seconds, 60 if not given."""

    idle_duration = Integer(load_default=60, validate=between(1, LONGEST))


def check(spec: TriggerDocument, zone: ZoneInfo, now: datetime | None) -> None:
    """Nothing beyond the fields."""


def build(spec: TriggerDocument, zone: ZoneInfo, anchor: datetime) -> Timetable | None:
    return None


def describe(spec: TriggerDocument, zone: ZoneInfo) -> str:
    seconds = spec["idle_duration"]
    if seconds % 3600 == 0:
        return ngettext("when the machine has been idle for %(n)s hour",
                        "when the machine has been idle for %(n)s hours", seconds // 3600)
    if seconds % 60 == 0:
        return ngettext("when the machine has been idle for %(n)s minute",
                        "when the machine has been idle for %(n)s minutes", seconds // 60)
    return ngettext("when the machine has been idle for %(n)s second",
                    "when the machine has been idle for %(n)s seconds", seconds)


def warnings(spec: TriggerDocument, zone: ZoneInfo, times: list[datetime]) -> Iterator[str]:
    return iter(())
