"""What the doctor finds in the store, its snapshot and its backups."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from dashboard import handlers
from dashboard.config import Settings
from dashboard.engine import snapshot
from dashboard.engine.lock import refuse_file
from dashboard.errors import DingshiError, Invalid, StoreDamaged
from dashboard.handlers.contract import servers_used
from dashboard.i18n import gettext, ngettext
from dashboard.models import Task, TaskLog
from dashboard.models.store import Store
from dashboard.schemas.task import load_task
from dashboard.servers import chosen
from dashboard.services import store_service
from dashboard.services.backup_file import newest_good
from dashboard.services.finding import Finding, named
from dashboard.services.where import refuse_network

OLD_BACKUP = timedelta(days=30)
DOCUMENT = ("id", "type", "trigger", "params", "options", "paused")
FAILED = ("failure", "timeout", "unknown", "interrupted")


def store(settings: Settings) -> list[Finding]:
    """The file, and the tasks in it."""
    path = settings.database
    try:
        refuse_network(path)
        if not store_service.is_there(path):
            refuse_file(path.parent)
            store_service.refuse_if_lost(settings)
            return [Finding("store", "warning", gettext("There is no store yet at %(path)s.", path=path),
                            "python run.py init")]
        with store_service.looking(settings) as opened:
            opened.check()
            store_service.refuse_newer(opened)
            if opened.pending():
                return [Finding("store", "warning", gettext("The store %(path)s is of an older version.", path=path),
                                "python run.py db migrate")]
            return [_whole(settings, opened), *_tasks(settings, opened)]
    except StoreDamaged as error:
        return [Finding("store", "problem", str(error), store_service.remedy(settings) or gettext(
            "There is neither a backup nor a snapshot to restore from. To begin anew move the file away, then: "
            "python run.py init"))]
    except DingshiError as error:  # says itself what to do
        return [Finding("store", "problem", str(error))]


def snapshots(settings: Settings) -> list[Finding]:
    """``tasks.pkl``."""
    path = settings.snapshot
    if not store_service.is_there(path):
        return [Finding("snapshot", "ok", gettext("No snapshot yet at %(path)s.", path=path))]
    try:
        found = snapshot.read(path)
    except (snapshot.SnapshotBad, OSError) as error:
        return [Finding("snapshot", "warning", gettext("The snapshot %(path)s cannot be used: %(error)s", path=path,
                                                       error=error),
                        gettext("A running scheduler writes a new one at the next change."))]
    when = datetime.fromisoformat(found["written_at"]).astimezone(settings.timezone)
    count = len(found["tasks"])
    return [Finding("snapshot", "ok", ngettext(
        "The snapshot of %(when)s holds %(n)s task: %(path)s", "The snapshot of %(when)s holds %(n)s tasks: %(path)s",
        count, when=f"{when:%Y-%m-%d %H:%M}", path=path))]


def backups(settings: Settings) -> list[Finding]:
    """The newest one that can be used. Nothing is said where there is nothing to save yet."""
    folder = settings.backup_dir
    if not store_service.is_there(settings.database):
        return []
    make = f'python run.py db backup "{folder}"'
    newest = max(folder.glob("*.db"), key=lambda path: path.stat().st_mtime_ns, default=None)
    good = newest_good(folder)
    if newest is None:
        return [Finding("backup", "warning", gettext("There is no backup in %(path)s.", path=folder), make)]
    if good is None:
        return [Finding("backup", "problem", gettext("Of the backups in %(path)s none is good.", path=folder), make)]
    age = datetime.now(UTC) - _changed(good)
    text = gettext("The newest good backup is of %(when)s: %(path)s", path=good,
                   when=f"{_changed(good).astimezone(settings.timezone):%Y-%m-%d %H:%M}")
    if good != newest:
        return [Finding("backup", "warning", text + " " + gettext("A newer one, %(name)s, is damaged.",
                                                                  name=newest.name), make)]
    return [Finding("backup", "warning" if age > OLD_BACKUP else "ok", text, make if age > OLD_BACKUP else "")]


def _whole(settings: Settings, opened: Store) -> Finding:
    with opened.reading():
        tasks, rows = Task.select().count(), TaskLog.select().count()
    size = max(1, settings.database.stat().st_size // 2**20)
    text = gettext("The store is whole: %(path)s (tasks: %(tasks)s, log rows: %(rows)s, %(size)s MB)",
                   path=settings.database, tasks=tasks, rows=rows, size=size)
    return Finding("store", "ok", text)


def _tasks(settings: Settings, opened: Store) -> list[Finding]:
    with opened.reading():
        tasks = list(Task.select().order_by(Task.id))
    found = []
    wrong = [f"{task.id} ({words})" for task in tasks if (words := _what_is_wrong(task, settings))]
    if wrong:
        found.append(Finding("tasks", "problem", ngettext(
            "%(n)s task cannot run: %(names)s", "%(n)s tasks cannot run: %(names)s", len(wrong), names=named(wrong)),
            gettext("Correct it with: python run.py task edit ID")))
    unserved = [task.id for task in tasks if _lacks_server(task, settings)]
    if unserved:
        found.append(Finding("servers", "warning", ngettext(
            "%(n)s task names a server that nobody has set up: %(names)s",
            "%(n)s tasks name servers that nobody has set up: %(names)s", len(unserved), names=named(unserved)),
            gettext("Add [smtp.NAME] to dingshi.toml; see docs/settings.md.")))
    failed = [task.id for task in tasks if task.last_result in FAILED]
    if failed:
        found.append(Finding("runs", "warning", ngettext(
            "%(n)s task did not succeed at its last run: %(names)s",
            "%(n)s tasks did not succeed at their last run: %(names)s", len(failed), names=named(failed)),
            "python run.py logs --task ID"))
    return found


def _what_is_wrong(task: Task, settings: Settings) -> str:
    try:
        load_task({name: getattr(task, name) for name in DOCUMENT}, zone=settings.timezone, now=None)
    except Invalid as error:
        return next(f"{name}: {texts[0]}" for name, texts in error.errors.items())
    return ""


def _lacks_server(task: Task, settings: Settings) -> bool:
    handler = handlers.find(task.type)
    servers = {"smtp": settings.smtp}
    return handler is not None and any(chosen(servers.get(kind, {}), task.params.get(param)) is None
                                       for kind, param in servers_used(handler).items())


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
