"""Mail servers as they are configured, and the addresses they take."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from dashboard.errors import flatten
from dashboard.i18n import gettext, speaking
from dashboard.servers import PRESETS, SmtpSchema, SmtpServer, mail_address, note_for, preset_of, smtp_server

LOGIN = {"user": "ann@example.com", "password": "pw"}


@pytest.mark.parametrize(("document", "expected"), [
    ({"host": "mail.example.com", **LOGIN}, ("mail.example.com", 465, "ssl", "ann@example.com")),
    ({"host": "mail.example.com", "security": "starttls", **LOGIN},
     ("mail.example.com", 587, "starttls", "ann@example.com")),
    ({"host": "10.0.0.1", "security": "none", "sender": "定时 <d@intranet>"},
     ("10.0.0.1", 25, "none", "定时 <d@intranet>")),
    ({"host": "h", "port": 2525, "user": "ann", "password": "pw", "sender": "ann@h"}, ("h", 2525, "ssl", "ann@h")),
    ({"preset": "163", **LOGIN}, ("smtp.163.com", 465, "ssl", "ann@example.com")),
    ({"preset": "126", **LOGIN}, ("smtp.126.com", 465, "ssl", "ann@example.com")),
    ({"preset": "qq", **LOGIN}, ("smtp.qq.com", 465, "ssl", "ann@example.com")),
    ({"preset": "foxmail", "security": "starttls", **LOGIN}, ("smtp.qq.com", 587, "starttls", "ann@example.com")),
    ({"preset": "exmail", **LOGIN}, ("smtp.exmail.qq.com", 465, "ssl", "ann@example.com")),
    ({"preset": "qq", "host": "proxy.intranet", "port": 1465, **LOGIN},
     ("proxy.intranet", 1465, "ssl", "ann@example.com")),
])
def test_what_is_left_out_is_filled_in(document: dict[str, Any], expected: tuple[str, int, str, str]) -> None:
    server = smtp_server("office", document)
    assert (server.host, server.port, server.security, server.sender) == expected
    assert server.name == "office" and not server.default


@pytest.mark.parametrize(("document", "fields"), [
    ({}, ["host", "sender"]),
    ({"host": "h", "user": "ann@h"}, ["password"]),
    ({"host": "h", "password": "pw", "sender": "a@h"}, ["user"]),
    ({"host": "h", "user": "ann", "password": "pw"}, ["sender"]),
    ({"host": "h:25", **LOGIN}, ["host"]),
    ({"host": "http://h/", **LOGIN}, ["host"]),
    ({"host": "a b", **LOGIN}, ["host"]),
    ({"host": "", **LOGIN}, ["host"]),
    ({"host": "h", "port": 0, **LOGIN}, ["port"]),
    ({"host": "h", "port": "smtp", **LOGIN}, ["port"]),
    ({"host": "h", "security": "tls", **LOGIN}, ["security"]),
    ({"preset": "gmail", **LOGIN}, ["preset"]),
    ({"host": "h", "sender": "nobody", **LOGIN}, ["sender"]),
    ({"host": "h", "sender": "a@h\r\nBcc: b@h", **LOGIN}, ["sender"]),
    ({"host": "h", "user": "ann@h", "password": "密码"}, ["password"]),
    ({"host": "h", "user": "ann@h", "password": "a\nb"}, ["password"]),
    ({"host": "h", "default": "perhaps", **LOGIN}, ["default"]),
    ({"host": "h", "username": "ann", **LOGIN}, ["username"]),
])
def test_what_cannot_be_taken_is_named(document: dict[str, Any], fields: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        smtp_server("office", document)
    assert sorted(flatten(caught.value.messages)) == sorted(fields)
    assert "密码" not in str(caught.value.messages)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 65])
def test_names_of_servers(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        smtp_server(name, {"preset": "qq", **LOGIN})
    assert list(flatten(caught.value.messages)) == ["name"]


def test_every_preset_loads_and_speaks_both_languages() -> None:
    for key, preset in PRESETS.items():
        loaded = SmtpSchema().load({"preset": key, **LOGIN})
        assert (loaded["host"], loaded["port"], loaded["security"]) == (preset.host, preset.port, preset.security)
        english = note_for(preset.host.upper())
        with speaking("zh"):
            label = preset.label
            assert note_for(preset.host) != english and gettext(label) != label
    assert preset_of("smtp.qq.com") == "qq" and preset_of("mail.example.com") is None
    assert note_for("mail.example.com") is None


def test_the_password_is_not_in_the_repr() -> None:
    server = SmtpServer("a", "h", 25, "none", "ann", "canary-4711", "a@h")
    assert "canary" not in f"{server} {replace(server, default=True)!r}"


@pytest.mark.parametrize(("text", "name", "address"), [
    ("ann@example.com", "", "ann@example.com"),
    ("张三 <zhang@example.com>", "张三", "zhang@example.com"),
    ("张三<zhang@example.com>", "张三", "zhang@example.com"),
    ('"Doe, Ann" <ann@example.com>', "Doe, Ann", "ann@example.com"),
    (" <ann@example.com> ", "", "ann@example.com"),
    ("ann@intranet", "", "ann@intranet"),
    ("ann@[127.0.0.1]", "", "ann@[127.0.0.1]"),
    ("ann@中文.cn", "", "ann@xn--fiq228c.cn"),
    ("a.b+c_d@example.com", "", "a.b+c_d@example.com"),
    ("张三@example.com", "", "张三@example.com"),
])
def test_addresses(text: str, name: str, address: str) -> None:
    found = mail_address(text)
    assert (found.display_name, found.addr_spec) == (name, address)


@pytest.mark.parametrize("text", [
    "", "ann", "ann@", "@example.com", "a b@c", "a@b@c", "a..b@c", ".a@b", "a.@b", "a@b..c", "a@b.", "a@-b",
    "a@b_.c ,", "a@b, c@d", "ann <ann@example.com> x", "x <<a@b>>",
    '"a b"@c', "a@b\r\nX: y", "a@b\0", "a@" + "x" * 300,
    "x" * 65 + "@b", "(c) a@b", "a\u2028b <a@b>", "\ud800@b", "a@b/c", "a;b@c"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValidationError):
        mail_address(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"[\w. ]{0,9}<?[\w.+-]{1,9}@[\w.-]{1,9}>?", fullmatch=True))
def test_any_text_is_an_address_that_holds_or_is_refused(text: str) -> None:
    try:
        found = mail_address(text)
    except ValidationError:
        return
    assert found.domain.isascii() and not any(c.isspace() or ord(c) < 33 for c in found.addr_spec)
    assert mail_address(found.addr_spec).addr_spec == found.addr_spec
