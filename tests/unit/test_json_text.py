"""JSON that people type: what passes is what json.loads gives; what does not is told by line and column."""

import json
import math
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from dashboard.i18n import speaking
from dashboard.schemas.json_size import PARAMS_BYTES
from dashboard.schemas.json_text import JsonFault, decode, parse_object, suggest

LETTERS = st.characters(codec="utf-8", exclude_characters="\0")
NUMBERS = st.integers() | st.integers(1 - 10**300, 10**300 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(st.none() | st.booleans() | NUMBERS | st.text(LETTERS, max_size=20), lambda inner: (
    st.lists(inner, max_size=5) | st.dictionaries(st.text(LETTERS, max_size=8), inner, max_size=5)), max_leaves=20)
PIECES = st.sampled_from([
    *"{}[],:\"'= \n\t\\x-1", '"a"', '"b"', '"a":1', "true", "null", "1e999", "NaN", "-Infinity", "0." + "1" * 400,
    "9" * 301, "\\u12", '"\\ud83d"', "\r\n", "“", "”", "：", "，", "｛", "｝", "\ufeff", "\0", "\ud800", "١", "01",
    "\u3000",
])
TYPED = st.lists(PIECES, max_size=14).map("".join)
NEARLY = st.one_of(TYPED, TYPED.map(lambda text: f"{{{text}}}"), TYPED.map(lambda text: f'{{"k": {text}}}'),
                   TYPED.map(lambda text: f"[{text}"), st.text(max_size=30))


def strict(text: str) -> Any:
    """What Python reads, with its own decoder. Raises ValueError for what is no strict JSON."""
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(found)) != len(found):
            raise ValueError("a name twice")
        return dict(found)

    def number(digits: str) -> float:
        if math.isinf(float(digits)):
            raise ValueError("infinite")
        return float(digits)

    def integer(digits: str) -> int:
        if abs(int(digits)) >= 10**300:
            raise ValueError("long")
        return int(digits)

    def constant(word: str) -> None:
        raise ValueError(word)

    return json.loads(text.removeprefix("\ufeff"), object_pairs_hook=pairs, parse_float=number, parse_int=integer,
                      parse_constant=constant)


def refused(text: str) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        parse_object(text)
    assert isinstance(caught.value.messages, list)
    return caught.value.messages


def test_the_originals_own_example_gets_the_json_it_would_be() -> None:
    place, meant = refused('{to="xxx", title="xxxxx"}')
    assert place == "Line 1, column 2: a name in double quotes is expected."
    assert meant == 'This is not JSON; it would be {"to": "xxx", "title": "xxxxx"}'
    with speaking("zh"):
        place, meant = refused('{to="xxx", title="xxxxx", body="32232"}')
    assert place.startswith("第 1 行第 2 列")
    assert meant.endswith('{"to": "xxx", "title": "xxxxx", "body": "32232"}')


WRONG = [
    ("", 1, 1, "an object is expected"), (" \n\t ", 2, 3, "an object is expected"),
    ("[1]", 1, 1, "an object is expected"), ('\n "x"', 2, 2, "an object is expected"), ("null", 1, 1, "an object"),
    ("hello", 1, 1, "a value is expected"), ("{", 1, 2, "a name in double quotes"), ('{"a"', 1, 5, "a colon"),
    ('{"a":', 1, 6, "a value is expected"), ('{"a": 1\n "b": 2}', 2, 2, "a comma or the closing bracket"),
    ('{"a": 1', 1, 8, "a comma or the closing bracket"), ('{"a" 1}', 1, 6, "a colon is expected"),
    ("{'a': 1}", 1, 2, "not in single ones"), ('{"a":\r\n 1, "b": \'x\'}', 2, 10, "not in single ones"),
    ('{"a": 1,}', 1, 8, "one too many"), ('{"a": [1, 2 , \n ]}', 1, 13, "one too many"),
    ('{"a": "x}', 1, 7, "no closing double quote"), ('{"a": "x\ty"}', 1, 9, "write \\n or \\t"),
    ('{"dir": "C:\\data"}', 1, 12, "a backslash itself is written \\\\"),
    ('{"a": "\\u12"}', 1, 9, "begins nothing that JSON knows"), ('{"a": 1} x', 1, 10, "the JSON ends before this"),
    ('{"a": 01}', 1, 8, "a comma or the closing bracket"), ('{"a": .5}', 1, 7, "a value is expected"),
    ('{"标题": 1,\n "标题": 2}', 2, 2, 'the name "标题" stands twice'), ('{"a": {"b": 1, "b": 1}}', 1, 16, "twice"),
    ('{"a": 1, "\\u0061": 2}', 1, 10, 'the name "a" stands twice'), ('{"a": NaN}', 1, 7, "NaN is no JSON number"),
    ('{"a": [1, -Infinity]}', 1, 11, "-Infinity is no JSON number"), ('{"a": 1e999}', 1, 7, "too large"),
    ('{"a": -1e999x}', 1, 7, "too large"), ('{"a": ' + "9" * 301 + "}", 1, 7, "too large"),
    ("{“to”: 1}", 1, 2, '“ is Chinese punctuation; JSON takes only "'), ('{"a"：1}', 1, 5, "JSON takes only :"),
    ('{"a": 1，"b": 2}', 1, 8, "JSON takes only ,"), ('｛"a": 1}', 1, 1, "JSON takes only {"),
    ('{"a": "x", // why\n "b": 1}', 1, 12, "a name in double quotes"),
    ('{"a": ' + "[" * 64 + "]" * 64 + "}", 1, 70, "more than 64 levels"),
]


