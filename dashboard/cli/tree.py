"""Which commands there are. Built for each call, so that their help speaks the language in force."""

import click

from dashboard.cli import database, doctor, init, logs, scheduler, task_change, task_read
from dashboard.cli.usage import Group
from dashboard.i18n import gettext


def build() -> click.Group:
    """The whole tree."""
    root = Group(
        "run.py", invoke_without_command=True, help=gettext(
            "Dingshi runs tasks at their times. Without a command: starts the scheduler."),
        callback=click.pass_context(scheduler.default))
    for command in (init.command(), scheduler.command(), _tasks(), logs.command(), database.commands(),
                    doctor.command()):
        root.add_command(command)
    return root


def _tasks() -> click.Group:
    group = Group("task", help=gettext("Tasks: list, add, change, run."))
    for command in (*task_read.commands(), *task_change.commands()):
        group.add_command(command)
    return group
