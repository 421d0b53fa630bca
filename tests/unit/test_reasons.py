"""Reasons of log rows: every code that is given anywhere has words, in both languages, with its values."""

import ast
import re
from pathlib import Path

import pytest

from dashboard import handlers
from dashboard.i18n import LANGUAGES, speaking
from dashboard.services import reasons

ROOT = Path(__file__).resolve().parents[2] / "dashboard"
RAISED = ("Failed", "Unknown", "TimedOut", "Reason")


def codes_in(path: Path) -> set[str]:
    """First arguments of ``Reason("…")``, ``Failed("…")`` and the like, and values of ``{"code": "…"}``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISED and node.args:
            found |= texts(node.args[0])
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code":
                    found |= texts(value)
    return found


def texts(node: ast.expr) -> set[str]:
    if isinstance(node, ast.IfExp):
        return texts(node.body) | texts(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


GIVEN = sorted(set().union(*(codes_in(path) for part in ("engine", "services", "handlers")
                             for path in (ROOT / part).rglob("*.py"))) - {"secret_unknown"})


def test_the_search_finds_codes() -> None:
    assert {"overlap", "crash", "deleted", "stopped", "cmd_exit", "mail_unknown", "http_status"} <= set(GIVEN)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", GIVEN)
def test_every_code_has_words(code: str, language: str) -> None:
    known = {**reasons.REASONS, **{name: text for handler in handlers.installed().values()
                                   for name, text in handler.REASONS.items()}}
    values = dict.fromkeys(re.findall(r"%\((\w+)\)", known[code]), "VALUE")
    with speaking(language):
        said = reasons.words({**values, "code": code})
    assert said not in ("", code)
    assert said.count("VALUE") >= len(values)
    assert bool(re.search("[\u4e00-\u9fff]", said)) == (language == "zh")


def test_no_value_is_named_code() -> None:
    """In the row the code itself has that name; a value of that name would be lost."""
    known = [*reasons.REASONS.values(), *(text for handler in handlers.installed().values()
                                          for text in handler.REASONS.values())]
    assert [text for text in known if "%(code)" in text] == []


def test_what_nobody_knows_is_shown_as_it_is() -> None:
    assert reasons.words(None) == ""
    assert reasons.words({}) == ""
    assert reasons.words({"code": "of_a_handler_that_is_gone", "n": 1}) == "of_a_handler_that_is_gone"


@pytest.mark.parametrize("reason", [{"code": "timeout"}, {"code": "timeout", "second": 1}, {"code": ["x"]}, {"x": 1}])
def test_a_row_that_lacks_values_still_has_a_text(reason: dict[str, object]) -> None:
    assert isinstance(reasons.words(reason), str)
