"""What may pass a door: each field of ours, what it takes and how it refuses the rest."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError, fields

from dashboard.errors import flatten
from dashboard.fields import (
    Anything,
    Boolean,
    CommaList,
    Document,
    Integer,
    ListOf,
    Mapping,
    Nested,
    Number,
    Text,
    between,
    clean_text,
    length,
    one_of,
)
from dashboard.i18n import speaking


class Inner(Document):
    number = Integer(required=True)


class Example(Document):
    text = Text()
    line = Text(line=True)
    integer = Integer(validate=between(0, 10))
    number = Number()
    boolean = Boolean()
    anything = Anything()
    many = ListOf(Text())
    mapping = Mapping()
    inner = Nested(Inner)
    comma = CommaList(("a", "b"))


def load(**values: Any) -> Any:
    return Example().load(values)


def errors(value: object) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as told:
        Example().load(value)  # type: ignore[arg-type]
    return flatten(told.value.messages)


@pytest.mark.parametrize(("name", "given_value", "loaded"), [
    ("text", "", ""), ("text", "定时\n\t", "定时\n\t"), ("text", "𝄞", "𝄞"), ("line", "备份 1", "备份 1"),
    ("integer", 3, 3), ("integer", "3", 3), ("integer", " +3 ", 3), ("integer", "007", 7),
    ("number", 1, 1.0), ("number", "1.5", 1.5), ("number", "-.5e1", -5.0), ("number", 2.5, 2.5),
    ("boolean", True, True), ("boolean", "on", True), ("boolean", "False", False), ("boolean", "off", False),
    ("anything", "x", "x"), ("anything", [1, {"a": None, "b": [True, 1.5]}], [1, {"a": None, "b": [True, 1.5]}]),
    ("many", ["a", "b"], ["a", "b"]), ("many", [], []), ("mapping", {"a": [1]}, {"a": [1]}),
    ("inner", {"number": 1}, {"number": 1}),
    ("comma", "a", ["a"]), ("comma", " b , a,,b ", ["b", "a"]), ("comma", "", []), ("comma", ",", []),
])
def test_what_a_field_takes(name: str, given_value: object, loaded: object) -> None:
    result = load(**{name: given_value})[name]
    assert result == loaded
    assert type(result) is type(loaded)


@pytest.mark.parametrize(("name", "given_value", "words"), [
    ("text", 1, "A text"), ("text", None, "null"), ("text", ["a"], "A text"), ("text", b"a", "A text"),
    ("text", "a\0b", "NUL"), ("text", "a\ud800b", "half of a character"), ("text", "\udfff", "half of a character"),
    ("line", "a\nb", "line break"), ("line", "a\x7f", "control"), ("line", "\x1b[31m", "control"),
    ("integer", 2.7, "whole number"), ("integer", 2.0, "whole number"), ("integer", True, "whole number"),
    ("integer", "2.5", "whole number"), ("integer", "+-5", "whole number"), ("integer", "", "whole number"),
    ("integer", "٣", "whole number"), ("integer", "1" * 5000, "whole number"), ("integer", [], "whole number"),
    ("integer", 11, "from 0 to 10"), ("integer", -1, "from 0 to 10"), ("integer", 10**30, "from 0 to 10"),
    ("number", "nan", "number"), ("number", float("inf"), "number"), ("number", float("nan"), "number"),
    ("number", "1_000", "number"), ("number", "١", "number"), ("number", 10**400, "number"), ("number", "", "number"),
    ("number", True, "number"), ("number", {}, "number"), ("number", "1e999", "number"), ("number", "0x1", "number"),
    ("boolean", "yes", "true or false"), ("boolean", 1, "true or false"), ("boolean", [], "true or false"),
    ("anything", {"a": ["\0"]}, "NUL"), ("anything", {"\ud800": 1}, "half of a character"),
    ("anything", [float("nan")], "NaN"), ("anything", {"a": {1: 2}}, "A text"), ("anything", {"a": {1, 2}}, "JSON"),
    ("anything", [b"x"], "JSON"),
    ("many", "ab", "list"), ("many", {"a": 1}, "list"), ("many", ("a",), "list"),
    ("mapping", [], "object"), ("mapping", "x", "object"), ("mapping", {"a": "\0"}, "NUL"),
    ("inner", [], "object"), ("inner", "x", "object"), ("inner", None, "null"), ("inner", 5, "object"),
    ("comma", "a,c", "c is none of a, b"), ("comma", ["a"], "A text"), ("comma", "a\0", "NUL"),
])
def test_what_a_field_refuses(name: str, given_value: object, words: str) -> None:
    told = errors({name: given_value})
    assert list(told) == [name]
    assert words in told[name][0]


def test_errors_inside_are_named_by_their_way() -> None:
    assert errors({"inner": {}}) == {"inner.number": ["This is needed."]}
    assert list(errors({"inner": {"number": "x", "more": 1}})) == ["inner.number", "inner.more"]
    assert errors({"many": ["a", 1, "\0"]}) == {
        "many.1": ["A text is expected."], "many.2": ["The text contains a NUL character."]}


def test_an_unknown_field_is_refused_and_the_known_ones_are_listed() -> None:
    told = errors({"txet": "a"})
    assert list(told) == ["txet"]
    assert "There is no such field. Known: text, line, integer" in told["txet"][0]


@pytest.mark.parametrize("value", [[], "text", 5, None, [{"text": "a"}]])
def test_a_document_that_is_no_object(value: object) -> None:
    assert errors(value) == {"": ["An object with named values is expected."]}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_depth_is_bounded_and_costs_no_stack() -> None:
    assert load(anything=nested(64))
    assert "64 levels" in errors({"anything": nested(65)})["anything"][0]
    assert "64 levels" in errors({"anything": nested(100_000)})["anything"][0]
    assert "64 levels" in errors({"mapping": {"a": nested(500)}})["mapping"][0]


@pytest.mark.parametrize("name", ["text", "integer", "number", "boolean", "many", "mapping", "inner", "comma"])
def test_every_message_is_there_in_chinese(name: str) -> None:
    wrong: object = {1, 2}
    english = errors({name: wrong, "nonsense": 1})
    with speaking("zh"):
        chinese = errors({name: wrong, "nonsense": 1})
        null = errors({name: None})
    assert english.keys() == chinese.keys()
    for field, texts in chinese.items():
        assert not set(texts) & set(english[field])
        assert any("\u4e00" <= character <= "\u9fff" for character in texts[0])
    assert any("\u4e00" <= character <= "\u9fff" for character in null[name][0])


def test_checks() -> None:
    for check, good, bad, words in [
        (between(1, None), 1, 0, "At least 1"), (between(None, 5), 5, 6, "At most 5"),
        (between(1, 5), 3, 6, "from 1 to 5"), (length(1), "a", "", "empty"), (length(2), "ab", "a", "At least 2"),
        (length(0, 2), [1], [1, 2, 3], "At most 2"), (one_of(["x", "y"]), "x", "z", "One of x, y"),
    ]:
        check(good)
        with pytest.raises(ValidationError, match=words):
            check(bad)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.characters()
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4)
                    | st.dictionaries(st.text(max_size=5), inner, max_size=4), max_leaves=12)


@given(JSON)
def test_what_is_taken_can_be_stored_and_sent(value: Any) -> None:
    try:
        taken = load(anything={"value": value})["anything"]["value"]
    except ValidationError:
        return
    text = json.dumps(taken, ensure_ascii=False, allow_nan=False)
    assert "\0" not in text
    assert json.loads(text.encode("utf-8")) == taken


@given(st.text() | st.characters() | st.none() | st.integers() | st.binary())
def test_a_clean_text_can_be_stored_and_sent(value: object) -> None:
    try:
        text = clean_text(value, line=True)
    except ValidationError:
        return
    assert text.encode("utf-8").decode("utf-8") == value
    assert "\0" not in text
    assert "\n" not in text


def test_the_plain_fields_of_marshmallow_are_not_used_for_input() -> None:
    """Their messages would be English in every language."""
    plain = [name for name, field in Example().load_fields.items() if type(field).__module__ == fields.__name__]
    assert plain == []
