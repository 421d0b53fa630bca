"""A real mail server on loopback that keeps what it is given and misbehaves where a test asks for it.

The part of a recipient before the @ picks the fault: ``refused`` (550), ``busy`` (450), ``twice`` (421 two times,
then fine), ``drop`` (hangs up at DATA), ``dropdot`` (takes the mail, hangs up without a reply), ``full`` (452 after
the dot), ``spam`` (554 after the dot), ``mute`` (never answers the dot). Everybody else gets the mail.
"""

import asyncio
import email
import email.policy
import socket
import threading
from dataclasses import dataclass
from email.message import EmailMessage
from types import TracebackType
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword, syntax

from tests.certificates import Certificate


@dataclass(frozen=True)
class Delivery:
    """A mail that the server took."""

    sender: str
    recipients: list[str]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        parsed = email.message_from_bytes(self.content, policy=email.policy.SMTP)
        assert isinstance(parsed, EmailMessage)
        return parsed


class MailServer:
    """Use it in ``with``. ``security`` as in a profile; ``login``: (user, password), without which nobody sends;
    ``utf8``: offers SMTPUTF8. ``deliveries`` in order; ``commands``: the words the clients said."""

    def __init__(self, security: str = "none", certificate: Certificate | None = None,
                 login: tuple[str, str] | None = None, utf8: bool = False) -> None:
        self.security = security
        self.login = login
        self.utf8 = utf8
        self.deliveries: list[Delivery] = []
        self.commands: list[str] = []
        self.asked_twice = 0
        self.port = 0
        self._tls = certificate.server_context() if certificate else None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mail-server", daemon=True)
        self._arrived = threading.Condition()

    def received(self, address: str) -> int:
        """How often ``address`` got a mail."""
        return sum(delivery.recipients.count(address) for delivery in self.deliveries)

    def wait(self, count: int, seconds: float = 10.0) -> list[Delivery]:
        """The deliveries once there are ``count``. Raises TimeoutError."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.deliveries) >= count, seconds):
                raise TimeoutError(f"{len(self.deliveries)} of {count} mails arrived")
            return list(self.deliveries)

    def keep(self, delivery: Delivery) -> None:
        with self._arrived:
            self.deliveries.append(delivery)
            self._arrived.notify_all()

    def __enter__(self) -> "MailServer":
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        tls = self._tls if self.security == "ssl" else None
        return await self._loop.create_server(self._session, "127.0.0.1", 0, ssl=tls)

    async def _close(self) -> None:
        self._server.close()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _session(self) -> "_Session":
        return _Session(
            _Hooks(self), mail_server=self, hostname="mail.test", loop=self._loop, enable_SMTPUTF8=self.utf8,
            tls_context=self._tls if self.security == "starttls" else None, auth_require_tls=False,
            authenticator=self._authenticate if self.login else None,
            auth_exclude_mechanism=() if self.login else ("LOGIN", "PLAIN"))

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword) and self.login
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self.login, handled=False)


class _Session(SMTP):
    def __init__(self, handler: "_Hooks", mail_server: MailServer, **options: Any) -> None:
        self.mail_server = mail_server
        super().__init__(handler, **options)

    @syntax("DATA")
    async def smtp_DATA(self, argument: str) -> None:
        self.mail_server.commands.append("DATA")
        if self.envelope and any(one.startswith("drop@") for one in self.envelope.rcpt_tos):
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.abort()
            return
        await super().smtp_DATA(argument)


class _Hooks:
    """What aiosmtpd asks."""

    def __init__(self, server: MailServer) -> None:
        self.server = server

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        self.server.commands.append("MAIL")
        if self.server.login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        if address.startswith("blocked@"):
            return "550 5.7.1 this sender is blocked"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        self.server.commands.append("RCPT")
        name = address.partition("@")[0]
        if name == "refused":
            return "550 5.1.1 no such user"
        if name == "busy":
            return "450 4.2.1 try again later"
        if name == "twice" and self.server.asked_twice < 2:
            self.server.asked_twice += 1
            return "421 4.3.2 closing for a while"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        names = {address.partition("@")[0] for address in envelope.rcpt_tos}
        if "full" in names:
            return "452 4.3.1 disk full"
        if "spam" in names:
            return "554 5.7.1 looks like spam\x1b[31m"
        self.server.keep(Delivery(envelope.mail_from, list(envelope.rcpt_tos), bytes(envelope.content)))
        if "dropdot" in names:
            server.transport.abort()
        if "mute" in names:
            await asyncio.sleep(60)
        return "250 2.0.0 taken"


class RawServer:
    """A listener, one peer at a time, that says the bytes of ``banner``, ``pause`` seconds apart, over and over if
    ``again``; then it answers what comes with one of ``replies`` each and hangs up after the last. Without
    ``replies`` it keeps silent. Use it in ``with``."""

    def __init__(self, banner: bytes = b"", pause: float = 0.0, again: bool = False,
                 replies: tuple[bytes, ...] = ()) -> None:
        self.banner = banner
        self.pause = pause
        self.again = again
        self.replies = list(replies)
        self.connected = threading.Event()
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="raw-server", daemon=True)

    def __enter__(self) -> "RawServer":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._over.set()
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        self._listener.settimeout(0.05)
        while not self._over.is_set():
            try:
                peer, _address = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with peer:
                self.connected.set()
                self._talk(peer)

    def _talk(self, peer: socket.socket) -> None:
        peer.settimeout(0.05)
        try:
            while True:
                for byte in self.banner:
                    peer.sendall(bytes([byte]))
                    if self._over.wait(self.pause):
                        return
                if not self.again:
                    break
            for reply in self.replies:
                while True:
                    try:
                        if not peer.recv(65536):
                            return
                        break
                    except TimeoutError:
                        if self._over.is_set():
                            return
                peer.sendall(reply)
            while not self.replies and not self._over.wait(0.02):
                try:
                    if not peer.recv(65536):
                        return
                except TimeoutError:
                    continue
        except OSError:
            return