@pytest.mark.parametrize(("text", "line", "column", "words"), WRONG, ids=[text[:12] for text, *_ in WRONG])
def test_what_is_wrong_is_told_by_line_and_column(text: str, line: int, column: int, words: str) -> None:
    for typed in (text, "\ufeff" + text):  # a BOM is no column
        first = refused(typed)[0]
        assert first.startswith(f"Line {line}, column {column}: ")
        assert words in first


def test_every_fault_speaks_chinese() -> None:
    for text, line, column, _ in WRONG:
        with speaking("zh"):
            first = refused(text)[0]
        assert first.startswith(f"第 {line} 行第 {column} 列")
        assert not re.search("[A-Za-z]{4,}", re.sub("JSON|NaN|Infinity|true|false|null|name|value", "", first))


@pytest.mark.parametrize(("text", "meant"), [
    ("to: a@b.cn", {"to": "a@b.cn"}), ("{'a': True, 'b': None}", {"a": True, "b": None}), ('{"a": 1,}', {"a": 1}),
    ("｛“标题”：“你好，世界”，次数=3｝", {"标题": "你好，世界", "次数": 3}),
    ("{「a」：【1、2】；b：'x'}", {"a": [1, 2], "b": "x"}), ('{"a": 1 "b": [1 2,]}', {"a": 1, "b": [1, 2]}),
    ('{dir: "C:\\temp\\new", x: "\\\\nas\\tools"}', {"dir": "C:\\temp\\new", "x": "\\\\nas\\tools"}),
    ('{command: "copy C:\\temp\\a D:\\b"}', {"command": "copy C:\\temp\\a D:\\b"}),
    ('{dir: "C:\\\\temp"}', {"dir": "C:\\temp"}), ('{a: "x\\ty\\\\z\\/\\""}', {"a": 'x\ty\\z/"'}),
    ('{a: "\\ud83d\\ude00"}', {"a": "😀"}), ("{a: NaN, b: -0.5e3, c: 007}", {"a": "NaN", "b": -500.0, "c": "007"}),
    ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
])
def test_the_json_it_would_be_is_shown(text: str, meant: object) -> None:
    found = suggest(text)
    assert found is not None
    assert json.loads(found) == meant
    assert refused(text)[1] == f"This is not JSON; it would be {found}"


@pytest.mark.parametrize("text", [
    "{to: 'x', n: 08:00}", "{a: 1, a: 2}", '{a: "\\ud83d"}', "{a: 1e999}", "{a: \ud800}", "{a b}", "{a: hello world}",
    "{a: }", '{a: "x}', "{a: [1}", "hello", "[1, 2]", "", "{a: 1} {b: 2}", "{a:" * 70 + "1" + "}" * 70, "{",
    "{a: 1,, b: 2}",
])
def test_nothing_is_guessed_where_nobody_can_tell(text: str) -> None:
    assert suggest(text) is None
    assert len(refused(text)) == 1


def test_an_object_as_it_should_be_needs_no_suggestion() -> None:
    assert suggest('{"a": 1}') is None


def test_a_suggestion_is_not_shown_when_it_would_fill_the_screen() -> None:
    assert len(refused("{a: '" + "x" * 3000 + "'}")) == 1
    assert len(refused("{a: '" + "x" * 1000 + "'}")) == 2


def test_a_text_of_64_kib_passes_and_a_longer_one_does_not() -> None:
    text = json.dumps({"a": "字" * 21_841}, ensure_ascii=False)
    text += " " * (PARAMS_BYTES - len(text.encode()))
    assert parse_object(text)["a"].startswith("字")
    assert refused(text + " ") == ["The JSON is 65537 bytes long; at most 65536 are allowed."]
    assert suggest("{a: '" + "x" * PARAMS_BYTES + "'}") is None


