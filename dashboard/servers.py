"""Servers that task types reach by name, and the addresses they take. One schema a kind: ``dingshi.toml``, the page,
the console and the store read a mail server through the same ``SmtpSchema``."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.headerregistry import Address
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from dashboard.fields import Boolean, Document, Integer, Text, between, clean_text, length, one_of, say
from dashboard.i18n import N_, gettext

SECURITIES = ("ssl", "starttls", "none")
PORTS: Mapping[str, int] = {"ssl": 465, "starttls": 587, "none": 25}
"""The usual port of each ``security``."""

_NAMED = re.compile(r"""(?:"(?P<quoted>[^"]*)"\s*|(?P<name>[^<>",;]*))<(?P<address>[^<>]*)>""")
_LOCAL = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_HOST = re.compile(r"[^\s/@\\,;]+")
_DOMAIN = re.compile(r"\[[0-9A-Za-z.:]+\]|[^\W_]([\w-]*[^\W_])?(\.[^\W_]([\w-]*[^\W_])?)*", re.ASCII)


@dataclass(frozen=True)
class SmtpPreset:
    """A well-known provider. ``label`` and ``note`` are marked ``N_``: put them into words where they are shown.
    The note is also what is told when this provider refuses a login."""

    label: str
    host: str
    port: int
    security: str
    note: str


_QQ = N_("This server wants the authorisation code (made in the mailbox's own settings), not the login password.")
_NETEASE = N_("Use the authorisation code made in the mailbox's own settings; some older mailboxes take the login "
              "password.")
_EXMAIL = N_("Use the client password made in the mailbox's own settings if secure login is on, else the login "
             "password.")

# Hosts and ports: the providers' public pages; qq and foxmail also take STARTTLS at 587.
PRESETS: Mapping[str, SmtpPreset] = {
    "163": SmtpPreset(N_("NetEase 163"), "smtp.163.com", 465, "ssl", _NETEASE),
    "126": SmtpPreset(N_("NetEase 126"), "smtp.126.com", 465, "ssl", _NETEASE),
    "qq": SmtpPreset(N_("Tencent QQ"), "smtp.qq.com", 465, "ssl", _QQ),
    "foxmail": SmtpPreset(N_("Tencent Foxmail"), "smtp.qq.com", 465, "ssl", _QQ),
    "exmail": SmtpPreset(N_("Tencent Exmail (companies)"), "smtp.exmail.qq.com", 465, "ssl", _EXMAIL),
}


@dataclass(frozen=True)
class SmtpServer:
    """A mail server as a handler uses it. ``user`` and ``password`` are both empty where there is no login;
    ``sender`` is an address, perhaps with a name before it. The password never shows in the repr."""

    name: str
    host: str
    port: int
    security: str
    user: str
    password: str = field(repr=False)
    sender: str
    default: bool = False


def chosen(servers: Mapping[str, Any], name: str | None) -> Any:
    """The server of this name, or the default one if ``name`` is None (the only one is); None if there is none."""
    if name is not None:
        return servers.get(name)
    return next((server for server in servers.values() if server.default or len(servers) == 1), None)


def preset_of(host: str) -> str | None:
    """The key of the first preset with this host."""
    return next((key for key, preset in PRESETS.items() if preset.host == host.lower()), None)


def note_for(host: str) -> str | None:
    """What a preset of this host says about passwords, in the language in force."""
    key = preset_of(host)
    if key is None:
        return None
    note = PRESETS[key].note
    return gettext(note)


def header_text(value: object) -> str:
    """``value`` if it is a text that may stand in a mail's header: no line break, those of Unicode included
    (Python's e-mail package takes U+2028 for one). Raises ValidationError."""
    text = clean_text(value, line=True)
    if len(text.splitlines()) > 1 or any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in text):
        raise say("control")
    return text


