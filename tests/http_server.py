"""A web server on loopback for tests of ``http_request``; what a path does is said at ``_Pages``."""

import gzip
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.certificates import Certificate


class WebServer:
    """Use it in ``with``. ``calls``: what was asked, in order, as ``{"method", "path", "headers", "body"}``."""

    def __init__(self, certificate: Certificate | None = None) -> None:
        self.calls: list[dict[str, Any]] = []
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Pages)
        self._server.owner = self
        if certificate is not None:
            context: ssl.SSLContext = certificate.server_context()
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "http" if certificate is None else "https"
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self._scheme}://{host}:{self.port}{path}"

    def __enter__(self) -> "WebServer":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: WebServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Peers hang up here on purpose."""


class _Pages(BaseHTTPRequestHandler):
    """``/`` ok · ``/echo`` what was asked · ``/status/N`` · ``/redirect?to=URL&status=N`` · ``/loop`` · ``/mute``
    no answer · ``/close`` hangs up · ``/noise`` no HTTP · ``/drip`` a byte now and then · ``/dripping-headers`` ·
    ``/endless`` · ``/bomb`` 50 MB packed · ``/broken-gzip`` · ``/short`` less than it says · ``/gbk`` ·
    ``/binary``."""

    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def _any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        call = {"method": self.command, "path": self.path, "headers": dict(self.headers.items()),
                "body": self.rfile.read(length).decode("utf-8")}
        self.server.owner.calls.append(call)
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        name, _, rest = parts.path.strip("/").partition("/")
        page = getattr(self, "page_" + name.replace("-", "_"), None)
        if page is None:
            self._answer(200, "fine 很好".encode())
        else:
            page(call, rest, query)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _any

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _stream(self, chunk: bytes, pause: float) -> None:
        while not self.server.owner.over.wait(pause):
            self.wfile.write(chunk)

    def page_echo(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self._answer(200, json.dumps(call).encode(), "application/json", Set_Cookie="secret=1", X_Request_Id="r1")

    def page_status(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self._answer(int(rest), b"as you wish", Location="/elsewhere")

    def page_redirect(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self._answer(int(query.get("status", "302")), b"", Location=query["to"].encode().decode("latin-1"))

    def page_loop(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self._answer(302, b"", Location="/loop")

    def page_mute(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self.server.owner.over.wait(30)
        self.close_connection = True

    def page_close(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self.close_connection = True

    def page_noise(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        self.close_connection = True

    def page_drip(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.end_headers()
        self._stream(b".", 0.02)

    def page_dripping_headers(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        self._stream(b".", 0.02)

    def page_endless(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self._stream("长".encode() * 20000, 0)

    def page_bomb(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self._answer(200, gzip.compress(b"0" * 50_000_000, 1), Content_Encoding="gzip")

    def page_broken_gzip(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self._answer(200, b"this is no gzip", Content_Encoding="gzip")

    def page_short(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"ten bytes.")
        self.close_connection = True

    def page_gbk(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self._answer(200, "中文网页".encode("gbk"), query.get("type", "text/html"))

    def page_binary(self, call: dict[str, Any], rest: str, query: dict[str, str]) -> None:
        self._answer(200, b"\x89PNG\0\0", "image/png")
