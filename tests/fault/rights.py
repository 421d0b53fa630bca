"""Taking rights away on Linux, as root: immutable files, read-only mounts, another user; all of it given back."""

import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

from tests.fault.outside import ROOT, Outside

NOBODY = 65534
OTHER_USER = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
BARE_ROOT = ("setpriv", "--inh-caps=-dac_override,-dac_read_search", "--bounding-set=-dac_override,-dac_read_search")
IS_ROOT = sys.platform == "linux" and os.geteuid() == 0
AS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="needs root on Linux: chattr, mount, setpriv")


def sh(*words: object) -> None:
    """Runs a command that must succeed."""
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


def immutable(outside: Outside, *names: str) -> list[Path]:
    """``chattr +i`` on files of the data folder, '.' being itself; those that exist. ``end`` takes it off."""
    paths = [path for path in (outside.folder / name for name in names) if path.exists()]
    for path in paths:
        outside.afterwards(mutable, [path])
        sh("chattr", "+i", path)
    return paths


def mutable(paths: list[Path]) -> None:
    """Takes it off again, from what is still there."""
    for path in paths:
        if path.exists():
            sh("chattr", "-i", path)


def mounted(outside: Outside, *words: object) -> None:
    """``mount WORDS folder``; ``end`` unmounts it."""
    sh("mount", *words, outside.folder)
    outside.afterwards(unmount, outside.folder)


def unmount(folder: Path) -> None:
    """Whatever is mounted there."""
    while subprocess.run(["mountpoint", "-q", folder], check=False).returncode == 0:
        sh("umount", folder)


@cache
def somebody() -> tuple[tuple[str, ...], int]:
    """What stands before a command to run it without root's rights, and who that is. Another user, if this Python
    and this folder are open to all; else root without its power over modes."""
    probe = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); import dashboard.cli.tree"]
    tried = subprocess.run([*OTHER_USER, *probe], capture_output=True, check=False, cwd="/",
                           env={**os.environ, "HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"})
    return (OTHER_USER, NOBODY) if tried.returncode == 0 else (BARE_ROOT, 0)


def public() -> Outside:
    """A data folder that others may enter; gone at its ``end``."""
    place = Path(tempfile.mkdtemp(prefix="dingshi-fault-"))
    place.chmod(0o755)
    (place / "data").mkdir()
    outside = Outside(place / "data")
    outside.environ |= {"HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"}
    outside.afterwards(sh, "rm", "-rf", place)
    return outside


def owned(outside: Outside, owner: int, *, folder: int, files: int) -> None:
    """Owner and modes of the data folder and all that is in it."""
    for path in (outside.folder, *outside.folder.iterdir()):
        sh("chown", f"{owner}:{owner}", path)
        path.chmod(folder if path == outside.folder else files)
