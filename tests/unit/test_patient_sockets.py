"""Mails and HTTP calls end in time also where shutting a connection wakes no wait for it, as on Windows."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.engine.runner import PATIENCE
from dashboard.handlers import http_request, send_email
from dashboard.handlers._link import SLACK_SECONDS
from dashboard.handlers._patient import SLICE_SECONDS
from dashboard.handlers.contract import Cancelled, TimedOut, Unknown
from dashboard.servers import SmtpServer
from tests.certificates import Certificate, make_certificate
from tests.factories import HandlerContext
from tests.http_server import WebServer
from tests.smtp_server import MailServer, RawServer

MAIL = {"to": "ann@example.com", "title": "报告", "body": "一切正常"}


@pytest.fixture(autouse=True)
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shutting shuts nothing."""
    monkeypatch.setattr("dashboard.handlers._link._shut", lambda sock: None)


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def mail_context(port: int, security: str = "none", seconds: float = 30.0) -> HandlerContext:
    profile = SmtpServer("test", "localhost", port, security, "", "", "dingshi@example.com", True)
    return HandlerContext(seconds=seconds, servers={("smtp", None): profile})


def send(context: HandlerContext, **more: Any) -> None:
    send_email.run(send_email.Params().load(MAIL | more), context)


def call(context: HandlerContext, url: str, **more: Any) -> None:
    http_request.run(http_request.Params().load({"url": url, **more}), context)


@pytest.mark.parametrize(("security", "banner"), [("none", b""), ("none", b"220 hi\r\n"), ("starttls", b""),
                                                  ("starttls", b"220 hi\r\n"), ("ssl", b"")])
def test_a_stop_ends_a_mail_to_a_silent_server(security: str, banner: bytes) -> None:
    with RawServer(banner) as silent:
        context = mail_context(silent.port, security)
        began = time.monotonic()
        with context.cancelled_after(0.1), pytest.raises(Cancelled):
            send(context)
        assert time.monotonic() - began < 1.0


def test_a_stop_after_the_final_dot_is_unknown() -> None:
    with MailServer() as server:
        context = mail_context(server.port)
        with context.cancelled_after(0.3), pytest.raises(Unknown):
            send(context, to="mute@example.com")
        assert len(server.deliveries) == 1


def test_a_deadline_after_the_final_dot_is_unknown_before_the_run_is_given_up(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of a run that was given up says ``timeout``, and the mail would be sent again."""
    assert PATIENCE["timeout"] > SLACK_SECONDS + 2 * SLICE_SECONDS
    monkeypatch.setattr("dashboard.handlers._link.SLACK_SECONDS", 0.2)
    with MailServer() as server:
        context = mail_context(server.port, seconds=0.3)
        with pytest.raises(Unknown):
            send(context, to="mute@example.com")
        assert time.monotonic() - context.deadline < 0.2 + 0.3
        assert len(server.deliveries) == 1


@pytest.mark.parametrize("path", ["/mute", "/drip", "/dripping-headers"])
def test_a_stop_and_a_limit_end_a_call(web: WebServer, path: str) -> None:
    context = HandlerContext()
    began = time.monotonic()
    with context.cancelled_after(0.1), pytest.raises(Cancelled):
        call(context, web.url(path))
    with pytest.raises(TimedOut, match="http_timeout"):
        call(HandlerContext(), web.url(path), timeout=0.1)
    assert time.monotonic() - began < 2.0


def test_a_stop_ends_a_call_over_tls(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    with WebServer(certificate) as web:
        context = HandlerContext()
        began = time.monotonic()
        with context.cancelled_after(0.3), pytest.raises(Cancelled):
            call(context, web.url("/mute", "localhost"))
        assert time.monotonic() - began < 1.2


def test_a_stop_ends_an_upload_that_nobody_takes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        context = HandlerContext()
        with context.cancelled_after(0.1), pytest.raises(Cancelled):
            call(context, f"http://127.0.0.1:{listener.getsockname()[1]}/", method="POST", data="x" * 20_000_000)


@pytest.mark.parametrize("security", ["none", "starttls", "ssl"])
def test_a_large_mail_arrives_whole(
        security: str, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    content = bytes(range(256)) * 8192
    (tmp_path / "报表.bin").write_bytes(content)
    with MailServer(security, None if security == "none" else certificate) as server:
        send(mail_context(server.port, security), attachments=[str(tmp_path / "报表.bin")])
        (attached,) = server.deliveries[0].message.iter_attachments()
    assert attached.get_payload(decode=True) == content


def test_an_upload_goes_on_where_the_peer_was_slow() -> None:
    """More than a slice passes between two reads of the peer; nothing is lost or sent twice."""
    size, got = 4_000_000, bytearray()

    def serve(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            while len(got) < size:
                if len(got) in range(1, 200_000):
                    time.sleep(0.15)
                got.extend(peer.recv(100_000))
            peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve, args=(listener,))
        serving.start()
        data = "".join(f"{n:07}\n" for n in range(size // 8))
        call(HandlerContext(), f"http://127.0.0.1:{listener.getsockname()[1]}/", method="POST", data=data)
        serving.join()
    assert bytes(got).partition(b"\r\n\r\n")[2].decode() == data[:len(got) - got.index(b"\r\n\r\n") - 4]
