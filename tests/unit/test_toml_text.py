"""TOML that people type: what passes is what tomllib gives, as JSON would hold it; what does not is told by line and
column."""

import json
import math
import re
import tomllib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dashboard.i18n import speaking
from dashboard.schemas.toml_text import TomlFault, decode

LETTERS = st.characters(codec="utf-8", categories=("L", "M", "N", "P", "S", "Z"), exclude_characters="\\")
NUMBERS = st.integers(1 - 10**300, 10**300 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(st.booleans() | NUMBERS | st.text(LETTERS, max_size=20), lambda inner: (
    st.lists(inner, max_size=4) | st.dictionaries(st.text(LETTERS, max_size=8), inner, max_size=4)), max_leaves=15)
PIECES = st.sampled_from([
    "a", "b", "=", '"x"', "'x'", "1", "[", "]", "[[tasks]]", "[tasks]", "{", "}", ",", ".", "\n", "\r\n", "\r", " ",
    '"', "'", '"""', "'''", "\\", "\\n", "\\u12", "\\ud800", "true", "2026-02-30", "2026-02-01", "07:32:00", "1e999",
    "2026-01-01T00:00:00+08:00", "0x" + "F" * 300, "9" * 5000, "\0", "中", "“", "＝", "\ufeff", "a = 1\n", "-inf",
    "nan", '"C:\\temp"', "\ud800", "{a = 1}", "a.b = ", "\t", "1_000", "#",
])


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(name)} = {as_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, float):
        return f"{value!r}"
    return json.dumps(value, ensure_ascii=False)


def has_no_json(value: Any) -> bool:
    """Whether there is a number in it that JSON, or anybody, has no use for."""
    if isinstance(value, dict | list):
        return any(map(has_no_json, value.values() if isinstance(value, dict) else value))
    if isinstance(value, float):
        return not math.isfinite(value)
    return isinstance(value, int) and abs(value) >= 10**300


def refused(text: str) -> TomlFault:
    with pytest.raises(TomlFault) as caught:
        decode(text)
    return caught.value


WRONG = [
    ('id = "a"\ntrigger\n', 2, 8, "an equals sign is expected"), ("= 1", 1, 1, "a line begins with a name"),
    ("a.=1", 1, 3, "a name is expected"), ("a = 1 2", 1, 7, "the value ends before this"),
    ("a = 'y'\nb = \"x", 2, 5, "the text that begins here has no closing quote"),
    ("a = '''x\n\nb = 'y'", 1, 5, "no closing quote"), ('a = 1 # "\nb = """x\n', 2, 5, "no closing quote"),
    ("a = '\nb = 1\n\nc = 2", 1, 5, "no closing quote"), ("a = 'x\nb = 'y'", 1, 7, "a line break"),
    ('a = "x\ty\x00"', 1, 9, "control character"), ('a = "x\nb = 1', 1, 7, "a line break"),
    ("a = 1\na = 2", 2, 6, "has a value or a table already"), ("[tasks]\n[tasks]\n", 2, 7, "Each task begins with"),
    ("[tasks\na = 1", 1, 7, "closing bracket"), ("[[tasks]\n", 1, 8, "closing bracket is expected after"),
    ("a = [1 2]", 1, 8, "a comma or the closing bracket"), ("a = {b = 1 c = 2}", 1, 12, "closing brace"),
    ("a = {b = 1, b = 2}", 1, 18, "twice in these braces"), ("a = hello", 1, 5, "a value is expected"),
    ("a = 2026-02-30", 1, 5, "does not exist"), ("a = 08:00", 1, 6, "A text stands in quotes"),
    ('a = "x\\d"', 1, 9, "Write the text in single quotes"), ('a = "\\u12"', 1, 8, "begins nothing that TOML knows"),
    ('a = "\\ud800"', 1, 12, "no character of this number"), ("a = 1 \x01", 1, 7, "the value ends before this"),
    ("# \x01", 1, 3, "a control character may not stand here"), ("a = nan", 1, 5, "nan is no number"),
    ("b = '1e999'\na = 1e999", 2, 5, "1e999 is no number"), ("inf = [1, -inf]", 1, 11, "-inf is no number"),
    ("a = 1e999a", 1, 10, "the value ends before this"), ("a = " + "9" * 301, 1, 5, "too large"),
    ("n = [\n 0x" + "F" * 5000 + "]", 2, 2, "too large"), ("a = “x”", 1, 5, "“ is Chinese punctuation"),
    ("9_9" + "9" * 400 + " = 1\nb = -" + "9" * 5000, 2, 5, "too large"), ("a ＝ 1", 1, 3, "TOML takes only ="),
    ("a = [1，2]", 1, 7, "TOML takes only ,"), ("[[tasks】】", 1, 8, "TOML takes only ]"),
]


@pytest.mark.parametrize(("text", "line", "column", "words"), WRONG, ids=[text[:12] for text, *_ in WRONG])
@pytest.mark.parametrize("before", ["", "\ufeff", "[x]\r\ny = 1\r\n"])
def test_what_is_wrong_is_told_by_line_and_column(before: str, text: str, line: int, column: int, words: str) -> None:
    fault = refused(before + text)
    assert (fault.line, fault.column) == (line + before.count("\n"), column)
    assert str(fault).startswith(f"Line {fault.line}, column {column}: ")
    assert words in str(fault)


