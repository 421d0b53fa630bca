"""Triggers in a sentence, in both languages, as somebody who writes no programs would say it."""

import random
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dashboard import triggers
from dashboard.i18n import speaking
from dashboard.triggers.cron import CRONTAB
from tests.tools.messages import catalogue

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def said(document: dict[str, Any], language: str = "en") -> str:
    spec = triggers.load(document, zone=ZONE, now=None)
    with speaking(language):
        return triggers.describe(spec, ZONE)


@pytest.mark.parametrize(("expression", "english", "chinese"), [
    ("08:00", "every day at 08:00", "每天 08:00"),
    ("@daily", "every day at 00:00", "每天 00:00"),
    ("@hourly", "every hour", "每小时"),
    ("@weekly", "every Sunday at 00:00", "每周日 00:00"),
    ("@monthly", "on day 1 of every month at 00:00", "每月1日 00:00"),
    ("@yearly", "on day 1 of January at 00:00, every year", "每年1月1日 00:00"),
    ("0 8 * * 1-5", "Monday to Friday at 08:00", "周一至周五 08:00"),
    ("0 8 * * mon,wed,fri", "every Monday, Wednesday and Friday at 08:00", "每周一、周三、周五 08:00"),
    ("0 8 * * 0,6", "every Saturday and Sunday at 08:00", "每周六、周日 08:00"),
    ("30 7,12,18 * * *", "every day at 07:30, 12:30 and 18:30", "每天 07:30、12:30、18:30"),
    ("* * * * *", "every minute", "每分钟"),
    ("*/15 * * * *", "every 15 minutes", "每 15 分钟"),
    ("0,15,30,45 * * * *", "every 15 minutes", "每 15 分钟"),
    ("5 * * * *", "every hour at minute 5", "每小时的第 5 分"),
    ("5,35 * * * *", "every hour at minutes 5 and 35", "每小时的第 5、35 分"),
    ("*/25 * * * *", "every hour at minutes 0, 25 and 50", "每小时的第 0、25、50 分"),  # not "every 25 minutes"
    ("*/90 * * * *", "every hour", "每小时"),
    ("*/10,7 8 * * *", "every day at 08:00, 08:07, 08:10, 08:20, 08:30, 08:40 and 08:50",
     "每天 08:00、08:07、08:10、08:20、08:30、08:40、08:50"),
    ("0-20 1,3,8 * * *", "at times matching hour=1,3,8 minute=0-20", "符合以下条件的时刻：hour=1,3,8 minute=0-20"),
    ("*/5 9-17 * * 1-5", "Monday to Friday every 5 minutes from 09:00 to 17:55",
     "周一至周五 09:00 至 17:55，每 5 分钟"),
    ("0 9-17 * * *", "every hour from 09:00 to 17:00", "09:00 至 17:00，每小时"),
    ("0 */2 * * *", "every 2 hours from 00:00 to 22:00", "00:00 至 22:00，每 2 小时"),
    ("0 9 1,15 * *", "on days 1 and 15 of every month at 09:00", "每月1、15日 09:00"),
    ("0 9 1-7 * *", "on days 1 to 7 of every month at 09:00", "每月1至7日 09:00"),
    ("0 9 last * *", "on the last day of every month at 09:00", "每月最后一天 09:00"),
    ("0 9 1 1,7 *", "on day 1 of January and July at 09:00, every year", "每年1月、7月的1日 09:00"),
    ("0 9 * 3 1", "every Monday in March at 09:00, every year", "每年3月的每周一 09:00"),
    ("0 9 * 7 *", "every day in July at 09:00, every year", "每年7月的每天 09:00"),
    ("0 0 13 * 5", "on day 13 of every month and also every Friday at 00:00", "每月13日以及每周五 00:00"),
    ("0 0 13 * 0-6", "every day at 00:00", "每天 00:00"),
    ("0 0 1-31 * 1", "every day at 00:00", "每天 00:00"),
    ("0 0 * * 0-6", "every day at 00:00", "每天 00:00"),
])
def test_lines_in_a_sentence(expression: str, english: str, chinese: str) -> None:
    document = {"type": "cron", "expression": expression}
    assert (said(document), said(document, "zh")) == (english, chinese)


