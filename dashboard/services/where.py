"""Whether a folder is of this machine: SQLite's write-ahead log loses data where several machines share one."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

from dashboard.errors import DingshiError
from dashboard.i18n import gettext

NETWORK = frozenset({
    "nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "webdav", "davfs", "ncpfs", "afs", "ceph",
    "lustre", "glusterfs", "beegfs", "fuse.sshfs", "fuse.davfs2", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs",
})
_REMOTE = 4  # of Windows' GetDriveType


def refuse_network(path: Path) -> None:
    """Raises DingshiError if ``path`` lies on a drive of another machine."""
    kind = network_of(path)
    if kind:
        raise DingshiError(gettext(
            "The store %(path)s lies on a network drive (%(kind)s). Tasks and logs would be lost there: SQLite's "
            "write-ahead log works on one machine only. Set data_dir (or database) to a folder of this machine.",
            path=path, kind=kind))


def network_of(path: Path) -> str | None:
    """What kind of network drive ``path``, which need not exist, lies on; None for one of this machine."""
    if sys.platform == "win32":
        return _windows_kind(path)
    mounts = ((mount.mountpoint, mount.fstype) for mount in psutil.disk_partitions(all=True))
    return mounted_kind(os.path.realpath(path), mounts)


def mounted_kind(path: str, mounts: Iterable[tuple[str, str]]) -> str | None:
    """The kind of the innermost of ``mounts`` (folder, kind) around ``path``, if it is a network's."""
    best, kind = "", ""
    for folder, found in mounts:  # of two on one folder the later one is seen
        inside = path == folder or path.startswith(folder.rstrip("/") + "/")
        if inside and len(folder) >= len(best):
            best, kind = folder, found
    return kind if kind.lower() in NETWORK else None


def _windows_kind(path: Path) -> str | None:
    import ctypes

    drive = path.absolute().drive
    if drive.startswith("\\\\") and not drive.startswith("\\\\?\\"):
        return drive
    windll = getattr(ctypes, "windll")  # noqa: B009 (absent from the stubs of other systems)
    return drive if windll.kernel32.GetDriveTypeW(f"{drive}\\") == _REMOTE else None
