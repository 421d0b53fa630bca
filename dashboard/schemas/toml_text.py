"""TOML typed by a person: what is wrong with it is told by line and column, in the language in force. Lines and
columns count characters from 1."""

import re
import tomllib
from datetime import date, datetime, time
from typing import Any

from dashboard.fields import MOST_LEVELS
from dashboard.i18n import N_, gettext

# The texts of Python's decoder, by their beginning.
_SYNTAX = {
    "Invalid statement": N_("Line %(line)s, column %(column)s: a line begins with a name, a table such as [[tasks]], "
                            "or a comment (#)."),
    "Invalid initial character for a key": N_("Line %(line)s, column %(column)s: a name is expected. A name with "
                                              "other characters than A-Z a-z 0-9 _ - stands in quotes."),
    "Expected '='": N_("Line %(line)s, column %(column)s: an equals sign is expected between name and value."),
    "Expected newline": N_("Line %(line)s, column %(column)s: the value ends before this; nothing more is expected "
                           "on the line. A text stands in quotes."),
    "Expected ']": N_("Line %(line)s, column %(column)s: a closing bracket is expected after the name of a table."),
    "Expected '": N_("Line %(line)s, column %(column)s: the text before this has no closing quote."),
    'Expected "\'': N_("Line %(line)s, column %(column)s: the text before this has no closing quote."),
    "Unterminated string": N_("Line %(line)s, column %(column)s: the text before this has no closing quote."),
    "Unclosed array": N_("Line %(line)s, column %(column)s: a comma or the closing bracket of a list is expected."),
    "Unclosed inline table": N_("Line %(line)s, column %(column)s: a comma or the closing brace is expected."),
    "Invalid value": N_("Line %(line)s, column %(column)s: a value is expected: a text in quotes, a number, true, "
                        "false, a date, a list or a table in braces. Single texts stand in quotes, too."),
    "Invalid date or datetime": N_("Line %(line)s, column %(column)s: this date or time does not exist in the "
                                   "calendar or on the clock."),
    "Unescaped '\\'": N_("Line %(line)s, column %(column)s: this backslash begins nothing that TOML knows. Write the "
                         "text in single quotes, or each backslash twice."),
    "Invalid hex value": N_("Line %(line)s, column %(column)s: this backslash begins nothing that TOML knows. Write "
                            "the text in single quotes, or each backslash twice."),
    "Escaped character is not": N_("Line %(line)s, column %(column)s: there is no character of this number."),
    "Illegal character": N_("Line %(line)s, column %(column)s: a line break, tab or other control character may not "
                            "stand in a text; write \\n or \\t in double quotes."),
    "Found invalid character": N_("Line %(line)s, column %(column)s: a control character may not stand here."),
    "Cannot": N_("Line %(line)s, column %(column)s: this name has a value or a table already. Each task begins with "
                 "[[tasks]]."),
    "Duplicate inline table key": N_("Line %(line)s, column %(column)s: the same name stands twice in these braces."),
}
_OTHER = N_("Line %(line)s, column %(column)s: this is not TOML: %(words)s.")
_PATH = N_("Line %(line)s, column %(column)s: in double quotes TOML gives a backslash a meaning of its own. Write the "
           "path in single quotes: '%(path)s'")
_COMMAND = N_("Line %(line)s, column %(column)s: in double quotes TOML gives a backslash a meaning of its own. Write "
              "the text in single quotes, or each backslash twice.")
_DEEP = N_("Values are nested more than %(levels)s levels deep.")
_LARGE = N_("A number has too many digits.")

_PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_TOKEN = re.compile(r"""\#[^\n]*|'''.*?'''|'[^'\n]*'|\"{3}(?:[^\\]|\\.)*?\"{3}|"(?P<text>(?:[^"\\\n]|\\[^\n])*)"?""",
                    re.DOTALL)
_DRIVE = re.compile(r"(?<![^\W_])[A-Za-z]:\\(?!\\)")
_COMMAND_LINE = re.compile(r"""\s*["']?command["']?\s*=""")


class TomlFault(ValueError):
    """A text is not the TOML that is wanted. ``str()`` is for people and names ``line`` and ``column``; where the
    place is not known, both are None."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None, **values: object) -> None:
        self.line, self.column = line, column
        super().__init__(gettext(message, line=line, column=column, **values))


def decode(text: str, levels: int = MOST_LEVELS) -> dict[str, Any]:
    """The document, as JSON would hold it: dates and times are texts (``2026-12-31 08:00:00``, with milliseconds and
    offset if they are given; ``2026-12-31``; ``08:00:00``). At most ``levels`` deep. A Windows path whose backslashes
    TOML would read as something else is refused. Raises TomlFault."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    _refuse_paths(text)
    try:
        return {name: _plain(value, levels - 1, levels) for name, value in tomllib.loads(text).items()}
    except tomllib.TOMLDecodeError as error:
        raise _syntax(str(error), text) from None
    except RecursionError:
        raise TomlFault(_DEEP, levels=levels) from None
    except ValueError as error:
        if isinstance(error, TomlFault):
            raise
        raise TomlFault(_LARGE) from None  # thousands of digits: Python's own limit


def _syntax(words: str, text: str) -> TomlFault:
    place = _PLACE.search(words)
    told = words[: place.start()] if place else words
    line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    if place and place["line"]:
        line, column = int(place["line"]), int(place["column"])
    for beginning, message in _SYNTAX.items():
        if told.startswith(beginning):
            return TomlFault(message, line, column)
    return TomlFault(_OTHER, line, column, words=told)


def _refuse_paths(text: str) -> None:
    r"""TOML reads ``"C:\temp"`` without complaint, with a tab in it."""
    for token in _TOKEN.finditer(text):
        raw = token["text"]
        found = _DRIVE.search(raw) if raw else None
        if raw is None or found is None:
            continue
        start = text.rfind("\n", 0, token.start()) + 1
        line = text.count("\n", 0, token.start()) + 1
        if found.start() == 0:
            path = raw.split('"')[0].removesuffix("\\") if '"' in raw else raw
            if "'" not in path:
                raise TomlFault(_PATH, line, token.start() - start + 1, path=path)
        if found.start() == 0 or _COMMAND_LINE.match(text[start : token.start()]):
            raise TomlFault(_COMMAND, line, token.start() - start + found.start() + 2)


def _plain(value: Any, left: int, levels: int) -> Any:
    if isinstance(value, dict | list) and left <= 0:
        raise TomlFault(_DEEP, levels=levels)
    if isinstance(value, dict):
        return {name: _plain(item, left - 1, levels) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, left - 1, levels) for item in value]
    if isinstance(value, datetime):
        return value.isoformat(" ", "milliseconds" if value.microsecond else "seconds")
    return value.isoformat() if isinstance(value, date | time) else value
