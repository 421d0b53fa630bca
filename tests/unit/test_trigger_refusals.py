"""What no trigger may be (G7): refused by its field, with what is allowed, quickly, and nothing is stored."""

import time
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from marshmallow import ValidationError

from dashboard import triggers
from dashboard.errors import Invalid, flatten
from dashboard.i18n import speaking
from dashboard.models import Task
from dashboard.models.store import Store
from dashboard.services.task_service import TaskService
from tests.factories import HandClock, a_task, make_settings, make_store

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def refusal(document: object, now: datetime | None = NOW) -> dict[str, list[str]]:
    """The errors by field; the document is left as it was."""
    before = deepcopy(document)
    with pytest.raises(ValidationError) as told:
        triggers.load(document, zone=ZONE, now=now)
    assert document == before
    return flatten(told.value.messages)


def refused(kind: str, field: str, **fields: Any) -> str:
    """The one message, of the one field."""
    errors = refusal({"type": kind, **fields})
    assert list(errors) == [field]
    assert len(errors[field]) == 1
    return errors[field][0]


# --- the grammar of cron ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    "25:60", "24:00", "8:60", "8:5", "8:05:00", "-1:00", "08:00 daily", "٠٨:٠٠", "99:99", ":", "8:", ":30", "1e1:00",
])
def test_what_is_no_time_of_day(text: str) -> None:
    message = refused("cron", "expression", expression=text)
    assert "00:00 to 23:59 is allowed" in message
    assert text.lower() in message


@pytest.mark.parametrize(("text", "words"), [
    ("", "five fields"), (" ", "five fields"), ("8", "five fields"), ("0 8 * *", "five fields"),
    ("0 0 8 * * *", "Six fields"), ("* * * * * * *", "five fields"), ("@reboot", "interval or idle"),
    ("@REBOOT", "interval or idle"), ("@every", "Known: @yearly"), ("@", "Known: @yearly"),
    ("60 8 * * *", "minute: 60 is not allowed here. Allowed: 0-59"), ("0 24 * * *", "hour: 24 is not allowed"),
    ("0 8 0 * *", "day: 0 is not allowed here. Allowed: 1-31, last,"), ("0 8 * 13 *", "month: 13 is not allowed"),
    ("0 8 * * 8", "day_of_week: 8 is not allowed"), ("0 8 * foo *", "Allowed: 1-12, jan-dec"),
    ("0 8 L * *", "day: l is not allowed"), ("0 8 15W * *", "day: 15w is not allowed"),
    ("0 8 * * " + "1," * 500 + "1", "five fields"),  # longer than any that means something
    ("0 22-2 * * *", "hour: 22-2: the range runs backwards. Two ranges are allowed, such as 22-23,0-2."),
])
def test_what_is_no_expression(text: str, words: str) -> None:
    assert words in refused("cron", "expression", expression=text)


def test_a_line_tells_of_all_its_wrong_fields_at_once() -> None:
    messages = refusal({"type": "cron", "expression": "60 24 32 13 8"})["expression"]
    assert [message.split(":")[0] for message in messages] == ["minute", "hour", "day", "month", "day_of_week"]


@pytest.mark.parametrize("text", ["L", "5L", "1#2", "1,", "", "monday", "-1", "8", "mon/2", "mon#2", "5/2", ",", "1-",
                                  "1st mon", "mon-", "*-5", "*/0", "mon-fri/0", "w", "1;2", "mon fri", "٣"])
def test_what_is_no_weekday(text: str) -> None:
    message = refused("cron", "day_of_week", day_of_week=text)
    assert "Allowed: 0-6 (0 and 7 are Sunday), sun-sat" in message or "such as " in message or "at least 1" in message


@pytest.mark.parametrize("text", ["mon/2", "mon#2", "5L", "1#2"])
def test_who_means_the_second_monday_is_told_how(text: str) -> None:
    assert '"day": "2nd mon"' in refused("cron", "day_of_week", day_of_week=text)
    assert triggers.load({"type": "cron", "day": "2nd mon"}, zone=ZONE, now=NOW)


