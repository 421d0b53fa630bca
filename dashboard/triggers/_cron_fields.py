"""The grammar of one cron field, into sets of whole numbers (facts.md: weekdays and the cron grammar)."""

import calendar
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from marshmallow import ValidationError

from dashboard.i18n import gettext

MONTHS = {name: number for number, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1)}
WEEKDAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
ORDINALS = {"1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "last": -1}
_PART = re.compile(r"(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]{1,4}))?", re.ASCII)
_POSITION = re.compile(r"(1st|2nd|3rd|4th|5th|last)\s+([a-z]+)", re.ASCII)


@dataclass(frozen=True)
class Field:
    """What a field may hold. ``names`` stand for numbers; ``wraps``: a range may run over the end (weekdays)."""

    name: str
    low: int
    high: int
    names: Mapping[str, int]
    wraps: bool = False

    def allowed(self) -> str:
        """What is allowed, for messages."""
        if self.name == "day_of_week":
            return gettext("0-6 (0 and 7 are Sunday), sun-sat, with * , - /")
        if self.name == "month":
            return gettext("1-12, jan-dec, with * , - /")
        if self.name == "day":
            return gettext("1-31, last, 2nd mon, last fri, with * , - /")
        return gettext("%(low)s-%(high)s, with * , - /", low=self.low, high=self.high)


FIELDS = {field.name: field for field in (
    Field("year", 1970, 2099, {}), Field("month", 1, 12, MONTHS), Field("day", 1, 31, {}),
    Field("week", 1, 53, {}), Field("day_of_week", 0, 7, WEEKDAYS, wraps=True), Field("hour", 0, 23, {}),
    Field("minute", 0, 59, {}), Field("second", 0, 59, {}))}


@dataclass(frozen=True)
class Days:
    """Days of a month: numbers, and positions as (which, weekday with 0 Sunday; None: any day)."""

    numbers: frozenset[int]
    positions: tuple[tuple[int, int | None], ...]

    def of(self, year: int, month: int) -> set[int]:
        """The days meant in this month."""
        first, length = calendar.monthrange(year, month)
        found = {day for day in self.numbers if day <= length}
        for which, weekday in self.positions:
            if weekday is None:
                found.add(length)
                continue
            start = 1 + (weekday - (first + 1)) % 7
            days = range(start, length + 1, 7)
            if which == -1 or which <= len(days):
                found.add(days[which] if which == -1 else days[which - 1])
        return found


def parse(name: str, text: str) -> frozenset[int]:
    """The numbers that a field means; weekdays with 0 as Sunday. Raises ValidationError."""
    field = FIELDS[name]
    found: set[int] = set()
    for part in _parts(field, text):
        found.update(_part(field, part))
    return frozenset(found)


def parse_days(text: str) -> Days:
    """``day`` of the fields form, which knows positions too. Raises ValidationError."""
    field = FIELDS["day"]
    numbers: set[int] = set()
    positions: list[tuple[int, int | None]] = []
    for part in _parts(field, text):
        position = _POSITION.fullmatch(part)
        if part == "last":
            positions.append((-1, None))
        elif position and position[2] in WEEKDAYS:
            positions.append((ORDINALS[position[1]], WEEKDAYS[position[2]]))
        else:
            numbers.update(_part(field, part))
    return Days(frozenset(numbers), tuple(positions))


def _parts(field: Field, text: str) -> Sequence[str]:
    parts = [part.strip() for part in text.strip().lower().split(",")]
    if parts == ["?"] and field.name in ("day", "day_of_week"):
        return ["*"]
    return parts


def _part(field: Field, part: str) -> Sequence[int]:
    match = _PART.fullmatch(part)
    if match is None:
        raise _refused(field, part)
    start, end, step = match[1], match[2], match[3]
    if step is not None and int(step) == 0:
        raise ValidationError(gettext("%(part)s: a step of 0 goes nowhere.", part=part))
    stride = int(step or 1)
    if start == "*":
        if end is not None:
            raise _refused(field, part)
        return range(field.low, 7 if field.wraps else field.high + 1)[::stride]
    low = _number(field, start, part)
    if end is None:
        if step is not None:
            raise ValidationError(gettext(
                "%(part)s: a step needs a range, such as %(low)s-%(high)s/%(step)s or */%(step)s.%(hint)s", part=part,
                low=field.low, high=field.high, step=step, hint=_position_hint(field)))
        return [low % 7 if field.wraps else low]
    return _range(field, low, _number(field, end, part), part)[::stride]


def _range(field: Field, low: int, high: int, part: str) -> Sequence[int]:
    if not field.wraps:
        if low > high:
            raise ValidationError(gettext(
                "%(part)s: the range runs backwards; write %(high)s-%(low)s, or two ranges.", part=part, low=low,
                high=high))
        return range(low, high + 1)
    if low == 7 and high < 7:
        low = 0
    days = range(low, high + 1) if low <= high else [*range(low, 7), *range(high + 1)]
    return [day % 7 for day in days]


def _number(field: Field, text: str, part: str) -> int:
    if text in field.names:
        return field.names[text]
    if not text.isdigit() or len(text) > 4 or not field.low <= int(text) <= field.high:
        raise _refused(field, part)
    return int(text)


def _refused(field: Field, part: str) -> ValidationError:
    return ValidationError(gettext("%(part)s is not allowed here. Allowed: %(allowed)s.%(hint)s", part=part or "''",
                                   allowed=field.allowed(), hint=_position_hint(field)))


def _position_hint(field: Field) -> str:
    if field.name != "day_of_week":
        return ""
    return " " + gettext('For the second Monday of a month write "day": "2nd mon".')
