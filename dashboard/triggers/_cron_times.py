"""A cron's due times as instants: wall-clock times, and what clock changes do to them (facts.md, FixedTimeCron)."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dashboard.instants import resolve
from dashboard.triggers._cron_search import Pattern
from dashboard.triggers._fields import LAST
from dashboard.triggers.contract import Missed

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
BEFORE = timedelta(hours=3)
"""A gap's times are due after it, so the walk begins before the clock change."""


@dataclass(frozen=True)
class CronTimes:
    """A timetable. ``start`` and ``end`` are inclusive."""

    pattern: Pattern
    zone: ZoneInfo
    start: datetime | None
    end: datetime | None

    def after(self, instant: datetime) -> datetime | None:
        if self.start is not None and instant < self.start:
            instant = self.start - timedelta(microseconds=1)
        if instant >= LAST:
            return None
        found = self._fixed(instant) if self.pattern.fixed else self._following(instant)
        return None if found is None or (self.end is not None and found > self.end) else found

    def passed(self, start: datetime, until: datetime, cap: int = 100_000) -> Missed | None:
        first = self.after(start - timedelta(microseconds=1))
        if first is None or first > until:
            return None
        last = self._last(first, until)
        return Missed(self._count(first, last), first, last)

    def _fixed(self, instant: datetime) -> datetime | None:
        """Each wall-clock time once: after a gap that holds it, at the first of two."""
        naive = self.pattern.next(self._local(instant).replace(microsecond=0) - BEFORE)
        while naive is not None:
            found = resolve(naive, self.zone)
            if found > instant:
                return found
            naive = self.pattern.next(naive + SECOND)
        return None

    def _following(self, instant: datetime) -> datetime | None:
        """Wild cards follow real time: a repeated hour counts twice, a skipped one not at all."""
        at = instant.replace(microsecond=0) + SECOND
        while True:
            naive = self.pattern.next(self._local(at))
            if naive is None:
                return None
            found = (naive - self._offset(at)).replace(tzinfo=UTC)
            change = self._change(at, found)
            if change is None:
                return found
            at = change

    def _last(self, first: datetime, until: datetime) -> datetime:
        """The latest due time ≤ ``until``; there is one ≥ ``first``. By bisection: ``after`` is monotone."""
        low, high = 0, int((until - first).total_seconds()) + 1
        origin = first - SECOND
        while high - low > 1:
            middle = (low + high) // 2
            found = self.after(origin + middle * SECOND)
            if found is not None and found <= until:
                low = middle
            else:
                high = middle
        return self.after(origin + low * SECOND) or first

    def _count(self, first: datetime, last: datetime) -> int:
        """How many due times lie in [first, last], both due times: by arithmetic, but on days near a clock change."""
        here, there = self._local(first), self._local(last)
        count, day = 0, here.date()
        while day <= there.date():
            if self.pattern.has_day(day):
                count += self._of_day(day, first, last, here, there)
            day += DAY
        return count

    def _of_day(self, day: date, first: datetime, last: datetime, here: datetime, there: datetime) -> int:
        midnight = datetime.combine(day, time())
        begin, end = resolve(midnight, self.zone), resolve(midnight + DAY, self.zone)
        if self._offset(begin - DAY) != self._offset(end + DAY):
            return self._walk(max(first, begin), min(last, end - SECOND))
        count = self.pattern.per_day
        if day == there.date():
            count = self.pattern.up_to(there.time())
        if day == here.date():
            count -= self.pattern.up_to(here.time()) - 1
        return count

    def _walk(self, start: datetime, end: datetime) -> int:
        count, at = 0, self.after(start - timedelta(microseconds=1))
        while at is not None and at <= end:
            count += 1
            at = self.after(at)
        return count

    def _change(self, start: datetime, end: datetime) -> datetime | None:
        """The first change of offset in (start, end], to the second."""
        before = self._offset(start)
        low = start
        while low < end:
            high = min(low + WEEK, end)
            if self._offset(high) != before:
                while high - low > SECOND:
                    middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
                    low, high = (middle, high) if self._offset(middle) == before else (low, middle)
                return high
            low = high
        return None

    def _local(self, instant: datetime) -> datetime:
        return instant.astimezone(self.zone).replace(tzinfo=None)

    def _offset(self, instant: datetime) -> timedelta:
        return instant.astimezone(self.zone).utcoffset() or timedelta(0)
