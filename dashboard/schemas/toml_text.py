"""TOML typed by a person: what is wrong with it is told by line and column, in the language in force."""

import math
import re
import tomllib
from datetime import date, datetime, time
from typing import Any

from dashboard.fields import MOST_LEVELS
from dashboard.i18n import gettext
from dashboard.toml_words import LONG, TOKEN, WINDOWS_PATH, place_at, place_of, slip

_COMMAND_LINE = re.compile(r"""\s*["']?command["']?\s*=""")


class TomlFault(ValueError):
    """A text is not the TOML that is wanted. ``str()`` is for people and names ``line`` and ``column``; where the
    place is not known, both are None."""

    def __init__(self, words: str, line: int | None = None, column: int | None = None) -> None:
        self.line, self.column = line, column
        super().__init__(words if line is None else gettext(
            "Line %(line)s, column %(column)s: %(words)s", line=line, column=column, words=words))


class _Long(ValueError):
    """A whole number of more digits than is sensible. (Of thousands Python itself says ValueError.)"""


def decode(text: str, levels: int = MOST_LEVELS) -> dict[str, Any]:
    """The document, as JSON would hold it: dates and times are texts (``2026-12-31 08:00:00``, with milliseconds and
    offset if they are given; ``2026-12-31``; ``08:00:00``). At most ``levels`` deep. A Windows path whose backslashes
    TOML would read as something else is refused. Raises TomlFault."""
    text = text.removeprefix("\ufeff")
    plain = text.replace("\r\n", "\n")  # as TOML reads it; columns do not change
    _refuse_paths(plain)
    infinite: list[str] = []

    def number(word: str) -> float:
        value = float(word)
        if not math.isfinite(value):
            infinite.append(word)
        return value

    try:
        found = tomllib.loads(text, parse_float=number)
        document = {name: _plain(value, levels - 1, levels) for name, value in found.items()}
    except TomlFault:
        raise
    except ValueError as error:
        wrong = slip(error, plain)
        words = wrong.words + (" " + gettext("Each task begins with [[tasks]].") if wrong.is_name else "")
        raise TomlFault(words, wrong.line, wrong.column) from None
    except RecursionError:
        raise _deep(levels) from None
    if infinite:
        place = place_of(lambda token: token["word"] == infinite[0], plain)
        raise TomlFault(gettext("%(number)s is no number that a task can keep; NaN and infinity are none.",
                                number=infinite[0]), *place)
    return document


def _deep(levels: int) -> TomlFault:
    return TomlFault(gettext("Values are nested more than %(levels)s levels deep.", levels=levels))


def _refuse_paths(text: str) -> None:
    r"""TOML reads ``"C:\temp"`` without complaint, with a tab in it."""
    for token in TOKEN.finditer(text):
        raw = token["text"]
        found = WINDOWS_PATH.search(raw) if raw else None
        if raw is None or found is None:
            continue
        line, column = place_at(text, token.start())
        if found.start() == 0:
            path = raw.split('"')[0].removesuffix("\\") if '"' in raw else raw
            if "'" not in path:
                raise TomlFault(gettext("in double quotes TOML gives a backslash a meaning of its own. Write the "
                                        "path in single quotes: '%(path)s'", path=path), line, column)
        if found.start() == 0 or _COMMAND_LINE.match(text[token.start() - column + 1 : token.start()]):
            raise TomlFault(gettext("in double quotes TOML gives a backslash a meaning of its own. Write the text in "
                                    "single quotes, or each backslash twice."), line, column + found.start() + 1)


def _plain(value: Any, left: int, levels: int) -> Any:
    if isinstance(value, dict | list) and left <= 0:
        raise _deep(levels)
    if isinstance(value, dict):
        return {name: _plain(item, left - 1, levels) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, left - 1, levels) for item in value]
    if isinstance(value, datetime):
        return value.isoformat(" ", "milliseconds" if value.microsecond else "seconds")
    if isinstance(value, int) and abs(value) >= LONG:
        raise _Long
    return value.isoformat() if isinstance(value, date | time) else value
