"""One command as a tree of processes that can be ended as a whole."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil

from dashboard.handlers import processes

if sys.platform == "win32":
    from dashboard.handlers._windows_job import Job

_CREATE_SUSPENDED = 0x4


def child_environment(extra: Mapping[str, str], marker: str) -> dict[str, str]:
    """What a child inherits: ours without any ``DINGSHI_*`` (secrets are among them), the task's, the marker."""
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("DINGSHI_")}
    if sys.platform == "win32":  # names there ignore case; os.environ has them in capitals
        extra = {name.upper(): value for name, value in extra.items()}
    return {**inherited, **extra, processes.MARKER: marker}


class Tree:
    """A started command. Its standard output and error are one pipe (``popen.stdout``), its input is empty.

    ``stopped`` tells why it was stopped, None if it ended by itself. In ``with``: if what is inside fails before the
    command's end, the tree is killed, for nobody else would.
    """

    def __init__(self, command: str | Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Starts it; a text goes to the shell as it stands. Raises OSError or ValueError if it does not start."""
        self.stopped: str | None = None
        self._lock = threading.Lock()
        self._ended = False
        self._killer: threading.Thread | None = None
        self._marker = environment[processes.MARKER]
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW | _CREATE_SUSPENDED
        self.popen = subprocess.Popen(
            command, shell=isinstance(command, str), cwd=folder, env=dict(environment), bufsize=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            creationflags=flags)
        self.pid = self.popen.pid
        try:
            self._process = psutil.Process(self.pid)
            self.create_time = self._process.create_time()
            if sys.platform == "win32":
                self._job = self._enter_job()
        except BaseException:
            self._discard()
            raise

    def __enter__(self) -> "Tree":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is not None and not self._ended:
            self._kill(0.0)
            self.wait()

    def stop(self, why: str, grace: float = processes.GRACE) -> None:
        """Begins to end the whole tree; returns at once, safe from any thread. Only the first call counts, and
        none after the command's end."""
        with self._lock:
            if self._ended or self.stopped is not None:
                return
            self.stopped = why
            self._killer = threading.Thread(target=self._kill, args=(grace,), name=f"kill-{self.pid}", daemon=True)
            self._killer.start()

    def wait(self) -> int:
        """Blocks until the command has ended, and if it was stopped, until its tree is gone. The exit code; below
        0 a signal's number. What a command left in the background and was not stopped lives on."""
        if sys.platform == "linux":  # left unreaped, so that its number stays its own while the group is signalled
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        else:  # Python 3.11 has no waitid on macOS
            self.popen.wait()
        with self._lock:
            self._ended = True
        if self._killer is not None:
            self._killer.join()
        if sys.platform == "win32" and self._job is not None:
            with contextlib.suppress(OSError):
                self._job.release()
        return self.popen.wait()

    def _discard(self) -> None:
        assert self.popen.stdout is not None
        self.popen.kill()
        self.popen.stdout.close()
        self.popen.wait()

    if sys.platform == "win32":

        def _enter_job(self) -> Job | None:
            try:
                return Job(self.pid)
            except OSError:  # a job above ours forbids it: the tree is then found by its marker
                return None
            finally:
                self._process.resume()

        def _kill(self, grace: float) -> None:
            if self._job is not None:
                with contextlib.suppress(OSError):
                    self._job.terminate()
            processes.end(self._find, 0.0)

        def _find(self, present: processes.Processes) -> set[psutil.Process]:
            return {self._process} | present.marked(lambda found: found == self._marker)

    else:

        def _kill(self, grace: float) -> None:
            try:
                processes.end(self._find, grace)
            except OSError:  # no descriptor is left to look around with: the group at least
                with contextlib.suppress(OSError):
                    os.killpg(self.pid, signal.SIGKILL)

        def _find(self, present: processes.Processes) -> set[psutil.Process]:
            found = {self._process} | present.marked(lambda marker: marker == self._marker)
            for process in present.parents:
                with contextlib.suppress(OSError):
                    if os.getpgid(process.pid) == self.pid:
                        found.add(process)
            return found
