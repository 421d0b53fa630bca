"""A cron in a sentence: the common shapes in plain words, the others by their fields."""

from collections.abc import Callable, Iterable, Sequence

from dashboard.i18n import gettext, ngettext, pgettext
from dashboard.triggers._cron_fields import Days
from dashboard.triggers._cron_search import Pattern
from dashboard.triggers._fields import every

WORKDAYS = frozenset({1, 2, 3, 4, 5})
WEEK = frozenset(range(7))
FEW, MANY = 6, 16
"""Longer lists say less than the fields."""


def sentence(texts: dict[str, str], pattern: Pattern) -> str:
    """In the language in force."""
    time, days = _time(pattern), _days(pattern)
    if time is None or days is None:
        return gettext("at times matching %(fields)s", fields=_fields(texts))
    at, repeated = time
    whole_day = repeated and days == gettext("every day")
    text = at if whole_day else gettext("%(days)s %(time)s", days=days, time=at)
    years = "" if pattern.years is None else _listed(_runs(pattern.years, str))
    if pattern.weeks is not None and len(pattern.weeks) < 53:
        weeks = _listed(_runs(pattern.weeks, str))
        if years:
            return ngettext("%(when)s, in week %(weeks)s of %(years)s", "%(when)s, in weeks %(weeks)s of %(years)s",
                            len(pattern.weeks), when=text, weeks=weeks, years=years)
        return ngettext("%(when)s, in week %(weeks)s of every year", "%(when)s, in weeks %(weeks)s of every year",
                        len(pattern.weeks), when=text, weeks=weeks)
    if years:
        return gettext("%(when)s, in %(years)s", when=text, years=years)
    return text if len(pattern.months) == 12 else gettext("%(when)s, every year", when=text)


def _time(pattern: Pattern) -> tuple[str, bool] | None:
    """The times of a day, and whether they are told as a repetition."""
    hours, minutes, seconds = pattern.times
    listed = _listed([_clock(hour, minute, second, seconds) for hour in hours for minute in minutes
                      for second in seconds]) if pattern.per_day <= MANY else ""
    if pattern.per_day <= FEW:
        return gettext("at %(times)s", times=listed), False
    return _repeated(pattern) or ((gettext("at %(times)s", times=listed), False) if listed else None)


def _repeated(pattern: Pattern) -> tuple[str, bool] | None:
    hours, minutes, seconds = pattern.times
    in_minute, in_hour = _step(seconds, 60), _step(minutes, 60)
    if in_minute and len(minutes) == 60:
        return _within(pattern, every("seconds", in_minute))
    if seconds != [0]:
        return _within(pattern, gettext("every minute at second %(n)s", n=seconds[0])) if (
            len(seconds) == 1 and len(minutes) == 60) else None
    if in_hour:
        return _within(pattern, every("minutes", in_hour))
    if len(minutes) > 1:
        return _within(pattern, gettext("every hour at minutes %(minutes)s", minutes=_listed(map(str, minutes)))) if (
            len(minutes) <= MANY and len(hours) > 1) else None
    if len(hours) == 24 and minutes != [0]:
        return gettext("every hour at minute %(n)s", n=minutes[0]), True
    return _within(pattern, every("hours", hours[1] - hours[0]), hours[1] - hours[0])


def _within(pattern: Pattern, text: str, step: int = 1) -> tuple[str, bool] | None:
    """``text``, and from when until when if not all day; None where the hours have holes."""
    hours, minutes, seconds = pattern.times
    if hours != list(range(hours[0], hours[-1] + 1, step)):
        return None
    if len(hours) == 24:
        return text, True
    return gettext("%(every)s from %(first)s to %(last)s", every=text,
                   first=_clock(hours[0], minutes[0], seconds[0], seconds),
                   last=_clock(hours[-1], minutes[-1], seconds[-1], seconds)), True


def _days(pattern: Pattern) -> str | None:
    any_day = set(range(1, 32)) <= pattern.days.numbers
    weekdays = None if pattern.weekdays == WEEK else pattern.weekdays
    dates = None if any_day else _dates(pattern.days)
    runs = max(len(_runs(numbers or (), str)) for numbers in (pattern.years, pattern.weeks))
    if (dates is None and not any_day) or runs > FEW:
        return None
    if pattern.either and (any_day or weekdays is None):
        any_day, dates, weekdays = True, None, None
    if dates is None:
        return _in_months(pattern, _every_weekday(weekdays))
    text = _of_months(pattern, dates)
    if weekdays is None:
        return text
    if pattern.either:
        return gettext("%(days)s and also %(weekdays)s", days=text,
                       weekdays=_in_months(pattern, _every_weekday(weekdays)))
    return gettext("%(days)s, if it falls on %(weekdays)s,", days=text, weekdays=_weekdays(weekdays, either=True))


