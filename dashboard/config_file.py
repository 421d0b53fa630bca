"""Reads ``dingshi.toml`` so that whatever is wrong in it can be shown with its line."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashboard.i18n import gettext
from dashboard.toml_words import TOKEN, slip

PATHS = ("data_dir", "database", "snapshot", "log_file", "handler_dir")
_QUOTED_PATH = re.compile(rf"""\s*["']?(?P<key>{"|".join(PATHS)})["']?\s*=\s*"(?!"")(?P<raw>.*\\.*)"\s*(\#.*)?$""")
_UNENDED_PATH = re.compile(rf"""\s*["']?(?P<key>{"|".join(PATHS)})["']?\s*=\s*"(?!"")(?P<raw>[^"]*\\[^"]*)$""")
_LANGUAGE = re.compile(r"""\s*["']?language["']?\s*=\s*["'](?P<code>[^"']*)["']""")
_TABLE = re.compile(r"\s*\[\[?\s*(?P<name>[^\]]+?)\s*\]")
_ASSIGNED = re.compile(r"""\s*(?P<name>[\w."'-]+)\s*=""")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: ``key`` is the setting (dotted within a table), empty where the file as a whole is.
    Lines and columns count from 1."""

    key: str
    text: str
    line: int | None = None
    column: int | None = None


@dataclass
class Content:
    """What a settings file holds; ``data`` lacks what ``faults`` tell."""

    data: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)


def read(path: Path) -> Content:
    """The file, UTF-8 with or without BOM. Never raises: a file that cannot be read is a fault."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        words = error.strerror or str(error)
        return Content(faults=[Fault("", gettext("The settings file cannot be read: %(words)s.", words=words))])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return Content(faults=[Fault("", gettext("This is not UTF-8. Save the file in the encoding UTF-8."), line)])
    return parse(text)


def parse(text: str) -> Content:
    """The content of a settings file's text."""
    text = text.replace("\r\n", "\n")
    content = Content(faults=_backslash_paths(text), lines=_places(text))
    refused = {fault.line for fault in content.faults}
    # Without the refused lines, which may break those after them, the rest can be checked too.
    rest = "".join("\n" if number in refused else line
                   for number, line in enumerate(re.split(r"(?<=\n)", text), 1))
    try:
        content.data = tomllib.loads(rest)
    except ValueError as error:
        wrong = slip(error, rest)
        content.faults.append(Fault("", gettext("This is not TOML: %(words)s", words=wrong.words), wrong.line,
                                    wrong.column))
    except RecursionError:
        content.faults.append(Fault("", gettext("The values are nested too deeply.")))
    return content


def language(path: Path) -> str | None:
    """The language that a file asks for, even where the rest of it cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8-sig", "replace")
    except OSError:
        return None
    for line in text.splitlines():
        if _TABLE.match(line):
            break
        if found := _LANGUAGE.match(line):
            return found["code"]
    return None


def _backslash_paths(text: str) -> list[Fault]:
    """TOML reads ``\\U``, ``\\n``, ``\\t`` in double quotes as something else than a path means."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if _TABLE.match(line):
            break
        match = _QUOTED_PATH.match(line) or _UNENDED_PATH.match(line)
        if match:
            written = re.sub(r"\s*#.*$", "", match["raw"]) if match.re is _UNENDED_PATH else match["raw"]
            paired = not written.replace("\\\\", "").count("\\")
            path = written.replace("\\\\", "\\") if paired else written
            found.append(Fault(match["key"], gettext(
                "In double quotes TOML gives a backslash a meaning of its own. Write the path in single quotes: "
                "%(key)s = '%(path)s'", key=match["key"], path=path), number))
    return found


def _places(text: str) -> dict[str, int]:
    """The line of each key, dotted within a table, and of the tables around it; good enough for messages."""
    places: dict[str, int] = {}
    table = ""
    for number, line in enumerate(TOKEN.sub(_one_line, text).split("\n"), 1):
        if header := _TABLE.match(line):
            name = _plain(header["name"])
            table = name + "."
        elif assigned := _ASSIGNED.match(line):
            name = table + _plain(assigned["name"])
        else:
            continue
        parts = name.split(".")
        for count in range(len(parts), 0, -1):
            places.setdefault(".".join(parts[:count]), number)
    return places


def _one_line(token: re.Match[str]) -> str:
    """A text of several lines holds no keys."""
    return "\n" * token[0].count("\n") if "\n" in token[0] else token[0]


def _plain(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))