def test_64_levels_pass_and_depth_without_end_is_refused_at_once() -> None:
    deep = "[" * 63 + "]" * 63
    assert json.dumps(parse_object(f'{{"a": {deep}}}')["a"]) == deep
    for text in ("[" * 30_000, '{"a":' * 10_000, "[" * 65 + "]" * 65, "{a:" * 20_000):
        assert "64 levels" in refused(text)[0] or "a name in double quotes" in refused(text)[0]
    with pytest.raises(JsonFault) as caught:
        decode('{"a": [\n[1]]}', levels=2)
    assert (caught.value.line, caught.value.column) == (2, 1)
    assert decode('{"a": [[1], [1], [1]]}', levels=3) == {"a": [[1], [1], [1]]}


def test_a_long_fraction_is_no_fault_beside_many_brackets() -> None:
    text = '{"a": [' + "[],{}," * 40 + "0." + "1" * 400 + "]}"
    assert parse_object(text)["a"][-1] == pytest.approx(1 / 9)


@settings(max_examples=120, deadline=None)
@given(VALUES, st.sampled_from([None, 1]), st.booleans())
@example({"": {"": [[], {}]}}, None, True)
def test_any_json_value_comes_back_as_it_went(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert repr(decode(text)) == repr(value)  # repr tells 1 from 1.0 and True, -0.0 from 0.0
    if isinstance(value, dict):
        assert repr(parse_object(text)) == repr(value)
        assert suggest(text) is None
    else:
        assert refused(text)


@settings(max_examples=600, deadline=None)
@given(NEARLY)
@example("-Infinity/*")
@example("NaN1")
@example("1e999true")
@example("\ufeff\ufeff{}")
@example('{"k":\ud800}')
@example('{"k": [0.' + "1" * 400 + "]}")
def test_any_text_is_what_python_reads_or_refused(text: str) -> None:
    try:
        want: Any = strict(text)
    except ValueError:
        want = ValueError
    try:
        got: Any = decode(text)
    except JsonFault:
        got = ValueError
    assert repr(got) == repr(want)
    if isinstance(want, dict):
        assert repr(parse_object(text)) == repr(want)
    else:
        assert refused(text)
    meant = suggest(text)
    if meant is not None:
        assert want is ValueError or not isinstance(want, dict)
        assert isinstance(strict(meant), dict)
        assert meant.encode("utf-8")


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(st.text(LETTERS, max_size=8), VALUES, min_size=1, max_size=4), st.data())
def test_the_place_is_where_python_stopped_reading(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value, indent=data.draw(st.sampled_from([None, 2])), ensure_ascii=False)
    at = data.draw(st.integers(0, len(text)))
    gone = data.draw(st.integers(0, 2))
    put = data.draw(st.sampled_from(["", *"}]',:x\\\n：0", '"']))
    text = text[:at] + put + text[at + gone:]
    try:
        strict(text)
    except json.JSONDecodeError as error:
        oracle = error
    except ValueError:
        return  # a name twice, a long number: no syntax, so no place
    else:
        return
    with pytest.raises(JsonFault) as caught:
        decode(text)
    place = (caught.value.line, caught.value.column)
    rest = text[oracle.pos:]
    next_word = oracle.pos + len(rest) - len(rest.lstrip(" \n\r\t"))
    places = {oracle.pos, next_word}
    if "one too many" in str(caught.value):  # the comma, not the bracket where older versions of Python notice
        comma = len(text[:next_word].rstrip(" \n\r\t")) - 1
        places = {oracle.pos} if text[oracle.pos] == "," else {comma, oracle.pos} - {next_word}
        assert {text[place] for place in places} == {","}
    assert place in {(oracle.lineno, oracle.colno) if spot == oracle.pos else as_place(text, spot) for spot in places}


def as_place(text: str, position: int) -> tuple[int, int]:
    before = text[:position].split("\n")
    return len(before), len(before[-1]) + 1


PLAIN = st.text(LETTERS, max_size=12).filter(lambda text: text.isprintable() and "\\" not in text)
SIMPLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | PLAIN


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(PLAIN, st.recursive(SIMPLE, lambda inner: (
    st.lists(inner, max_size=4) | st.dictionaries(PLAIN, inner, max_size=4)), max_leaves=10), max_size=4))
def test_a_python_dictionary_is_understood(value: dict[str, Any]) -> None:
    text = repr(value)
    try:
        strict(text)
    except ValueError:
        meant = suggest(text)
        assert meant is not None
        assert repr(json.loads(meant)) == text
