"""Connections that end when their run ends. A socket's own time-out is no deadline: a peer that sends a byte now
and then keeps it from ever passing. So whoever cancels the run, or a limit, shuts the sockets down.
"""

import errno
import os
import selectors
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Literal

from dashboard.handlers._patient import SLICE_SECONDS, Patient, secure_context
from dashboard.handlers.contract import Context

Why = Literal["cancelled", "limit"]
SLACK_SECONDS = 1.0
"""A socket waits so much longer than the run may last: at the deadline it is the engine that ends the run."""
_UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN)


class Unreachable(Exception):
    """No connection. ``kind``: ``dns``, ``refused``, ``timeout`` or ``network``; ``str()``: the system's words.

    Not an OSError on purpose: urllib3 lets it pass as it is.
    """

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        super().__init__(text)


class Aborted(Exception):
    """The link was shut while it was being made; ``Link.why`` says for what."""


class Link:
    """The connections of one run. ``why`` is set once they were shut; a call that hangs in one of them fails then.

    It holds a duplicate of each socket: the original changes hands when TLS wraps it, shutting the duplicate
    shuts the connection all the same. Where that wakes nobody (Windows), the waits themselves look.
    """

    def __init__(self, context: Context) -> None:
        self.why: Why | None = None
        self.deadline = context.deadline
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._held: list[socket.socket] = []
        context.on_cancel(lambda: self.abort("cancelled"))

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        with self._lock:
            held, self._held = self._held, []
        for one in held:
            one.close()

    def abort(self, why: Why) -> None:
        """Shuts everything; from any thread, at once."""
        with self._lock:
            self.why = self.why or why
            for one in self._held:
                _shut(one)
        self._wake.set()

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """What is inside is aborted (``limit``) after ``seconds``."""
        timer = threading.Timer(seconds, self.abort, ("limit",))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def patience(self) -> float:
        """So long an operation of a socket may still take."""
        return max(0.0, self.deadline - time.monotonic() + SLACK_SECONDS)

    def tls(self) -> ssl.SSLContext:
        """For connections of this link."""
        return secure_context(self._go_on)

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection to the first address of ``host`` that answers. Raises Unreachable, Aborted."""
        addresses = self._resolve(host, port)
        last = OSError()
        for index, (family, kind, protocol, _name, address) in enumerate(addresses):
            self.check()
            patience = self.patience() / (len(addresses) - index)  # a silent address leaves time for the next
            try:
                sock = Patient(family, kind, protocol)
                sock.give_up = self._go_on
                try:
                    self._reach(sock, address, patience)
                    self._hold(sock)
                except BaseException:
                    sock.close()
                    raise
            except OSError as error:
                last = error
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(SLICE_SECONDS)
            return sock
        raise _unreachable(last) from last

    def check(self) -> None:
        """Raises Aborted if the link was shut."""
        if self.why is not None:
            raise Aborted

    def _go_on(self) -> None:
        """Raises if there is nothing more to wait for."""
        self.check()
        if not self.patience():
            raise TimeoutError("timed out")

    def _resolve(self, host: str, port: int) -> list[Any]:
        try:
            return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
        except (OSError, UnicodeError):
            pass  # a name: the resolver may hang for long and cannot be interrupted, so it gets its own thread
        found: list[Any] = []
        failed: list[Exception] = []

        def look_up() -> None:
            try:
                found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except (OSError, UnicodeError) as error:
                failed.append(error)
            self._wake.set()

        threading.Thread(target=look_up, name="resolve", daemon=True).start()
        self._wake.wait(self.patience())
        self.check()
        self._wake.clear()
        if found:
            return list(found)
        raise Unreachable("dns", _words(failed[0]) if failed else "")

    def _reach(self, sock: socket.socket, address: Any, patience: float) -> None:
        until = time.monotonic() + patience
        sock.setblocking(False)
        code = sock.connect_ex(address)
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_WRITE)
            while code in _UNDER_WAY:
                self.check()
                if selector.select(SLICE_SECONDS):
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    break
                if time.monotonic() > until:
                    code = errno.ETIMEDOUT
        if code:
            raise OSError(code, _system_text(code))

    def _hold(self, sock: socket.socket) -> None:
        with self._lock:
            self.check()
            self._held.append(sock.dup())


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):  # the peer was faster
        sock.shutdown(socket.SHUT_RDWR)


def _system_text(code: int) -> str:
    if sys.platform == "win32":
        import ctypes

        text = ctypes.FormatError(code)
    else:
        text = os.strerror(code)
    return text


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _unreachable(error: OSError) -> Unreachable:
    kinds = {errno.ECONNREFUSED: "refused", errno.ETIMEDOUT: "timeout"}
    return Unreachable(kinds.get(error.errno or 0, "network"), _words(error))
