"""Tables that lose nothing: as wide as the terminal; where even the longest words do not fit, one block a row."""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence

import click

from dashboard.cli.console import cells, is_utf8, print_fields, say
from dashboard.cli.safe_text import safe

GAP = 3


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Cells may hold several words, which wrap. Into a file or a pipe each row is one line."""
    found = [[safe(cell, line=True) for cell in row] for row in rows]
    widths = fit(columns, found, _room())
    if widths is None:
        for row in found:
            print_fields(zip(columns, row, strict=True))
            say()
    else:
        _draw(columns, found, widths)


def fit(columns: Sequence[str], rows: Sequence[Sequence[str]], room: int | None) -> list[int] | None:
    """The width of each column, so that no word is broken; None if that takes more than ``room`` (None: endless)."""
    stacked = list(zip(columns, *rows, strict=True))
    least = [max(cells(word) for cell in column for word in cell.split() or [""]) for column in stacked]
    widths = [max(cells(cell) for cell in column) for column in stacked]
    if room is None:
        return widths
    room -= GAP * (len(columns) - 1)
    if sum(least) > room:
        return None
    while sum(widths) > room:
        slack = [(width, place) for place, width in enumerate(widths) if width > least[place]]
        widths[max(slack)[1]] -= 1
    return widths


def _room() -> int | None:
    if (sys.stdout is not None and sys.stdout.isatty()) or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None


def _draw(columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> None:
    from rich.box import ASCII2, SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD if is_utf8() else ASCII2, show_edge=False, pad_edge=False, padding=(0, 1))
    for column, width in zip(columns, widths, strict=True):
        table.add_column(Text(column), width=width, header_style="bold", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # never markup: [x] is a task's text
    console = Console(highlight=False, width=sum(widths) + GAP * len(widths))
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())
