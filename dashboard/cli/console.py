"""What the commands print with: tables for people, JSON for programs, questions. rich is imported where a table is
drawn: it takes its time."""

import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from dashboard.cli.safe_text import safe, safe_json
from dashboard.errors import DingshiError
from dashboard.i18n import gettext


def say(text: str = "", *, error: bool = False) -> None:
    """One text, made safe."""
    click.echo(safe(text), err=error)


def as_json(value: Any, indent: int | None) -> str:
    """JSON that any terminal shows as it is; Chinese stays readable."""
    return safe_json(json.dumps(value, ensure_ascii=False, indent=indent))


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """One JSON value on standard output; ``indent`` None: on one line. ASCII where the code page is not UTF-8."""
    text = as_json(value, indent) if is_utf8() else json.dumps(value, indent=indent)
    click.echo(text)


def print_fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values, one a line."""
    found = list(pairs)
    width = max((cells(name) for name, _ in found), default=0)
    for name, value in found:
        first, *rest = safe(value).split("\n")
        click.echo(f"{name}{' ' * (width - cells(name))}  {first}".rstrip())
        for line in rest:
            click.echo(f"{' ' * (width + 2)}{line}".rstrip())


def when(instant: datetime | None, zone: ZoneInfo, *, exact: bool = False) -> str:
    """In the configured zone; '-' for never."""
    if instant is None:
        return "-"
    local = instant.astimezone(zone)
    text = local.strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{local.microsecond // 1000:03d}" if exact else text


def pretty(value: Any) -> str:
    """JSON for reading."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def confirmed(question: str) -> bool:
    """Asks until the answer is clear; an empty one is no. Raises DingshiError if nobody is there to answer."""
    yes, no = (gettext("yes"), "y", "yes"), (gettext("no"), "n", "no", "")
    while True:
        click.echo(safe(f"{question} [{gettext('yes')}/{gettext('no')}] "), nl=False)
        line = _line()
        if not line:
            click.echo()
            raise DingshiError(gettext("Nobody answered, so nothing was done. Where nobody can answer, use --yes."))
        answer = line.strip().lower()
        if answer in yes:
            return True
        if answer in no:
            return False


def _line() -> str:
    """What somebody types; '' where nobody can: a service, a closed input, its end."""
    try:
        return sys.stdin.readline() if sys.stdin is not None else ""
    except (OSError, ValueError):
        return ""


def output_lost(error: OSError) -> bool:
    """Whether ``error`` came of writing to standard output (its disk is full). From then on it goes nowhere, so that
    the end of the program does not try again."""
    if not (_was_writing(error) or _is_stuck()):
        return False
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return True


def _was_writing(error: OSError) -> bool:
    """By the place: an unbuffered output forgets what it could not write."""
    frames = [frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return error.filename is None and frames[-1] in ("click.utils", "rich.console", __name__)


def _is_stuck() -> bool:
    try:
        flush()
    except (OSError, ValueError):
        return True
    return False


def flush() -> None:
    """What was said is seen now. There may be nobody to see it (pythonw)."""
    if sys.stdout is not None:
        sys.stdout.flush()


@contextmanager
def working(text: str) -> Iterator[None]:
    """Shows on a terminal that something takes its time."""
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(f"{text} …"), spinner="line"):
        yield


def cells(text: str) -> int:
    """How many columns of a terminal a text takes: two for a Chinese character."""
    from rich.cells import cell_len

    return cell_len(text)


def is_utf8() -> bool:
    """Whether standard output takes every character."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
