"""Every setting: its field, its default, and a sentence about it. ``docs/settings.md`` lists the same (tested).

The same schema checks ``dingshi.toml`` and the environment; from the latter everything comes as text.
"""

import base64
import binascii
import difflib
import ipaddress
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, fields

from dashboard.config_paths import PathText
from dashboard.fields import Boolean, Document, Integer, ListOf, Number, Text, between, clean_text, say
from dashboard.i18n import LANGUAGES, N_, choose, gettext

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?", re.ASCII | re.IGNORECASE)


class ZoneText(Text):
    """A name of the time zone database. Loads to a ``ZoneInfo``."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        name = clean_text(value, line=True)
        try:
            return zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValidationError(_no_zone(name)) from None


def _no_zone(name: str) -> str:
    near = _near_zone(name.strip().lower().replace(" ", "_"))
    if near:
        return gettext("There is no time zone %(name)s. Did you mean %(near)s?", name=name, near=near)
    return gettext("There is no time zone %(name)s. A name like Asia/Shanghai or Europe/Berlin is expected.",
                   name=name)


_CHINA = ("beijing", "peking", "guangzhou", "shenzhen", "china", "china_standard_time", "cst", "cst-8", "utc+8",
          "gmt+8", "utc+08:00", "gmt+08:00", "+08:00", "北京", "上海")
"""What people write for the one zone of a country whose capital has none of its own."""


def _near_zone(wanted: str) -> str | None:
    if wanted.rpartition("/")[2] in _CHINA:
        return "Asia/Shanghai"
    known = {zone.lower(): zone for zone in zoneinfo.available_timezones()}
    cities = {zone.rpartition("/")[2]: zone for zone in known}
    for city in difflib.get_close_matches(wanted.rpartition("/")[2], cities, n=1, cutoff=0.75):
        return known[cities[city]]
    for zone in difflib.get_close_matches(wanted, known, n=1, cutoff=0.7):
        return known[zone]
    return None


class LanguageText(Text):
    """A language tag (``zh``, ``zh-CN``, ``en``). Loads to one of ``LANGUAGES``."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        code = choose([clean_text(value, line=True)])
        if code is None:
            raise ValidationError(gettext("One of %(choices)s is expected.", choices=", ".join(LANGUAGES)))
        return code


class HostText(Text):
    """A host name or an IP address, without scheme and port."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = clean_text(value, line=True)
        if not is_address(text) and (not _NAME.fullmatch(text) or _NUMERIC.fullmatch(text)):
            raise ValidationError(gettext("A host name or an IP address is expected, without http:// and port."))
        return text


_NUMERIC = re.compile(r"[0-9.]+")


class Hosts(ListOf):
    """A list of hosts; as one text, separated by commas."""

    def __init__(self) -> None:
        super().__init__(HostText())

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        given = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        return super()._deserialize(given, attr, data, **kwargs)


class AddressText(Text):
    """An IP address."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = clean_text(value, line=True)
        if not is_address(text):
            raise ValidationError(gettext("An IP address is expected."))
        return text


class KeyText(Text):
    """One Fernet key, or several separated by commas (the first encrypts, all decrypt)."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = clean_text(value, line=True)
        if not all(_is_fernet_key(part.strip()) for part in text.split(",")):
            raise ValidationError(gettext("A key is 32 random bytes in URL-safe base64, 44 characters."))
        return text


def _is_fernet_key(text: str) -> bool:
    try:
        return len(text) == 44 and len(base64.b64decode(text, altchars=b"-_", validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


class Tables(fields.Dict):
    """``[smtp.NAME]`` tables; each is checked by ``dashboard.servers``."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> dict[str, dict[str, Any]]:
        if not isinstance(value, dict):
            raise say("not_object")
        errors = {name: [gettext("An object with named values is expected.")]
                  for name, item in value.items() if not isinstance(item, dict)}
        if errors:
            raise ValidationError(errors)
        return value


