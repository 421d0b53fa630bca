"""send_email against a real server that misbehaves: what is retried, what is not, and nobody gets a mail twice."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.handlers import send_email
from dashboard.handlers.contract import Cancelled, Failed, TimedOut, Unknown
from dashboard.servers import SmtpServer
from tests.certificates import Certificate, make_certificate
from tests.factories import HandlerContext
from tests.smtp_server import MailServer, RawServer

PASSWORD = "canary-4711"


def profile(port: int, **changes: Any) -> SmtpServer:
    fields: dict[str, Any] = {"name": "test", "host": "localhost", "port": port, "security": "none", "user": "",
                              "password": "", "sender": "定时 <dingshi@example.com>", "default": True}
    return SmtpServer(**(fields | changes))


def context_for(port: int, **changes: Any) -> HandlerContext:
    seconds = changes.pop("seconds", 30.0)
    return HandlerContext(seconds=seconds, servers={("smtp", None): profile(port, **changes)})


def send(context: HandlerContext, *to: str, **more: Any) -> Failed | None:
    """One attempt. The exception if it failed."""
    document = {"to": [f"{name}@example.com" for name in to], "title": "报告", "body": "一切正常", **more}
    try:
        send_email.run(send_email.Params().load(document), context)
    except Failed as failure:
        outcome = failure.outcome
        assert outcome.reason is not None
        assert send_email.REASONS[outcome.reason.code] % outcome.reason.values  # every place has its value
        assert PASSWORD not in f"{outcome.reason} {outcome.error} {context.text}"
        return failure
    return None


def code(failure: Failed | None) -> str:
    assert failure is not None and failure.outcome.reason is not None
    return failure.outcome.reason.code


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    return certificate


@pytest.mark.parametrize(("name", "reason", "final", "said"), [
    ("busy", "mail_nobody_deferred", False, "450 4.2.1 try again later"),
    ("refused", "mail_nobody_refused", True, "550 5.1.1 no such user"),
    ("twice", "mail_deferred", False, "421 4.3.2 closing for a while"),
    ("drop", "mail_dropped", False, "closed"),
    ("full", "mail_deferred", False, "452 4.3.1 disk full"),
    ("spam", "mail_refused", True, "554 5.7.1 looks like spam�[31m"),
])
def test_a_refusal_is_a_failure_that_says_what_the_server_said(
        server: MailServer, name: str, reason: str, final: bool, said: str) -> None:
    failure = send(context_for(server.port), name)
    assert code(failure) == reason and failure is not None
    assert (failure.outcome.result, failure.outcome.final) == ("failure", final)
    assert said in (failure.outcome.error or "")
    assert not server.deliveries


def test_twice_421_then_fine(server: MailServer) -> None:
    context = context_for(server.port)
    assert code(send(context, "twice")) == "mail_deferred"
    assert code(send(context, "twice")) == "mail_deferred"
    assert send(context, "twice") is None
    assert server.received("twice@example.com") == 1


def test_a_line_dropped_after_the_final_dot_is_unknown_and_final(server: MailServer) -> None:
    failure = send(context_for(server.port), "dropdot")
    assert isinstance(failure, Unknown) and code(failure) == "mail_unknown"
    assert (failure.outcome.result, failure.outcome.final) == ("unknown", True)
    assert len(server.deliveries) == 1


def test_a_run_stopped_after_the_final_dot_is_unknown_too(server: MailServer) -> None:
    context = context_for(server.port)
    with context.cancelled_after(0.3):
        failure = send(context, "mute")
    assert isinstance(failure, Unknown)
    assert len(server.deliveries) == 1


def test_a_blocked_sender_is_final(server: MailServer) -> None:
    failure = send(context_for(server.port, sender="blocked@example.com"), "ann")
    assert code(failure) == "mail_refused" and failure is not None
    assert failure.outcome.final and "blocked" in (failure.outcome.error or "")


def test_a_retry_asks_only_for_those_who_have_not_got_it(server: MailServer) -> None:
    context = context_for(server.port)
    first = send(context, "ann", "twice-later", "busy", "refused", "bob")
    assert code(first) == "mail_recipients_mixed" and first is not None
    assert not first.outcome.final
    assert first.outcome.reason is not None
    assert first.outcome.reason.values["refused"] == "refused@example.com"
    assert first.outcome.reason.values["deferred"] == "busy@example.com"
    again = HandlerContext(attempt=2, carried=context.carried, servers=context.servers)
    again.occurrence = context.occurrence
    assert code(send(again, "ann", "twice-later", "busy", "refused", "bob")) == "mail_recipients_mixed"
    assert len(server.deliveries) == 1
    assert [server.received(f"{name}@example.com") for name in ("ann", "bob", "busy", "refused")] == [1, 1, 0, 0]


def test_when_only_refusals_for_good_are_left_it_is_final(server: MailServer) -> None:
    context = context_for(server.port)
    failure = send(context, "ann", "refused")
    assert code(failure) == "mail_recipients_refused" and failure is not None
    assert failure.outcome.final and "550" in (failure.outcome.error or "")
    asked = len(server.commands)
    assert code(send(context, "ann", "refused")) == "mail_recipients_refused"
    assert len(server.commands) == asked  # nothing left to ask the server for
    assert server.received("ann@example.com") == 1


def test_all_attempts_carry_one_message_id(server: MailServer) -> None:
    context = context_for(server.port)
    send(context, "ann", "busy")
    other = HandlerContext(servers=context.servers)
    send(other, "ann")
    again = HandlerContext(servers=context.servers)
    again.occurrence = context.occurrence
    send(again, "ann")
    ids = [delivery.message["Message-ID"] for delivery in server.deliveries]
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize("banner", [b"", b"2", b"220-welcome\r\n"])
def test_a_server_that_drips_or_keeps_silent_ends_with_the_run(banner: bytes) -> None:
    with RawServer(banner, pause=0.02, again=bool(banner)) as slow:
        context = context_for(slow.port)
        began = time.monotonic()
        with context.cancelled_after(0.2), pytest.raises(Cancelled):
            send(context, "ann")
        assert time.monotonic() - began < 1.0


def test_a_silent_server_is_given_up_even_if_nobody_cancels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.handlers._link.SLACK_SECONDS", 0.1)
    with RawServer() as silent:
        failure = send(context_for(silent.port, seconds=0.1), "ann")
    assert isinstance(failure, TimedOut) and code(failure) == "mail_silent"


def test_a_stopped_run_does_not_even_connect(server: MailServer) -> None:
    context = context_for(server.port)
    context.cancel()
    with pytest.raises(Cancelled):
        send(context, "ann")
    assert not server.commands


@pytest.mark.parametrize(("replies", "banner", "reason", "final"), [
    ((), b"554 5.0.0 go away\r\n", "mail_refused", True),
    ((), b"421 4.0.0 later\r\n", "mail_deferred", False),
    ((), b"HTTP/1.1 400 Bad Request\r\n", "mail_garbled", False),
    ((b"250 hi\r\n", b"999 what\r\n"), b"220 hi\r\n", "mail_garbled", False),
    ((b"502 no\r\n", b"502 no\r\n"), b"220 hi\r\n", "mail_refused", True),
    ((b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"), b"220 hi\r\n", "mail_unknown", True),
    ((b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"what\r\n"), b"220 hi\r\n", "mail_unknown", True),
    ((b"250 hi\r\n", b"250 ok\r\n", b"421 later\r\n"), b"220 hi\r\n", "mail_deferred", False),
])
def test_strange_replies(replies: tuple[bytes, ...], banner: bytes, reason: str, final: bool) -> None:
    with RawServer(banner, replies=replies) as raw:
        failure = send(context_for(raw.port), "ann")
    assert code(failure) == reason and failure is not None
    assert failure.outcome.final is final


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_what_a_chinese_server_says_is_readable(encoding: str) -> None:
    replies = (b"250 hi\r\n", "550 发件人被拒绝\r\n".encode(encoding))
    with RawServer(b"220 hi\r\n", replies=replies) as raw:
        failure = send(context_for(raw.port), "ann")
    assert failure is not None and failure.outcome.error == "550 发件人被拒绝"


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    failure = send(context_for(port), "ann")
    assert code(failure) == "mail_refused_connection" and failure is not None
    assert not failure.outcome.final and failure.outcome.error


def test_no_such_host() -> None:
    failure = send(context_for(25, host="no-such-host.invalid"), "ann")
    assert code(failure) == "mail_dns" and failure is not None
    assert not failure.outcome.final


@pytest.mark.parametrize("security", ["ssl", "starttls"])
def test_a_secure_connection(security: str, trusted: Certificate) -> None:
    with MailServer(security, trusted, login=("ann", PASSWORD)) as server:
        context = context_for(server.port, security=security, user="ann", password=PASSWORD)
        assert send(context, "bob") is None
        assert server.received("bob@example.com") == 1


@pytest.mark.parametrize("security", ["ssl", "starttls"])
def test_a_certificate_that_nobody_signed_is_refused_before_anything_is_said(
        security: str, certificate: Certificate) -> None:
    with MailServer(security, certificate, login=("ann", PASSWORD)) as server:
        failure = send(context_for(server.port, security=security, user="ann", password=PASSWORD), "bob")
        assert code(failure) == "mail_certificate" and failure is not None
        assert not failure.outcome.final
        assert not server.commands


def test_a_certificate_of_another_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_certificate(tmp_path, "elsewhere.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(other.path))
    with MailServer("starttls", other) as server:
        assert code(send(context_for(server.port, security="starttls"), "bob")) == "mail_certificate"
        assert not server.commands


def test_tls_where_none_is_spoken(server: MailServer) -> None:
    assert code(send(context_for(server.port, security="ssl"), "bob")) == "mail_tls"
    failure = send(context_for(server.port, security="starttls"), "bob")
    assert code(failure) == "mail_no_starttls" and failure is not None
    assert failure.outcome.final
    assert not server.commands  # never in the clear instead


def test_a_wrong_password_is_final_and_never_shown() -> None:
    with MailServer(login=("ann", "right")) as server:
        failure = send(context_for(server.port, user="ann", password=PASSWORD), "bob")
        assert code(failure) == "mail_login" and failure is not None
        assert failure.outcome.final and "535" in (failure.outcome.error or "")
        assert send(context_for(server.port, user="ann", password="right"), "bob") is None
        assert server.received("bob@example.com") == 1


def test_a_login_that_repeats_the_password_is_cleaned() -> None:
    replies = (b"250-hi\r\n250 AUTH PLAIN\r\n", f"535 your password {PASSWORD} is wrong\r\n".encode())
    with RawServer(b"220 hi\r\n", replies=replies) as raw:
        failure = send(context_for(raw.port, user="ann", password=PASSWORD), "bob")
    assert code(failure) == "mail_login" and failure is not None
    assert failure.outcome.error == "535 your password *** is wrong"


def test_a_login_refused_for_now_is_retried() -> None:
    with RawServer(b"220 hi\r\n", replies=(b"250-hi\r\n250 AUTH PLAIN LOGIN\r\n", b"454 later\r\n")) as raw:
        failure = send(context_for(raw.port, user="ann", password=PASSWORD), "bob")
    assert code(failure) == "mail_deferred" and failure is not None
    assert not failure.outcome.final


def test_a_refused_login_stays_final_though_the_server_hangs_up() -> None:
    with RawServer(b"220 hi\r\n", replies=(b"250-hi\r\n250 AUTH PLAIN LOGIN\r\n", b"535 no\r\n")) as raw:
        failure = send(context_for(raw.port, user="ann", password=PASSWORD), "bob")
    assert code(failure) == "mail_login" and failure is not None
    assert failure.outcome.final


def test_a_server_without_login(server: MailServer) -> None:
    failure = send(context_for(server.port, user="ann", password=PASSWORD), "bob")
    assert code(failure) == "mail_no_login" and not server.deliveries


def test_an_address_beyond_ascii_needs_a_server_that_takes_it(server: MailServer) -> None:
    failure = send(context_for(server.port), "张三")
    assert code(failure) == "mail_utf8_address" and failure is not None
    assert failure.outcome.final and not server.deliveries
    with MailServer(utf8=True) as able:
        assert send(context_for(able.port), "张三") is None
        assert able.received("张三@example.com") == 1
