"""``logs``: the execution log, and with ``--file`` scheduler.log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from click.core import ParameterSource
from marshmallow import ValidationError

from dashboard import instants
from dashboard.cli.console import pretty, print_fields, print_json, say, when
from dashboard.cli.door import Door
from dashboard.cli.follow import Follower
from dashboard.cli.log_rows import columns, duration, texts
from dashboard.cli.log_tail import LogTail
from dashboard.cli.naming import asking
from dashboard.cli.safe_text import safe
from dashboard.cli.tables import print_table
from dashboard.cli.task_options import span_seconds
from dashboard.cli.usage import Command, Whole
from dashboard.cli.words import cause_word, result_word
from dashboard.clock import iso
from dashboard.errors import DingshiError, Invalid
from dashboard.i18n import gettext
from dashboard.schemas.log import LogSchema
from dashboard.services.reasons import words

FOLLOW_SECONDS = 0.25
GOES_WITH = {"--file": ("--limit", "--follow"), "--id": ("--raw", "--json")}
TYPED = {"task_id": "--task", "task_type": "--type", "result": "--result", "started_after": "--since",
         "started_before": "--until", "search": "--search"}


def command() -> click.Command:
    """Newest last, as in a log file."""
    span = gettext("A time such as \"2026-12-31 08:00\", or a span that ends now: 30m, 2h, 1d.")
    return Command("logs", callback=click.pass_obj(logs), help=gettext(
        "What became of every due time, newest last. With --file: scheduler.log."), params=[
            click.Option(["--task"], default="", metavar="ID", help=gettext("Only this task.")),
            click.Option(["--type", "task_type"], default="", metavar="TYPE", help=gettext("Only this task type.")),
            click.Option(["--result"], default="", metavar="RESULT", help=gettext(
                "Only these results, several by comma.")),
            click.Option(["--since"], default="", metavar="TIME", help=gettext("Only after this time.") + " " + span),
            click.Option(["--until"], default="", metavar="TIME", help=gettext("Only before this time, likewise.")),
            click.Option(["--search"], default="", metavar="TEXT", help=gettext(
                "Text in task id, error or output.")),
            click.Option(["--limit"], type=Whole(1, 200), default=40, help=gettext("How many rows.")),
            click.Option(["--id", "log_id"], type=Whole(1, 2**62), metavar="N", help=gettext(
                "One run with all its output.")),
            click.Option(["--follow"], is_flag=True, help=gettext("Go on until Ctrl+C.")),
            click.Option(["--file"], is_flag=True, help=gettext("scheduler.log instead of the runs.")),
            click.Option(["--raw"], is_flag=True, help=gettext("Output as it is, control characters too.")),
            click.Option(["--json", "as_json"], is_flag=True, help=gettext("JSON for programs."))])


def logs(door: Door, *, log_id: int | None, follow: bool, file: bool, raw: bool, as_json: bool, limit: int,
         **given: str) -> None:
    """Raises Unanswerable, NotFound, UsageError. Ctrl+C is the proper end of following."""
    _refuse_mixed(click.get_current_context())
    try:
        if file:
            _file(door, limit, follow)
        elif log_id is not None:
            _one(door, log_id, raw, as_json)
        elif follow:
            with _asking(door, given):
                _follow(door, _query(given), limit, as_json)
        else:
            with _asking(door, given):
                _rows(door, _query(given), limit, as_json)
    except KeyboardInterrupt:
        if not follow:
            raise


def breathe() -> None:
    """Between two looks."""
    time.sleep(FOLLOW_SECONDS)


def _refuse_mixed(context: click.Context) -> None:
    """Options that would have been dropped without a word."""
    typed = [param.opts[0] for param in context.command.params
             if context.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE]
    for leader, fitting in GOES_WITH.items():
        others = [name for name in typed if name != leader and name not in fitting]
        if leader in typed and others:
            raise click.UsageError(gettext("%(name)s does not go together with %(others)s.", name=leader,
                                           others=", ".join(others)), context)
    if "--raw" in typed and "--id" not in typed:
        raise click.UsageError(gettext("%(name)s goes with %(others)s only.", name="--raw", others="--id"), context)


@contextmanager
def _asking(door: Door, given: dict[str, str]) -> Iterator[None]:
    """Faults under the options' names, and those of times with the other way to tell one."""
    with asking(lambda field: TYPED.get(field, field)):
        try:
            yield
        except Invalid as error:
            for field, name in (("started_after", "since"), ("started_before", "until")):
                if field in error.errors and not _is_time(given[name], door):
                    error.errors[field].append(gettext("A span that ends now will do too: 30m, 2h, 1d."))
            raise


