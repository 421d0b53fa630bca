"""Calls an HTTP interface and records what it answered."""

import json
import re
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from marshmallow import ValidationError, fields, validates_schema

from dashboard.fields import Anything, Document, Integer, Number, Text, between, clean_text, length, one_of, say
from dashboard.fields import Mapping as MappingField
from dashboard.handlers._body import decode_body
from dashboard.handlers._text import readable, tidy
from dashboard.handlers._url import check_url
from dashboard.handlers.contract import Cancelled, Context, Failed, Outcome, ParamsDocument
from dashboard.i18n import N_, gettext

if TYPE_CHECKING:
    from dashboard.handlers._http import Answer

KEY = "http_request"
SUMMARY = N_("Calls an HTTP interface and records its answer.")
EXAMPLE: ParamsDocument = {"url": "https://example.com/", "method": "GET", "expect_status": 200}
DEFAULTS: Mapping[str, int] = {"retries": 0, "timeout_seconds": 60}
REASONS: Mapping[str, str] = {
    "http_status": N_("The answer's status is %(status)s; expected is %(expected)s."),
    "http_dns": N_("There is no host %(host)s, or the DNS does not answer. Check the URL and the network."),
    "http_refused": N_("%(host)s takes no connection at this port. Check the URL, and whether the service runs."),
    "http_unanswered": N_("%(host)s did not answer the connection. Check the URL and firewalls."),
    "http_network": N_("%(host)s cannot be reached. Check the network."),
    "http_timeout": N_("There was no complete answer of %(url)s in time."),
    "http_certificate": N_("The certificate of %(host)s is not trusted. Check that the host is written as in its "
                           "certificate, and this machine's clock and certificates."),
    "http_tls": N_("No secure connection to %(host)s. Check whether this port speaks https."),
    "http_broken": N_("The connection to %(host)s broke off, or what it answers is not HTTP."),
    "http_unpack": N_("The answer of %(host)s is packed and cannot be unpacked."),
    "http_url": N_("%(url)s cannot be called."),
    "http_redirects": N_("There were more than %(most)s redirects, the last one to %(url)s."),
    "http_redirect_refused": N_("The answer redirects to %(url)s. Only http and https addresses without a user or "
                                "password are followed."),
}

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SHOWN_HEADERS = ("Content-Type", "Content-Length", "Location", "Retry-After", "Server", "Date", "Last-Modified",
                 "ETag", "X-Request-Id")
SHOWN_CHARACTERS = 64 * 1024
_TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_OURS = ("content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade")
_URL_PROBLEMS = {
    "characters": N_("The URL contains a space, a backslash or a control character. Write a space as %20."),
    "scheme": N_("A URL that begins with http:// or https:// is expected."),
    "userinfo": N_("No user or password may stand in the URL. Use headers: {\"Authorization\": …}."),
    "host": N_("The URL has no valid host."),
    "port": N_("The port of the URL is not a number from 1 to 65535."),
}


def _check_url(value: str) -> None:
    problem = check_url(value)
    if problem is not None:
        message = _URL_PROBLEMS[problem]
        raise ValidationError(gettext(message))


def _check_name(value: str) -> None:
    if not _TOKEN.fullmatch(value):
        raise ValidationError(gettext("This is not the name of an HTTP header."))
    if value.lower() in _OURS:
        raise ValidationError(gettext("This header is set by Dingshi itself."))


def _check_value(value: str) -> None:
    if not value.isascii():
        raise ValidationError(gettext("A header holds ASCII characters only; encode others as %XX."))


class _Method(Text):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        return super()._deserialize(value, attr, data, **kwargs).upper()


class _Body(fields.Field[str | dict[str, str]]):
    """A text, or the fields of a form."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str | dict[str, str]:
        if isinstance(value, dict):
            form: dict[str, str] = MappingField(keys=Text(), values=Text()).deserialize(value, attr, data)
            return form
        if not isinstance(value, str):
            raise ValidationError(gettext("A text, or an object with texts (a form), is expected."))
        return clean_text(value)

    def make_error(self, key: str, **kwargs: Any) -> ValidationError:
        return say(key)


class _Statuses(fields.Field[list[int]]):
    """One status, or a list of them. Loads to a list."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[int]:
        status = Integer(validate=between(100, 599))
        if not isinstance(value, list):
            return [status.deserialize(value)]
        length(1, 100)(value)
        errors: dict[str | int, list[Any]] = {}
        found: list[int] = []
        for index, one in enumerate(value):
            try:
                found.append(status.deserialize(one))
            except ValidationError as error:
                errors[index] = list(error.messages)
        if errors:
            raise ValidationError(errors)
        return found

    def make_error(self, key: str, **kwargs: Any) -> ValidationError:
        return say(key)


