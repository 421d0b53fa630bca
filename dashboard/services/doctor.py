"""What is wrong with this installation, and what to do. Looks only; changes nothing."""

import platform
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from dashboard.config import Settings
from dashboard.engine import snapshot
from dashboard.engine.lock import holder
from dashboard.errors import DingshiError
from dashboard.i18n import gettext
from dashboard.services import store_service

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """``code`` for programs; ``remedy`` may be ''."""

    code: str
    level: Level
    text: str
    remedy: str = ""


def diagnose(settings: Settings) -> list[Finding]:
    """Every check, in a fixed order."""
    checks: tuple[Callable[[Settings], Finding], ...] = (_versions, _settings, _space, _store, _snapshot, _scheduler,
                                                         _mail)
    return [check(settings) for check in checks]


def _versions(settings: Settings) -> Finding:
    text = gettext("Python %(python)s, SQLite %(sqlite)s, %(system)s", python=platform.python_version(),
                   sqlite=sqlite3.sqlite_version, system=platform.platform(terse=True))
    if sys.version_info < (3, 11):
        return Finding("versions", "problem", text, gettext("Install Python 3.11 or newer."))
    return Finding("versions", "ok", text)


def _settings(settings: Settings) -> Finding:
    source = str(settings.source) if settings.source else gettext("no file, defaults")
    return Finding("settings", "ok", gettext("Settings: %(source)s; time zone %(zone)s", source=source,
                                             zone=settings.timezone.key))


def _space(settings: Settings) -> Finding:
    folder = next((path for path in (settings.database.parent, *settings.database.parent.parents) if path.exists()))
    free = shutil.disk_usage(folder).free // 2**20
    text = gettext("%(free)s MB free for %(path)s", free=free, path=folder)
    if free < settings.min_free_mb:
        return Finding("space", "problem", text, gettext("No run is started below %(least)s MB (MIN_FREE_MB). Make "
                                                         "room.", least=settings.min_free_mb))
    return Finding("space", "ok", text)


def _store(settings: Settings) -> Finding:
    if not settings.database.exists():
        try:
            store_service.refuse_if_lost(settings)
        except DingshiError as error:
            return Finding("store", "problem", str(error))
        return Finding("store", "warning", gettext("There is no store yet at %(path)s.", path=settings.database),
                       "python run.py init")
    try:
        with closing(store_service.open_for_reading(settings)) as store:
            store.check()
    except DingshiError as error:
        return Finding("store", "problem", str(error), store_service.remedy(settings))
    return Finding("store", "ok", gettext("The store is whole: %(path)s", path=settings.database))


def _snapshot(settings: Settings) -> Finding:
    if not settings.snapshot.exists():
        return Finding("snapshot", "ok", gettext("No snapshot yet at %(path)s.", path=settings.snapshot))
    try:
        count = len(snapshot.read(settings.snapshot)["tasks"])
    except (snapshot.SnapshotBad, OSError) as error:
        return Finding("snapshot", "warning", gettext("The snapshot %(path)s cannot be used: %(error)s",
                                                      path=settings.snapshot, error=error),
                       gettext("A running scheduler writes a new one at the next change."))
    return Finding("snapshot", "ok", gettext("The snapshot holds %(count)s tasks: %(path)s", count=count,
                                             path=settings.snapshot))


def _scheduler(settings: Settings) -> Finding:
    owner = holder(settings.database) if settings.database.parent.exists() else None
    if owner is None:
        return Finding("scheduler", "warning", gettext("No scheduler is running."), "python run.py")
    return Finding("scheduler", "ok", gettext("A scheduler is running."))


def _mail(settings: Settings) -> Finding:
    if settings.smtp:
        return Finding("mail", "ok", gettext("Mail servers: %(names)s", names=", ".join(sorted(settings.smtp))))
    return Finding("mail", "warning", gettext("No mail server is set up, so send_email cannot send."),
                   gettext("Add [smtp.NAME] to dingshi.toml; see docs/settings.md."))