@pytest.mark.parametrize(("field", "text", "words"), [
    ("hour", "22-2", "22-23,0-2"), ("month", "nov-feb", "11-12,1-2"), ("hour", "24", "0-23"), ("hour", "-1", "0-23"),
    ("minute", "60", "0-59"), ("second", 60, "0-59"), ("month", 0, "1-12"), ("month", "jan/2", "jan-12/2"),
    ("month", "january", "jan-dec"), ("day", "32", "1-31"), ("day", "lastfoo", "1-31, last, 2nd mon"),
    ("day", "6th mon", "2nd mon"), ("day", "1st 0", "2nd mon"), ("day", "1st monday", "2nd mon"),
    ("day", "L", "last"), ("day", "15W", "1-31"), ("day", "last-5", "1-31"), ("week", 54, "1-53"),
    ("week", 0, "1-53"), ("year", 1969, "1970-2099"), ("year", "2100", "1970-2099"), ("minute", "5/10", "5-59/10"),
    ("minute", "", "0-59"), ("minute", "*/0", "at least 1"), ("minute", "*/12345", "0-59"), ("minute", "?", "0-59"),
    ("hour", "٨", "0-23"), ("hour", "８", "0-23"), ("minute", "1.5", "0-59"), ("minute", "1 2", "0-59"),
    ("year", 10**9, "1970-2099"), ("hour", 10**400, "0-23"), ("minute", "1," * 501, "0-59"),
])
def test_what_is_no_value_of_a_field(field: str, text: object, words: str) -> None:
    assert words in refused("cron", field, **{field: text})


def test_a_range_that_is_offered_is_taken() -> None:
    for field, text in (("hour", "22-23,0-2"), ("month", "11-12,1-2"), ("minute", "5-59/10"), ("month", "jan-12/2"),
                        ("day_of_week", "mon-sun/2"), ("day_of_week", "5-7/2")):
        assert triggers.load({"type": "cron", field: text}, zone=ZONE, now=NOW)
    assert "mon-sun/2" in refused("cron", "day_of_week", day_of_week="mon/2")
    assert "5-7/2" in refused("cron", "day_of_week", day_of_week="5/2")


# --- what G7 names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("document", "field", "words"), [
    ({"type": "cron", "expression": "25:60"}, "expression", "00:00 to 23:59 is allowed"),
    ({"type": "cron", "month": 2, "day": 30}, "day", "never fires"),
    ({"type": "cron", "expression": "0 0 31 4 *"}, "expression", "never fires"),
    ({"type": "cron", "hour": 8, "start_date": "2027-01-02", "end_date": "2027-01-01"}, "end_date",
     "An end after the start is needed"),
    ({"type": "interval", "hours": 1, "start_date": "2027-01-02", "end_date": "2027-01-01"}, "end_date",
     "An end after the start is needed"),
    ({"type": "cron", "hours": 8}, "hours", "Known: expression, year, month"),
    ({"type": "interval", "minute": 1}, "minute", "Known: weeks, days, hours, minutes, seconds, start_date"),
    ({"type": "date", "run_date": "2027-01-01", "timezone": "UTC"}, "timezone", "Known: run_date"),
    ({"type": "idle", "duration": 5}, "duration", "Known: idle_duration"),
    ({"type": "interval"}, "seconds", "above 0"), ({"type": "interval", "minutes": 0}, "seconds", "above 0"),
    ({"type": "date", "run_date": "2026-11-23 17:59:59"}, "run_date", "A date of the future is needed"),
    ({"type": "date", "run_date": "2026-11-23T10:00:00Z"}, "run_date", "lies in the past"),
    ({"type": "cron", "hour": 8, "end_date": "2020-01-01"}, "end_date", "A date of the future is needed"),
    ({"type": "interval", "hours": 1, "end_date": "2020-01-01"}, "end_date", "A date of the future is needed"),
    ({"type": "weekly"}, "type", "cron, date, idle, interval"), ({}, "type", "cron, date, idle, interval"),
])
def test_an_invalid_trigger_is_refused_by_its_field_with_what_is_allowed(document: dict[str, Any], field: str,
                                                                         words: str) -> None:
    errors = refusal(document)
    assert list(errors) == [field]
    assert words in errors[field][0]
    with speaking("zh"):
        told = refusal(document)[field][0]
    assert told != errors[field][0]
    assert any("\u4e00" <= character <= "\u9fff" for character in told)


