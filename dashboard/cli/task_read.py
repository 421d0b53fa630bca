"""``task list|show|preview``: commands that change nothing."""

from typing import Any

import click

from dashboard import handlers
from dashboard.cli.console import pretty, print_fields, print_json, say, when
from dashboard.cli.door import Door
from dashboard.cli.log_rows import columns, texts
from dashboard.cli.naming import asking, by_trigger, option
from dashboard.cli.tables import print_table
from dashboard.cli.task_options import trigger_from, trigger_options
from dashboard.cli.usage import Command, Whole
from dashboard.cli.words import result_word, state_word, yes_or_no
from dashboard.clock import iso
from dashboard.errors import Invalid
from dashboard.i18n import gettext
from dashboard.schemas.task import SORTS, STATE_FILTERS, TaskSchema
from dashboard.services.task_view import TaskView
from dashboard.services.task_warnings import warnings


def commands() -> list[click.Command]:
    """They take ``--json``."""
    json = click.Option(["--json", "as_json"], is_flag=True, help=gettext("JSON for programs."))
    filters = [click.Option([f"--{name}"], default="", metavar=metavar, help=words) for name, metavar, words in (
        ("search", "TEXT", gettext("Part of the id.")), ("type", "TYPE", gettext("Task type.")),
        ("trigger", "KIND", gettext("Kind of trigger; several by comma.")),
        ("state", "STATE", gettext("%(states)s; several by comma.", states=", ".join(STATE_FILTERS))))]
    paging = [click.Option(["--sort"], default="id", metavar="COLUMN", help=gettext(
                  "%(columns)s; - before it turns the order.", columns=", ".join(SORTS))),
              click.Option(["--page"], type=Whole(1, 1_000_000), default=1, help=gettext("Which page.")),
              click.Option(["--page-size"], type=Whole(1, 200), default=200, help=gettext("Tasks on a page."))]
    count = click.Option(["--count"], type=Whole(1, 100), default=5, help=gettext("How many due times."))
    one = click.Argument(["task_id"], metavar="ID")
    return [
        Command("list", callback=click.pass_obj(list_tasks), params=[*filters, *paging, json],
                help=gettext("All tasks, or those that fit.")),
        Command("show", callback=click.pass_obj(show), params=[one, json],
                help=gettext("Everything about one task, and its last runs.")),
        Command("preview", callback=click.pass_obj(preview), help=gettext(
            "The next due times of a task, or of a trigger that no task has yet."),
            params=[click.Argument(["task_id"], metavar="[ID]", required=False), *trigger_options(), count, json]),
    ]


def list_tasks(door: Door, as_json: bool, **query: Any) -> None:
    """A table, or the API's page of tasks."""
    with asking(option):
        page = door.tasks(reading=True).list(query)
        _refuse_unknown(door, query["type"])
    if as_json:
        print_json({"items": [TaskSchema().dump(task) for task in page.items], "total": page.total,
                    "page": page.page, "page_size": page.page_size})
        return
    if page.total and not page.items:
        say(gettext("There is no page %(page)s: the last one is %(last)s.", page=page.page,
                    last=-(-page.total // page.page_size)))
        return
    if not page.items:
        say(gettext("No tasks fit. A new one: python run.py task add --help"))
        return
    zone = door.settings.timezone
    print_table([gettext("Task"), gettext("Type"), gettext("When"), gettext("State"), gettext("Executed"),
                 gettext("Runs"), gettext("Last run"), gettext("Last result"), gettext("Next run")],
                [(task.id, task.type, task.trigger_text, state_word(task.state), executed(task), str(task.run_count),
                  when(task.last_run_at, zone), result_word(task.last_result), when(task.next_run_at, zone))
                 for task in page.items])
    say(gettext("Tasks: %(shown)s of %(total)s; times in %(zone)s.", shown=len(page.items), total=page.total,
                zone=zone.key))


def _refuse_unknown(door: Door, name: str) -> None:
    """A type that is not installed is known all the same while there are tasks of it. Raises Invalid."""
    if name and name not in handlers.installed() and not door.tasks().list({"type": name}).total:
        raise Invalid({"type": [gettext("There is no task type %(type)s. Known: %(known)s.", type=name,
                                        known=", ".join(handlers.installed()))]})


def executed(task: TaskView) -> str:
    """T5: yes, no, or running."""
    return gettext("running") if task.running else yes_or_no(task.executed)


def show(door: Door, task_id: str, as_json: bool) -> None:
    """All fields, params as JSON, and the last ten rows of its log."""
    service = door.tasks(reading=True)
    task = service.get(task_id)
    if as_json:
        print_json(TaskSchema().dump(task))
        return
    zone = door.settings.timezone
    print_fields([
        (gettext("Task"), task.id), (gettext("Type"), task.type), (gettext("When"), task.trigger_text),
        (gettext("Trigger"), task.trigger_fields), (gettext("Params"), pretty(task.params)),
        (gettext("Options"), "\n".join(f"{name} = {value}" for name, value in task.options.items())),
        (gettext("State"), state_word(task.state)), (gettext("Executed"), executed(task)),
        (gettext("Runs"), str(task.run_count)), (gettext("Failures"), str(task.failure_count)),
        (gettext("Last run"), when(task.last_run_at, zone, exact=True)),
        (gettext("Last result"), result_word(task.last_result)), (gettext("Next run"), when(task.next_run_at, zone)),
        (gettext("Created"), when(task.created_at, zone)), (gettext("Changed"), when(task.updated_at, zone))])
    for warning in warnings(service, task):
        say(gettext("Note: %(text)s", text=warning))
    rows = door.logs().find({"task_id": task.id, "page_size": "10"}).items
    if rows:
        say()
        print_table(columns(), [texts(row, zone) for row in reversed(rows)])
    say(gettext("Times in %(zone)s.", zone=zone.key))


def preview(door: Door, task_id: str | None, count: int, as_json: bool, **given: Any) -> None:
    """By the very timetable that fires."""
    name = by_trigger(given)
    with asking(name):
        trigger = trigger_from(given)
    if (trigger is None) == (task_id is None):
        raise click.UsageError(gettext("Give the id of a task, or a trigger such as --cron 08:00."))
    service = door.tasks(reading=True)
    with asking(name):
        found = service.preview(trigger, count) if task_id is None else service.preview_of(task_id, count)
    if as_json:
        print_json({"text": found.text, "next": [iso(time) for time in found.times], "warnings": found.warnings})
        return
    say(found.text)
    for time in found.times:
        say("  " + time.strftime("%Y-%m-%d %H:%M:%S %z"))
    for warning in found.warnings:
        say(gettext("Note: %(text)s", text=warning))
    say(gettext("Times in %(zone)s.", zone=door.settings.timezone.key))
