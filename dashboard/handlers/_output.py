"""Reads a child's pipe in a thread of its own, never all of it in memory, never longer than the child lives."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

CHUNK = 64 * 1024
DRAIN_SECONDS = 0.5


class Pump:
    """Gives what ``popen`` writes to ``sink`` (in the pump's thread), chunk by chunk, in order.

    The pipe may outlive the child: whatever the child left in the background holds it too. So the end of the
    child is what counts, not the end of the file.
    """

    def __init__(self, popen: subprocess.Popen[bytes], sink: Callable[[bytes], None]) -> None:
        assert popen.stdout is not None
        self._pipe = popen.stdout
        self._sink = sink
        self._finished = False
        if sys.platform != "win32":
            self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"output-{popen.pid}", daemon=True)
        try:
            self._thread.start()
        except BaseException:  # no more threads: nobody else would close these
            self._pipe.close()
            if sys.platform != "win32":
                os.close(self._wake_read)
                os.close(self._wake_write)
            raise

    def finish(self) -> None:
        """After the child's end: what is in the pipe still goes to ``sink``, then reading ends."""
        if sys.platform == "win32":
            from dashboard.handlers._windows_job import cancel_read

            self._thread.join(DRAIN_SECONDS)
            self._finished = True  # no read after this; the one under way is cancelled, as soon as it is under way
            for _try in range(10):
                if not self._thread.is_alive():
                    break
                cancel_read(self._thread.native_id or 0)
                self._thread.join(DRAIN_SECONDS / 10)
        else:
            os.close(self._wake_write)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._read()
        finally:
            self._pipe.close()  # one that still writes to it learns so, and does not wait for ever

    if sys.platform == "win32":

        def _read(self) -> None:
            while not self._finished:
                try:
                    chunk = os.read(self._pipe.fileno(), CHUNK)
                except OSError:  # cancelled by finish
                    return
                if not chunk or self._finished:
                    return
                self._sink(chunk)

    else:

        def _read(self) -> None:
            import select

            pipe, wake = self._pipe.fileno(), self._wake_read
            poller = select.poll()
            poller.register(pipe, select.POLLIN)
            poller.register(wake, select.POLLIN)
            left = _capacity(pipe)
            try:
                while left > 0:
                    ready = {descriptor for descriptor, _event in poller.poll()}
                    chunk = os.read(pipe, CHUNK) if pipe in ready else b""
                    if not chunk:
                        return  # the end of the file, or the child is gone and the pipe empty
                    self._sink(chunk)
                    if wake in ready:
                        left -= len(chunk)  # no more than was in the pipe when the child ended
            finally:
                os.close(wake)


if sys.platform != "win32":

    def _capacity(pipe: int) -> int:
        import fcntl

        size = getattr(fcntl, "F_GETPIPE_SZ", None)  # Linux alone tells
        return CHUNK if size is None else fcntl.fcntl(pipe, size)