@pytest.mark.parametrize(("kind", "fields", "field", "words"), [
    ("interval", {"minutes": -5}, "minutes", "from 0 to"),
    ("interval", {"seconds": 0.0001}, "seconds", "whole number"),
    ("interval", {"seconds": True}, "seconds", "whole number"), ("interval", {"hours": None}, "hours", "null"),
    ("interval", {"seconds": float("nan")}, "seconds", "whole number"), ("interval", {"days": "x"}, "days", "whole"),
    ("interval", {"seconds": 10**5000}, "seconds", "from 0 to"), ("interval", {"days": 36_526}, "days", "36525 days"),
    ("interval", {"seconds": 4_000_000_000, "days": 1}, "seconds", "36525 days"),
    ("interval", {"hours": 2, "end_date": "2026-11-23 19:00"}, "end_date", "first due time is 2026-11-23 20:00:00"),
    ("interval", {"hours": 1, "start_date": "2199-12-31T23:00:00-12:00"}, "start_date", "2199"),
    ("interval", {"hours": 1, "start_date": "soon"}, "start_date", "Allowed are 2026-12-31 08:00:00"),
    ("date", {}, "run_date", "needed"), ("date", {"run_date": None}, "run_date", "null"),
    ("date", {"run_date": 1767225600}, "run_date", "A text"),
    ("date", {"run_date": "2027-02-30"}, "run_date", "exist"),
    ("idle", {"idle_duration": 0}, "idle_duration", "from 1 to"),
    ("idle", {"idle_duration": 1.5}, "idle_duration", "whole"),
    ("idle", {"idle_duration": 30 * 86_400 + 1}, "idle_duration", "from 1 to 2592000"),
    ("cron", {}, "expression", "08:00"), ("cron", {"start_date": "2027-01-01"}, "expression", "08:00"),
    ("cron", {"expression": "08:00", "hour": 8}, "expression", "not both"), ("cron", {"hour": None}, "hour", "null"),
    ("cron", {"year": 2020}, "year", "A year from 2026 to 2099"),
    ("cron", {"day": 1, "week": 20}, "day", "never fires"),
    ("cron", {"year": 2027, "start_date": "2030-01-01"}, "start_date", "A start before the last due time"),
    ("cron", {"hour": 8, "end_date": "2026-11-24 07:00"}, "end_date", "first due time is 2026-11-24 08:00:00"),
    ("cron", {"hour": 8, "start_date": "2027-01-01 09:00", "end_date": "2027-01-02 07:59"}, "end_date",
     "first due time is 2027-01-02 08:00:00"),
])
def test_every_kind_refuses_what_it_cannot_mean(kind: str, fields: dict[str, Any], field: str, words: str) -> None:
    assert words in refused(kind, field, **fields)


@pytest.mark.parametrize("fields", [
    {"month": 2, "day": 30}, {"month": 2, "day": 31}, {"month": "4,6,9,11", "day": 31}, {"week": 1, "month": 7},
    {"expression": "0 0 30 2 *"}, {"year": 2020}, {"year": 2027, "month": 2, "day": 29}, {"week": 53, "month": 2},
    {"month": 2, "day": "5th mon", "year": "2026-2030"}, {"month": 2, "day": 30, "second": "*"},
    {"expression": "* * 30 2 *", "start_date": "2190-01-01"},
])
def test_what_never_fires_is_refused_quickly(fields: dict[str, Any]) -> None:
    began = time.process_time()
    errors = refusal({"type": "cron", **fields})
    assert time.process_time() - began < 0.5
    assert "never fires" in next(iter(errors.values()))[0]
    assert set(errors) <= set(fields)


