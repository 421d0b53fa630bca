"""File modes that count for root, too: tests of what cannot be read or written mean something for every user."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

_VERSION = 0x20080522  # of Linux's capget and capset
_PAST_MODES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextmanager
def locked(*paths: Path, mode: int | None = None) -> Iterator[None]:
    """Inside, ``paths`` may be read and not written (or have ``mode``), by this thread even as root. Skips the test
    where that cannot be had."""
    if sys.platform == "win32":
        pytest.skip("POSIX only: modes of files and folders")
    before = [(path, path.stat().st_mode & 0o7777) for path in paths]
    with ExitStack() as stack:
        for path, old in before:
            stack.callback(path.chmod, old)
            path.chmod(mode if mode is not None else 0o555 if path.is_dir() else 0o444)
        stack.enter_context(_no_privilege())
        yield


@contextmanager
def _no_privilege() -> Iterator[None]:
    if sys.platform == "win32" or os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("POSIX only: root writes everywhere here")
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    before = (ctypes.c_uint32 * 6)()
    libc.capget(header, before)
    less = (ctypes.c_uint32 * 6)(*before)
    less[0] &= ~_PAST_MODES
    if libc.capset(header, less):
        pytest.skip("POSIX only: root keeps its privileges here")
    try:
        yield
    finally:
        libc.capset(header, before)
