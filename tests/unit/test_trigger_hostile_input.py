"""Whatever is handed in as a trigger, it is loaded or refused: no other error, no endless message, no long time."""

import time
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from dashboard import triggers
from dashboard.errors import flatten
from dashboard.i18n import speaking

ZONE = ZoneInfo("America/New_York")
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
FIELDS = {
    "cron": ("year", "month", "day", "week", "day_of_week", "hour", "minute", "second", "expression", "start_date",
             "end_date"),
    "date": ("run_date",), "idle": ("idle_duration",),
    "interval": ("weeks", "days", "hours", "minutes", "seconds", "start_date", "end_date"),
}
HOSTILE: dict[str, Any] = {
    "null": None, "true": True, "false": False, "list": [], "object": {}, "lists": [[]], "objects": {"a": {"b": {}}},
    "fraction": 0.5, "nan": float("nan"), "inf": float("inf"), "negative": -1, "huge": 10**400,
    "hugely less": -(10**400), "too huge for a text": 10**5000, "empty": "", "blank": " ", "nul": "\0",
    "nul after": "8\0", "surrogate": "\ud800", "arabic": "٠٨", "wide": "８", "power": "²", "long": "x" * 200_000,
    "long list": "1," * 100_000, "long steps": "*/" * 10_000, "many items": ["1"] * 5_000, "bytes": b"8",
    "bidi": "8\u202e", "percent": "%s %(n)s", "braces": "{0}", "zeros": "0" * 5_000, "nines": "9" * 5_000,
    "dashes": "-" * 100_000, "rather long": "x" * 900, "rather long line": "0 8 * * " + "x" * 900, "kelvin": "\u212a",
}


def refusal(document: object) -> dict[str, list[str]]:
    """The errors by field; the document is left as it was."""
    before = deepcopy(document)
    with pytest.raises(ValidationError) as told:
        triggers.load(document, zone=ZONE, now=NOW)
    assert [document] == [before]
    return flatten(told.value.messages)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_value_meets_a_refusal_in_any_field(name: str) -> None:
    began = time.process_time()
    for kind, fields in FIELDS.items():
        for field in fields:
            whole = {"minutes": 1} if kind == "interval" else {}
            errors = refusal({"type": kind, **whole, field: HOSTILE[name]})
            assert list(errors) == [field]
            assert all(len(text) < 500 and text.encode("utf-8") for texts in errors.values() for text in texts)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("document", [
    None, True, 5, "cron", [], [{"type": "cron"}], b"{}", float("nan"), {"type": []}, {"type": {}}, {"type": None},
    {"type": "cron\0"}, {"type": "\ud800"}, {None: 1}, {"type": "_fields"}, {"type": "__init__"}, {"type": "Cron"},
    {"type": True}, {"type": "contract"},
])
def test_what_is_no_trigger_document(document: object) -> None:
    assert refusal(document)


def test_names_that_are_no_text_are_refused_like_unknown_ones() -> None:
    document = {"type": "cron", "hour": 8, 1: 2, None: 3, ("a", 1): 4, "x" * 50: 5}
    assert set(refusal(document)) == {"1", "None", "('a', 1)", "x" * 50}


json_values = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=30),
                           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
cronish = st.text(alphabet="0123456789*-/,#?L lastmonfri:@2ndW", max_size=12)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from(["cron", "date", "interval", "idle"]), values=st.dictionaries(
    st.sampled_from([*FIELDS["cron"], "run_date", "seconds", "days", "idle_duration"]),
    cronish | json_values, max_size=4))
def test_any_json_is_loaded_or_refused_and_what_is_loaded_works(kind: str, values: dict[str, Any]) -> None:
    try:
        spec = triggers.load({"type": kind, **values}, zone=ZONE, now=NOW)
    except ValidationError as error:
        assert flatten(error.messages)
        return
    assert triggers.load(spec, zone=ZONE, now=NOW) == spec
    for language in ("en", "zh"):
        with speaking(language):
            assert triggers.preview(spec, ZONE, NOW, NOW, 2).text
    assert kind == "idle" or triggers.first_due(spec, ZONE, NOW, NOW)
