"""How people give a trigger, params and options on a command line."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from marshmallow import ValidationError

from dashboard.errors import Invalid, flatten
from dashboard.i18n import gettext
from dashboard.schemas.json_size import PARAMS_BYTES
from dashboard.schemas.json_text import parse_object

UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_SPAN = re.compile(r"(?:\d{1,9}[wdhms]\s*)+", re.ASCII)
OPTIONS = ("retries", "retry_delay_seconds", "timeout_seconds", "overlap", "missed")


def trigger_options() -> list[click.Parameter]:
    """``--at --every --cron --idle --trigger``: at most one of them."""
    return [
        click.Option(["--at"], metavar="TIME", help=gettext('Once: "2026-12-31 08:00".')),
        click.Option(["--every"], metavar="SPAN", help=gettext("Again and again: 30s, 5m, 2h30m, 1d, 1w.")),
        click.Option(["--cron"], metavar="EXPR", help=gettext('At times: 08:00, or five fields "0 8 * * 1-5".')),
        click.Option(["--idle"], metavar="SPAN", help=gettext("When the machine has been idle that long: 60, 5m.")),
        click.Option(["--trigger"], metavar="JSON", help=gettext("Any trigger as a JSON object.")),
    ]


def task_options() -> list[click.Parameter]:
    """Params and options."""
    return [
        click.Option(["--param"], multiple=True, metavar="NAME=VALUE", help=gettext(
            "One param; several times for several. VALUE is a text; a list or an object is read as JSON.")),
        click.Option(["--params"], metavar="JSON", help=gettext(
            "All params as a JSON object, or @FILE: as the content of that file (UTF-8).")),
        click.Option(["--params-file"], metavar="FILE", help=gettext("The same as --params @FILE.")),
        click.Option(["--retries"], metavar="N", help=gettext(
            "How often a failure is tried again. Here and below, default takes back what was set.")),
        click.Option(["--retry-delay-seconds"], metavar="N", help=gettext("How long before it is.")),
        click.Option(["--timeout-seconds"], metavar="N", help=gettext("How long a run may take.")),
        click.Option(["--overlap"], metavar="skip|queue|allow", help=gettext("What to do while it still runs.")),
        click.Option(["--missed"], metavar="run_once|skip", help=gettext("What to do about a missed run.")),
    ]


def trigger_from(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The trigger that was given; None if none was. Raises Invalid, UsageError."""
    chosen = {name: given[name] for name in ("at", "every", "cron", "idle", "trigger") if given.get(name) is not None}
    if len(chosen) > 1:
        raise click.UsageError(gettext("Only one of these may be given: %(names)s.",
                                       names=", ".join(f"--{name}" for name in chosen)))
    for name, text in chosen.items():
        return _trigger(name, text)
    return None


def params_from(given: Mapping[str, Any], present: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """The params that were given; None if none were. Single ones replace their namesakes among ``--params``, else
    among ``present``. Raises Invalid with line and column, UsageError."""
    text: str | None = given.get("params")
    name: str | None = given.get("params_file")
    single = given.get("param") or ()
    if text is not None and name is not None:
        raise click.UsageError(gettext("Only one of these may be given: %(names)s.",
                                       names="--params, --params-file"))
    if text is not None and text.startswith("@"):
        name, text = text[1:], None
    if name is not None:
        text = _content(Path(name))
    if text is None and not single:
        return None
    found = dict(present or {}) if text is None else _object("params", text)
    return {**found, **dict(_pair(pair) for pair in single)}


def options_from(given: Mapping[str, Any]) -> dict[str, Any]:
    """Only those that were given; ``default`` takes one back to its default."""
    chosen = {name: given[name] for name in OPTIONS if given.get(name) is not None}
    return {name: None if value == "default" else value for name, value in chosen.items()}


def span_seconds(text: str) -> int | None:
    """``2h30m`` in seconds; None if it is no span."""
    return sum(number * SECONDS[unit] for number, unit in _parts(text)) if _SPAN.fullmatch(text.strip()) else None


def _trigger(name: str, text: str) -> dict[str, Any]:
    if name == "at":
        return {"type": "date", "run_date": text}
    if name == "cron":
        return {"type": "cron", "expression": text}
    if name == "idle":
        seconds = span_seconds(text)
        return {"type": "idle", "idle_duration": text if seconds is None else seconds}
    if name == "every":
        return {"type": "interval", **_interval(text)}
    return _object("trigger", text)


def _interval(text: str) -> dict[str, int]:
    if not _SPAN.fullmatch(text.strip()):
        raise Invalid({"--every": [gettext(
            "%(text)s is no span. Numbers with w, d, h, m or s are: 30s, 5m, 2h30m, 1d, 1w.", text=text[:60])]})
    fields: dict[str, int] = {}
    for number, unit in _parts(text):
        fields[UNITS[unit]] = fields.get(UNITS[unit], 0) + number
    return fields


def _parts(text: str) -> list[tuple[int, str]]:
    return [(int(number), unit) for number, unit in re.findall(r"(\d+)([wdhms])", text, re.ASCII)]


def _pair(text: str) -> tuple[str, Any]:
    if text.lstrip().startswith("{"):
        raise Invalid({"--param": [_as_params(text)]})
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise Invalid({"--param": [gettext("%(text)s is not NAME=VALUE.", text=text[:60])]})
    if value.lstrip().startswith(("[", "{")):
        try:
            return name.strip(), parse_object('{"value":' + value + "}")["value"]
        except ValidationError:
            return name.strip(), value
    return name.strip(), value


def _as_params(text: str) -> str:
    """What to give instead of a whole object; with the JSON if that is JSON already, or TOML ({to = "a"})."""
    try:
        found = parse_object(text)
    except ValidationError:
        try:
            found = tomllib.loads(f"params = {text}")["params"]
            text = json.dumps(found, ensure_ascii=False)
        except (ValueError, TypeError, RecursionError):  # a date of TOML is no JSON
            return gettext("One NAME=VALUE is expected; a whole object is for --params, as JSON.")
    return gettext("One NAME=VALUE is expected; a whole object is for --params: %(json)s", json=text)


def _object(field: str, text: str) -> dict[str, Any]:
    try:
        return parse_object(text)
    except ValidationError as error:
        errors = flatten(error.messages, field)
        if field == "params":
            errors[field].append(gettext("Shells change quotes: --param NAME=VALUE or --params @FILE is easier."))
        raise Invalid(errors) from error


def _content(path: Path) -> str:
    try:
        if path.stat().st_size > 4 * PARAMS_BYTES:
            words = gettext("it is too large")
        else:
            return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        words = gettext("it is not UTF-8 text")
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
    raise Invalid({"--params": [gettext("The file %(path)s cannot be read: %(words)s.", path=path, words=words)]})
