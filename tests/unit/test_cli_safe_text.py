"""Nothing from elsewhere steers a terminal (X5)."""

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from dashboard.cli.console import as_json
from dashboard.cli.safe_text import safe

STEERING = "\x1b\x07\x08\x7f\x9b\x85\u202e\u2066\u200f\u061c\u2028\ud800"


def harmless(text: str) -> bool:
    return not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(c) in (
        "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI") or c in "\u200e\u200f\u061c"
        for c in text.replace("\n", "").replace("\t", ""))


def test_control_characters_are_shown_escaped() -> None:
    assert safe("a\x1b[31mb") == "a\\x1b[31mb"
    assert safe("\u202etxt") == "\\u202etxt"
    assert safe("x\r\ny\rz") == "x\ny\\x0dz"
    assert safe("定时 [x] ✓ é") == "定时 [x] ✓ é"
    assert safe("a\nb\tc", line=True) == "a\\nb c"
    assert harmless(safe(STEERING))


@given(st.text())
def test_no_text_steers(text: str) -> None:
    assert harmless(safe(text))
    assert "\n" not in safe(text, line=True)
    safe(text).encode("utf-8")


@given(st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(
    st.text(), inner)))
def test_json_neither_and_it_says_the_same(value: object) -> None:
    for indent in (None, 2):
        said = as_json(value, indent)
        assert harmless(said)
        assert json.loads(said) == value


def test_chinese_stays_readable_in_json() -> None:
    assert as_json({"任务": "备份"}, None) == '{"任务": "备份"}'
