"""Finding and counting a cron's wall-clock times: arithmetic over sets, no zone, bounded."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property

from dashboard.triggers._cron_fields import Days
from dashboard.triggers.contract import SEARCH_YEARS


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
    def times(self) -> tuple[list[int], list[int], list[int]]:
        """Hours, minutes and seconds in order."""
        return sorted(self.hours), sorted(self.minutes), sorted(self.seconds)

    @property
    def per_day(self) -> int:
        """How many times a day that counts has."""
        return len(self.hours) * len(self.minutes) * len(self.seconds)

    def next(self, start: datetime) -> datetime | None:
        """The first naive time ≥ ``start`` (whole seconds); None if none comes within ``SEARCH_YEARS`` years, or
        within the years given."""
        found = self._time(start.time()) if self._has_day(start.date()) else None
        if found is not None:
            return datetime.combine(start.date(), found)
        first = time(self.times[0][0], self.times[1][0], self.times[2][0])
        for day in self._days(start.date() + timedelta(days=1)):
            return datetime.combine(day, first)
        return None

    def count(self, start: datetime, end: datetime) -> int:
        """How many naive times lie in [start, end] (whole seconds)."""
        if end < start:
            return 0
        count = self.per_day * sum(1 for _ in self._days(start.date(), end.date()))
        if self._has_day(start.date()):
            count -= self._up_to(start.time(), bisect_left)
        if self._has_day(end.date()):
            count -= self.per_day - self._up_to(end.time(), bisect_right)
        return count

    def _up_to(self, moment: time, bisect: Callable[[list[int], int], int]) -> int:
        """How many of a day's times are ≤ ``moment``; with ``bisect_left`` those < it."""
        hours, minutes, seconds = self.times
        count = bisect_left(hours, moment.hour) * len(minutes) * len(seconds)
        if moment.hour in self.hours:
            count += bisect_left(minutes, moment.minute) * len(seconds)
            if moment.minute in self.minutes:
                count += bisect(seconds, moment.second)
        return count

    def _has_day(self, day: date) -> bool:
        if (self.years is not None and day.year not in self.years) or day.month not in self.months:
            return False
        return day.day in self._of_month(day.year, day.month)

    def _days(self, start: date, end: date | None = None) -> Iterator[date]:
        """The days that count from ``start`` on, in order, as far as the search goes or up to ``end``."""
        last = end.year if end else start.year + SEARCH_YEARS if self.years is None else max(self.years)
        for year in range(start.year, last + 1):
            if self.years is not None and year not in self.years:
                continue
            for month in sorted(self.months):
                if (year, month) < (start.year, start.month) or (end and (year, month) > (end.year, end.month)):
                    continue
                for number in sorted(self._of_month(year, month)):
                    day = date(year, month, number)
                    if day >= start and (end is None or day <= end):
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
        hours, minutes, seconds = self.times
        for hour in hours[bisect_left(hours, start.hour):]:
            low = start.minute if hour == start.hour else 0
            for minute in minutes[bisect_left(minutes, low):]:
                exact = hour == start.hour and minute == start.minute
                index = bisect_left(seconds, start.second if exact else 0)
                if index < len(seconds):
                    return time(hour, minute, seconds[index])
        return None
