"""The kinds of triggers: date, interval and idle; instants as people write them; and the preview of each."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.interval import IntervalTrigger
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from dashboard import triggers
from dashboard.i18n import speaking
from dashboard.instants import next_change, normal_text, parse_instant, resolve, shown
from dashboard.triggers.contract import TimetableTrigger

SHANGHAI, NEW_YORK = ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def load(document: dict[str, Any], zone: ZoneInfo = SHANGHAI) -> dict[str, Any]:
    return triggers.load(document, zone=zone, now=NOW)


def timetable(document: dict[str, Any], zone: ZoneInfo = SHANGHAI, anchor: datetime = NOW) -> Any:
    return triggers.build(triggers.load(document, zone=zone, now=None), zone, anchor)


def at(**later: float) -> datetime:
    return NOW + timedelta(**later)


def test_the_four_kinds_are_found_without_a_list() -> None:
    assert list(triggers.installed()) == ["cron", "date", "idle", "interval"]


@pytest.mark.parametrize("document", [
    {"type": "date", "run_date": "2026-12-31T08:00:00.5+08:00"}, {"type": "idle"}, {"type": "cron", "hour": "8"},
    {"type": "interval", "hours": "2", "start_date": "2026-11-24T8:00", "end_date": "2027-01-01"},
    {"type": "cron", "expression": "8:05", "end_date": "2027-01-01T00:00:00Z"},
])
def test_a_loaded_trigger_is_plain_json_and_loads_to_itself(document: dict[str, Any]) -> None:
    loaded = load(document)
    assert load(json.loads(json.dumps(loaded))) == loaded


@pytest.mark.parametrize(("document", "text"), [
    ({"type": "interval", "seconds": 30, "hours": 1}, "interval hours=1 seconds=30"),
    ({"type": "cron", "expression": "08:00"}, "cron expression=08:00"), ({"type": "idle"}, "idle idle_duration=60"),
    ({"type": "cron", "expression": "0 8 * * *"}, 'cron expression="0 8 * * *"'),
    ({"type": "date", "run_date": "2026-12-31"}, 'date run_date="2026-12-31 00:00:00"'),
])
def test_the_exact_fields_are_the_same_in_every_language(document: dict[str, Any], text: str) -> None:
    with speaking("zh"):
        assert triggers.fields_text(load(document)) == text


# --- instants ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "instant", "kept"), [
    ("2026-12-31 08:00:00", "2026-12-31T00:00:00Z", "2026-12-31 08:00:00"),
    ("2026-12-31T08:00:00", "2026-12-31T00:00:00Z", "2026-12-31 08:00:00"),
    ("2026-12-31T08:00", "2026-12-31T00:00:00Z", "2026-12-31 08:00:00"),  # what datetime-local posts
    (" 2026-12-31  8:00 ", "2026-12-31T00:00:00Z", "2026-12-31 08:00:00"),
    ("2026-12-31", "2026-12-30T16:00:00Z", "2026-12-31 00:00:00"),
    ("2026-12-31T08:00:00Z", "2026-12-31T08:00:00Z", "2026-12-31 08:00:00+00:00"),
    ("2026-12-31T08:00:00+02:00", "2026-12-31T06:00:00Z", "2026-12-31 08:00:00+02:00"),
    ("2026-12-31T08:00:00+0200", "2026-12-31T06:00:00Z", "2026-12-31 08:00:00+02:00"),
    ("2026-12-31T08:00:00 -0530", "2026-12-31T13:30:00Z", "2026-12-31 08:00:00-05:30"),
    ("2026-12-31T08:00:00+02", "2026-12-31T06:00:00Z", "2026-12-31 08:00:00+02:00"),
    ("2026-12-31T08:00:00.5", "2026-12-31T00:00:00.500Z", "2026-12-31 08:00:00.500"),
    ("2026-12-31 08:00:00,123456789z", "2026-12-31T08:00:00.123Z", "2026-12-31 08:00:00.123+00:00"),
    ("20261231T080000Z", "2026-12-31T08:00:00Z", "2026-12-31 08:00:00+00:00"),
    ("2028-02-29 23:59:59", "2028-02-29T15:59:59Z", "2028-02-29 23:59:59"),
])
def test_instants_as_people_write_them(text: str, instant: str, kept: str) -> None:
    assert parse_instant(text, SHANGHAI) == datetime.fromisoformat(instant)
    assert normal_text(text) == kept
    assert normal_text(kept) == kept


@pytest.mark.parametrize("text", [
    "", " ", "today", "2026-02-30", "2026-13-01", "2026-12-31 24:00", "2026-12-31 08:60", "2026-12-31 08:00:60",
    "2026-12-31 25:60", "2026-12-31T", "2026-12-31+08:00", "2026-12-31 08", "31.12.2026", "2026/12/31", "1969-12-31",
    "2200-01-01", "2026-12-31TT08:00", "2026-12-31 08:00.5", "2026-12-31T08:00:00+24:00",
    "2026-12-31T08:00:00+08:00Z", "٢٠٢٦-١٢-٣١", "2026-12-31 08:00:00 PM", "1767225600", "2026-12-31\n08:00",
    "2" * 10_000,
])
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(ValidationError) as told:
        parse_instant(text, SHANGHAI)
    assert len(told.value.messages[0]) < 300


@settings(deadline=None)
@given(st.integers(86_400_000, 7_258_000_000_000))
def test_an_instant_written_by_a_program_is_read_as_it_was(milliseconds: int) -> None:
    whole = datetime.fromisoformat("1970-01-01") + timedelta(milliseconds=milliseconds)
    for zone in (UTC, NEW_YORK):
        aware = whole.replace(tzinfo=zone)
        assert parse_instant(aware.isoformat(), SHANGHAI) == aware.astimezone(UTC)
    assert shown(whole.replace(tzinfo=UTC).isoformat(), SHANGHAI) == normal_text(
        whole.replace(tzinfo=UTC).astimezone(SHANGHAI).replace(tzinfo=None).isoformat())


@pytest.mark.parametrize(("zone", "change"), [
    ("America/New_York", "2027-03-14T07:00Z"), ("America/New_York", "2027-11-07T06:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30Z"), ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00Z"),
])
def test_a_clock_time_is_the_first_instant_that_shows_it_or_the_end_of_its_gap(zone: str, change: str) -> None:
    end = datetime.fromisoformat(change)
    there = ZoneInfo(zone)
    instants = [end + timedelta(minutes=10 * k) for k in range(-300, 300)]
    showing = {instant.astimezone(there).replace(tzinfo=None): instant for instant in reversed(instants)}
    for k in range(-150, 150):
        naive = end.astimezone(there).replace(tzinfo=None) + timedelta(minutes=10 * k)
        assert resolve(naive, there) == showing.get(naive, end)


def test_the_next_clock_change() -> None:
    assert next_change(NOW, at(days=400), SHANGHAI) is None
    change = datetime(2027, 3, 14, 7, tzinfo=UTC)
    for part in (0, 250_000, 999_999):
        assert next_change(at(microseconds=part), at(days=400, microseconds=500_000), NEW_YORK) == change
    assert next_change(change - timedelta(seconds=1), change, NEW_YORK) == change
    assert next_change(change, change + timedelta(days=1), NEW_YORK) is None
    assert next_change(NOW, change - timedelta(seconds=1), NEW_YORK) is None


# --- date -------------------------------------------------------------------------------------------------------


def test_a_date_is_due_once() -> None:
    once = timetable({"type": "date", "run_date": "2026-11-23 18:01:00"})
    assert once.after(NOW) == at(minutes=1)
    assert once.after(at(minutes=1)) is None
    assert once.passed(NOW, at(seconds=59)) is None
    told = once.passed(NOW, at(minutes=1))
    assert (told.count, told.first, told.last) == (1, at(minutes=1), at(minutes=1))
    assert once.passed(at(minutes=1, seconds=1), at(days=1)) is None


def test_a_date_in_a_gap_counts_on_and_one_shown_twice_is_the_first() -> None:
    skipped = {"type": "date", "run_date": "2027-03-14 02:30"}
    assert timetable(skipped, NEW_YORK).after(NOW) == datetime(2027, 3, 14, 7, 30, tzinfo=UTC)
    twice = {"type": "date", "run_date": "2027-11-07 01:30"}
    assert timetable(twice, NEW_YORK).after(NOW) == datetime(2027, 11, 7, 5, 30, tzinfo=UTC)
    for document, words in ((skipped, "skip that time; it runs at 2027-03-14 03:30:00"), (twice, "twice")):
        told, = triggers.preview(load(document, NEW_YORK), NEW_YORK, NOW, NOW, 5).warnings
        assert words in told
    exact = {"type": "date", "run_date": "2027-11-07T01:30:00-05:00"}  # whoever names the offset means it
    assert triggers.preview(load(exact, NEW_YORK), NEW_YORK, NOW, NOW, 5).warnings == []
    assert timetable(exact, NEW_YORK).after(NOW) == datetime(2027, 11, 7, 6, 30, tzinfo=UTC)


# --- interval ---------------------------------------------------------------------------------------------------


def test_the_units_of_an_interval_add_up() -> None:
    document = {"type": "interval", "weeks": 1, "days": 1, "hours": 1, "minutes": 1, "seconds": 1}
    assert timetable(document).after(NOW) == at(days=8, seconds=3661)
    assert timetable({"type": "interval", "hours": 0, "minutes": "90"}).after(NOW) == at(minutes=90)


def test_the_grid_is_anchored_and_nothing_shifts_it() -> None:
    """A restart, and an edit of anything but the trigger, builds it anew from the same anchor."""
    document = {"type": "interval", "minutes": 7}
    grid = timetable(document)
    for seconds in range(0, 100_000, 37):
        assert timetable(document).after(at(seconds=seconds)) == at(minutes=7 * (seconds // 420 + 1))
    assert grid.after(at(minutes=7)) == at(minutes=14)
    assert grid.after(at(minutes=7) - timedelta(microseconds=1)) == at(minutes=7)


def test_a_start_is_a_due_time_itself_and_an_end_may_be_one() -> None:
    grid = timetable({"type": "interval", "hours": 1, "start_date": "2026-11-23 18:30",
                      "end_date": "2026-11-23 20:30"})
    assert grid.after(NOW) == at(minutes=30)
    assert [grid.after(at(minutes=30)), grid.after(at(minutes=90)), grid.after(at(minutes=150))] == [
        at(minutes=90), at(minutes=150), None]
    assert grid.passed(NOW, at(days=9)).count == 3
    past = timetable({"type": "interval", "hours": 1, "start_date": "2020-01-01 00:10"})
    assert past.after(NOW) == at(minutes=10)


@settings(deadline=None)
@given(step=st.integers(1, 5000), start=st.integers(-20_000, 20_000), length=st.integers(0, 60_000),
       end=st.none() | st.integers(0, 50_000))
def test_missed_slots_are_those_one_would_count(step: int, start: int, length: int, end: int | None) -> None:
    document: dict[str, Any] = {"type": "interval", "seconds": step}
    if end is not None:
        document["end_date"] = at(seconds=end).isoformat()
    slots = [at(seconds=k) for k in range(step, 80_001, step) if (end is None or k <= end)
             and start <= k <= start + length]
    told = timetable(document).passed(at(seconds=start), at(seconds=start + length))
    assert (told and (told.count, told.first, told.last)) == ((len(slots), slots[0], slots[-1]) if slots else None)


def test_missed_slots_of_thirty_years_are_found_at_once() -> None:
    grid = timetable({"type": "interval", "seconds": 1})
    began = time.process_time()
    for _ in range(100):
        told = grid.passed(NOW, at(days=10_957))
        assert (told.count, told.last) == (10_957 * 86_400, at(days=10_957))
    assert time.process_time() - began < 0.1


def test_an_interval_of_a_day_is_a_day_of_real_time_as_with_apscheduler() -> None:
    document = {"type": "interval", "days": 1, "start_date": "2027-03-13 09:00"}
    grid = timetable(document, NEW_YORK)
    first = grid.after(NOW)
    stock = IntervalTrigger(days=1, start_date=first, timezone=NEW_YORK)
    assert grid.after(first) == stock.get_next_fire_time(first.astimezone(NEW_YORK), first)
    assert grid.after(first).astimezone(NEW_YORK).hour == 10
    told, = triggers.preview(load(document, NEW_YORK), NEW_YORK, NOW, NOW, 1).warnings
    assert told.startswith("On 2027-03-14 clocks in America/New_York change: an interval counts real time")
    for quiet, zone in (({"type": "interval", "hours": 23}, NEW_YORK), ({"type": "interval", "days": 1}, SHANGHAI),
                        ({"type": "interval", "days": 1, "end_date": "2027-03-01"}, NEW_YORK)):
        assert triggers.preview(load(quiet, zone), zone, NOW, NOW, 5).warnings == []


# --- idle -------------------------------------------------------------------------------------------------------


def test_idle_has_a_duration_and_no_due_times() -> None:
    assert load({"type": "idle"}) == {"type": "idle", "idle_duration": 60}
    assert load({"type": "idle", "idle_duration": "300"}) == {"type": "idle", "idle_duration": 300}
    assert timetable({"type": "idle"}) is None
    assert triggers.first_due(load({"type": "idle"}), SHANGHAI, NOW, NOW) is None
    assert triggers.preview(load({"type": "idle"}), SHANGHAI, NOW, NOW, 5).times == []
    assert triggers.preview(load({"type": "idle"}), SHANGHAI, NOW, NOW, 5).warnings == []


# --- preview, and APScheduler's view ----------------------------------------------------------------------------


@pytest.mark.parametrize("document", [
    {"type": "interval", "minutes": 15}, {"type": "cron", "expression": "*/20 8-9 * * 1-5"},
    {"type": "cron", "day": 31}, {"type": "date", "run_date": "2026-12-31 08:00"},
    {"type": "cron", "expression": "02:30"},
])
@pytest.mark.parametrize("zone", [SHANGHAI, NEW_YORK])
def test_the_preview_is_what_the_scheduler_will_do(document: dict[str, Any], zone: ZoneInfo) -> None:
    spec = load(document, zone)
    shown_times = triggers.preview(spec, zone, NOW, NOW, 150).times
    fired: list[datetime] = []
    trigger = TimetableTrigger(timetable(document, zone))
    upcoming = trigger.get_next_fire_time(None, NOW)
    while upcoming is not None and len(fired) < 150:
        fired.append(upcoming)
        upcoming = trigger.get_next_fire_time(upcoming, upcoming)
    assert shown_times == fired
    assert all(time.tzinfo is zone for time in shown_times)
    assert shown_times[0] == triggers.first_due(spec, zone, NOW, NOW)


def test_a_long_sleep_is_jumped_over_in_one_step() -> None:
    trigger = TimetableTrigger(timetable({"type": "interval", "seconds": 1}))
    assert trigger.get_next_fire_time(at(seconds=1), at(days=30)) == at(days=30)
    assert trigger.get_next_fire_time(at(seconds=1), at(seconds=2)) == at(seconds=2)


@pytest.mark.parametrize(("document", "words"), [
    ({"type": "date", "run_date": "2020-01-01"}, "lies in the past (now it is 2026-11-23 18:00:00, Asia/Shanghai)"),
    ({"type": "cron", "expression": "0 0 30 2 *"}, "never fires"), ({"type": "cron", "year": 2020}, "never fires"),
    ({"type": "interval", "hours": 1, "end_date": "2020-01-01"}, "lies in the past"),
    ({"type": "interval", "hours": 1, "end_date": "2026-11-23 18:59"}, "not due before the end"),
])
def test_a_preview_says_that_nothing_lies_ahead_and_why(document: dict[str, Any], words: str) -> None:
    spec = triggers.load(document, zone=SHANGHAI, now=None)
    told = triggers.preview(spec, SHANGHAI, NOW, NOW, 5)
    assert told.times == []
    assert told.warnings[0] == "No due time lies ahead: it will not run."
    assert words in told.warnings[1]


@pytest.mark.parametrize(("fields", "words"), [
    ({"expression": "0 8 * * 1-5"}, ["0 and 7 are Sunday"]), ({"day_of_week": "*/2"}, ["0 and 7 are Sunday"]),
    ({"expression": "0 8 13 * fri"}, ["when either of them fits"]), ({"expression": "@weekly"}, []),
    ({"day": 13, "day_of_week": "fri"}, ["when both of them fit"]), ({"day_of_week": "mon-fri/2"}, []),
    ({"expression": "0 8 */2 * 1"}, ["when both of them fit", "0 and 7 are Sunday"]), ({"day": "2nd fri"}, []),
])
def test_a_preview_says_how_weekdays_are_read(fields: dict[str, Any], words: list[str]) -> None:
    told = triggers.preview(load({"type": "cron", **fields}), SHANGHAI, NOW, NOW, 5).warnings
    assert len(told) == len(words)
    assert all(word in text for word, text in zip(words, told, strict=True))