@pytest.mark.parametrize(("fields", "first"), [
    ({"month": 2, "day": 29, "day_of_week": "mon"}, "2044-02-29"), ({"expression": "0 0 29 2 *"}, "2028-02-29"),
    ({"month": 2, "day": "5th tue"}, "2028-02-29"), ({"week": 53, "day_of_week": "sun"}, "2027-01-03"),
    ({"month": 2, "day": 29, "day_of_week": "mon", "minute": "*"}, "2044-02-29"),
])
def test_what_comes_once_in_a_long_time_is_taken(fields: dict[str, Any], first: str) -> None:
    spec = triggers.load({"type": "cron", **fields}, zone=ZONE, now=NOW)
    assert triggers.preview(spec, ZONE, NOW, NOW, 1).times[0].date().isoformat() == first


@pytest.mark.parametrize("weekday", range(7))
def test_the_search_reaches_across_a_century_without_a_leap_day(weekday: int) -> None:
    leap_days = [date(year, 2, 29) for year in range(2028, 2140, 4) if year != 2100]
    after = datetime(2080, 3, 1, tzinfo=UTC)
    expected = next(day for day in leap_days if day > after.date() and day.isoweekday() % 7 == weekday)
    spec = {"type": "cron", "month": 2, "day": 29, "day_of_week": weekday}
    assert triggers.preview(spec, ZONE, after, after, 1).times[0].date() == expected


@pytest.mark.parametrize("document", [
    {"type": "date", "run_date": "2020-01-01"}, {"type": "cron", "year": 2020},
    {"type": "cron", "month": 2, "day": 30}, {"type": "cron", "hour": 8, "end_date": "2020-01-01"},
    {"type": "interval", "hours": 1, "end_date": "2020-01-01"},
])
def test_an_unchanged_trigger_a_restore_and_an_import_may_lie_in_the_past(document: dict[str, Any]) -> None:
    refusal(document)
    loaded = triggers.load(document, zone=ZONE, now=None)
    assert triggers.first_due(loaded, ZONE, NOW, NOW) is None


def test_what_is_no_trigger_at_all_is_refused_even_then() -> None:
    for document in ({"type": "cron", "expression": "25:60"}, {"type": "interval"}, {"type": "cron"},
                     {"type": "date"}, {"type": "cron", "hour": 8, "start_date": "2027-01-02",
                                        "end_date": "2027-01-01"}):
        assert refusal(document, now=None)


# --- nothing is stored ------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = make_store(tmp_path)
    yield opened
    opened.close()


def test_nothing_of_a_refused_trigger_is_stored(store: Store, tmp_path: Path) -> None:
    service = TaskService(store, make_settings(tmp_path), HandClock(NOW), changed=lambda: None)
    service.create(a_task())
    for trigger in ({"type": "cron", "expression": "25:60"}, {"type": "cron", "month": 2, "day": 30},
                    {"type": "interval"}, {"type": "date", "run_date": "2020-01-01"}, {"type": "cron", "hour": [8]}):
        with store.reading():
            before = list(Task.select().dicts())
        with pytest.raises(Invalid) as told:
            service.create(a_task(id="other", trigger=trigger))
        assert all(field.startswith("trigger.") for field in told.value.errors)
        with pytest.raises(Invalid):
            service.update("tidy", {"trigger": trigger})
        with store.reading():
            assert list(Task.select().dicts()) == before


def test_an_end_equal_to_the_start_is_one_due_time() -> None:
    spec = triggers.load({"type": "interval", "hours": 1, "start_date": "2027-01-01", "end_date": "2027-01-01"},
                         zone=ZONE, now=NOW)
    first = triggers.first_due(spec, ZONE, NOW, NOW)
    assert first is not None
    assert triggers.first_due(spec, ZONE, NOW, first) is None
