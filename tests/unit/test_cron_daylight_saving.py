"""Crons where clocks change: each fixed time once a day, wild cards by real time, and missed ones counted right."""

import random
import time
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from dashboard import triggers
from dashboard.i18n import speaking
from dashboard.triggers._cron_times import CronTimes

NEW_YORK, HAVANA, BERLIN = "America/New_York", "America/Havana", "Europe/Berlin"
CHANGES = {  # the instants at which clocks go forward, and back
    NEW_YORK: ("2026-03-08T07:00Z", "2026-11-01T06:00Z"), HAVANA: ("2025-03-09T05:00Z", "2025-11-02T05:00Z"),
    "Australia/Lord_Howe": ("2026-10-03T15:30Z", "2026-04-04T15:00Z"),
    BERLIN: ("2026-03-29T01:00Z", "2026-10-25T01:00Z"), "Asia/Shanghai": ("1991-04-13T18:00Z", "1991-09-14T17:00Z"),
    "America/Sao_Paulo": ("2018-11-04T03:00Z", "2019-02-17T02:00Z"),
}
PLACES = [(name, at) for name, both in CHANGES.items() for at in both]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def cron(zone: str, **fields: Any) -> CronTimes:
    spec = triggers.load({"type": "cron", **fields}, zone=ZoneInfo(zone), now=None)
    timetable = triggers.build(spec, ZoneInfo(zone), utc("2026-01-01T00:00Z"))
    assert isinstance(timetable, CronTimes)
    return timetable


def between(timetable: CronTimes, start: datetime, end: datetime) -> list[datetime]:
    """The due times in (start, end], one by one."""
    found, upcoming = [], timetable.after(start)
    while upcoming is not None and upcoming <= end:
        found.append(upcoming)
        upcoming = timetable.after(upcoming)
    return found


def on_day(zone: str, day: str, **fields: Any) -> list[str]:
    """The due times of one day, as instants."""
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    end = datetime.combine(midnight.date() + timedelta(days=1), midnight.time(), midnight.tzinfo)
    found = between(cron(zone, **fields), midnight.astimezone(UTC) - timedelta(seconds=1),
                    end.astimezone(UTC) - timedelta(seconds=1))
    return [f"{time:%H:%M}" for time in found]


@pytest.mark.parametrize(("name", "change"), PLACES)
def test_clocks_do_change_there(name: str, change: str) -> None:
    """The tests below would be empty otherwise."""
    zone, at = ZoneInfo(name), utc(change)
    assert at.astimezone(zone).utcoffset() != (at - timedelta(seconds=1)).astimezone(zone).utcoffset()


@pytest.mark.parametrize(("zone", "day", "fields", "instants"), [
    (NEW_YORK, "2026-03-08", {"expression": "02:30"}, ["07:00"]),  # skipped: the first instant after the gap
    (NEW_YORK, "2026-03-08", {"expression": "02:00"}, ["07:00"]),
    (NEW_YORK, "2026-03-08", {"expression": "03:00"}, ["07:00"]),
    (HAVANA, "2025-03-09", {"expression": "00:00"}, ["05:00"]),
    (HAVANA, "2025-03-09", {"expression": "30 0 * * *"}, ["05:00"]),
    (NEW_YORK, "2026-11-01", {"expression": "01:30"}, ["05:30"]),  # shown twice: the first of the two
    (HAVANA, "2025-11-02", {"hour": 0}, ["04:00"]),
    (NEW_YORK, "2026-03-08", {"hour": "2-3", "minute": 30}, ["07:00", "07:30"]),
    (NEW_YORK, "2026-03-08", {"hour": "2-3", "minute": 0}, ["07:00"]),  # both are that instant: once
    (NEW_YORK, "2026-03-08", {"hour": 2, "minute": "0,15,30,45"}, ["07:00"]),
    (NEW_YORK, "2026-11-01", {"hour": "0-2", "minute": 30}, ["04:30", "05:30", "07:30"]),
    (NEW_YORK, "2026-11-01", {"expression": "*/30 1 * * *"}, ["05:00", "05:30", "06:00", "06:30"]),  # real time
    (NEW_YORK, "2026-03-08", {"expression": "*/30 2 * * *"}, []),
    (NEW_YORK, "2026-03-08", {"expression": "30 */2 * * *"}, ["05:30", *(f"{h:02}:30" for h in range(8, 24, 2)),
                                                            "00:30", "02:30"]),
    (NEW_YORK, "2026-11-01", {"hour": 1, "minute": 30, "second": "*/60"}, ["05:30", "06:30"]),
    (NEW_YORK, "2026-03-08", {"hour": 2, "minute": 30, "second": "*/60"}, []),  # in fields a second's star counts
])
def test_what_a_clock_change_does(zone: str, day: str, fields: dict[str, Any], instants: list[str]) -> None:
    assert on_day(zone, day, **fields) == instants


