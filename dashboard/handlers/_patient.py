"""Sockets that wait in slices and may give up between two of them.

Shutting a connection down ends a wait for it at once on Linux; on Windows the wait may go on, since there only a
close wakes it, and a handle that another thread still uses must not be closed.
"""

import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

SLICE_SECONDS = 0.1
_Result = TypeVar("_Result")


class Patient(socket.socket):
    """``give_up`` is called before each operation and after each slice in which nothing came or went; it raises when
    enough has been waited. Time-outs that others set are no concern of it."""

    give_up: Callable[[], None]

    def settimeout(self, value: float | None) -> None:
        """Any wait is in slices."""
        super().settimeout(value if value == 0 else SLICE_SECONDS)

    def recv_into(self, *arguments: Any, **named: Any) -> int:
        """What ``makefile`` reads by, hence smtplib and http.client."""
        return self._insist(lambda: super(Patient, self).recv_into(*arguments, **named))

    def send(self, data: Any, flags: int = 0) -> int:
        """As usual. TLS wants the very same data again after a wait in vain."""
        return self._insist(lambda: super(Patient, self).send(data, flags))

    def sendall(self, data: Any, flags: int = 0) -> None:
        """As usual, but it knows how far it came."""
        with memoryview(data) as view, view.cast("B") as left:
            sent = 0
            while sent < len(left):
                sent += self.send(left[sent:], flags)

    def _insist(self, call: Callable[[], _Result]) -> _Result:
        while True:
            self.give_up()
            try:
                return call()
            except TimeoutError:
                continue


def secure_context(give_up: Callable[[], None]) -> ssl.SSLContext:
    """The default one (certificates and host names are checked), whose connections are patient, too."""

    class Secure(Patient, ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            try:
                self._insist(lambda: super(Secure, self).do_handshake(block))
            except BaseException:  # ssl itself closes after an OSError alone
                self.close()
                raise

    Secure.give_up = staticmethod(give_up)
    context = ssl.create_default_context()
    context.sslsocket_class = Secure
    return context