def _of_months(pattern: Pattern, dates: str) -> str:
    if len(pattern.months) == 12:
        return gettext("on %(days)s of every month", days=dates)
    if len(pattern.months) == 1:
        return gettext("on %(days)s of %(month)s", days=dates, month=_months(pattern))
    return gettext("on %(days)s of %(months)s", days=dates, months=_months(pattern))


def _in_months(pattern: Pattern, days: str) -> str:
    if len(pattern.months) == 12:
        return days
    return gettext("%(days)s in %(months)s", days=days, months=_months(pattern))


def _every_weekday(weekdays: frozenset[int] | None) -> str:
    if weekdays is None:
        return gettext("every day")
    if weekdays == WORKDAYS:
        return gettext("Monday to Friday")
    return gettext("every %(weekdays)s", weekdays=_weekdays(weekdays))


def _weekdays(weekdays: frozenset[int], *, either: bool = False) -> str:
    if either and weekdays == WORKDAYS:
        return gettext("Monday to Friday")
    return _listed([weekday(day) for day in sorted(weekdays, key=lambda day: (day - 1) % 7)], either=either)


def _dates(days: Days) -> str | None:
    """Days of a month; None where there are too many to tell."""
    numbers = _runs(days.numbers, str)
    if len(days.numbers) > 1 and not days.positions:
        return gettext("days %(days)s", days=_listed(numbers)) if len(numbers) <= MANY else None
    parts = _runs(days.numbers, lambda number: gettext("day %(n)s", n=number))
    for which, day in days.positions:
        parts.append(gettext("the last day") if day is None else _position(which, weekday(day)))
    return _listed(parts) if len(parts) <= FEW else None


def _position(which: int, day: str) -> str:
    return {1: gettext("the first %(weekday)s", weekday=day), 2: gettext("the second %(weekday)s", weekday=day),
            3: gettext("the third %(weekday)s", weekday=day), 4: gettext("the fourth %(weekday)s", weekday=day),
            5: gettext("the fifth %(weekday)s", weekday=day), -1: gettext("the last %(weekday)s", weekday=day)}[which]


def _months(pattern: Pattern) -> str:
    return _listed(_runs(pattern.months, month))


def _runs(numbers: Iterable[int], name: Callable[[int], str]) -> list[str]:
    """Each number by its name, three or more in a row as the first and the last of them."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [text for run in runs for text in (
        [gettext("%(first)s to %(last)s", first=name(run[0]), last=name(run[-1]))] if len(run) > 2
        else [name(number) for number in run])]


def _listed(parts: Iterable[str], *, either: bool = False) -> str:
    """``a, b and c``."""
    *most, last = parts
    if not most:
        return last
    values = {"most": pgettext("list", ", ").join(most), "last": last}
    return gettext("%(most)s or %(last)s", **values) if either else gettext("%(most)s and %(last)s", **values)


def _step(numbers: Sequence[int], whole: int) -> int | None:
    """n if these are 0, n, 2n … up to ``whole``, which they divide; None if not."""
    step = whole // len(numbers)
    return step if len(numbers) > 1 and list(numbers) == list(range(0, whole, step)) else None


def _clock(hour: int, minute: int, second: int, seconds: Sequence[int]) -> str:
    return f"{hour:02d}:{minute:02d}" if seconds == [0] else f"{hour:02d}:{minute:02d}:{second:02d}"


def weekday(number: int) -> str:
    """A weekday's name; 0 is Sunday."""
    names = (pgettext("weekday", "Sunday"), pgettext("weekday", "Monday"), pgettext("weekday", "Tuesday"),
             pgettext("weekday", "Wednesday"), pgettext("weekday", "Thursday"), pgettext("weekday", "Friday"),
             pgettext("weekday", "Saturday"))
    return names[number]


def month(number: int) -> str:
    """A month's name; 1 is January."""
    names = (pgettext("month", "January"), pgettext("month", "February"), pgettext("month", "March"),
             pgettext("month", "April"), pgettext("month", "May"), pgettext("month", "June"),
             pgettext("month", "July"), pgettext("month", "August"), pgettext("month", "September"),
             pgettext("month", "October"), pgettext("month", "November"), pgettext("month", "December"))
    return names[number - 1]


def _fields(texts: dict[str, str]) -> str:
    return " ".join(f'{name}="{text}"' if " " in text else f"{name}={text}" for name, text in texts.items()
                    if text != "*" and not (name == "second" and text == "0"))
