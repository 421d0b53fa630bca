"""Time as every layer sees it: aware UTC instants with whole milliseconds, and a clock that tests replace."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class Clock(Protocol):
    """What may be asked for the time. ``now`` can jump (suspend, a changed clock); ``monotonic`` cannot."""

    def now(self) -> datetime:
        """The present instant, aware UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary origin, never backwards."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def to_ms(instant: datetime) -> int:
    """Milliseconds since 1970 UTC, rounded down; the form in which the store keeps an instant."""
    return (instant - EPOCH) // MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    """The aware UTC instant of ``to_ms``."""
    return EPOCH + milliseconds * MILLISECOND


def whole_ms(instant: datetime) -> datetime:
    """The same instant in UTC, cut to whole milliseconds."""
    return from_ms(to_ms(instant))


def iso(instant: datetime) -> str:
    """``2026-11-23T10:00:00.123Z``: how an instant leaves through a door and stands in the snapshot."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"