@pytest.mark.parametrize(("fields", "english", "chinese"), [
    ({"hour": 8}, "every day at 08:00", "每天 08:00"),
    ({"hour": "8", "minute": "0", "second": "30"}, "every day at 08:00:30", "每天 08:00:30"),
    ({"second": "*"}, "every second", "每秒"),
    ({"second": "*/10"}, "every 10 seconds", "每 10 秒"),
    ({"minute": "*", "second": 5}, "every minute at second 5", "每分钟的第 5 秒"),
    ({"hour": "9-17", "minute": "*", "second": "*/20"}, "every 20 seconds from 09:00:00 to 17:59:40",
     "09:00:00 至 17:59:40，每 20 秒"),
    ({"hour": "9-17", "minute": "5,20"}, "every hour at minutes 5 and 20 from 09:05 to 17:20",
     "09:05 至 17:20，每小时的第 5、20 分"),
    ({"day": "2nd mon,last fri", "hour": 9}, "on the second Monday and the last Friday of every month at 09:00",
     "每月第二个周一、最后一个周五 09:00"),
    ({"day": "15,3rd tue", "hour": 6}, "on day 15 and the third Tuesday of every month at 06:00",
     "每月15日、第三个周二 06:00"),
    ({"day": "1st sun,4th wed,5th thu"},
     "on the first Sunday, the fourth Wednesday and the fifth Thursday of every month at 00:00",
     "每月第一个周日、第四个周三、第五个周四 00:00"),
    ({"day": "last", "month": "2,4-6"}, "on the last day of February and April to June at 00:00, every year",
     "每年2月、4月至6月的最后一天 00:00"),
    ({"day": 13, "day_of_week": "fri"}, "on day 13 of every month, if it falls on Friday, at 00:00",
     "每月13日（须为周五） 00:00"),
    ({"day": "1-7", "day_of_week": "sat,sun", "hour": 8},
     "on days 1 to 7 of every month, if it falls on Saturday or Sunday, at 08:00",
     "每月1至7日（须为周六或周日） 08:00"),
    ({"year": 2027, "month": 1, "day": 1, "hour": 8}, "on day 1 of January at 08:00, in 2027", "2027年1月1日 08:00"),
    ({"week": 10}, "every day at 00:00, in week 10 of every year", "每年第10周，每天 00:00"),
    ({"week": "1-10", "day_of_week": "mon", "hour": 8}, "every Monday at 08:00, in weeks 1 to 10 of every year",
     "每年第1至10周，每周一 08:00"),
    ({"week": 10, "year": 2027}, "every day at 00:00, in week 10 of 2027", "2027年第10周，每天 00:00"),
    ({"week": "1-53", "hour": 8}, "every day at 08:00", "每天 08:00"),
    ({"week": "*/2", "hour": 8}, "at times matching week=*/2 hour=8 minute=0",
     "符合以下条件的时刻：week=*/2 hour=8 minute=0"),
    ({"day": "1st mon,2nd mon,3rd mon,1,last,9,11"},
     'at times matching day="1st mon,2nd mon,3rd mon,1,last,9,11" hour=0 minute=0',
     '符合以下条件的时刻：day="1st mon,2nd mon,3rd mon,1,last,9,11" hour=0 minute=0'),
    ({"hour": 8, "start_date": "2027-01-01", "end_date": "2027-02-01T00:00:00Z"},
     "every day at 08:00, from 2027-01-01 00:00:00 until 2027-02-01 08:00:00",
     "每天 08:00，从 2027-01-01 00:00:00 到 2027-02-01 08:00:00"),
])
def test_fields_in_a_sentence(fields: dict[str, Any], english: str, chinese: str) -> None:
    document = {"type": "cron", **fields}
    assert (said(document), said(document, "zh")) == (english, chinese)


@pytest.mark.parametrize(("document", "english", "chinese"), [
    ({"type": "interval", "minutes": 15}, "every 15 minutes", "每 15 分钟"),
    ({"type": "interval", "hours": 1}, "every hour", "每小时"),
    ({"type": "interval", "weeks": 2}, "every 2 weeks", "每 2 周"),
    ({"type": "interval", "days": 1, "seconds": 0}, "every day", "每天"),
    ({"type": "interval", "hours": 1, "minutes": 30}, "every 1 hour 30 minutes", "每 1 小时 30 分钟"),
    ({"type": "interval", "hours": 2, "start_date": "2027-01-01"}, "every 2 hours, from 2027-01-01 00:00:00",
     "每 2 小时，从 2027-01-01 00:00:00 开始"),
    ({"type": "interval", "seconds": 1, "end_date": "2027-01-01"}, "every second, until 2027-01-01 00:00:00",
     "每秒，到 2027-01-01 00:00:00 为止"),
    ({"type": "date", "run_date": "2026-12-31 08:00"}, "once, at 2026-12-31 08:00:00", "仅一次：2026-12-31 08:00:00"),
    ({"type": "date", "run_date": "2026-12-31T08:00:00Z"}, "once, at 2026-12-31 16:00:00",
     "仅一次：2026-12-31 16:00:00"),
    ({"type": "idle"}, "when the machine has been idle for 1 minute", "电脑空闲满 1 分钟时"),
    ({"type": "idle", "idle_duration": 90}, "when the machine has been idle for 90 seconds", "电脑空闲满 90 秒时"),
    ({"type": "idle", "idle_duration": 7200}, "when the machine has been idle for 2 hours", "电脑空闲满 2 小时时"),
])
def test_the_other_kinds_in_a_sentence(document: dict[str, Any], english: str, chinese: str) -> None:
    assert (said(document), said(document, "zh")) == (english, chinese)


def test_every_cron_has_a_sentence_and_no_sentence_hides_a_difference() -> None:
    """As far as forty due times tell."""
    rng = random.Random(3)
    parts = ["*", "*", "*/2", "*/7", "1", "3,5", "2-6", "1-6/2", "1,2,4,6", "4-5", "0-6"]
    meant: dict[str, list[datetime]] = {}
    wrong = []
    names = ("month", "day", "week", "day_of_week", "hour", "minute", "second")
    for _ in range(500):
        fields = {name: rng.choice(parts) for name in names if rng.random() < 0.35}
        fields = {name: text for name, text in fields.items() if name in ("hour", "minute", "second", "day_of_week")
                  or not text.startswith("0")} or {"hour": "8"}
        spec = triggers.load({"type": "cron", **fields}, zone=ZONE, now=None)
        if rng.random() < 0.5:
            line = " ".join(fields.get(name, "*") for name in CRONTAB)
            spec = triggers.load({"type": "cron", "expression": line}, zone=ZONE, now=None)
        for language in ("en", "zh"):
            with speaking(language):
                told = triggers.preview(spec, ZONE, NOW, NOW, 40)
            if told.times != meant.setdefault(told.text, told.times):
                wrong.append((told.text, spec))
    assert wrong == []
    assert len(meant) > 300


def test_every_text_of_a_trigger_has_its_chinese() -> None:
    lacking = [message.id for message in catalogue("zh") if message.id and not any(message.string or ())
               and any("triggers/" in place or "instants" in place for place, _ in message.locations)]
    assert lacking == []
