"""The grammar of one cron field, into sets of whole numbers (facts.md: weekdays and the cron grammar)."""

import calendar
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from marshmallow import ValidationError

from dashboard.fields import clean_text
from dashboard.i18n import gettext

MONTHS = {name: number for number, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1)}
WEEKDAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
ORDINALS = {"1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "last": -1}
LONGEST = 1_000
_PART = re.compile(r"(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]{1,4}))?")
_POSITION = re.compile(r"(1st|2nd|3rd|4th|5th|last) ([a-z]+)")
_SHOWN = 60


@dataclass(frozen=True)
class Field:
    """What a field may hold. ``names`` stand for numbers; ``wraps``: a range may run over the end (weekdays);
    ``positions``: ``2nd mon`` may stand there."""

    name: str
    low: int
    high: int
    names: Mapping[str, int]
    wraps: bool = False
    positions: bool = False

    def allowed(self) -> str:
        """What is allowed, for messages."""
        if self.name == "day_of_week":
            return gettext("0-6 (0 and 7 are Sunday), sun-sat, with * , - /")
        if self.name == "month":
            return gettext("1-12, jan-dec, with * , - /")
        if self.positions:
            return gettext("1-31, last, 2nd mon, last fri, with * , - /")
        if self.name == "day":
            return gettext("1-31, last, with * , - /")
        return gettext("%(low)s-%(high)s, with * , - /", low=self.low, high=self.high)


FIELDS = {field.name: field for field in (
    Field("year", 1970, 2099, {}), Field("month", 1, 12, MONTHS), Field("day", 1, 31, {}, positions=True),
    Field("week", 1, 53, {}), Field("day_of_week", 0, 7, WEEKDAYS, wraps=True), Field("hour", 0, 23, {}),
    Field("minute", 0, 59, {}), Field("second", 0, 59, {}))}
CRONTAB_DAY = replace(FIELDS["day"], positions=False)
"""A position holds a space, so a line of five fields cannot carry one."""


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


def normal(name: str, value: object) -> str | int:
    """A field's value, checked, in its normal form: a whole number as one, else a text in small letters. Raises
    ValidationError."""
    field = FIELDS[name]
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValidationError(gettext("A text such as */5 or a whole number is expected."))
    if len(clean_text(value)) > LONGEST if isinstance(value, str) else abs(value) >= 10**9:
        raise ValidationError(gettext("This is too long. Allowed: %(allowed)s.", allowed=field.allowed()))
    text = ",".join(_parts(field, str(value)))
    (parse_days(text) if name == "day" else parse(name, text))
    return int(text) if text.isdigit() else text


def parse(name: str, text: str) -> frozenset[int]:
    """The numbers that a field means; weekdays with 0 as Sunday. Raises ValidationError."""
    field = FIELDS[name]
    found: set[int] = set()
    for part in _parts(field, text):
        found.update(_part(field, part))
    return frozenset(found)


def parse_days(text: str, field: Field = FIELDS["day"]) -> Days:
    """The days of a month, which know ``last`` and positions too. Raises ValidationError."""
    numbers: set[int] = set()
    positions: list[tuple[int, int | None]] = []
    for part in _parts(field, text):
        position = _POSITION.fullmatch(part) if field.positions else None
        if part == "last":
            positions.append((-1, None))
        elif position and position[2] in WEEKDAYS:
            positions.append((ORDINALS[position[1]], WEEKDAYS[position[2]]))
        else:
            numbers.update(_part(field, part))
    return Days(frozenset(numbers), tuple(dict.fromkeys(positions)))


def _parts(field: Field, text: str) -> Sequence[str]:
    parts = [" ".join(part.split()) for part in text.lower().split(",")]
    if parts == ["?"] and field.name in ("day", "day_of_week"):
        return ["*"]
    return parts


def _part(field: Field, part: str) -> Iterable[int]:
    match = _PART.fullmatch(part)
    if match is None or (match[1] == "*" and match[2]):
        raise _refused(field, part)
    start, end, step = match[1], match[2], match[3]
    if step is not None and int(step) == 0:
        raise ValidationError(gettext("%(part)s: a step of 0 goes nowhere; at least 1 is needed.", part=_shown(part)))
    stride = int(step or 1)
    if start == "*":
        return range(field.low, 7 if field.wraps else field.high + 1)[::stride]
    low = _number(field, start, part)
    if end is None and step is not None:
        last = "sun" if start in WEEKDAYS else field.high
        raise ValidationError(gettext(
            "%(part)s: a step needs a range, such as %(start)s-%(last)s/%(step)s or */%(step)s.", part=_shown(part),
            start=start, last=last, step=step) + _position_hint(field, part))
    if end is None:
        return [low % 7 if field.wraps else low]
    return _range(field, low, _number(field, end, part), part)[::stride]


def _range(field: Field, low: int, high: int, part: str) -> Sequence[int]:
    if not field.wraps:
        if low > high:
            raise ValidationError(gettext(
                "%(part)s: the range runs backwards. Two ranges are allowed, such as %(low)s-%(last)s,%(first)s-"
                "%(high)s.", part=_shown(part), low=low, last=field.high, first=field.low, high=high))
        return range(low, high + 1)
    days = range(low, high + 1) if low <= high else [*range(low, 7), *range(high + 1)]
    return [day % 7 for day in days]


def _number(field: Field, text: str, part: str) -> int:
    if text in field.names:
        return field.names[text]
    if not text.isdigit() or len(text) > 4 or not field.low <= int(text) <= field.high:
        raise _refused(field, part)
    return int(text)


def _refused(field: Field, part: str) -> ValidationError:
    return ValidationError(gettext("%(part)s is not allowed here. Allowed: %(allowed)s.", part=_shown(part) or "''",
                                   allowed=field.allowed()) + _position_hint(field, part))


def _position_hint(field: Field, part: str) -> str:
    """Who writes ``mon#2``, ``mon/2`` or ``5L`` for a weekday means something that there is."""
    if field.name != "day_of_week" or not re.search(r"#|/|l$", part):
        return ""
    return " " + gettext('For the second Monday or the last Friday of a month use fields: "day": "2nd mon" or '
                         '"day": "last fri".')


def _shown(part: str) -> str:
    return part if len(part) <= _SHOWN else part[:_SHOWN] + "…"