@pytest.mark.parametrize("clock", ["00:00", "00:30", "01:30", "02:00", "02:30", "03:00"])
@pytest.mark.parametrize(("zone", "change"), PLACES)
def test_a_daily_time_comes_once_on_every_day(zone: str, change: str, clock: str) -> None:
    hour, minute = clock.split(":")
    at = utc(change)
    for fields in ({"expression": clock}, {"expression": f"{int(minute)} {int(hour)} * * *"},
                   {"hour": int(hour), "minute": int(minute)}):
        found = between(cron(zone, **fields), at - timedelta(days=5), at + timedelta(days=5))
        days = [time.astimezone(ZoneInfo(zone)).date() for time in found]
        assert all(later - earlier == timedelta(days=1) for earlier, later in pairwise(days))
        assert len(days) in (9, 10, 11)
        assert at.astimezone(ZoneInfo(zone)).date() in days


def test_a_day_that_is_skipped_whole_is_made_up_for_once() -> None:
    found = between(cron("Pacific/Apia", expression="02:30"), utc("2011-12-28T20:00Z"), utc("2012-01-01T00:00Z"))
    assert found == [utc("2011-12-29T12:30Z"), utc("2011-12-30T10:00Z"), utc("2011-12-30T12:30Z"),
                     utc("2011-12-31T12:30Z")]
    assert date(2011, 12, 30) not in {time.astimezone(ZoneInfo("Pacific/Apia")).date() for time in found}


# --- thousands of cases against others --------------------------------------------------------------------------


def a_number(rng: random.Random, low: int, high: int) -> str:
    a, b = sorted((rng.randint(low, high), rng.randint(low, high)))
    return rng.choice([str(a), str(a), f"{a}-{b}", f"{a},{b}"])


def a_line(rng: random.Random, minute: str, hour: str) -> str:
    day = rng.choice(["*", "*", "*", "*/2", a_number(rng, 1, 31)])
    return f"{minute} {hour} {day} * {rng.choice(['*', '*', '*', '*/2', a_number(rng, 0, 6)])}"


def a_place(rng: random.Random) -> tuple[str, datetime]:
    """A zone, and an instant up to three days before one of its changes or a few hours after."""
    zone, change = rng.choice(PLACES)
    return zone, utc(change) + timedelta(minutes=rng.randint(-4320, 300), seconds=rng.randint(0, 59))


def test_fixed_times_are_those_of_another_cron() -> None:
    rng = random.Random(20261101)
    wrong = []
    for _ in range(2000):
        zone, start = a_place(rng)
        line = a_line(rng, a_number(rng, 0, 59), rng.choice([a_number(rng, 0, 23), a_number(rng, 0, 3)]))
        # cronsim begins at what clocks show, so that in a repeated hour it would answer times gone by
        oracle = (at.astimezone(UTC) for at in CronSim(line, (start - timedelta(hours=4)).astimezone(ZoneInfo(zone))))
        expected = list(islice((at for at in oracle if at > start), 8))
        found, timetable = [start], cron(zone, expression=line)
        for _ in expected:
            found.append(timetable.after(found[-1]) or start)
        if found[1:] != expected:
            wrong.append((zone, start, line))
    assert wrong == []


def minutes_of(zone: str, change: str) -> list[tuple[datetime, datetime]]:
    """Every minute of the three days round a change, with what clocks show."""
    start = utc(change) - timedelta(days=1, hours=12)
    instants = [start + k * timedelta(minutes=1) for k in range(4320)]
    return [(at, at.astimezone(ZoneInfo(zone))) for at in instants]


def test_wild_cards_fire_at_every_instant_whose_clock_fits() -> None:
    rng = random.Random(20260308)
    wrong = []
    for zone, change in PLACES:
        minutes = minutes_of(zone, change)
        for _ in range(35):
            star = rng.choice(["*", "*/2", "*/7", "*/15"])
            line = a_line(rng, *rng.choice([(star, a_number(rng, 0, 3)), (a_number(rng, 0, 59), star),
                                            ("*/15", "*")]))
            sets = CronSim(line, minutes[0][0])
            expected = [at for at, shown in minutes if shown.minute in sets.minutes and shown.hour in sets.hours
                        and sets.match_day(shown.date())]
            found = between(cron(zone, expression=line), minutes[0][0] - timedelta(seconds=1), minutes[-1][0])
            if found != expected:
                wrong.append((zone, line))
    assert wrong == []


