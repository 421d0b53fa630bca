"""http_request against a real server on loopback."""

import json
import re
import socket
import string
import time
from collections.abc import Iterator
from encodings.aliases import aliases
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from dashboard.errors import flatten
from dashboard.handlers import find, http_request
from dashboard.handlers._body import decode_body
from dashboard.handlers._text import readable, tidy
from dashboard.handlers._url import check_url
from dashboard.handlers.contract import Cancelled, Failed, TimedOut
from dashboard.i18n import gettext, speaking
from tests.certificates import Certificate, make_certificate
from tests.factories import HandlerContext
from tests.http_server import WebServer
from tests.smtp_server import RawServer


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with WebServer() as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def call(url: str, context: HandlerContext | None = None, **params: Any) -> str:
    """The output of a run."""
    context = context or HandlerContext()
    http_request.run(http_request.Params().load({"url": url, **params}), context)
    return context.text


def fails(code: str, url: str, context: HandlerContext | None = None, **params: Any) -> Failed:
    with pytest.raises(Failed) as caught:
        call(url, context, **params)
    reason = caught.value.outcome.reason
    assert reason is not None and reason.code == code, caught.value.outcome
    assert http_request.REASONS[code] % reason.values
    json.dumps(reason.values)
    return caught.value


def echoed(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text[text.index("{"):])
    return found


def test_it_is_found_and_its_example_is_accepted_as_it_stands() -> None:
    handler = find("http_request")
    assert handler is not None and handler.DEFAULTS == {"retries": 0, "timeout_seconds": 60}
    assert http_request.Params().load(http_request.EXAMPLE)["expect_status"] == [200]


def test_the_output_tells_status_url_time_headers_and_body(web: WebServer) -> None:
    lines = call(web.url("/a")).splitlines()
    assert lines[0] == f"200 {web.url('/a')}"
    assert re.fullmatch(r"Elapsed: \d+ ms", lines[1])
    assert "Content-Type: text/plain; charset=utf-8" in lines
    assert lines[-2:] == ["", "fine 很好"]


def test_a_json_body_and_headers_of_ones_own(web: WebServer) -> None:
    text = call(web.url("/echo"), method="post", json={"名": [1, None]}, headers={"X-Key": " k ", "user-agent": "me"})
    asked = echoed(text)
    assert asked["method"] == "POST" and json.loads(asked["body"]) == {"名": [1, None]}
    headers = {name.lower(): value for name, value in asked["headers"].items()}
    assert (headers["content-type"], headers["x-key"], headers["user-agent"]) == ("application/json", "k", "me")
    assert "X-Request-Id: r1" in text and "secret" not in text


@pytest.mark.parametrize(("data", "body", "kind"), [
    ("纯文本", "纯文本", "text/plain; charset=utf-8"),
    ({"名": "张 三", "b": "&"}, "%E5%90%8D=%E5%BC%A0+%E4%B8%89&b=%26", "application/x-www-form-urlencoded"),
    ("", "", "text/plain; charset=utf-8"),
])
def test_data_is_a_text_or_a_form(web: WebServer, data: Any, body: str, kind: str) -> None:
    asked = echoed(call(web.url("/echo"), method="PUT", data=data))
    assert (asked["body"], asked["headers"]["Content-Type"]) == (body, kind)


def test_json_null_is_a_body(web: WebServer) -> None:
    assert echoed(call(web.url("/echo"), method="POST", json=None))["body"] == "null"


def test_head_and_the_proxy_of_the_environment(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert call(web.url("/a"), method="HEAD").startswith("200 ")


@pytest.mark.parametrize("expected", [404, [500, 404]])
def test_an_expected_status_is_a_success(web: WebServer, expected: Any) -> None:
    assert call(web.url("/status/404"), expect_status=expected).startswith("404 ")


def test_any_other_status_is_a_failure_that_shows_the_answer(web: WebServer) -> None:
    context = HandlerContext()
    failure = fails("http_status", web.url("/status/404"), context)
    assert failure.outcome.error == "as you wish" and context.text.startswith("404 ")
    assert failure.outcome.reason is not None
    assert failure.outcome.reason.values == {"status": 404, "expected": "200–299"}
    fails("http_status", web.url("/"), expect_status=[201, 204])


def test_redirects_are_followed_and_counted(web: WebServer) -> None:
    text = call(web.url("/redirect?to=/redirect?to=/elsewhere"))
    assert text.startswith(f"200 {web.url('/elsewhere')}") and "Redirects: 2" in text


def test_four_redirects_are_too_many(web: WebServer) -> None:
    before = len(web.calls)
    fails("http_redirects", web.url("/loop"))
    assert len(web.calls) == before + 4


def test_an_expected_redirect_is_an_answer(web: WebServer) -> None:
    text = call(web.url("/status/302"), expect_status=302)
    assert text.startswith("302 ") and "Location: /elsewhere" in text


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://ann:pw@127.0.0.1/",
                                    "http://127.0.0.1:99999/", "gopher://x"])
