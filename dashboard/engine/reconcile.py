"""At the start ``task.db`` and ``tasks.pkl`` are compared; the database wins, unless it is plainly not the one that
the snapshot was taken of (P3)."""

import logging
from pathlib import Path

from dashboard.engine import snapshot
from dashboard.errors import StoreDamaged
from dashboard.i18n import gettext
from dashboard.models import Task
from dashboard.models.store import Store

log = logging.getLogger("dingshi.snapshot")
MOST_TOLD = 50


def reconcile(store: Store, path: Path) -> None:
    """Tells differences in the log; a snapshot that cannot be read is set aside.

    Raises StoreDamaged if the store is new and empty while the snapshot holds tasks.
    """
    if not path.exists():
        return
    try:
        found = snapshot.read(path)
    except snapshot.SnapshotBad as error:
        _set_aside(path, error)
        return
    except OSError as error:
        log.warning("snapshot %s cannot be read: %s", path, error)
        return
    with store.reading():
        rows = list(Task.select())
    if not rows and found["tasks"] and found["store_id"] != store.meta("store_id"):
        raise lost(store.path, path, len(found["tasks"]))
    differences = snapshot.compare(found["tasks"], rows)
    for difference in differences[:MOST_TOLD]:
        log.info("snapshot differs from the store, which wins: %s", difference)
    if len(differences) > MOST_TOLD:
        log.info("snapshot: %d further differences", len(differences) - MOST_TOLD)


def _set_aside(path: Path, error: Exception) -> None:
    try:
        aside = snapshot.set_aside(path)
    except OSError as why:
        log.warning("snapshot %s cannot be read (%s), nor moved away (%s)", path, error, why)
    else:
        log.warning("snapshot %s cannot be read (%s); kept as %s, a new one will be written", path, error, aside.name)


def lost(store: Path, path: Path, count: int) -> StoreDamaged:
    """The store is gone or empty, the snapshot is not."""
    return StoreDamaged(gettext(
        "The store %(store)s is gone or empty, but the snapshot %(path)s holds %(count)s tasks. Nothing was changed. "
        "Bring them back with: python run.py db restore \"%(path)s\"  (or move the snapshot away to begin anew).",
        store=store, path=path, count=count))
