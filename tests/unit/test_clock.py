"""Instants: milliseconds, and the form in which they leave."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.clock import EPOCH, SystemClock, from_ms, iso, to_ms, whole_ms

ZONES = st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=-3.5))])
INSTANTS = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001


@given(INSTANTS)
def test_milliseconds_there_and_back(instant: datetime) -> None:
    cut = from_ms(to_ms(instant))
    assert cut == whole_ms(instant)
    assert timedelta(0) <= instant - cut < timedelta(milliseconds=1)
    assert cut.tzinfo is UTC
    assert to_ms(cut) == to_ms(instant)


@given(INSTANTS, INSTANTS)
def test_the_stored_form_sorts_as_the_instants_do(a: datetime, b: datetime) -> None:
    if whole_ms(a) < whole_ms(b):
        assert to_ms(a) < to_ms(b)


@given(INSTANTS)
def test_iso_is_read_back_by_python(instant: datetime) -> None:
    assert datetime.fromisoformat(iso(instant)) == whole_ms(instant)


@pytest.mark.parametrize(("instant", "text"), [
    (EPOCH, "1970-01-01T00:00:00.000Z"),
    (datetime(2026, 11, 23, 10, 0, 0, 123_999, tzinfo=UTC), "2026-11-23T10:00:00.123Z"),
    (datetime(2026, 11, 23, 18, 0, tzinfo=timezone(timedelta(hours=8))), "2026-11-23T10:00:00.000Z"),
])
def test_iso(instant: datetime, text: str) -> None:
    assert iso(instant) == text


def test_before_1970_milliseconds_are_cut_downwards_too() -> None:
    assert to_ms(EPOCH - timedelta(microseconds=1)) == -1


def test_the_systems_clocks() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    assert clock.now().utcoffset() == timedelta(0)
    assert abs((clock.now() - datetime.now(UTC)).total_seconds()) < 5
    assert clock.monotonic() >= before
