"""What is wrong with this installation, and what to do. Looks only: what it makes to see whether it can
is gone at once."""

import platform
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from dashboard.config import Settings
from dashboard.engine.lock import holder
from dashboard.errors import DingshiError
from dashboard.i18n import gettext
from dashboard.services import doctor_folder, doctor_store
from dashboard.services.finding import Finding

__all__ = ["Finding", "diagnose"]


def diagnose(settings: Settings) -> list[Finding]:
    """Every check, in a fixed order. One that fails itself is a problem, and the others go on."""
    checks: tuple[tuple[str, Callable[[Settings], list[Finding]]], ...] = (
        ("versions", _versions), ("sqlite", _sqlite), ("settings", _settings), ("zone", _zone), ("folder", _folder),
        ("log", _log), ("space", _space), ("store", doctor_store.store), ("snapshot", doctor_store.snapshots),
        ("backup", doctor_store.backups), ("scheduler", _scheduler), ("mail", _mail))
    found: list[Finding] = []
    for code, check in checks:
        try:
            found += check(settings)
        except (OSError, DingshiError) as error:
            found.append(Finding(code, "problem", gettext("This could not be looked at: %(error)s", error=error),
                                 gettext("Check that the folder is there and that this user may read it.")))
    return found


def _versions(settings: Settings) -> list[Finding]:
    return [Finding("versions", "ok", gettext(
        "Python %(python)s, SQLite %(sqlite)s, %(system)s", python=platform.python_version(),
        sqlite=sqlite3.sqlite_version, system=platform.platform(terse=True)))]


def _sqlite(settings: Settings) -> list[Finding]:
    """Nothing is said of a version without the fault."""
    if not has_reset_fault(sqlite3.sqlite_version_info):
        return []
    return [Finding("sqlite", "warning", gettext(
        "SQLite %(version)s can damage a store when a commit of one program meets a checkpoint of another. Dingshi "
        "does both under one lock, so that its own processes cannot meet so.", version=sqlite3.sqlite_version),
        gettext("Let no other program write to the store. SQLite 3.51.3, 3.50.7 and 3.44.6 are free of this fault; a "
                "newer Python brings one of them."))]


def has_reset_fault(version: tuple[int, ...]) -> bool:
    """Whether this SQLite has the fault by which a write-ahead log is reset too early."""
    mended: dict[tuple[int, ...], tuple[int, ...]] = {(3, 44): (3, 44, 6), (3, 50): (3, 50, 7)}
    return (3, 7, 0) <= version < mended.get(version[:2], (3, 51, 3))


def _settings(settings: Settings) -> list[Finding]:
    source = settings.source
    found = [Finding("settings", "ok", gettext(
        "Settings: %(source)s", source=source if source else gettext("no file, defaults")))]
    secret = any(server.password for server in settings.smtp.values())
    if source and secret and sys.platform != "win32" and source.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        found.append(Finding("settings", "warning", gettext(
            "%(path)s holds passwords, and other users of this machine may read it.", path=source),
            f'chmod 600 "{source}"'))
    if settings.handler_dir and not settings.handler_dir.is_dir():
        found.append(Finding("settings", "warning", gettext(
            "There is no folder %(path)s (handler_dir).", path=settings.handler_dir),
            gettext("Create it, or correct the setting.")))
    return found


def _zone(settings: Settings) -> list[Finding]:
    now = datetime.now(UTC)
    local, there = now.astimezone(), now.astimezone(settings.timezone)
    text = gettext("Times are those of %(zone)s, where it is %(now)s.", zone=settings.timezone.key,
                   now=f"{there:%Y-%m-%d %H:%M:%S}")
    if local.utcoffset() != there.utcoffset():
        text += " " + gettext("The clock of this machine shows %(now)s.", now=f"{local:%H:%M}")
    return [Finding("zone", "ok", text)]


def _folder(settings: Settings) -> list[Finding]:
    wrong = doctor_folder.faults([settings.database, settings.snapshot], "data_dir")
    return [Finding("folder", "problem", text, remedy) for text, remedy in wrong] or [
        Finding("folder", "ok", gettext("Data folder: %(path)s", path=settings.database.parent))]


def _log(settings: Settings) -> list[Finding]:
    wrong = doctor_folder.faults([settings.log_file], "log_file")
    if settings.log_file.is_dir():
        wrong = [(gettext("%(path)s is a folder; a file is needed.", path=settings.log_file),
                  gettext("Move it away, or set %(setting)s to another place.", setting="log_file"))]
    return [Finding("log", "problem", gettext("The log cannot be written: %(text)s", text=text), remedy)
            for text, remedy in wrong] or [Finding("log", "ok", gettext("Log: %(path)s", path=settings.log_file))]


def _space(settings: Settings) -> list[Finding]:
    folder = next(path for path in (settings.database.parent, *settings.database.parent.parents) if path.exists())
    free = shutil.disk_usage(folder).free // 2**20
    text = gettext("%(free)s MB free for %(path)s", free=free, path=folder)
    if free < settings.min_free_mb:
        return [Finding("space", "problem", text, gettext("No run is started below %(least)s MB (min_free_mb). Make "
                                                          "room.", least=settings.min_free_mb))]
    return [Finding("space", "ok", text)]


def _scheduler(settings: Settings) -> list[Finding]:
    owner = holder(settings.database) if settings.database.parent.exists() else None
    if owner is None:
        return [Finding("scheduler", "warning", gettext("No scheduler is running."), "python run.py")]
    if owner.pid is None or owner.started is None:
        return [Finding("scheduler", "ok", gettext("A scheduler is running."))]
    since = f"{owner.started.astimezone(settings.timezone):%Y-%m-%d %H:%M:%S}"
    return [Finding("scheduler", "ok", gettext("A scheduler is running (process %(pid)s, since %(since)s).",
                                               pid=owner.pid, since=since))]


def _mail(settings: Settings) -> list[Finding]:
    servers = settings.smtp
    if not servers:
        return [Finding("mail", "warning", gettext("No mail server is set up, so send_email cannot send."),
                        gettext("Add [smtp.NAME] to dingshi.toml; see docs/settings.md."))]
    text = gettext("Mail servers: %(names)s", names=", ".join(
        f"{name} ({server.host}:{server.port}, {server.security})" for name, server in sorted(servers.items())))
    if len(servers) > 1 and not any(server.default for server in servers.values()):
        return [Finding("mail", "warning", text, gettext(
            "None of them is the default: tasks that name no server fail. Write default = true with one."))]
    return [Finding("mail", "ok", text)]
