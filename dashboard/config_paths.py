"""Paths among the settings: what a path may be, and which of them may not meet."""

import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from marshmallow import ValidationError

from dashboard.fields import Text, length
from dashboard.i18n import gettext

BESIDE: Mapping[str, tuple[str, ...]] = {
    "database": ("-wal", "-shm", "-journal", ".lock", ".owner"), "snapshot": (), "log_file": (".lock",)}
"""What is written beside each file, under its name and an ending."""
_DEVICE = re.compile(r"con|prn|aux|nul|(com|lpt)[1-9¹²³]", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:(?P<rooted>[\\/])?")


class PathText(Text):
    """A path as it was written; ``dashboard.config`` makes it absolute."""

    def __init__(self) -> None:
        super().__init__(line=True, validate=[length(1, 4096), check_path])


def check_path(value: str, *, windows: bool = sys.platform == "win32") -> None:
    """Refuses a path that would mean something else than it says on this system."""
    drive = _DRIVE.match(value)
    if value != value.strip():
        raise ValidationError(gettext("A path may not begin or end with a blank."))
    if windows and drive and not drive["rooted"]:
        raise ValidationError(gettext("After the drive a path goes on with a backslash, as in D:\\dingshi."))
    if not windows and (drive or value.startswith("\\\\")):
        raise ValidationError(gettext("This is a path of Windows, and this machine does not run Windows."))
    for part in re.split(r"[\\/]", value[drive.end() if drive else 0 :]) if windows else ():
        _check_part(part)


def _check_part(part: str) -> None:
    """The name of a file or folder, as Windows has it."""
    if found := re.search(r'[<>:"|?*]', part):
        raise ValidationError(gettext("Windows allows no %(character)s in a name.", character=found[0]))
    if part not in (".", "..") and part.endswith((".", " ")):
        raise ValidationError(gettext("Under Windows a name may not end with a dot or a blank."))
    if _DEVICE.fullmatch(part.partition(".")[0].rstrip()):
        raise ValidationError(gettext("%(name)s is a device of Windows, no file.", name=part))


def clashes(paths: Mapping[str, Path], given: Collection[str]) -> Iterator[tuple[str, str]]:
    """Settings, and what is wrong with them, of which one file would overwrite another. Of two the one that is
    ``given`` is named."""
    folder = os.path.normcase(paths["data_dir"])
    taken: dict[str, str] = {}
    for name, endings in BESIDE.items():
        path = os.path.normcase(paths[name])
        mine = {path + ending: name for ending in ("", *endings)}
        if path == folder:
            yield name, gettext("This is the folder data_dir; a file in it is expected.")
        other = next((taken[place] for place in mine if place in taken), None)
        if other is not None:
            one, two = (name, other) if name in given or other not in given else (other, name)
            yield one, gettext("This is the same file as %(other)s.", other=two)
        taken |= mine
