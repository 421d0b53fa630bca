"""One HTTP call, its redirects included, over connections that end when the run ends."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ContentDecodingError, InvalidHeader, InvalidURL, RequestException
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from dashboard.handlers._link import Aborted, Link, Unreachable
from dashboard.handlers._text import tidy
from dashboard.handlers._url import check_url
from dashboard.handlers.contract import Cancelled, Failed, TimedOut

MAX_BYTES = 1024 * 1024
"""So much of an answer is read."""
MAX_REDIRECTS = 3
CHUNK = 16 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_FOR_EVERYBODY = ("accept", "accept-language", "content-type", "user-agent")
"""The only headers of the task that another origin gets to see; any other may be a key."""


@dataclass(frozen=True)
class Answer:
    """What came. ``body``: at most ``MAX_BYTES``, unpacked; ``cut``: there was more. ``hops``: redirects followed."""

    status: int
    url: str
    headers: requests.structures.CaseInsensitiveDict[str]
    body: bytes
    cut: bool
    hops: int


@dataclass(frozen=True)
class Call:
    """What is asked. Redirects with a status in ``stop_at`` are answers."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    stop_at: frozenset[int]

    def redirected(self, status: int, location: str) -> "Call":
        """The call that a redirect leads to. Raises Failed if that is no address for us."""
        with suppress(UnicodeError):  # http.client reads headers as Latin-1, and servers write UTF-8 into this one
            location = location.encode("latin-1").decode("utf-8")
        url = urljoin(self.url, location.strip().replace(" ", "%20"))
        if check_url(url) is not None:
            raise Failed("http_redirect_refused", url=tidy(url, 200))
        method, headers, body = self.method, self.headers, self.body
        if status == 303 or (status in (301, 302) and method == "POST"):
            method, body = ("HEAD" if method == "HEAD" else "GET"), None
            headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        if _origin(url) != _origin(self.url):
            headers = {name: value for name, value in headers.items() if name.lower() in _FOR_EVERYBODY}
        return Call(method, url, headers, body, self.stop_at)


class _Adapter(HTTPAdapter):
    """requests' own, but each connection is one of ``link``."""

    def __init__(self, link: Link) -> None:
        self._link = link
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = _pools(self._link)


def _pools(link: Link) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return link.connect(self._dns_host, self.port or 80)

    class Secure(HTTPSConnection):
        def __init__(self, *args: Any, **options: Any) -> None:
            # the machine's own certificates, in addition to those of requests: an intranet has its own authority
            options["ssl_context"] = link.tls()
            super().__init__(*args, **options)

        def _new_conn(self) -> socket.socket:
            return link.connect(self._dns_host, self.port or 443)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def perform(call: Call, link: Link) -> Answer:
    """Calls, and follows redirects.

    Raises Failed (no connection, no HTTP, a redirect that is not followed), Cancelled, TimedOut.
    """
    session = requests.Session()
    session.trust_env = False  # neither the proxies nor the .netrc of whoever started Dingshi
    adapter = _Adapter(link)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.headers.clear()
    with session:
        for hops in range(MAX_REDIRECTS + 1):
            with _told(call.url, link):
                answer, location = _once(session, call, hops, link)
            if location is None:
                return answer
            call = call.redirected(answer.status, location)
    raise Failed("http_redirects", url=call.url, most=MAX_REDIRECTS)


def _once(session: requests.Session, call: Call, hops: int, link: Link) -> tuple[Answer, str | None]:
    """The answer, and where it sends us on to."""
    request = session.prepare_request(requests.Request(call.method, call.url, call.headers, data=call.body))
    with session.send(request, stream=True, allow_redirects=False, verify=True, timeout=None) as response:  # link's
        status, location = response.status_code, response.headers.get("Location")
        if status not in _REDIRECTS or status in call.stop_at:
            location = None
        body, cut = (b"", False) if location is not None else _read(response, link)
        return Answer(status, response.url, response.headers, body, cut, hops), location


def _read(response: requests.Response, link: Link) -> tuple[bytes, bool]:
    body = bytearray()
    for chunk in response.iter_content(CHUNK):
        body += chunk
        if len(body) > MAX_BYTES:
            return bytes(body[:MAX_BYTES]), True
    link.check()  # a body without a length ends where its connection does: it may have been us who ended it
    return bytes(body), False


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


@contextmanager
def _told(url: str, link: Link) -> Iterator[None]:
    """What goes wrong inside, as what a run's row says of it."""
    host = urlsplit(url).hostname or url
    try:
        yield
    except (RequestException, HTTPError, Unreachable, Aborted, OSError, ValueError) as error:
        said = tidy(str(error), 300)
        if link.why == "cancelled":
            raise Cancelled from error
        if link.why == "limit":
            raise TimedOut("http_timeout", url=url) from error
        if isinstance(error, Unreachable):
            kind = "unanswered" if error.kind == "timeout" else error.kind
            raise Failed(f"http_{kind}", host=host, error=said) from error
        raise _failure(error, url, host, said) from error


def _failure(error: Exception, url: str, host: str, said: str) -> Failed:
    causes = list(_causes(error))
    certificate = next((one for one in causes if isinstance(one, ssl.SSLCertVerificationError)), None)
    if certificate is not None:
        return Failed("http_certificate", host=host, error=tidy(str(certificate), 300))
    if any(isinstance(one, ssl.SSLError) for one in causes) or isinstance(error, requests.exceptions.SSLError):
        return Failed("http_tls", host=host, error=said)
    if any(isinstance(one, TimeoutError) for one in causes) or isinstance(error, requests.exceptions.Timeout):
        return TimedOut("http_timeout", url=url, error=said)
    if isinstance(error, InvalidURL | InvalidHeader | UnicodeError):
        return Failed("http_url", url=url, error=said, final=True)
    if isinstance(error, ContentDecodingError):
        return Failed("http_unpack", host=host, error=said)
    return Failed("http_broken", host=host, error=said)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and what led to it; requests and urllib3 wrap it up to five times, not always as a cause."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
