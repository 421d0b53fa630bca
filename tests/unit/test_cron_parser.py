"""What a cron's fields mean: the grammar against tables, against another cron (cronsim) and against APScheduler."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger
from cronsim import CronSim, CronSimError
from marshmallow import ValidationError

from dashboard import triggers
from dashboard.triggers._cron_fields import FIELDS, parse, parse_days
from dashboard.triggers.cron import CRONTAB, MACROS, pattern

ZONE = ZoneInfo("UTC")
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
SUN, MON, TUE, WED, THU, FRI, SAT = range(7)
NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def load(**fields: Any) -> dict[str, Any]:
    return triggers.load({"type": "cron", **fields}, zone=ZONE, now=NOW)


def fires(count: int, after: datetime = NOW, **fields: Any) -> list[datetime]:
    """The first due times of a trigger, in UTC."""
    spec = triggers.load({"type": "cron", **fields}, zone=ZONE, now=None)
    timetable = triggers.build(spec, ZONE, after)
    found: list[datetime] = []
    upcoming = timetable.after(after) if timetable else None
    while timetable and upcoming is not None and len(found) < count:
        found.append(upcoming)
        upcoming = timetable.after(upcoming)
    return found


def at(day: str, clock: str = "00:00") -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}+00:00")


# --- weekdays ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "days"), [
    ("0", {SUN}), ("7", {SUN}), ("6", {SAT}), ("1-5", {MON, TUE, WED, THU, FRI}),
    ("0-5", {SUN, MON, TUE, WED, THU, FRI}), ("5-0", {FRI, SAT, SUN}), ("5-7", {FRI, SAT, SUN}),
    ("fri-mon", {FRI, SAT, SUN, MON}), ("sun-mon", {SUN, MON}), ("sat-sun", {SAT, SUN}), ("mon-sun", set(range(7))),
    ("*/2", {SUN, TUE, THU, SAT}), ("*/7", {SUN}), ("mon-fri/2", {MON, WED, FRI}), ("fri-mon/3", {FRI, MON}),
    ("?", set(range(7))), ("*", set(range(7))), ("0-0", {SUN}), ("7-7", {SUN}), ("0-7", set(range(7))),
    ("7-0", {SUN}), ("7-2", {SUN, MON, TUE}), ("3-3", {WED}), ("sun-sun", {SUN}), ("MON,Wed", {MON, WED}),
    ("0,7", {SUN}), ("1,3-4,sat", {MON, WED, THU, SAT}), ("mon , fri", {MON, FRI}), ("1-7", set(range(7))),
])
def test_weekdays_count_from_sunday_and_ranges_wrap(text: str, days: set[int]) -> None:
    assert parse("day_of_week", text) == days


def ranged(low: int, high: int, step: str) -> str:
    """A range; without a step if it holds one number: cronsim alone reads ``1-1/3`` as ``1-7/3``."""
    return f"{low}-{high}{step}" if low < high else f"{low}-{high}"


def cronsim_weekdays(text: str) -> set[int]:
    return {int(day) % 7 for day in CronSim(f"0 0 * * {text}", NOW).weekdays}  # type: ignore[arg-type]


def walked(start: int, end: int, step: int) -> set[int]:
    """A weekday range, by walking it."""
    days = [start % 7]
    while days[-1] != end % 7:
        days.append((days[-1] + 1) % 7)
    return set(days[::step])


def test_three_thousand_weekday_expressions_mean_what_another_cron_says() -> None:
    rng = random.Random(20261123)
    wrong = []
    for _ in range(3000):
        parts = []
        for _ in range(rng.randint(1, 3)):
            low, high = sorted((rng.randint(0, 7), rng.randint(0, 7)))
            step = rng.choice(["", "", f"/{rng.randint(1, 8)}"])
            parts.append(rng.choice([str(low), ranged(low, high, step), f"*{step}", rng.choice(NAMES)]))
        text = ",".join(parts)
        if parse("day_of_week", text) != cronsim_weekdays(text):
            wrong.append(text)
    assert wrong == []
    assert parse("day_of_week", "0-0") == cronsim_weekdays("0-0") == {SUN}


def test_every_wrapping_range_is_walked_forward() -> None:
    for start in range(7):
        for end in range(7):
            for step in (1, 2, 3):
                expected = walked(start, end, step)
                assert parse("day_of_week", f"{NAMES[start]}-{NAMES[end]}/{step}") == expected, (start, end, step)
                assert parse("day_of_week", f"{start}-{end}/{step}") == expected, (start, end, step)


# --- the other fields -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "text", "numbers"), [
    ("hour", "*/24", {0}), ("minute", "*/60", {0}), ("month", "*/12", {1}), ("day", "*/31", {1}), ("hour", "8", {8}),
    ("hour", "08", {8}), ("minute", "*/20", {0, 20, 40}), ("minute", "10-20/5", {10, 15, 20}),
    ("minute", "1,2,50-52", {1, 2, 50, 51, 52}), ("month", "jan-mar", {1, 2, 3}), ("month", "JAN,dec", {1, 12}),
    ("month", "jan-dec/6", {1, 7}), ("year", "2026-2028", {2026, 2027, 2028}), ("year", "1970,2099", {1970, 2099}),
    ("week", "1,53", {1, 53}), ("week", "*/26", {1, 27, 53}), ("second", "0-59/30", {0, 30}), ("hour", "5-5", {5}),
    ("minute", " 5 , 6 ", {5, 6}), ("hour", "0,0,0", {0}), ("second", "59", {59}), ("hour", "23", {23}),
])
def test_the_grammar_of_a_field(name: str, text: str, numbers: set[int]) -> None:
    assert parse(name, text) == numbers


@pytest.mark.parametrize("name", list(FIELDS))
def test_a_star_is_everything_the_field_may_hold(name: str) -> None:
    bounds = {"year": (1970, 2099), "month": (1, 12), "day": (1, 31), "week": (1, 53), "day_of_week": (0, 6),
              "hour": (0, 23), "minute": (0, 59), "second": (0, 59)}
    assert parse(name, "*") == set(range(bounds[name][0], bounds[name][1] + 1))


@pytest.mark.parametrize(("text", "year", "month", "days"), [
    ("last", 2028, 2, {29}), ("last", 2026, 2, {28}), ("2nd fri", 2026, 11, {13}), ("last fri", 2026, 11, {27}),
    ("1st sun", 2026, 11, {1}), ("5th mon", 2026, 11, {30}), ("5th tue", 2026, 11, set()), ("31", 2026, 11, set()),
    ("2nd tue,15", 2026, 11, {10, 15}), ("3RD  Wed , LAST", 2026, 11, {18, 30}), ("4th thu", 2026, 11, {26}),
    ("1,last", 2026, 4, {1, 30}), ("28-31", 2026, 2, {28}),
])
def test_days_know_positions(text: str, year: int, month: int, days: set[int]) -> None:
    assert parse_days(text).of(year, month) == days


def a_field(rng: random.Random, low: int, high: int) -> str:
    a, b = sorted((rng.randint(low, high), rng.randint(low, high)))
    stepped = ranged(a, b, f"/{rng.randint(1, 9)}")
    return rng.choice(["*", "*", f"*/{rng.randint(1, high + 5)}", str(a), f"{a}-{b}", stepped, f"{a},{b}",
                       f"{b},{a}-{b}"])


def test_lines_of_five_fields_fire_when_another_cron_fires() -> None:
    """With the rule for day and weekday, and the same refusal of days that never come."""
    rng = random.Random(7)
    wrong, never = [], 0
    for _ in range(2500):
        dates = rng.choice([f"{a_field(rng, 1, 31)} {a_field(rng, 1, 12)}"] * 20 + ["30 2", "31 4,6", "29 feb"])
        line = f"{a_field(rng, 0, 59)} {a_field(rng, 0, 23)} {dates} {a_field(rng, 0, 7)}"
        start = NOW + timedelta(minutes=rng.randint(0, 1_000_000))
        try:
            oracle = CronSim(line, start)
            expected = [next(oracle) for _ in range(4)]
        except (CronSimError, StopIteration):
            expected, never = [], never + 1
        if fires(4, start, expression=line) != expected:
            wrong.append(line)
    assert wrong == []
    assert 20 < never < 250


def test_fields_fire_when_apscheduler_fires() -> None:
    """Names of weekdays without a step are all that both read alike; years, weeks, positions and omitted fields."""
    rng = random.Random(11)
    choices = {"month": ["*", "2", "jan,jul", "*/5", "3-9/2"], "week": ["*", "10", "1-20", "53"],
               "day": ["*", "*/2", "1-7", "13", "last", "2nd fri", "last mon", "1st sun,15", "5th wed", "30,31"],
               "day_of_week": ["*", "mon", "mon-fri", "sun", "sat,wed"], "hour": ["*", "8", "*/6", "9-17/4"],
               "minute": ["*", "0", "*/20", "5,50"], "second": ["*", "0", "30"]}
    wrong = []
    for _ in range(1000):
        names = rng.sample(list(choices), rng.randint(0, 4))
        fields: dict[str, Any] = {name: rng.choice(choices[name]) for name in names}
        fields["year"] = rng.choice(["2026-2031", "2027", "2026-2030/2"])  # APScheduler searches to the year 9999
        stock = CronTrigger(**fields, timezone=UTC)
        found: list[datetime] = []
        upcoming = stock.get_next_fire_time(None, NOW + timedelta(microseconds=1))
        while upcoming is not None and len(found) < 3:
            found.append(upcoming)
            upcoming = stock.get_next_fire_time(None, upcoming + timedelta(microseconds=1))
        if fires(3, **fields) != found:
            wrong.append(fields)
    assert wrong == []


@pytest.mark.parametrize(("fields", "expected"), [
    ({"hour": 8}, "8 0 0"), ({"minute": 30}, "* 30 0"), ({"day_of_week": 0}, "0 0 0"), ({"second": "5"}, "* * 5"),
    ({"month": 3}, "0 0 0"), ({"hour": 8, "second": 5}, "8 * 5"),
])
def test_omitted_fields_are_a_star_above_and_the_least_below(fields: dict[str, Any], expected: str) -> None:
    made = pattern({"type": "cron", **fields})
    shown = ["*" if len(numbers) in (24, 60) else str(min(numbers))
             for numbers in (made.hours, made.minutes, made.seconds)]
    assert " ".join(shown) == expected
    if "month" in fields:
        assert fires(2, month=3) == [at("2027-03-01"), at("2028-03-01")]
    assert fires(8, week=10)[-1] == at("2028-03-06")


# --- the short forms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "kept"), [
    ("8:05", "08:05"), ("08:05", "08:05"), (" 8:05\n", "08:05"), ("0:00", "00:00"), ("23:59", "23:59"),
    ("@Daily", "@daily"), ("  0   8 * *  MON-Fri ", "0 8 * * mon-fri"), ("0 8 ? * 1", "0 8 * * 1"),
    ("0\t8\u3000* * ?", "0 8 * * *"),
])
def test_an_expression_has_one_spelling(given: str, kept: str) -> None:
    loaded = load(expression=given)
    assert loaded == {"type": "cron", "expression": kept}
    assert triggers.load(loaded, zone=ZONE, now=NOW) == loaded


@pytest.mark.parametrize(("given", "kept"), [
    ({"hour": "8"}, {"hour": 8}), ({"hour": " 08 "}, {"hour": 8}), ({"minute": "*/5 , 7"}, {"minute": "*/5,7"}),
    ({"day": "2ND  Fri, LAST"}, {"day": "2nd fri,last"}), ({"day_of_week": "?", "hour": 1}, {"day_of_week": "*",
                                                                                          "hour": 1}),
    ({"day_of_week": "Mon-FRI"}, {"day_of_week": "mon-fri"}),
])
def test_a_field_has_one_spelling(given: dict[str, Any], kept: dict[str, Any]) -> None:
    loaded = load(**given)
    assert loaded == {"type": "cron", **kept}
    assert triggers.load(loaded, zone=ZONE, now=NOW) == loaded


def test_a_time_of_day_is_every_day_at_that_time() -> None:
    assert fires(2, expression="08:05") == [at("2026-11-24", "08:05"), at("2026-11-25", "08:05")]
    assert fires(1, expression=load(expression="9:59")["expression"]) == [at("2026-11-24", "09:59")]


@pytest.mark.parametrize(("macro", "expected"), [
    ("@yearly", ["2027-01-01", "2028-01-01"]), ("@annually", ["2027-01-01", "2028-01-01"]),
    ("@monthly", ["2026-12-01", "2027-01-01"]), ("@weekly", ["2026-11-29", "2026-12-06"]),
    ("@daily", ["2026-11-24", "2026-11-25"]), ("@midnight", ["2026-11-24", "2026-11-25"]),
])
def test_macros(macro: str, expected: list[str]) -> None:
    assert fires(2, expression=macro) == [at(day) for day in expected]


def test_every_macro_is_a_line_of_five_fields() -> None:
    assert fires(2, expression="@hourly") == [at("2026-11-23", "11:00"), at("2026-11-23", "12:00")]
    for macro, line in MACROS.items():
        assert load(expression=macro)["expression"] == macro
        assert len(line.split()) == len(CRONTAB)
        assert fires(3, expression=macro) == fires(3, expression=line)


@pytest.mark.parametrize(("line", "expected"), [
    ("0 0 13 * 5", ["2026-11-27", "2026-12-04", "2026-12-11", "2026-12-13"]),  # either
    ("0 0 13 * fri", ["2026-11-27", "2026-12-04", "2026-12-11", "2026-12-13"]),
    ("0 0 1-7 * mon", ["2026-11-30", "2026-12-01", "2026-12-02", "2026-12-03"]),
    ("0 0 */2 * 1", ["2026-12-07", "2026-12-21", "2027-01-11", "2027-01-25"]),  # both: day begins with *
    ("0 0 13 * */2", ["2026-12-13", "2027-02-13", "2027-03-13", "2027-04-13"]),  # both: weekday begins with *
    ("0 0 13 * *", ["2026-12-13", "2027-01-13"]), ("0 0 * * 5", ["2026-11-27", "2026-12-04"]),
    ("0 0 ? * 5", ["2026-11-27", "2026-12-04"]), ("0 0 13 * ?", ["2026-12-13", "2027-01-13"]),
    ("0 0 13 * 0-6", ["2026-11-24", "2026-11-25"]), ("0 0 11,13 12 5", ["2026-12-04", "2026-12-11", "2026-12-13"]),
    ("0 0 last * *", ["2026-11-30", "2026-12-31"]),
])
def test_a_line_fires_on_day_or_weekday_only_when_neither_begins_with_a_star(line: str, expected: list[str]) -> None:
    assert fires(len(expected), expression=line) == [at(day) for day in expected]


def test_fields_fire_when_day_and_weekday_both_fit() -> None:
    assert fires(2, day=13, day_of_week="fri") == [at("2027-08-13"), at("2028-10-13")]
    assert fires(2, day=13, day_of_week=5) == [at("2027-08-13"), at("2028-10-13")]


@pytest.mark.parametrize("part", ["-1", "60", "1-", "5/", "1-2-3", "*/", "**", "1;2", "0x1", "1.5", "+5", "½"])
def test_what_is_no_part_of_a_field(part: str) -> None:
    with pytest.raises(ValidationError):
        parse("minute", part)
