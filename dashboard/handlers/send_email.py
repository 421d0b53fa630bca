"""Sends a mail over SMTP. It never reaches anybody twice for one due time: what may have been delivered is not sent
again, and a retry asks only for those who have not got it yet.
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from dashboard.fields import Document, ListOf, Text, length, say
from dashboard.handlers.contract import Cancelled, Context, Failed, Outcome, ParamsDocument
from dashboard.i18n import N_, gettext
from dashboard.servers import SmtpServer, header_text, mail_address

KEY = "send_email"
SUMMARY = N_("Sends an e-mail.")
EXAMPLE: ParamsDocument = {"to": "ann@example.com", "title": "Report", "body": "All is well."}
DEFAULTS: Mapping[str, int] = {"retries": 3, "timeout_seconds": 60}
SERVERS: Mapping[str, str] = {"smtp": "server"}
REASONS: Mapping[str, str] = {
    "mail_dns": N_("There is no mail server %(host)s, or the DNS does not answer. Check the host and the network."),
    "mail_refused_connection": N_("The mail server %(host)s takes no connection at port %(port)s. Check host "
                                  "and port."),
    "mail_timeout": N_("The mail server %(host)s did not answer at port %(port)s. Check host, port and firewall."),
    "mail_network": N_("The mail server %(host)s cannot be reached at port %(port)s. Check the network."),
    "mail_silent": N_("The mail server %(host)s went silent (at %(step)s)."),
    "mail_dropped": N_("The mail server %(host)s broke the connection (at %(step)s). The mail was not sent."),
    "mail_garbled": N_("What answers at %(host)s, port %(port)s does not speak SMTP (at %(step)s). Check the port "
                       "and security."),
    "mail_certificate": N_("The certificate of %(host)s is not trusted. Check that the host is written as in its "
                           "certificate, and this machine's clock and certificates."),
    "mail_tls": N_("No secure connection to %(host)s, port %(port)s (security is %(security)s). Check that port and "
                   "security belong together."),
    "mail_no_starttls": N_("%(host)s does not offer STARTTLS. Set security to ssl (usually port 465), or to none on "
                           "a network you trust."),
    "mail_no_login": N_("%(host)s offers no login that Dingshi knows. Check security: many servers offer it on a "
                        "secure connection alone."),
    "mail_login": N_("%(host)s refused the login of %(user)s. Check user and password."),
    "mail_login_qq": N_("%(host)s refused the login of %(user)s. It wants the authorisation code (made in the "
                        "mailbox's own settings), not the login password."),
    "mail_login_netease": N_("%(host)s refused the login of %(user)s. Use the authorisation code made in the "
                             "mailbox's own settings; some older mailboxes take the login password."),
    "mail_login_exmail": N_("%(host)s refused the login of %(user)s. Use the client password made in the mailbox's "
                            "own settings if secure login is on, else the login password."),
    "mail_refused": N_("%(host)s refused the mail for good (at %(step)s, code %(reply)s)."),
    "mail_deferred": N_("%(host)s does not take the mail at the moment (at %(step)s, code %(reply)s)."),
    "mail_recipients_refused": N_("%(host)s refused these recipients for good: %(refused)s. The others "
                                  "have the mail."),
    "mail_recipients_deferred": N_("%(host)s does not take mail at the moment for: %(deferred)s. The others have "
                                   "the mail."),
    "mail_recipients_mixed": N_("%(host)s refused for good: %(refused)s; and does not take mail at the moment for: "
                                "%(deferred)s. The others have the mail."),
    "mail_nobody_refused": N_("%(host)s refused every recipient for good: %(refused)s."),
    "mail_nobody_deferred": N_("%(host)s does not take mail at the moment for: %(deferred)s."),
    "mail_nobody_mixed": N_("%(host)s refused for good: %(refused)s; and does not take mail at the moment for: "
                            "%(deferred)s."),
    "mail_unknown": N_("%(host)s was given the whole mail, but the connection ended before it confirmed. It may have "
                       "been delivered, so it is not sent again."),
    "mail_utf8_address": N_("%(host)s does not take addresses with characters other than ASCII before the @."),
    "mail_attachment_missing": N_("The attachment %(path)s does not exist."),
    "mail_attachment_unreadable": N_("The attachment %(path)s cannot be read."),
    "mail_attachments_large": N_("With %(path)s the attachments are larger than %(megabytes)s MB together."),
}


class _Addresses(fields.Field[list[str]]):
    """One address, or a list of them. Loads to a list."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[str]:
        if isinstance(value, str):
            return [_one_address(value)]
        if not isinstance(value, list):
            raise ValidationError(gettext("An address, or a list of addresses, is expected."))
        length(1, 200)(value)
        errors: dict[str | int, list[Any]] = {}
        for index, one in enumerate(value):
            try:
                mail_address(one)
            except ValidationError as error:
                errors[index] = list(error.messages)
        if errors:
            raise ValidationError(errors)
        return list(value)

    def make_error(self, key: str, **kwargs: Any) -> ValidationError:
        return say(key)


