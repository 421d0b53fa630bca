"""What the commands print with: tables for people, JSON for programs, questions. rich is imported where a table is
drawn: it takes its time."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from dashboard.cli.safe_text import safe, safe_json
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
    """Asks until the answer is clear; an empty one is no. Raises click.Abort at the end of input."""
    yes, no = (gettext("yes"), "y", "yes"), (gettext("no"), "n", "no", "")
    while True:
        click.echo(safe(f"{question} [{gettext('yes')}/{gettext('no')}] "), nl=False)
        line = sys.stdin.readline()
        if not line:
            raise click.Abort
        answer = line.strip().lower()
        if answer in yes:
            return True
        if answer in no:
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