def test_a_redirect_to_what_may_not_be_called_is_refused(web: WebServer, target: str) -> None:
    fails("http_redirect_refused", web.url(f"/redirect?to={target}"))


@pytest.mark.parametrize(("status", "method", "body"), [
    (302, "GET", ""), (303, "GET", ""), (307, "POST", "secret"), (308, "POST", "secret")])
def test_what_a_redirect_makes_of_a_post(web: WebServer, status: int, method: str, body: str) -> None:
    asked = echoed(call(web.url(f"/redirect?status={status}&to=/echo"), method="POST", data="secret"))
    assert (asked["method"], asked["body"]) == (method, body)


def test_another_origin_is_not_given_the_headers(web: WebServer) -> None:
    with WebServer() as other:
        keys = {"Authorization": "Bearer k", "X-Token": "k", "Accept": "text/x"}
        headers = echoed(call(web.url(f"/redirect?to={other.url('/echo')}"), headers=keys))["headers"]
        assert headers["Accept"] == "text/x" and not {"Authorization", "X-Token"} & set(headers)
        assert echoed(call(web.url("/redirect?to=/echo"), headers=keys))["headers"]["X-Token"] == "k"


def test_a_chinese_redirect(web: WebServer) -> None:
    path = "/%E4%B8%AD%E6%96%87%20x"
    assert call(web.url(f"/redirect?to={path}")).startswith(f"200 {web.url(path)}")


@pytest.mark.parametrize("path", ["/mute", "/drip", "/dripping-headers"])
def test_a_stopped_run_ends_at_once(web: WebServer, path: str) -> None:
    context = HandlerContext()
    began = time.monotonic()
    with context.cancelled_after(0.2), pytest.raises(Cancelled):
        call(web.url(path), context)
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("path", ["/mute", "/drip", "/dripping-headers"])
def test_the_timeout_holds_for_all_of_it(web: WebServer, path: str) -> None:
    began = time.monotonic()
    assert isinstance(fails("http_timeout", web.url(path), timeout=0.2), TimedOut)
    assert time.monotonic() - began < 1.0


def test_a_run_that_was_stopped_does_not_call(web: WebServer) -> None:
    context = HandlerContext()
    context.cancel()
    before = len(web.calls)
    with pytest.raises(Cancelled):
        call(web.url(), context)
    assert len(web.calls) == before


@pytest.mark.parametrize("path", ["/endless", "/bomb"])
def test_an_answer_without_end_is_cut(web: WebServer, path: str) -> None:
    began = time.monotonic()
    text = call(web.url(path))
    assert time.monotonic() - began < 5.0
    assert len(text) < 2 * http_request.SHOWN_CHARACTERS and "the rest is not kept" in text
    assert "\N{REPLACEMENT CHARACTER}" not in text


@pytest.mark.parametrize(("path", "code"), [("/close", "http_broken"), ("/noise", "http_broken"),
                                            ("/short", "http_broken"), ("/broken-gzip", "http_unpack")])
def test_what_is_no_answer(web: WebServer, path: str, code: str) -> None:
    assert fails(code, web.url(path)).outcome.error


@pytest.mark.parametrize("kind", ["text/html", "text/html;charset=gb2312", "text/html;charset=no-such",
                                  "text/html;charset=base64"])
def test_chinese_of_any_encoding_is_readable(web: WebServer, kind: str) -> None:
    assert call(web.url(f"/gbk?type={kind}")).endswith("\n\n中文网页\n")