def _one_address(value: str) -> str:
    try:
        mail_address(value)
    except ValidationError:
        if value.count("@") > 1 and any(c in value for c in ",;，；、"):
            raise ValidationError(gettext("For several addresses a list is expected: "
                                          '["ann@example.com", "bob@example.com"]')) from None
        raise
    return value


def _header(value: str) -> None:
    header_text(value)


class Params(Document):
    """``to``, ``cc``, ``bcc``: one address or a list; load to lists. ``html`` goes along with ``body``, which is
    shown where HTML is not. ``attachments``: files, relative ones count from the folder of ``run.py``. ``server``:
    the name of a configured mail server, else the default one."""

    to = _Addresses(required=True)
    title = Text(required=True, validate=[length(1, 500), _header])
    body = Text(required=True)
    cc = _Addresses()
    bcc = _Addresses()
    html = Text()
    attachments = ListOf(Text(line=True, validate=[length(1), _header]), validate=length(1, 50))
    server = Text(line=True, validate=length(1, 64))


def run(params: ParamsDocument, context: Context) -> Outcome | None:
    """``context.carried`` keeps ``accepted`` (addresses that have the mail) and ``refused`` (address to reply)."""
    from dashboard.handlers._link import Link  # ssl, smtplib and the e-mail package are slow to load, and
    from dashboard.handlers._message import compose  # every command of the console loads this module
    from dashboard.handlers._smtp import deliver

    server: SmtpServer = context.server("smtp", params.get("server"))
    letter = compose(params, server.sender, context.occurrence)
    accepted: list[str] = list(context.carried.get("accepted", []))
    refused: dict[str, str] = dict(context.carried.get("refused", {}))
    pending = [one for one in letter.recipients if one not in accepted and one not in refused]
    deferred: dict[str, str] = {}
    if context.cancelled.is_set():
        raise Cancelled
    if pending:
        with Link(context) as link:
            verdicts = deliver(letter, pending, server, link)
        accepted += verdicts.accepted
        refused |= verdicts.refused
        deferred = verdicts.deferred
        context.carried.update(accepted=accepted, refused=refused)
        context.output(_report(server, verdicts.accepted, letter.message_id))
    if refused or deferred:
        raise _some_refused(server.host, bool(accepted), refused, deferred)
    return None


def _report(server: SmtpServer, accepted: list[str], message_id: str) -> str:
    place = {"name": server.name, "host": server.host, "port": server.port}
    lines = [gettext("Server: %(name)s (%(host)s, port %(port)s)", **place),
             gettext("Accepted for: %(recipients)s", recipients=", ".join(accepted) or "–"),
             f"Message-ID: {message_id}"]
    return "\n".join(lines) + "\n"


def _some_refused(host: str, anybody: bool, refused: dict[str, str], deferred: dict[str, str]) -> Failed:
    kind = "mixed" if refused and deferred else "refused" if refused else "deferred"
    replies = "\n".join(f"{address}: {reply}" for address, reply in (refused | deferred).items())
    return Failed(f"mail_{'recipients' if anybody else 'nobody'}_{kind}", error=replies, final=not deferred,
                  host=host, refused=", ".join(refused), deferred=", ".join(deferred))
