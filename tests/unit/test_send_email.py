"""send_email: what it takes, and what arrives."""

import os
import re
import sys
import threading
from collections.abc import Iterator
from email.message import MIMEPart
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from dashboard.errors import flatten
from dashboard.handlers import find, send_email
from dashboard.handlers._message import HOME, compose
from dashboard.handlers.contract import Failed
from dashboard.i18n import gettext, speaking
from dashboard.servers import SmtpServer
from tests.factories import HandlerContext
from tests.smtp_server import Delivery, MailServer

MAIL = {"to": "ann@example.com", "title": "Report", "body": "All is well."}


@pytest.fixture(scope="module")
def server() -> Iterator[MailServer]:
    with MailServer() as running:
        yield running


def context_for(server: MailServer, name: str | None = None) -> HandlerContext:
    profile = SmtpServer("office", "127.0.0.1", server.port, "none", "", "", "定时任务 <dingshi@example.com>")
    return HandlerContext(servers={("smtp", name): profile})


def sent(server: MailServer, document: dict[str, Any], context: HandlerContext | None = None) -> Delivery:
    before = len(server.deliveries)
    send_email.run(send_email.Params().load(document), context or context_for(server))
    assert len(server.deliveries) == before + 1
    return server.deliveries[-1]


def text(part: MIMEPart | None) -> str:
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def test_it_is_found_and_its_example_is_accepted_as_it_stands() -> None:
    handler = find("send_email")
    assert handler is not None and handler.DEFAULTS == {"retries": 3, "timeout_seconds": 60}
    assert send_email.Params().load(send_email.EXAMPLE)["to"] == ["ann@example.com"]


def test_a_mail_arrives_and_the_output_says_where(server: MailServer) -> None:
    context = context_for(server)
    delivery = sent(server, MAIL, context)
    message = delivery.message
    assert (delivery.sender, delivery.recipients) == ("dingshi@example.com", ["ann@example.com"])
    assert message["Subject"] == "Report" and text(message) == "All is well.\n"
    assert message["From"].addresses[0].display_name == "定时任务"
    assert message["Date"].datetime.tzinfo is not None
    assert message["Auto-Submitted"] == "auto-generated"
    assert context.text == (f"Server: office (127.0.0.1, port {server.port})\nAccepted for: ann@example.com\n"
                            f"Message-ID: {message['Message-ID']}\n")


def test_chinese_subject_name_and_file_name_arrive(server: MailServer, tmp_path: Path) -> None:
    report = tmp_path / "日报 2026.csv"
    report.write_text("名称,数量\n", encoding="utf-8")
    delivery = sent(server, {"to": "张三 <zhang@example.com>", "title": "每日报告：一切正常 ✓",
                             "body": "正文\n第二行", "html": "<p>正文</p>", "attachments": [str(report)]})
    assert delivery.content.isascii()  # not every server takes more
    message = delivery.message
    assert message["Subject"] == "每日报告：一切正常 ✓"
    assert message["To"].addresses[0].display_name == "张三"
    assert text(message.get_body(("plain",))) == "正文\n第二行\n"
    assert text(message.get_body(("html",))) == "<p>正文</p>\n"
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == "日报 2026.csv"
    assert attached.get_payload(decode=True) == report.read_bytes()


def test_the_blind_copy_is_on_the_envelope_alone_and_nobody_twice(server: MailServer) -> None:
    delivery = sent(server, MAIL | {"to": ["ann@example.com", "Ann <ann@EXAMPLE.com>"], "cc": "bob@example.com",
                                    "bcc": ["eve@example.com", "bob@example.com"]})
    assert delivery.recipients == ["ann@example.com", "bob@example.com", "eve@example.com"]
    assert b"eve" not in delivery.content
    assert delivery.message["Cc"] == "bob@example.com"


def test_dots_and_long_lines_survive(server: MailServer) -> None:
    body = ".\n..\n.hidden\n" + "x" * 3000 + "\nlast\x0bword"
    assert text(sent(server, MAIL | {"body": body}).message) == body + "\n"


