"""``db migrate|check|backup|restore``."""

from pathlib import Path

import click

from dashboard.cli.console import say, working
from dashboard.cli.door import Door
from dashboard.cli.usage import Command, Group
from dashboard.i18n import gettext, ngettext
from dashboard.services import backup as copies
from dashboard.services import store_service


def commands() -> click.Group:
    """The group."""
    group = Group("db", help=gettext("The store: migrate, check, back up, restore."))
    file = click.Argument(["file"], metavar="FILE", type=click.Path(path_type=Path))
    group.add_command(Command("migrate", callback=click.pass_obj(migrate), help=gettext(
        "Brings the store up to date.")))
    group.add_command(Command("check", callback=click.pass_obj(check), help=gettext("Looks at every page.")))
    group.add_command(Command("backup", callback=click.pass_obj(backup), params=[file], help=gettext(
        "Copies the store to FILE, or into a folder, while it is in use.")))
    group.add_command(Command("restore", callback=click.pass_obj(restore), params=[file], help=gettext(
        "Puts a backup, or the tasks of a tasks.pkl, in the place of the store. The scheduler must be stopped; what "
        "was there is set aside.")))
    return group


def migrate(door: Door) -> None:
    """Opening does it."""
    store = door.store()
    say(gettext("The store is up to date: %(path)s", path=store.path))


def check(door: Door) -> None:
    """Raises StoreDamaged."""
    with working(gettext("Checking every page")):
        door.store(reading=True).check()
    say(gettext("The store is whole: %(path)s", path=door.settings.database))


def backup(door: Door, file: Path) -> None:
    """Raises Conflict."""
    door.store()
    with working(gettext("Copying")):
        written = copies.backup(door.settings, file)
    say(gettext("Backup written: %(path)s (%(size)s KB)", path=written, size=max(1, written.stat().st_size // 1024)))


def restore(door: Door, file: Path) -> None:
    """Raises SchedulerRunning."""
    aside: list[str] = []
    with working(gettext("Restoring")):
        count = copies.restore(door.settings, file, aside.append)
        store_service.open_store(door.settings).close()
    for path in aside:
        say(gettext("Set aside: %(path)s", path=path))
    say(ngettext("Restored: %(n)s task from %(path)s", "Restored: %(n)s tasks from %(path)s", count, path=file))