def test_every_fault_speaks_chinese() -> None:
    for text, line, column, _ in WRONG:
        with speaking("zh"):
            said = str(refused(text))
        assert said.startswith(f"第 {line} 行第 {column} 列")
        assert not re.search("[A-Za-z]{4,}", re.sub("TOML|true|false|tasks", "", said))


@pytest.mark.parametrize(("written", "shown"), [
    (r"C:\temp\new", r"C:\temp\new"), (r"D:\data" + "\\", r"D:\data"), (r"\\nas\tasks", r"\\nas\tasks"),
    (r"D:\备份\b", r"D:\备份\b"), (r"\\备份机\nightly\a", r"\\备份机\nightly\a"), (r"C:\Users\me", r"C:\Users\me"),
])
@pytest.mark.parametrize("line", ['cwd = "{}"', 'command = ["{}", "-v"] # why', 'params = {{ cwd = "{}" }}',
                                  "a = 'x' # it's\n  cwd=\"{}\""])
def test_a_windows_path_in_double_quotes_is_shown_in_single_ones(line: str, written: str, shown: str) -> None:
    text = "[[tasks]]\n" + line.format(written)
    fault = refused(text)
    assert f"Write the path in single quotes: '{shown}'" in str(fault)
    at = text.index('"')
    assert (fault.line, fault.column) == (text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
    assert decode(f"cwd = '{shown}'") == {"cwd": shown}  # what is advised works


@pytest.mark.parametrize("text", [
    r'''a = 'C:\temp' ''', r'a = "C:\\temp"', r'a = """C:\temp"""', "# \"C:\\temp\"\na = 1", r"a = '''C:\temp'''",
    r'a = "\\\\nas\\tasks"', r'body = "of C:\tand D:\n"', 'a = "5\\t\\u00e9"', 'a = "A:\\u00a0"',
])
def test_other_backslashes_are_left_to_toml(text: str) -> None:
    assert decode(text) == tomllib.loads(text)


def test_a_path_within_a_command_is_refused_where_it_begins() -> None:
    fault = refused('id = "x"\ncommand = "copy C:\\temp\\a D:\\new"')
    assert (fault.line, fault.column) == (2, 17)
    assert "Write the text in single quotes, or each backslash twice" in str(fault)
    fault = refused("command = \"D:\\tool's\\x\"")  # no single quotes could hold it
    assert "each backslash twice" in str(fault)


def test_dates_and_times_become_texts() -> None:
    assert decode("a = 2026-12-31 08:00:00\nb = 2026-12-31\nc = 08:00:00\nd = [2026-12-31T08:00:00.5+08:00]\n"
                  "e = 2026-12-31T08:00:00Z") == {
        "a": "2026-12-31 08:00:00", "b": "2026-12-31", "c": "08:00:00", "d": ["2026-12-31 08:00:00.500+08:00"],
        "e": "2026-12-31 08:00:00+00:00"}


def test_so_many_levels_pass_and_no_more() -> None:
    assert decode("a = " + "[" * 63 + "]" * 63)
    for text in ("a = " + "[" * 64 + "]" * 64, "a = " + "[" * 20_000, ".".join("a" * 70) + " = 1"):
        assert "more than 64 levels" in str(refused(text))
    assert decode("[[a]]\nb.c = {d = []}", levels=6)
    with pytest.raises(TomlFault, match="5 levels"):
        decode("[[a]]\nb.c = {d = []}", levels=5)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(LETTERS, max_size=8), VALUES, max_size=4))
def test_any_value_comes_back_as_it_went(value: dict[str, Any]) -> None:
    text = "\r\n".join(f"{as_toml(name)} = {as_toml(item)}" for name, item in value.items())
    assert repr(decode(text)) == repr(value)


@settings(max_examples=600, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=30))
@example("a\r\r\n")
@example("x = nan")
@example("inf = 1\nb = 0x" + "F" * 300)
def test_any_text_is_what_tomllib_reads_or_refused_where_it_stopped(text: str) -> None:
    place = None
    try:
        want = tomllib.loads(text.removeprefix("\ufeff"))
        fine = not has_no_json(want)
    except tomllib.TOMLDecodeError as error:
        fine, place = False, re.search(r"\(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
    except ValueError:  # thousands of digits
        fine = False
    try:
        found = decode(text)
    except TomlFault as fault:
        assert not fine or "single quotes" in str(fault)
        assert "is not TOML" not in str(fault)  # each kind has words of its own
        if place and "\\" not in text:
            lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
            end = (len(lines), len(lines[-1]) + 1)
            if "no closing quote" in str(fault):  # told where it begins, not where the document ends
                assert not place[1]
                assert lines[(fault.line or 0) - 1][(fault.column or 0) - 1] in "'\""
            else:
                assert (fault.line, fault.column) == ((int(place[1]), int(place[2])) if place[1] else end)
    else:
        assert fine
        assert repr(found) == repr(json.loads(json.dumps(want, default=str)))
