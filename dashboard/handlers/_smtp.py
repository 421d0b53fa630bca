"""One mail over one connection, so that at every step it is known whether the server may have taken it."""

import base64
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from dashboard.handlers._link import Aborted, Link, Unreachable
from dashboard.handlers._message import Letter
from dashboard.handlers._text import tidy
from dashboard.handlers.contract import Cancelled, Failed, TimedOut, Unknown
from dashboard.servers import SmtpServer, preset_of

QUIT_SECONDS = 2.0
_LOGIN_REASONS = {"163": "mail_login_netease", "126": "mail_login_netease", "qq": "mail_login_qq",
                  "foxmail": "mail_login_qq", "exmail": "mail_login_exmail"}
_SECURE_FIRST = ("PLAIN", "LOGIN", "CRAM-MD5")
_CLEAR_FIRST = ("CRAM-MD5", "PLAIN", "LOGIN")


@dataclass
class Verdicts:
    """What the server said of each recipient. ``refused`` for good (5xx), ``deferred`` for now (4xx)."""

    accepted: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    deferred: dict[str, str] = field(default_factory=dict)


class _Refused(Exception):
    """A reply that is no consent."""

    def __init__(self, code: int, reply: bytes) -> None:
        self.code = code
        self.reply = reply
        super().__init__(code)


class _Client(smtplib.SMTP):
    """smtplib over the run's link. ``step``: the word of the protocol that is under way."""

    def __init__(self, link: Link, server: SmtpServer) -> None:
        super().__init__(local_hostname="[127.0.0.1]")  # given, else smtplib asks the DNS, for as long as it likes
        self.step = "connect"
        self.link = link
        self._host = server.host
        self._ssl = server.security == "ssl"

    def _get_socket(self, host: str, port: int, timeout: Any) -> socket.socket:
        sock = self.link.connect(host, port)
        name = sock.getsockname()[0].partition("%")[0]
        self.local_hostname = f"[IPv6:{name}]" if ":" in name else f"[{name}]"
        if self._ssl:
            self.step = "TLS"
            sock = self.link.tls().wrap_socket(sock, server_hostname=host)
        self.step = "greeting"
        return sock

    def ask(self, step: str, command: Callable[[], tuple[int, bytes]], *good: int) -> bytes:
        """The reply to ``command``. Raises _Refused if its code is none of ``good``."""
        self.step = step
        code, reply = command()
        if code not in good:
            raise _Refused(code, reply)
        return reply


def deliver(letter: Letter, recipients: Iterable[str], server: SmtpServer, link: Link) -> Verdicts:
    """Sends ``letter`` to ``recipients``; when it returns, the accepted ones have it.

    Raises Failed (nobody has it), Unknown (after the final dot no reply came), Cancelled, TimedOut.
    """
    client = _Client(link, server)
    try:
        return _converse(client, letter, recipients, server)
    except (_Refused, smtplib.SMTPException, Unreachable, Aborted, OSError, UnicodeError, ValueError) as error:
        raise _told(error, client, server, link) from error
    finally:
        client.close()


def _converse(client: _Client, letter: Letter, recipients: Iterable[str], server: SmtpServer) -> Verdicts:
    client.ask("greeting", lambda: client.connect(server.host, server.port), 220)
    _hello(client)
    if server.security == "starttls":
        _start_tls(client, server)
        _hello(client)
    if server.user:
        _log_in(client, server)
    if letter.needs_utf8 and not client.has_extn("smtputf8"):
        raise Failed("mail_utf8_address", final=True, host=server.host)
    data = _dotted(letter.data())
    options = [f"SIZE={len(data)}"] if client.has_extn("size") else []
    if letter.needs_utf8:
        options += ["SMTPUTF8"] + (["BODY=8BITMIME"] if client.has_extn("8bitmime") else [])
    client.ask("MAIL", lambda: client.mail(letter.sender, options), 250)
    verdicts = _name_recipients(client, recipients)
    if verdicts.accepted:
        client.ask("DATA", lambda: client.docmd("DATA"), 354)
        client.send(data)
        client.link.check()
        client.step = "dot"  # from here on the server may have it, whatever becomes of the line
        client.send(b".\r\n")
        client.ask("dot", client.getreply, *range(200, 300))
    _quit(client)
    return verdicts


def _hello(client: _Client) -> None:
    client.step = "EHLO"
    code, reply = client.ehlo()
    if not 200 <= code <= 299:
        if code == 421:
            raise _Refused(code, reply)
        client.ask("HELO", client.helo, 250)


def _start_tls(client: _Client, server: SmtpServer) -> None:
    if not client.has_extn("starttls"):
        raise Failed("mail_no_starttls", final=True, host=server.host)
    client.step = "STARTTLS"
    try:
        client.starttls(context=client.link.tls())
    except smtplib.SMTPResponseException as error:
        raise _Refused(error.smtp_code, _bytes(error.smtp_error)) from error


