"""When: one module a kind of trigger, found by walking this package."""

import importlib
import pkgutil
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, cast
from zoneinfo import ZoneInfo

from marshmallow import ValidationError

from dashboard.errors import flatten
from dashboard.i18n import gettext
from dashboard.triggers.contract import Kind, Preview, Timetable, TriggerDocument


@cache
def installed() -> dict[str, Kind]:
    """Every kind by its ``KEY``, in alphabetical order."""
    found: dict[str, Kind] = {}
    for info in pkgutil.iter_modules(__path__):
        if not info.name.startswith("_"):
            module = importlib.import_module(f"{__name__}.{info.name}")
            if hasattr(module, "KEY"):
                found[module.KEY] = cast(Kind, module)
    return dict(sorted(found.items()))


def load(document: object, *, zone: ZoneInfo, now: datetime | None) -> TriggerDocument:
    """A trigger, checked and in its normal form; what this returns loads to itself again.

    ``now`` None: instants in the past, and a trigger that has no due time left, are taken (an unchanged trigger, a
    restore, an import). Raises ValidationError with every error by field.
    """
    if not isinstance(document, Mapping):
        raise ValidationError(gettext('A trigger is an object such as {"type": "cron", "expression": "08:00"}.'))
    known = ", ".join(installed())
    kind = document.get("type")
    if not isinstance(kind, str) or kind not in installed():
        raise ValidationError({"type": [gettext("The type of a trigger is one of %(known)s.", known=known)]})
    module = installed()[kind]
    spec: TriggerDocument = module.Spec().load({name: value for name, value in document.items() if name != "type"})
    spec = {"type": kind, **spec}
    module.check(spec, zone, now)
    return spec


def build(spec: TriggerDocument, zone: ZoneInfo, anchor: datetime) -> Timetable | None:
    """When a loaded trigger is due; None for one that has no due times. ``anchor``: where an interval without a
    start counts from."""
    return installed()[spec["type"]].build(spec, zone, anchor)


def describe(spec: TriggerDocument, zone: ZoneInfo) -> str:
    """A sentence in the language in force; the exact fields of a kind that is not here (a newer version's)."""
    kind = installed().get(spec.get("type", ""))
    return fields_text(spec) if kind is None else kind.describe(spec, zone)


def fields_text(spec: TriggerDocument) -> str:
    """The exact fields, the same in every language: ``interval hours=1``."""
    return " ".join([str(spec.get("type")), *(_pair(name, value) for name, value in spec.items() if name != "type")])


def first_due(spec: TriggerDocument, zone: ZoneInfo, anchor: datetime, now: datetime) -> datetime | None:
    """The first due time after ``now``; None if there is none (any more)."""
    timetable = build(spec, zone, anchor)
    return timetable.after(now) if timetable else None


def preview(spec: TriggerDocument, zone: ZoneInfo, anchor: datetime, now: datetime, count: int) -> Preview:
    """The next ``count`` due times in ``zone``, by the very timetable that fires."""
    timetable = build(spec, zone, anchor)
    times: list[datetime] = []
    upcoming = timetable.after(now) if timetable else None
    while timetable and upcoming is not None and len(times) < count:
        times.append(upcoming)
        upcoming = timetable.after(upcoming)
    module = installed()[spec["type"]]
    warnings = [gettext("No due time lies ahead: it will not run."), *_why_not(module, spec, zone, now)] if (
        timetable and not times) else []
    warnings += module.warnings(spec, zone, times)
    return Preview(describe(spec, zone), [time.astimezone(zone) for time in times], warnings)


def _why_not(module: Kind, spec: TriggerDocument, zone: ZoneInfo, now: datetime) -> list[str]:
    """What a door would say if it were a new one."""
    try:
        module.check(spec, zone, now)
    except ValidationError as error:
        return [text for texts in flatten(error.messages).values() for text in texts]
    return []


def _pair(name: str, value: Any) -> str:
    text = str(value)
    return f'{name}="{text}"' if " " in text else f"{name}={text}"