def mail_address(text: str) -> Address:
    """``a@b.cn`` or ``张三 <a@b.cn>``. Domains of an intranet (no dot) and Chinese domains pass, the latter turned
    into their ASCII form. The part before the @ may hold letters of any script; whether a server takes them shows
    when it is asked. Raises ValidationError that says what is wrong."""
    header_text(text)
    named = _NAMED.fullmatch(text.strip())
    name = (named["quoted"] or named["name"] or "").strip() if named else ""
    local, _, domain = (named["address"] if named else text.strip()).rpartition("@")
    if not local or not domain or any(c.isspace() or c in "<>" for c in local + domain):
        raise ValidationError(gettext("An address like name@example.com or Name <name@example.com> is expected."))
    try:
        host = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError:
        host = ""
    if not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(host) or len(local) > 64 or len(host) > 253:
        raise ValidationError(gettext("%(address)s is not a mail address.", address=f"{local}@{domain}"))
    return Address(display_name=name, username=local, domain=host)


def _check_address(value: str) -> None:
    mail_address(value)


def _check_ascii(value: str) -> None:
    if not value.isascii():
        raise ValidationError(gettext("Only ASCII characters are allowed: logins of mail servers know no others."))


def _check_host(value: str) -> None:
    if value.count(":") == 1:
        raise ValidationError(gettext("The host alone is expected; the port has its own field."))
    if not _HOST.fullmatch(value) or len(value) > 253:
        raise ValidationError(gettext("A host name or an IP address is expected."))


class SmtpSchema(Document):
    """``[smtp.NAME]``. Loads to the fields of ``SmtpServer`` but its name, everything filled in; with ``preset``,
    ``host``, ``port`` and ``security`` come from it unless given."""

    preset = Text(validate=one_of(tuple(PRESETS)))
    host = Text(line=True, validate=[length(1), _check_host])
    port = Integer(validate=between(1, 65535))
    security = Text(validate=one_of(SECURITIES))
    user = Text(line=True, validate=[length(0, 254), _check_ascii])
    password = Text(line=True, validate=[length(0, 1024), _check_ascii], metadata={"secret": True})
    sender = Text(line=True, validate=[length(1), _check_address])
    default = Boolean()

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def check_together(self, data: dict[str, Any], original: Any, **kwargs: Any) -> None:
        """Raises ValidationError for what one field alone cannot tell. A field with an error of its own is absent
        from ``data``; it must not be called missing on top, hence the look at what was given."""
        if not isinstance(original, Mapping):
            return
        errors: dict[str, list[str]] = {}
        if not original.get("preset") and not original.get("host"):
            errors["host"] = [gettext("This is needed unless a preset is given.")]
        user, password = data.get("user", ""), data.get("password", "")
        if user and not original.get("password"):
            errors["password"] = [gettext("A user needs a password. For a server without login leave out the user "
                                          "and give the sender.")]
        if password and not original.get("user"):
            errors["user"] = [gettext("A password needs a user.")]
        if not original.get("sender"):
            _check_sender_default(user, bool(original.get("user")), errors)
        if errors:
            raise ValidationError(errors)

    @post_load
    def fill(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """What was left out, filled in."""
        preset = PRESETS.get(data.get("preset", ""))
        security = data.get("security") or (preset.security if preset else "ssl")
        same = preset is not None and security == preset.security
        user = data.get("user", "")
        return {
            "host": data.get("host") or (preset.host if preset else ""),
            "port": data.get("port") or (preset.port if preset and same else PORTS[security]),
            "security": security,
            "user": user,
            "password": data.get("password", ""),
            "sender": data.get("sender") or user,
            "default": data.get("default", False),
        }


def _check_sender_default(user: str, user_given: bool, errors: dict[str, list[str]]) -> None:
    if user:
        try:
            mail_address(user)
        except ValidationError:
            errors["sender"] = [gettext("This is needed, since the user is not a mail address.")]
    elif not user_given:
        errors["sender"] = [gettext("This is needed where there is no user.")]


def smtp_server(name: str, document: Mapping[str, Any]) -> SmtpServer:
    """The server that ``[smtp.name]`` describes. Raises marshmallow's ValidationError, by field."""
    try:
        clean_text(name, line=True)
        length(1, 64)(name)
    except ValidationError as error:
        raise ValidationError({"name": error.messages}) from None
    loaded: dict[str, Any] = SmtpSchema().load(dict(document))
    return SmtpServer(name=name, **loaded)