def _is_time(text: str, door: Door) -> bool:
    try:
        return bool(span_seconds(text) or instants.parse_instant(text, door.settings.timezone))
    except ValidationError:
        return False


def _query(given: dict[str, str]) -> dict[str, Any]:
    return {"task_id": given["task"], "task_type": given["task_type"], "result": given["result"],
            "started_after": _time(given["since"]), "started_before": _time(given["until"]),
            "search": given["search"]}


def _time(text: str) -> str:
    """A span counts back from now."""
    seconds = span_seconds(text)
    return text if seconds is None else iso(datetime.now(UTC) - timedelta(seconds=min(seconds, 10**9)))


def _rows(door: Door, query: dict[str, Any], limit: int, as_json: bool) -> None:
    zone = door.settings.timezone
    page = door.logs().find({**query, "page_size": str(limit)})
    if as_json:
        back = page.searched_back_to
        print_json({"items": [LogSchema().dump(row) for row in page.items], "next_cursor": page.next_cursor,
                    "total": page.total, "total_is_more": page.total_is_more,
                    "searched_back_to": None if back is None else iso(back)})
        return
    if page.items:
        print_table(columns(), [texts(row, zone) for row in reversed(page.items)])
    total = f"{page.total}+" if page.total_is_more else str(page.total)
    say(gettext("Runs: %(shown)s of %(total)s; times in %(zone)s. One with all its output: --id N",
                shown=len(page.items), total=total, zone=zone.key))
    if page.searched_back_to is not None:
        say(gettext("Searched back to %(when)s; --until that time searches further.",
                    when=when(page.searched_back_to, zone)))


def _follow(door: Door, query: dict[str, Any], limit: int, as_json: bool) -> None:
    """Each row when it appears, and again when it ends."""
    follower = Follower(door.logs(reading=False), query)
    rows = follower.begin(limit)
    if not as_json:
        say("  ".join(columns()))
    while True:
        for row in rows:
            if as_json:
                print_json(LogSchema().dump(row), indent=None)
            else:
                say("  ".join(safe(text, line=True) for text in texts(row, door.settings.timezone) if text))
        breathe()
        rows = follower.more()


def _one(door: Door, log_id: int, raw: bool, as_json: bool) -> None:
    row, zone = door.logs().get(log_id), door.settings.timezone
    if as_json:
        print_json(LogSchema().dump(row))
        return
    print_fields([
        (gettext("Run"), str(row.id)), (gettext("Task"), row.task_id), (gettext("Type"), row.task_type),
        (gettext("Result"), result_word(row.result)), (gettext("Reason"), words(row.reason) or "-"),
        (gettext("Cause"), cause_word(row.cause)), (gettext("Attempt"), str(row.attempt)),
        (gettext("Due"), when(row.scheduled_at, zone, exact=True)),
        (gettext("Started"), when(row.started_at, zone, exact=True)),
        (gettext("Finished"), when(row.finished_at, zone, exact=True)), (gettext("Duration"), duration(row)),
        (gettext("Trigger"), pretty(row.trigger)), (gettext("Params"), pretty(row.params)),
        (gettext("Covers"), pretty(row.covers) if row.covers else "-"), (gettext("Error"), row.error or "-"),
        (gettext("Output"), "" if row.output else "-")])
    if row.output:
        click.echo(row.output if raw else safe(row.output), color=raw)  # click would strip colours in a pipe
    say(gettext("Times in %(zone)s.", zone=zone.key))


def _file(door: Door, limit: int, follow: bool) -> None:
    """The last lines; followed over rotations."""
    path = door.settings.log_file
    try:
        path.open("rb").close()
    except FileNotFoundError:
        say(gettext("There is no %(path)s yet.", path=path), error=True)
    except OSError as error:
        raise DingshiError(gettext("The file %(path)s cannot be read: %(words)s.", path=path,
                                   words=error.strerror or str(error))) from error
    tail = LogTail(path)
    lines = tail.last(limit)
    while True:
        for line in lines:
            say(line)
        if not follow:
            return
        breathe()
        lines = tail.more()