class Params(Document):
    """``json``: any value; ``data``: a text, or an object sent as a form; not both. ``expect_status``: loads to a
    list, default every status from 200 to 299; redirects are followed unless their status is in it. ``timeout``:
    seconds for all of it, shortens the run's deadline."""

    url = Text(required=True, validate=[length(1, 2000), _check_url])
    method = _Method(validate=one_of(METHODS))
    headers = MappingField(keys=Text(validate=_check_name), values=Text(line=True, validate=_check_value))
    json = Anything(allow_none=True)
    data = _Body()
    expect_status = _Statuses()
    timeout = Number(validate=between(0.001, None))

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def check_one_body(self, data: dict[str, Any], original: Any, **kwargs: Any) -> None:
        """Raises ValidationError for two bodies, and for one where HTTP gives it no meaning."""
        given = [name for name in ("json", "data") if name in data]
        if "method" not in data and isinstance(original, Mapping) and "method" in original:
            return  # it has an error of its own
        if len(given) == 2:
            raise ValidationError({"data": [gettext("Either json or data is expected, not both.")]})
        method = data.get("method", "GET")
        if given and method in ("GET", "HEAD"):
            raise ValidationError({given[0]: [gettext("A %(method)s request has no body. Set method to POST, for "
                                                      "example.", method=method)]})


def run(params: ParamsDocument, context: Context) -> Outcome | None:
    """A redirect to another host or port is not given the task's headers, for they may hold a key."""
    from dashboard.handlers import _http  # requests takes 0.1 s to load, and every command loads this module
    from dashboard.handlers._link import Link

    if context.cancelled.is_set():
        raise Cancelled
    expected = frozenset(params.get("expect_status", range(200, 300)))
    headers, body = _request(params)
    call = _http.Call(params.get("method", "GET"), params["url"], headers, body, expected)
    began = time.monotonic()
    with Link(context) as link:
        limit = params.get("timeout")
        if limit is not None:
            link.deadline = min(link.deadline, began + limit)
        with link.limit(limit) if limit is not None else nullcontext():
            answer = _http.perform(call, link)
    text = decode_body(answer.body, answer.headers.get("Content-Type", ""), answer.cut)
    context.output(_report(answer, text, round((time.monotonic() - began) * 1000)))
    if answer.status not in expected:
        shown = ", ".join(map(str, params.get("expect_status", ["200–299"])))
        raise Failed("http_status", status=answer.status, expected=shown, error=tidy(text or "", 300) or None)
    return None


def _request(params: ParamsDocument) -> tuple[dict[str, str], bytes | None]:
    given: dict[str, str] = {name: value.strip() for name, value in params.get("headers", {}).items()}
    headers = {"User-Agent": "Dingshi", "Accept": "*/*"}
    body: bytes | None = None
    if "json" in params:
        headers["Content-Type"] = "application/json"
        body = json.dumps(params["json"], ensure_ascii=False).encode("utf-8")
    elif isinstance(params.get("data"), str):
        headers["Content-Type"] = "text/plain; charset=utf-8"
        body = params["data"].encode("utf-8")
    elif "data" in params:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = urlencode(params["data"]).encode("ascii")
    named = {name.lower() for name in given}
    return {name: value for name, value in headers.items() if name.lower() not in named} | given, body


def _report(answer: "Answer", text: str | None, elapsed_ms: int) -> str:
    lines = [f"{answer.status} {answer.url}", gettext("Elapsed: %(ms)s ms", ms=elapsed_ms)]
    if answer.hops:
        lines.append(gettext("Redirects: %(n)s", n=answer.hops))
    lines += [f"{name}: {tidy(answer.headers[name], 300)}" for name in SHOWN_HEADERS if name in answer.headers]
    lines.append("")
    if text is None:
        lines.append(gettext("(%(n)s bytes that are no text)", n=len(answer.body)))
    else:
        lines.append(readable(text[:SHOWN_CHARACTERS]))
    if answer.cut or (text is not None and len(text) > SHOWN_CHARACTERS):
        lines.append(gettext("(The answer is longer; the rest is not kept.)"))
    return "\n".join(lines).rstrip("\n") + "\n"
