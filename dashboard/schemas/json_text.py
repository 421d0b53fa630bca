"""JSON typed by a person: what is wrong with it is told by line and column, in the language in force, and the JSON
it would be is shown where that can be guessed. Lines and columns count characters from 1."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from marshmallow import ValidationError

from dashboard.fields import MOST_LEVELS
from dashboard.i18n import N_, gettext
from dashboard.schemas.json_size import PARAMS_BYTES
from dashboard.schemas.loose_json import read_loosely
from dashboard.toml_words import FULL_WIDTH

MOST_DIGITS = 300
MOST_SHOWN = 2000

# The texts of Python's decoder, by their beginning.
_SYNTAX = {
    "Expecting property name": N_("Line %(line)s, column %(column)s: a name in double quotes is expected."),
    "Expecting ':'": N_("Line %(line)s, column %(column)s: a colon is expected between name and value."),
    "Expecting ','": N_("Line %(line)s, column %(column)s: a comma or the closing bracket is expected."),
    "Unterminated string": N_("Line %(line)s, column %(column)s: the text that begins here has no closing double "
                              "quote."),
    "Invalid control": N_("Line %(line)s, column %(column)s: a line break, tab or other control character may not "
                          "stand in a text; write \\n or \\t."),
    "Invalid \\": N_("Line %(line)s, column %(column)s: this backslash begins nothing that JSON knows; a backslash "
                     "itself is written \\\\."),
    "Extra data": N_("Line %(line)s, column %(column)s: the JSON ends before this; nothing more is expected."),
    "Illegal trailing comma": N_("Line %(line)s, column %(column)s: a comma before a closing bracket is one too "
                                 "many."),
}
_VALUE = N_("Line %(line)s, column %(column)s: a value is expected: a text in double quotes, a number, true, false, "
            "null, a list or an object.")
_SINGLE = N_("Line %(line)s, column %(column)s: texts and names stand in double quotes, not in single ones.")
_OBJECT = N_("Line %(line)s, column %(column)s: an object is expected: names and values in braces, such as "
             "{\"name\": \"value\"}.")
_TWICE = N_("Line %(line)s, column %(column)s: the name %(name)s stands twice in the same object.")
_DEEP = N_("Line %(line)s, column %(column)s: values are nested more than %(levels)s levels deep.")
_NO_NUMBER = N_("Line %(line)s, column %(column)s: %(number)s is no JSON number; NaN and infinity do not exist "
                "there.")
_LARGE = N_("Line %(line)s, column %(column)s: this number is too large.")
_CHINESE = N_("Line %(line)s, column %(column)s: %(found)s is Chinese punctuation; JSON takes only %(wanted)s.")

# What reads well-formed JSON as the decoder does, word by word.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"(?P<key>[ \t\n\r]*:)?|[{}\[\]]|NaN|-?Infinity|'
                    r"(?P<number>-?(?:0|[1-9][0-9]*)(?P<fraction>(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?))", re.DOTALL)
_BLANK = re.compile(r"[ \t\n\r]*")


class JsonFault(ValueError):
    """A text is not the JSON that is wanted. ``str()`` is for people and names ``line`` and ``column``."""

    def __init__(self, message: str, text: str, position: int, **values: object) -> None:
        self.line = text.count("\n", 0, position) + 1
        self.column = position - text.rfind("\n", 0, position)
        super().__init__(gettext(message, line=self.line, column=self.column, **values))


class _Refused(Exception):
    """Well-formed, but not to be taken; where, ``_refusals`` finds."""


def parse_object(text: str) -> dict[str, Any]:
    """The object that ``text`` is. Raises marshmallow's ValidationError; its messages name line and column, say what
    is expected there, and show the JSON it would be if ``suggest`` knows."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > PARAMS_BYTES:
        raise ValidationError(gettext("The JSON is %(size)s bytes long; at most %(most)s are allowed.", size=size,
                                      most=PARAMS_BYTES))
    try:
        return _object(text)
    except JsonFault as fault:
        meant = suggest(text)
        told = [str(fault)]
        if meant is not None and len(meant) <= MOST_SHOWN:
            told.append(gettext("This is not JSON; it would be %(json)s", json=meant))
        raise ValidationError(told) from None