def test_missed_times_are_counted_as_if_one_by_one() -> None:
    rng = random.Random(5)
    wrong = []
    for _ in range(350):
        zone, start = a_place(rng)
        star = rng.choice(["*", "*/5", "*/20"])
        minute, hour = rng.choice([(a_number(rng, 0, 59), a_number(rng, 0, 3)), (star, a_number(rng, 0, 3)),
                                   (a_number(rng, 0, 59), star), ("0-59/7", "0-23"), (star, "*")])
        fields: dict[str, Any] = {"expression": a_line(rng, minute, hour)}
        if rng.random() < 0.3:
            fields["end_date"] = (start + timedelta(hours=rng.randint(1, 90))).isoformat()
        timetable = cron(zone, **fields)
        until = start + timedelta(minutes=rng.randint(0, 5000))
        told = timetable.passed(start, until)
        each = between(timetable, start - timedelta(microseconds=1), until)
        if (told and (told.count, told.first, told.last)) != ((len(each), each[0], each[-1]) if each else None):
            wrong.append((zone, start, until, fields))
    assert wrong == []


@pytest.mark.parametrize("fields", [{"second": "*"}, {"expression": "* * * * *"},
                                    {"hour": "0-23", "minute": "0-59", "second": "0-59"}])
def test_a_month_of_missed_times_is_counted_in_a_moment(fields: dict[str, Any]) -> None:
    timetable = cron(NEW_YORK, **fields)
    start, until = utc("2026-02-20T00:00Z"), utc("2026-12-20T00:00Z")
    began = time.process_time()
    told = timetable.passed(start, until)
    for second in range(300):  # in the repeated hour
        assert timetable.after(utc("2026-11-01T06:00Z") + timedelta(seconds=second)) is not None
    assert time.process_time() - began < 0.3
    seconds = int((until - start).total_seconds()) + 1
    expected = {"second": seconds, "expression": (seconds - 1) // 60 + 1, "hour": seconds - 3600}
    assert told is not None
    assert told.count == expected[next(iter(fields))]
    assert (told.first, told.last) == (start, until)


def test_start_and_end_are_due_times_themselves_even_in_a_repeated_hour() -> None:
    timetable = cron(NEW_YORK, expression="*/30 * * * *", start_date="2026-11-01T05:30:00Z",
                     end_date="2026-11-01T06:30:00Z")
    assert [f"{at:%H:%M}" for at in between(timetable, utc("2026-10-01T00:00Z"), utc("2027-01-01T00:00Z"))] == [
        "05:30", "06:00", "06:30"]
    assert timetable.after(utc("2026-11-01T06:30Z")) is None


# --- what a preview says about it -------------------------------------------------------------------------------


def warned(zone: str, **fields: Any) -> list[str]:
    spec = triggers.load({"type": "cron", **fields}, zone=ZoneInfo(zone), now=None)
    now = utc("2026-11-23T10:00Z")
    return triggers.preview(spec, ZoneInfo(zone), now, now, 3).warnings


def test_a_preview_names_the_next_gap_and_the_next_repeated_hour() -> None:
    gap, = warned(BERLIN, expression="02:15", end_date="2027-06-01")
    assert gap == ("On 2027-03-28 clocks in Europe/Berlin skip from 02:00 to 03:00: what is due at 02:15 runs at "
                   "03:00 that day.")
    _, repeated = warned(BERLIN, hour="2", minute=30)
    assert repeated == ("On 2027-10-31 clocks in Europe/Berlin show the time from 02:00 to 03:00 twice: what is due "
                        "at 02:30 runs once, the first time.")
    with speaking("zh"):
        assert "从 02:00 直接跳到 03:00" in warned(BERLIN, expression="02:15")[0]
        assert "只执行一次" in warned(BERLIN, expression="02:15")[1]


def test_a_preview_says_when_wild_cards_do_not_run_or_run_twice() -> None:
    skipped, twice = warned(NEW_YORK, expression="*/20 1-2 * * *")
    assert "it does not run in between that day" in skipped
    assert "runs both times" in twice


@pytest.mark.parametrize(("zone", "fields"), [
    ("Asia/Shanghai", {"expression": "02:30"}), (BERLIN, {"expression": "04:00"}),
    (BERLIN, {"expression": "*/5 * * * *"}), (BERLIN, {"expression": "@hourly"}), ("UTC", {"hour": 2}),
    (BERLIN, {"expression": "30 2 1 * *"}), (BERLIN, {"expression": "02:30", "end_date": "2027-03-01"}),
    (HAVANA, {"expression": "02:30"}),
])
def test_a_preview_says_nothing_where_nothing_happens(zone: str, fields: dict[str, Any]) -> None:
    assert warned(zone, **fields) == []
