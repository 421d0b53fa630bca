"""``task add|edit|delete|run|pause|resume``."""

import time
from typing import Any

import click

from dashboard import handlers
from dashboard.cli.console import confirmed, print_json, say, when
from dashboard.cli.door import Door
from dashboard.cli.naming import by_trigger, changing
from dashboard.cli.task_options import options_from, params_from, task_options, trigger_from, trigger_options
from dashboard.cli.usage import Command
from dashboard.cli.words import result_word
from dashboard.errors import DingshiError
from dashboard.i18n import gettext
from dashboard.models.task_log import ACTIVE
from dashboard.schemas.log import LogSchema
from dashboard.schemas.task import TaskSchema
from dashboard.services.reasons import words
from dashboard.services.task_view import TaskView
from dashboard.services.task_warnings import warnings

FOLLOW_SECONDS = 0.2


def commands() -> list[click.Command]:
    """Each says what it did."""
    one = click.Argument(["task_id"], metavar="ID")
    json = click.Option(["--json", "as_json"], is_flag=True, help=gettext("JSON for programs."))
    given = [*trigger_options(), *task_options(), json]
    fixed = [click.Option([f"--{name}", f"other_{name}"], hidden=True) for name in ("id", "type")]
    return [
        Command("add", callback=click.pass_obj(add), help=gettext("A new task."), params=[
            one, click.Option(["--type", "task_type"], metavar="TYPE", help=gettext(
                "Task type: %(types)s.", types=", ".join(handlers.installed()))),
            click.Option(["--paused"], is_flag=True, help=gettext("Made, but not scheduled yet.")), *given]),
        Command("edit", callback=click.pass_obj(edit), params=[one, *given, *fixed], help=gettext(
            "Changes what is given and nothing else: --param one param, --params all of them. Id and type of a task "
            "cannot change.")),
        Command("delete", callback=click.pass_obj(delete), help=gettext("Deletes a task; its log stays."), params=[
            one, click.Option(["--yes"], is_flag=True, help=gettext("Do not ask."))]),
        Command("run", callback=click.pass_obj(run), help=gettext("Runs a task now, beside its schedule."), params=[
            one, json, click.Option(["--wait"], is_flag=True, help=gettext(
                "Until it has ended; 1 unless it succeeded."))]),
        Command("pause", callback=click.pass_obj(pause), params=[one], help=gettext("No due times until resumed.")),
        Command("resume", callback=click.pass_obj(resume), params=[one], help=gettext("The schedule goes on.")),
    ]


def add(door: Door, task_id: str, task_type: str | None, paused: bool, as_json: bool, **given: Any) -> None:
    """Raises Invalid, Conflict, UsageError."""
    trigger = trigger_from(given)
    if task_type is None:
        raise click.UsageError(gettext("Say what: --type with one of %(types)s.",
                                       types=", ".join(handlers.installed())))
    if trigger is None:
        raise click.UsageError(gettext("Say when: --at, --every, --cron, --idle or --trigger."))
    options = {name: value for name, value in options_from(given).items() if value is not None}
    document = {"id": task_id, "type": task_type, "trigger": trigger, "params": params_from(given) or {},
                "options": options, "paused": paused}
    with changing(by_trigger(given)):
        task = door.tasks().create(document)
    _told(door, task, gettext("Task %(id)s created: %(when)s.", id=task.id, when=task.trigger_text), as_json)


def edit(door: Door, task_id: str, as_json: bool, other_id: str | None, other_type: str | None,
         **given: Any) -> None:
    """Raises Invalid, NotFound, Conflict."""
    service = door.tasks()
    present = service.get(task_id)
    found = {"trigger": trigger_from(given), "params": params_from(given, present.params),
             "options": options_from(given) or None, "id": other_id, "type": other_type}
    changes = {name: value for name, value in found.items() if value is not None}
    if not changes:
        raise click.UsageError(gettext("Nothing to change was given."))
    with changing(by_trigger(given)):
        task = service.update(task_id, changes, updated_at=present.updated_at)
    _told(door, task, gettext("Task %(id)s changed: %(when)s.", id=task.id, when=task.trigger_text), as_json)


def delete(door: Door, task_id: str, yes: bool) -> None:
    """Asks first."""
    task = door.tasks().get(task_id)
    if not yes and not confirmed(gettext("Delete the task %(id)s? Its log stays.", id=task.id)):
        raise click.Abort
    door.tasks().delete(task_id)
    say(gettext("Task %(id)s deleted.", id=task.id))


def run(door: Door, task_id: str, wait: bool, as_json: bool) -> int:
    """0; 1 if no scheduler runs, or with ``--wait`` unless it succeeded."""
    service = door.tasks()
    service.get(task_id)
    if not door.is_running():
        raise DingshiError(gettext("No scheduler is running, so nothing would run it. Start one: python run.py"))
    log_id = service.run(task_id)
    if as_json and not wait:
        print_json({"log_id": log_id})
    elif not as_json:
        say(gettext("Run %(run)s of %(id)s is requested. See it: python run.py logs --id %(run)s", run=log_id,
                    id=task_id))
    return _follow(door, log_id, as_json) if wait else 0


def pause(door: Door, task_id: str) -> None:
    """Raises NotFound."""
    say(gettext("Task %(id)s is paused.", id=door.tasks().pause(task_id).id))


def resume(door: Door, task_id: str) -> None:
    """Raises NotFound."""
    service = door.tasks()
    was_paused = service.get(task_id).paused
    task = service.resume(task_id)
    text = (gettext("Task %(id)s goes on.", id=task.id) if was_paused
            else gettext("Task %(id)s was not paused.", id=task.id))
    if task.next_run_at is not None:
        text += " " + gettext("Next run: %(when)s", when=when(task.next_run_at, door.settings.timezone))
    elif task.trigger["type"] != "idle":
        text += " " + gettext("It has no due time any more; give it one with: python run.py task edit %(id)s",
                              id=task.id)
    say(text)


def breathe() -> None:
    """Between two looks at a run."""
    time.sleep(FOLLOW_SECONDS)


def _follow(door: Door, log_id: int, as_json: bool) -> int:
    logs = door.logs(reading=False)
    while (row := logs.get(log_id)).result in ACTIVE:
        if not door.is_running():
            raise DingshiError(gettext("The scheduler has ended; the run waits for the next one."))
        breathe()
    if as_json:
        print_json(LogSchema().dump(row))
    else:
        if row.output:
            say(row.output.rstrip("\n"))
        for text in (result_word(row.result), words(row.reason), row.error or ""):
            if text:
                say(text)
    return 0 if row.result == "success" else 1


def _told(door: Door, task: TaskView, text: str, as_json: bool) -> None:
    if as_json:
        print_json(TaskSchema().dump(task))
        return
    service = door.tasks()
    say(text)
    if task.next_run_at is not None:
        say(gettext("Next run: %(when)s (%(zone)s)", when=when(task.next_run_at, door.settings.timezone),
                    zone=door.settings.timezone.key))
    for warning in warnings(service, task):
        say(gettext("Note: %(text)s", text=warning))
    if not door.is_running():
        say(gettext("No scheduler is running at the moment. Start one: python run.py"))