def suggest(text: str) -> str | None:
    """The JSON object that somebody meant by ``{to="xxx"}``, a Python dict, bare names, Chinese punctuation, commas
    forgotten or left before a bracket; a text that ``parse_object`` takes. None if ``text`` is such an object
    already, or nobody can tell."""
    if len(text) > PARAMS_BYTES:
        return None
    try:
        _object(text)
    except JsonFault:
        pass
    else:
        return None
    found = read_loosely(text, MOST_LEVELS)
    if found is None:
        return None
    meant = json.dumps(found, ensure_ascii=False)
    try:
        _object(meant)
        size = len(meant.encode("utf-8"))
    except (JsonFault, UnicodeEncodeError):  # the latter: half a character, which nobody means
        return None
    return meant if size <= PARAMS_BYTES else None


def decode(text: str, levels: int = MOST_LEVELS) -> Any:
    """Any JSON value. Strict: no name twice in an object, no NaN, no infinity (``1e999`` included), whole numbers of
    at most 300 digits, at most ``levels`` brackets open at once. Raises JsonFault."""
    return _decode(text.removeprefix("\ufeff"), levels)


def _decode(text: str, levels: int) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=_pairs, parse_constant=_refuse, parse_int=_integer,
                           parse_float=_number)
    except json.JSONDecodeError as error:
        raise _syntax(error, text) from None
    except (_Refused, RecursionError):
        raise next(_refusals(text, levels)) from None
    if _is_deeper(value, levels):
        raise next(_refusals(text, levels))
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    """Without recursion: the depth of a document is in other people's hands."""
    level = [value]
    for _ in range(levels + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return False
        level = [item for held in level for item in (held.values() if isinstance(held, dict) else held)]
    return True


def _object(text: str) -> dict[str, Any]:
    text = text.removeprefix("\ufeff")
    start = len(text) - len(text.lstrip(" \t\r\n"))
    if not text.strip():
        raise JsonFault(_OBJECT, text, start)
    value = _decode(text, MOST_LEVELS)
    if not isinstance(value, dict):
        raise JsonFault(_OBJECT, text, start)
    return value


def _syntax(error: json.JSONDecodeError, text: str) -> JsonFault:
    at = _BLANK.match(text, error.pos).end() if error.pos < len(text) else len(text)  # type: ignore[union-attr]
    before = text[:at].rstrip(" \t\r\n")
    # Python 3.13 names this fault itself, at the comma; older ones name what they miss, at the bracket.
    if text[at : at + 1] in ("]", "}") and before.endswith(",") and error.msg.startswith("Expecting"):
        return JsonFault(_SYNTAX["Illegal trailing comma"], text, len(before) - 1)
    found = text[at : at + 1]
    if error.msg.startswith("Expecting"):
        if found in FULL_WIDTH:
            return JsonFault(_CHINESE, text, at, found=found, wanted=FULL_WIDTH[found])
        if found == "'":
            return JsonFault(_SINGLE, text, at)
    for beginning, message in _SYNTAX.items():
        if error.msg.startswith(beginning):
            place = at if beginning.startswith("Expecting") else error.pos
            return JsonFault(message, text, place)
    return JsonFault(_VALUE, text, at)


def _refuse(_word: str) -> NoReturn:
    raise _Refused


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused
    return found


def _integer(digits: str) -> int:
    if _is_long(digits):
        raise _Refused
    return int(digits)


def _is_long(digits: str) -> bool:
    return len(digits.removeprefix("-")) > MOST_DIGITS


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _Refused
    return value


def _refusals(text: str, levels: int) -> Iterator[JsonFault]:
    """What ``decode`` refuses in well-formed JSON, in the order of the text."""
    inside: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        word, at = token[0], token.start()
        if word in "{[":
            inside.append(set())
            if len(inside) > levels:
                yield JsonFault(_DEEP, text, at, levels=levels)
        elif word in "}]":
            inside.pop()
        elif token["key"] is not None:
            name = json.loads(word[: -len(token["key"])])
            if name in inside[-1]:
                yield JsonFault(_TWICE, text, at, name=json.dumps(name, ensure_ascii=False))
            inside[-1].add(name)
        elif word.endswith(("NaN", "Infinity")):
            yield JsonFault(_NO_NUMBER, text, at, number=word)
        elif token["number"] and (not math.isfinite(float(word)) if token["fraction"] else _is_long(word)):
            yield JsonFault(_LARGE, text, at)