def is_address(text: str) -> bool:
    """Whether ``text`` is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    return ipaddress.ip_address(host).is_loopback if is_address(host) else host.lower().rstrip(".") == "localhost"


@dataclass(frozen=True)
class Key:
    """One setting. ``default`` as it would stand in the file; None where ``otherwise`` tells what holds instead.
    ``doc`` and ``otherwise`` are marked ``N_``."""

    name: str
    field: fields.Field[Any]
    default: str | int | bool | None
    doc: str
    otherwise: str = ""
    environment: bool = True

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return f"DINGSHI_{self.name.upper()}"


def _whole(low: int, high: int) -> Integer:
    return Integer(validate=between(low, high))


_ALL = (
    Key("data_dir", PathText(), "data", N_("Folder of everything that Dingshi writes.")),
    Key("database", PathText(), None, N_("The store: tasks and logs, an SQLite file."), N_("task.db in data_dir")),
    Key("snapshot", PathText(), None, N_("The copy of the tasks that can bring them back if the store is lost."),
        N_("tasks.pkl in data_dir")),
    Key("log_file", PathText(), None, N_("The program's own log."), N_("scheduler.log in data_dir")),
    Key("host", HostText(), "127.0.0.1", N_("The address at which the page and the API listen.")),
    Key("port", _whole(1, 65535), 8710, N_("The port at which the page and the API listen.")),
    Key("timezone", ZoneText(), None, N_("The time zone of all times that are entered and shown."),
        N_("the system's")),
    Key("language", LanguageText(), None, N_("The language, en or zh, where nobody asks for another."),
        N_("the system's")),
    Key("workers", _whole(1, 512), 32, N_("How many runs may be in progress at once.")),
    Key("login", Boolean(), True, N_("Whether the page asks for a login; false only with a loopback host.")),
    Key("trusted_hosts", Hosts(), None,
        N_("More names under which browsers may reach the page; in the environment separated by commas."),
        N_("none")),
    Key("trusted_proxy", AddressText(), None, N_("The IP address of the proxy in front, whose headers are believed."),
        N_("none")),
    Key("insecure_lan", Boolean(), False, N_("Whether the page may be reached from other machines without TLS.")),
    Key("exec_tasks", Boolean(), None, N_("Whether tasks that run programs may be made on the page and by the API."),
        N_("true with a loopback host, else false")),
    Key("key", KeyText(), None, N_("The key of the stored secrets; better kept out of the file, in DINGSHI_KEY."),
        N_("read from secret.key")),
    Key("idle_cpu", Number(validate=between(0, 100)), 10,
        N_("The machine counts as idle up to this load of all its processors, in percent.")),
    Key("idle_cooldown_seconds", _whole(0, 604_800), 300,
        N_("After an idle task has fired, it does not fire again for this long.")),
    Key("missed_grace_seconds", _whole(1, 86_400), 60,
        N_("A run that starts later than this after it was due counts as missed.")),
    Key("min_free_mb", _whole(1, 1_048_576), 64, N_("With less free disk space than this, in MiB, no run starts.")),
    Key("handler_dir", PathText(), None, N_("Folder with task types of your own."), N_("none")),
    Key("retention_days", _whole(1, 36_500), 90, N_("Log rows older than this many days are removed.")),
    Key("retention_rows", _whole(1, 100_000_000), 200_000, N_("Of more log rows than this, the oldest are removed.")),
    Key("backup_keep", _whole(1, 1_000), 10, N_("How many automatic backups are kept.")),
    Key("smtp", Tables(), None, N_("Mail servers, one table [smtp.NAME] each; only in the file."), N_("none"),
        environment=False),
)

KEYS: Mapping[str, Key] = {key.name: key for key in _ALL}
"""All settings, in the order in which they are told."""


def schema() -> Document:
    """The schema of all settings, in the language in force."""
    made: Document = Document.from_dict({key.name: key.field for key in _ALL}, name="SettingsSchema")()  # type: ignore
    return made


def nearest(name: str, known: list[str]) -> str | None:
    """The one of ``known`` that ``name`` was most likely meant to be."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return found[0] if found else None
