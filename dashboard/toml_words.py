"""What is wrong with a text that is no TOML, in the language in force, and where. Lines and columns count characters
from 1; the text's line ends are plain ``\\n``."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dashboard.i18n import N_, gettext

FULL_WIDTH: Mapping[str, str] = {"｛": "{", "｝": "}", "【": "[", "】": "]", "：": ":", "，": ",", "、": ",",
                                 "＝": "=", **dict.fromkeys("“”‘’＂", '"')}
"""Chinese punctuation, and what is typed for it in JSON and TOML."""
WINDOWS_PATH = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]:\\(?!\\|u[0-9A-Fa-f]{4})|^\\\\[\w.-]+\\(?!\\)")
"""One with each backslash typed once: ``C:\\temp``, ``\\\\server\\tools``."""
TOKEN = re.compile(r"""\#[^\n]*|'{3}.*?'{3}|'(?!'')[^'\n]*'|"{3}(?:[^\\]|\\.)*?"{3}|(?P<open>'{3}|"{3}|')"""
                   r"""|"(?P<text>(?:[^"\\\n]|\\[^\n])*)(?P<closed>"?)|(?P<word>[\w.+-]++(?!\s*[=.]))""",
                   re.DOTALL | re.ASCII)
"""Comments, texts (``text``: of one line in double quotes; ``open``: without an end), words that are no names."""
LONG = 10**300

_CONTROL = N_("a line break, tab or other control character may not stand in a text; write \\n or \\t in double "
              "quotes.")
_BACKSLASH = N_("this backslash begins nothing that TOML knows. Write the text in single quotes, or each backslash "
                "twice.")
# The texts of Python's decoder, by their beginning.
_SYNTAX = {
    "Invalid statement": N_("a line begins with a name, a table such as [[tasks]], or a comment (#)."),
    "Invalid initial character for a key": N_("a name is expected. A name with other characters than A-Z a-z 0-9 _ - "
                                              "stands in quotes."),
    "Expected '='": N_("an equals sign is expected between name and value."),
    "Expected newline": N_("the value ends before this; nothing more is expected on the line. A text stands in "
                           "quotes."),
    "Expected ']": N_("a closing bracket is expected after the name of a table."),
    "Unclosed array": N_("a comma or the closing bracket of a list is expected."),
    "Unclosed inline table": N_("a comma or the closing brace is expected."),
    "Invalid value": N_("a value is expected: a text in quotes, a number, true, false, a date, a list or a table in "
                        "braces. Single texts stand in quotes, too."),
    "Invalid date or datetime": N_("this date or time does not exist in the calendar or on the clock."),
    "Unescaped '\\'": _BACKSLASH,
    "Invalid hex value": _BACKSLASH,
    "Escaped character is not": N_("there is no character of this number."),
    "Illegal character": _CONTROL,
    "Found invalid character '\\n'": _CONTROL,  # in single quotes
    "Found invalid character": N_("a control character may not stand here."),
    "Cannot": N_("this name has a value or a table already."),
    "Duplicate inline table key": N_("the same name stands twice in these braces."),
}
_UNCLOSED = N_("the text that begins here has no closing quote.")
_CHINESE = N_("%(found)s is Chinese punctuation; TOML takes only %(wanted)s.")
_LARGE = N_("this number is too large.")
_PLACE = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")


@dataclass(frozen=True)
class Slip:
    """``words`` are a sentence that begins small. ``is_name``: a name is there already."""

    words: str
    line: int
    column: int
    is_name: bool = False


def slip(error: ValueError, text: str) -> Slip:
    """What ``tomllib`` means that raised ``error``; a plain ValueError is about thousands of digits."""
    if not isinstance(error, tomllib.TOMLDecodeError):
        return Slip(gettext(_LARGE), *place_of(lambda token: is_long(token["word"]), text))
    place = _PLACE.search(str(error))
    told = str(error)[: place.start()] if place else str(error)
    line, column = place_at(text, len(text))
    if place and place["line"]:
        line, column = int(place["line"]), int(place["column"])
    found = text.split("\n")[line - 1][column - 1 : column]
    if found in FULL_WIDTH and told.startswith(("Invalid", "Expected", "Unclosed")):
        return Slip(gettext(_CHINESE, found=found, wanted=FULL_WIDTH[found]), line, column)
    if told.startswith(("Unterminated string", "Expected \"'", "Expected '\"")):  # told where the document ends
        return Slip(gettext(_UNCLOSED), *place_of(lambda token: bool(token["open"] or token["closed"] == ""), text))
    for beginning, message in _SYNTAX.items():
        if told.startswith(beginning):
            return Slip(gettext(message), line, column, beginning == "Cannot")
    return Slip(gettext("this is not TOML: %(words)s.", words=told), line, column)


def is_long(word: str | None) -> bool:
    """Whether it is a whole number of more digits than is sensible."""
    try:
        return word is not None and abs(int(word, 0)) >= LONG
    except ValueError:
        return len(word or "") > 300 and (word or "").lstrip("+-").replace("_", "").isdecimal()


def place_of(is_meant: Callable[[re.Match[str]], bool], text: str) -> tuple[int, int]:
    """Line and column of the first word or text that is meant."""
    return place_at(text, next((token.start() for token in TOKEN.finditer(text) if is_meant(token)), 0))


def place_at(text: str, position: int) -> tuple[int, int]:
    """Line and column of a position."""
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
