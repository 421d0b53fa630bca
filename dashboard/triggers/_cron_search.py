"""Finding a cron's wall-clock times: arithmetic over sets, no zone, bounded."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property

from dashboard.triggers._cron_fields import Days

YEARS_AHEAD = 40
"""29 February on a given weekday comes once in 28 years, across 2100 once in 40."""


@dataclass(frozen=True)
class Pattern:
    """What the fields mean. ``years``, ``weeks``, ``weekdays`` None: any. ``either``: a day counts if ``days`` *or*
    ``weekdays`` says so (the crontab rule), else both must. ``fixed``: hour and minute (and second) are given, so
    each time is meant once a day whatever clocks do."""

    years: frozenset[int] | None
    months: frozenset[int]
    days: Days
    weeks: frozenset[int] | None
    weekdays: frozenset[int] | None
    hours: frozenset[int]
    minutes: frozenset[int]
    seconds: frozenset[int]
    either: bool = False
    fixed: bool = True

    @cached_property
    def _times(self) -> tuple[list[int], list[int], list[int]]:
        return sorted(self.hours), sorted(self.minutes), sorted(self.seconds)

    @property
    def per_day(self) -> int:
        """How many times a day that counts has."""
        return len(self.hours) * len(self.minutes) * len(self.seconds)

    def next(self, start: datetime) -> datetime | None:
        """The first naive time ≥ ``start`` (whole seconds); None if none comes within ``YEARS_AHEAD`` years, or
        within the years given."""
        found = self._time(start.time()) if self.has_day(start.date()) else None
        if found is not None:
            return datetime.combine(start.date(), found)
        first = time(self._times[0][0], self._times[1][0], self._times[2][0])
        for day in self._days(start.date() + timedelta(days=1)):
            return datetime.combine(day, first)
        return None

    def has_day(self, day: date) -> bool:
        """Whether the times of this day count."""
        if (self.years is not None and day.year not in self.years) or day.month not in self.months:
            return False
        return day.day in self._of_month(day.year, day.month)

    def up_to(self, moment: time) -> int:
        """How many of a day's times are ≤ ``moment``."""
        hours, minutes, seconds = self._times
        count = bisect_left(hours, moment.hour) * len(minutes) * len(seconds)
        if moment.hour in self.hours:
            count += bisect_left(minutes, moment.minute) * len(seconds)
            if moment.minute in self.minutes:
                count += bisect_right(seconds, moment.second)
        return count

    def _days(self, start: date) -> Iterator[date]:
        last = start.year + YEARS_AHEAD if self.years is None else max(self.years)
        for year in range(start.year, last + 1):
            if self.years is not None and year not in self.years:
                continue
            for month in sorted(self.months):
                if (year, month) >= (start.year, start.month):
                    for number in sorted(self._of_month(year, month)):
                        day = date(year, month, number)
                        if day >= start:
                            yield day

    def _of_month(self, year: int, month: int) -> set[int]:
        days = self.days.of(year, month)
        if self.weekdays is not None:
            first = date(year, month, 1).isoweekday()
            fitting = {day for day in range(1, 32) if (first + day - 1) % 7 in self.weekdays}
            if self.either:
                length = (date(year + month // 12, month % 12 + 1, 1) - date(year, month, 1)).days
                days = days | {day for day in fitting if day <= length}
            else:
                days = days & fitting
        if self.weeks is not None:
            days = {day for day in days if date(year, month, day).isocalendar().week in self.weeks}
        return days

    def _time(self, start: time) -> time | None:
        """The first time of a day ≥ ``start``."""
        hours, minutes, seconds = self._times
        for hour in hours[bisect_left(hours, start.hour):]:
            low = start.minute if hour == start.hour else 0
            for minute in minutes[bisect_left(minutes, low):]:
                exact = hour == start.hour and minute == start.minute
                index = bisect_left(seconds, start.second if exact else 0)
                if index < len(seconds):
                    return time(hour, minute, seconds[index])
        return None
