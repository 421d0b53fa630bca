"""``init``: makes or updates the store, and creates the tasks of files."""

from pathlib import Path
from typing import Any

import click

from dashboard.cli.console import say, when, working
from dashboard.cli.door import Door
from dashboard.cli.tables import print_table
from dashboard.cli.usage import Command
from dashboard.errors import Invalid
from dashboard.i18n import gettext, ngettext
from dashboard.schemas.task_file import explain, read_task_file
from dashboard.services.task_import import new_ones
from dashboard.services.task_service import TaskService
from dashboard.services.task_warnings import warnings

MOST_SHOWN = 50


def command() -> click.Command:
    """``init [FILE…]``."""
    return Command(
        "init", callback=click.pass_obj(run), params=[click.Argument(
            ["files"], nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))],
        help=gettext("Makes the store, or brings it up to date; creates the tasks of each FILE (JSON or TOML), all "
                     "or none. Tasks that exist already with the same definition are left as they are."))


def run(door: Door, files: tuple[Path, ...]) -> int:
    """0, or raises: nothing is created then."""
    store = door.store(create=True)
    say(gettext("The store is ready: %(path)s", path=store.path))
    if files:
        _create(door.tasks(), _documents(door.tasks(), files), door)
    else:
        say(gettext("Next: add a task (python run.py task add --help), then start: python run.py"))
    return 0


def _documents(service: TaskService, files: tuple[Path, ...]) -> list[Any]:
    """Those of all files that are not there yet; every error of every file at once."""
    documents: list[Any] = []
    errors: dict[str, list[str]] = {}
    taken: set[str] = set()
    for path in files:
        try:
            found = read_task_file(path)
        except Invalid as error:
            errors |= error.errors
            continue
        try:
            documents += new_ones(service, found, taken)
        except Invalid as error:
            errors |= explain(error, found, path).errors
    if errors:
        raise Invalid(errors)
    return documents


def _create(service: TaskService, documents: list[Any], door: Door) -> None:
    if not documents:
        say(gettext("All these tasks exist already; nothing was changed."))
        return
    with working(gettext("Creating tasks")):
        made = service.create_all(documents)
    say(ngettext("%(n)s task created:", "%(n)s tasks created:", len(made)))
    print_table([gettext("Task"), gettext("Type"), gettext("When"), gettext("Next run")],
                [(task.id, task.type, task.trigger_text, when(task.next_run_at, door.settings.timezone))
                 for task in made[:MOST_SHOWN]])
    if len(made) > MOST_SHOWN:
        say(gettext("and %(n)s more", n=len(made) - MOST_SHOWN))
    for task in made[:MOST_SHOWN]:
        for warning in warnings(service, task):
            say(gettext("Note on %(id)s: %(text)s", id=task.id, text=warning))
