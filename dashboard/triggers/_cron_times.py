"""A cron's due times as instants: wall-clock times, and what clock changes do to them (facts.md, FixedTimeCron)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dashboard.instants import DAY, SECOND, next_change, offset, reading, resolve
from dashboard.triggers._cron_search import Pattern
from dashboard.triggers._fields import LAST
from dashboard.triggers.contract import Missed


@dataclass(frozen=True)
class Change:
    """Clocks are moved at ``at``: from just short of ``before`` to ``after``, both naive."""

    at: datetime
    before: datetime
    after: datetime

    def touched(self, pattern: Pattern) -> datetime | None:
        """The first time of the pattern that clocks skip, or show twice."""
        low, high = sorted((self.before, self.after))
        found = pattern.next(low)
        return found if found is not None and found < high else None


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
        return None if found is None or found > (self.end or LAST) else found

    def passed(self, start: datetime, until: datetime) -> Missed | None:
        first = self.after(start - timedelta(microseconds=1))
        if first is None or first > until:
            return None
        last = self._last(first, until)
        return Missed(self._count(first, last), first, last)

    def changes(self, start: datetime, end: datetime) -> Iterator[Change]:
        """The clock changes in (start, end]."""
        at = next_change(start, end, self.zone)
        while at is not None:
            yield Change(at, reading(at - SECOND, self.zone) + SECOND, reading(at, self.zone))
            at = next_change(at, end, self.zone)

    def _fixed(self, instant: datetime) -> datetime | None:
        """Each wall-clock time once: after a gap that holds it, at the first of two. Times that clocks show for the
        second time have been due, and none lies before what they show: the walk begins there."""
        naive = self.pattern.next(self._fresh(instant))
        while naive is not None:
            found = resolve(naive, self.zone)
            if found > instant:
                return found
            naive = self.pattern.next(naive + SECOND)
        return None

    def _fresh(self, instant: datetime) -> datetime:
        """What clocks show, or, in a repeated hour, what they will show when it is over."""
        shown = instant.astimezone(self.zone)
        if shown.fold:
            for change in self.changes(instant - DAY, instant):
                return change.before
        return shown.replace(tzinfo=None, fold=0, microsecond=0)

    def _following(self, instant: datetime) -> datetime | None:
        """Wild cards follow real time: a repeated hour counts twice, a skipped one not at all."""
        at = instant.replace(microsecond=0) + SECOND
        while True:
            here = reading(at, self.zone)
            naive = self.pattern.next(here)
            if naive is None:
                return None
            far = naive - here > 2 * DAY
            found = at + DAY if far else (naive - offset(at, self.zone)).replace(tzinfo=UTC)
            change = next_change(at, found, self.zone)
            if change is not None:
                at = change
            elif far:  # a later change repeats nothing that lies before ``here``
                at = resolve(naive - DAY, self.zone)
            else:
                return found

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
        """How many due times lie in [first, last], both due times: between clock changes by arithmetic."""
        count, begin = 1, reading(first, self.zone) + SECOND
        for change in self.changes(first, last):
            count += self.pattern.count(begin, change.before - SECOND)
            begin = change.after
            if self.pattern.fixed and change.after < change.before:
                begin = change.before
            elif self.pattern.fixed and change.touched(self.pattern):
                count, begin = count + 1, change.after + SECOND
        return count + self.pattern.count(begin, reading(last, self.zone))
