"""A cron in a sentence: the common shapes in plain words, the others by their fields."""

from dashboard.i18n import gettext, pgettext
from dashboard.triggers._cron_search import Pattern

WORKDAYS = frozenset({1, 2, 3, 4, 5})


def sentence(texts: dict[str, str], pattern: Pattern) -> str:
    """In the language in force."""
    when = _time(texts, pattern)
    days = _days(texts, pattern)
    if when is None or days is None:
        return gettext("at times matching %(fields)s", fields=_fields(texts))
    return gettext("%(days)s %(time)s", days=days, time=when)


def _time(texts: dict[str, str], pattern: Pattern) -> str | None:
    hours, minutes, seconds = sorted(pattern.hours), sorted(pattern.minutes), sorted(pattern.seconds)
    if len(seconds) == 1 and len(minutes) == 1 and len(hours) <= 4:
        clock = "%02d:%02d" if seconds == [0] else "%02d:%02d:%02d"
        parts = [clock % ((hour, minutes[0]) if seconds == [0] else (hour, minutes[0], seconds[0])) for hour in hours]
        return gettext("at %(times)s", times=", ".join(parts))
    if texts["hour"] != "*" or len(seconds) != 1 or seconds != [0]:
        return None
    if texts["minute"] == "*":
        return gettext("every minute")
    if texts["minute"].startswith("*/"):
        return gettext("every %(n)s minutes", n=texts["minute"][2:])
    return gettext("every hour at minute %(n)s", n=minutes[0]) if len(minutes) == 1 else None


def _days(texts: dict[str, str], pattern: Pattern) -> str | None:
    if texts["year"] != "*" or texts["week"] != "*" or texts["month"] != "*" or pattern.either:
        return None
    if texts["day"] == "*" and pattern.weekdays is None:
        return gettext("every day")
    if texts["day"] == "*" and pattern.weekdays is not None:
        if pattern.weekdays == WORKDAYS:
            return gettext("Monday to Friday")
        order = sorted(pattern.weekdays, key=lambda day: (day - 1) % 7)
        return gettext("on %(days)s", days=", ".join(weekday(day) for day in order))
    if pattern.weekdays is None and texts["day"] == "last":
        return gettext("on the last day of every month")
    if pattern.weekdays is None and texts["day"].isdigit():
        return gettext("on day %(n)s of every month", n=texts["day"])
    return None


def weekday(number: int) -> str:
    """A weekday's name; 0 is Sunday."""
    names = (pgettext("weekday", "Sunday"), pgettext("weekday", "Monday"), pgettext("weekday", "Tuesday"),
             pgettext("weekday", "Wednesday"), pgettext("weekday", "Thursday"), pgettext("weekday", "Friday"),
             pgettext("weekday", "Saturday"))
    return names[number]


def _fields(texts: dict[str, str]) -> str:
    return " ".join(f"{name}={text}" for name, text in texts.items()
                    if text != "*" and not (name == "second" and text == "0"))