def test_a_relative_attachment_counts_from_the_folder_of_run_py(
        server: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (attached,) = sent(server, MAIL | {"attachments": ["pyproject.toml"]}).message.iter_attachments()
    assert attached.get_payload(decode=True) == (HOME / "pyproject.toml").read_bytes()


def test_a_mail_in_a_file_is_attached_as_plain_bytes(server: MailServer, tmp_path: Path) -> None:
    (tmp_path / "old.eml").write_bytes(b"Subject: old\r\n\r\nhello\r\n")
    (attached,) = sent(server, MAIL | {"attachments": [str(tmp_path / "old.eml")]}).message.iter_attachments()
    assert attached.get_content_type() == "application/octet-stream"


@pytest.mark.parametrize(("name", "code"), [("missing.csv", "mail_attachment_missing"),
                                            (".", "mail_attachment_unreadable")])
def test_an_attachment_that_cannot_be_read_is_named(
        server: MailServer, tmp_path: Path, name: str, code: str) -> None:
    before = len(server.commands)
    with pytest.raises(Failed) as caught:
        sent(server, MAIL | {"attachments": [str(tmp_path / name)]})
    reason = caught.value.outcome.reason
    assert reason is not None and reason.code == code
    assert reason.values["path"] == str(tmp_path / name)
    assert len(server.commands) == before


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
def test_an_attachment_that_is_no_file_does_not_hold_the_run(server: MailServer, tmp_path: Path) -> None:
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe")
    caught: list[Failed] = []

    def attach() -> None:
        try:
            sent(server, MAIL | {"attachments": [str(tmp_path / "pipe")]})
        except Failed as failure:
            caught.append(failure)

    sending = threading.Thread(target=attach, daemon=True)
    sending.start()
    sending.join(5)
    assert not sending.is_alive()
    assert [str(failure) for failure in caught] == ["mail_attachment_unreadable"]


def test_attachments_have_a_limit_together(
        server: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.handlers._message.MAX_BYTES", 10)
    (tmp_path / "six").write_bytes(b"123456")
    sent(server, MAIL | {"attachments": [str(tmp_path / "six")]})
    with pytest.raises(Failed) as caught:
        sent(server, MAIL | {"attachments": [str(tmp_path / "six")] * 2})
    assert caught.value.outcome.final


def test_the_named_server_is_used_and_a_missing_one_fails(server: MailServer) -> None:
    sent(server, MAIL | {"server": "办公室"}, context_for(server, "办公室"))
    with pytest.raises(Failed, match="server_unknown"):
        sent(server, MAIL | {"server": "nowhere"}, context_for(server))


@pytest.mark.parametrize(("change", "field"), [
    ({"to": None}, "to"),
    ({"to": []}, "to"),
    ({"to": 7}, "to"),
    ({"to": "ann"}, "to"),
    ({"to": ["ann@example.com", "bob@"]}, "to.1"),
    ({"to": "ann@example.com\r\nBcc: eve@example.com"}, "to"),
    ({"to": "Ann\u2028X: y <ann@example.com>"}, "to"),
    ({"title": "Report\r\nBcc: eve@example.com"}, "title"),
    ({"title": "Report\nX: y"}, "title"),
    ({"title": "Report\u2028X: y"}, "title"),
    ({"title": "Report\x85X: y"}, "title"),
    ({"title": ""}, "title"),
    ({"title": "x" * 501}, "title"),
    ({"title": ["Report"]}, "title"),
    ({"body": None}, "body"),
    ({"body": "nul \0"}, "body"),
    ({"body": "half \ud800"}, "body"),
    ({"html": 1}, "html"),
    ({"cc": "a@b, c@d"}, "cc"),
    ({"bcc": [None]}, "bcc.0"),
    ({"attachments": "report.csv"}, "attachments"),
    ({"attachments": ["a\nb"]}, "attachments.0"),
    ({"attachments": [""]}, "attachments.0"),
    ({"server": 1}, "server"),
    ({"subject": "Report"}, "subject"),
])
def test_params_that_cannot_be_taken_name_their_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        send_email.Params().load(MAIL | change)
    assert list(flatten(caught.value.messages)) == [field]


@pytest.mark.parametrize("field", ["to", "title", "body"])
def test_what_is_needed(field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        send_email.Params().load({name: value for name, value in MAIL.items() if name != field})
    assert list(flatten(caught.value.messages)) == [field]


def test_several_addresses_in_one_text_are_told_to_be_a_list() -> None:
    with speaking("zh"), pytest.raises(ValidationError) as caught:
        send_email.Params().load(MAIL | {"to": "ann@example.com，bob@example.com"})
    (message,) = flatten(caught.value.messages)["to"]
    assert "列表" in message and '["ann@example.com"' in message


def test_every_reason_is_put_into_both_languages() -> None:
    for message in send_email.REASONS.values():
        with speaking("zh"):
            chinese = gettext(message)
        assert chinese != message
        assert set(re.findall(r"%\((\w+)\)s", chinese)) == set(re.findall(r"%\((\w+)\)s", message))


LINE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=120)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(title=LINE, name=LINE)
def test_whatever_is_accepted_makes_a_mail_whose_headers_hold(title: str, name: str) -> None:
    to = f'"{name}" <ann@example.com>'
    try:
        params = send_email.Params().load(MAIL | {"title": title, "to": to})
    except ValidationError:
        return
    data = compose(params, "dingshi@example.com", "one").data()
    delivery = Delivery("", [], data).message
    assert sorted(delivery.keys()) == sorted(["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted",
                                              "Content-Type", "Content-Transfer-Encoding", "MIME-Version"])
    assert [address.addr_spec for address in delivery["To"].addresses] == ["ann@example.com"]
    assert "".join(str(delivery["Subject"]).split()) == "".join(title.split())