def _log_in(client: _Client, server: SmtpServer) -> None:
    """By the methods that both sides know, the next one after a refusal: some servers offer what they do not have.
    The last refusal counts, even if the server then hangs up."""
    client.step = "AUTH"
    client.user, client.password = server.user, server.password
    answers: dict[str, Any] = {"PLAIN": client.auth_plain, "LOGIN": client.auth_login,
                               "CRAM-MD5": client.auth_cram_md5}
    offered = client.esmtp_features.get("auth", "").upper().split()
    methods = [one for one in (_CLEAR_FIRST if server.security == "none" else _SECURE_FIRST) if one in offered]
    if not methods:
        raise Failed("mail_no_login", final=True, host=server.host)
    refusal: smtplib.SMTPAuthenticationError | None = None
    for method in methods:
        try:
            client.auth(method, answers[method])
            return
        except smtplib.SMTPAuthenticationError as error:
            refusal = error
            if not 500 <= error.smtp_code <= 599:
                break
        except smtplib.SMTPServerDisconnected:
            if refusal is None:
                raise
            break
    if refusal is not None:
        raise _Refused(refusal.smtp_code, _bytes(refusal.smtp_error))


def _name_recipients(client: _Client, recipients: Iterable[str]) -> Verdicts:
    verdicts = Verdicts()
    for address in recipients:
        client.step = "RCPT"
        code, reply = client.rcpt(address)
        if code in (250, 251, 252):
            verdicts.accepted.append(address)
        elif code == 421 or not 400 <= code <= 599:
            raise _Refused(code, reply)
        else:
            kind = verdicts.refused if code >= 500 else verdicts.deferred
            kind[address] = f"{code} {tidy(_text(reply), 300)}"
    return verdicts


def _quit(client: _Client) -> None:
    """Courtesy: what the server says to it changes nothing."""
    if client.sock is None:
        return
    with suppress(smtplib.SMTPException, OSError, Aborted), client.link.limit(QUIT_SECONDS):
        client.quit()


def _dotted(data: bytes) -> bytes:
    ended = data if data.endswith(b"\r\n") else data + b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", ended)


def _told(error: Exception, client: _Client, server: SmtpServer, link: Link) -> Exception:
    """What a run's row says of ``error``."""
    place: dict[str, Any] = {"host": server.host, "port": server.port}
    stopped = isinstance(error, Aborted) or link.why is not None
    if isinstance(error, _Refused) and (client.step == "dot" or not stopped):  # else it is half a line of a reply
        return _refusal(error, client.step, server)
    said = _scrub(tidy(str(error)), server) or type(error).__name__
    if client.step == "dot":
        return Unknown("mail_unknown", error=said, host=server.host)
    if stopped:
        return Cancelled()
    if isinstance(error, Unreachable):
        kind = "refused_connection" if error.kind == "refused" else error.kind
        return Failed(f"mail_{kind}", error=said, **place)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failed("mail_certificate", error=said, **place)
    if isinstance(error, ssl.SSLError) and client.step in ("TLS", "STARTTLS"):
        return Failed("mail_tls", error=said, security=server.security, **place)
    if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):  # smtplib hides it
        return TimedOut("mail_silent", error=said, step=client.step, **place)
    return Failed("mail_dropped", error=said, step=client.step, **place)


def _refusal(error: _Refused, step: str, server: SmtpServer) -> Failed:
    said = _scrub(f"{error.code} {tidy(_text(error.reply))}", server)
    final = 500 <= error.code <= 599
    if step == "AUTH" and final:
        reason = _LOGIN_REASONS.get(preset_of(server.host) or "", "mail_login")
        return Failed(reason, error=said, final=True, host=server.host, user=server.user)
    if not 400 <= error.code <= 599:
        if step == "dot":
            return Unknown("mail_unknown", error=said, host=server.host)
        return Failed("mail_garbled", error=said, host=server.host, port=server.port, step=step)
    step = "DATA" if step == "dot" else step
    return Failed("mail_refused" if final else "mail_deferred", error=said, final=final, host=server.host, step=step,
                  reply=error.code)


def _scrub(text: str, server: SmtpServer) -> str:
    """Some servers repeat the line they refuse, and that line may be the login."""
    if not server.password:
        return text
    plain = f"\0{server.user}\0{server.password}"
    for secret in (server.password, *(base64.b64encode(one.encode()).decode() for one in (plain, server.password))):
        text = text.replace(secret, "***")
    return text


def _text(reply: bytes) -> str:
    """Replies are ASCII by the book; Chinese servers write UTF-8 or GBK."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return reply.decode(encoding)
        except UnicodeDecodeError:
            continue
    return reply.decode("utf-8", "replace")


def _bytes(reply: bytes | str) -> bytes:
    return reply if isinstance(reply, bytes) else reply.encode("utf-8", "replace")