def test_what_is_no_text_is_counted(web: WebServer) -> None:
    assert call(web.url("/binary")).endswith("\n\n(6 bytes that are no text)\n")


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    fails("http_refused", f"http://127.0.0.1:{port}/")
    fails("http_dns", "http://no-such-host.invalid/")


def test_https(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    with WebServer(certificate) as secure:
        assert "self-signed" in (fails("http_certificate", secure.url()).outcome.error or "")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
        assert call(secure.url(host="localhost")).endswith("fine 很好\n")
    with RawServer(b"HTTP/1.1 400 Bad Request\r\n\r\n") as plain:
        fails("http_tls", f"https://127.0.0.1:{plain.port}/")


URL = "http://127.0.0.1/"


@pytest.mark.parametrize(("change", "field"), [
    ({"url": None}, "url"),
    ({"url": ""}, "url"),
    ({"url": 7}, "url"),
    ({"url": "example.com"}, "url"),
    ({"url": "ftp://example.com/"}, "url"),
    ({"url": "file:///etc/passwd"}, "url"),
    ({"url": "http://ann:pw@example.com/"}, "url"),
    ({"url": "http://@example.com/"}, "url"),
    ({"url": "http:///path"}, "url"),
    ({"url": "http://a b/"}, "url"),
    ({"url": "http://example.com\\@evil.com/"}, "url"),
    ({"url": "http://example.com:99999/"}, "url"),
    ({"url": "http://example.com:0/"}, "url"),
    ({"url": "http://exa..mple.com/"}, "url"),
    ({"url": "http://[::1/"}, "url"),
    ({"url": "http://a\r\nHost: b/"}, "url"),
    ({"method": "FETCH"}, "method"),
    ({"method": "FETCH", "json": 1}, "method"),
    ({"method": ["GET"]}, "method"),
    ({"headers": ["X: y"]}, "headers"),
    ({"headers": {"X": "a\r\nY: b"}}, "headers.X.value"),
    ({"headers": {"X Y": "a"}}, "headers.X Y.key"),
    ({"headers": {"X": "中文"}}, "headers.X.value"),
    ({"headers": {"Content-Length": "5"}}, "headers.Content-Length.key"),
    ({"headers": {"X": 1}}, "headers.X.value"),
    ({"method": "POST", "json": 1, "data": "x"}, "data"),
    ({"json": 1}, "json"),
    ({"method": "POST", "data": 1}, "data"),
    ({"method": "POST", "json": "\ud800"}, "json"),
    ({"expect_status": "fine"}, "expect_status"),
    ({"expect_status": 99}, "expect_status"),
    ({"expect_status": []}, "expect_status"),
    ({"expect_status": [200, 600]}, "expect_status.1"),
    ({"timeout": 0}, "timeout"),
    ({"timeout": "soon"}, "timeout"),
    ({"verify": False}, "verify"),
])
def test_params_that_cannot_be_taken_name_their_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        http_request.Params().load({"url": URL} | change)
    assert list(flatten(caught.value.messages)) == [field]


@pytest.mark.parametrize("url", ["http://intranet/", "https://a", "http://[::1]:8080/x", "http://中文.cn/路径?q=值",
                                 "HTTP://EXAMPLE.COM", "http://a_b.local/", "http://10.0.0.1:8000?x=1#y"])
def test_urls_that_are_fine(url: str) -> None:
    assert http_request.Params().load({"url": url})["url"] == url


def test_every_reason_is_put_into_both_languages() -> None:
    for message in http_request.REASONS.values():
        with speaking("zh"):
            chinese = gettext(message)
        assert chinese != message
        assert set(re.findall(r"%\((\w+)\)s", chinese)) == set(re.findall(r"%\((\w+)\)s", message))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://", "http://[", "http://a:"]))
def test_no_text_breaks_the_check_of_urls(text: str, start: str) -> None:
    check_url(start + text)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(sorted(set(aliases.values()))) | st.text(string.printable),
       st.booleans())
def test_any_body_becomes_text_that_the_store_takes(body: bytes, charset: str, cut: bool) -> None:
    text = decode_body(body, f"text/x; charset={' '.join(charset.split())}", cut)
    if text is not None:
        for shown in (readable(text), tidy(text)):
            shown.encode("utf-8")
            assert "\0" not in shown and "\x1b" not in shown
