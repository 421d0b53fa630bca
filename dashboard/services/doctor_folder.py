"""Whether files can be written where the settings put them."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from dashboard.engine.lock import in_the_way
from dashboard.i18n import gettext
from dashboard.models.store_files import can_write


def faults(files: Iterable[Path], setting: str) -> list[tuple[str, str]]:
    """What is wrong with the places of ``files``, which need not exist, and what to do; each once. ``setting`` is the
    one that would move them."""
    found: dict[str, str] = {}
    for file in files:
        blocked = in_the_way(file.parent)
        if blocked is not None:
            found[gettext("%(path)s is a file; a folder is needed.", path=blocked)] = gettext(
                "Move it away, or set %(setting)s to another place.", setting=setting)
        elif wrong := _unwritable(file):
            found[wrong] = gettext("Give the user who runs Dingshi write permission on it, or choose another "
                                   "%(setting)s.", setting=setting)
    return list(found.items())


def _unwritable(file: Path) -> str:
    for path in (file.parent, file):
        nearest = next((place for place in (path, *path.parents) if os.path.lexists(place)), path)
        if not can_write(nearest):
            return gettext("%(path)s may not be written by this user.", path=nearest)
        if nearest != path and path == file.parent:
            return _not_made(file.parent, nearest)
    return ""


def _not_made(folder: Path, around: Path) -> str:
    """A mode does not tell everything (/proc): whether a folder can be made shows when one is, for a moment."""
    try:
        Path(tempfile.mkdtemp(prefix=".dingshi-", dir=around)).rmdir()
    except OSError as error:
        return gettext("The folder %(path)s cannot be made (%(words)s).", path=folder,
                       words=error.strerror or error)
    return ""
