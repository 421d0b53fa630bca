"""Settings: ``dingshi.toml`` beside ``run.py`` and ``DINGSHI_*`` variables over it, every error told at once.

Loading writes nothing and creates nothing.
"""

import os
import time
import warnings
import zoneinfo
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tzlocal
from marshmallow import ValidationError

from dashboard import config_file, i18n
from dashboard.config_file import PATHS, Content, Fault
from dashboard.config_paths import clashes
from dashboard.config_schema import KEYS, Key, is_loopback, nearest, schema
from dashboard.errors import SettingsInvalid, flatten
from dashboard.i18n import gettext
from dashboard.servers import SmtpServer, smtp_server

__all__ = ["FILE_NAME", "KEYS", "ROOT", "Key", "Settings", "language", "load"]

ROOT = Path(__file__).resolve().parents[1]
"""The folder of ``run.py``; relative paths count from it."""
FILE_NAME = "dingshi.toml"
PREFIX = "DINGSHI_"
NOT_SETTINGS = ("DINGSHI_CONFIG", "DINGSHI_RUN_ID")


@dataclass(frozen=True)
class Settings:
    """All settings, checked. Paths are absolute; none of them need exist. ``source`` is the file read, if any;
    ``language`` None means the system's; ``exec_tasks`` is decided (by ``host`` unless given)."""

    data_dir: Path
    database: Path
    snapshot: Path
    log_file: Path
    host: str
    port: int
    timezone: zoneinfo.ZoneInfo
    language: str | None
    workers: int
    login: bool
    trusted_hosts: tuple[str, ...]
    trusted_proxy: str | None
    insecure_lan: bool
    exec_tasks: bool
    key: str | None = field(repr=False)
    idle_cpu: float
    idle_cooldown_seconds: int
    missed_grace_seconds: int
    min_free_mb: int
    handler_dir: Path | None
    retention_days: int
    retention_rows: int
    backup_keep: int
    smtp: Mapping[str, SmtpServer]
    source: Path | None = None

    @property
    def backup_dir(self) -> Path:
        """Where backups go unless a path is given."""
        return self.data_dir / "backups"


def load(environ: Mapping[str, str] | None = None, file: Path | None = None, *, root: Path = ROOT) -> Settings:
    """The settings of ``file`` (default: what ``DINGSHI_CONFIG`` names, else ``dingshi.toml`` in ``root``, which need
    not exist) with the variables of ``environ`` (default: this process's) over them; empty variables count as not
    given. Raises SettingsInvalid with every error; its ``errors`` name keys as the file or the environment spells
    them, and its text is of several lines.
    """
    variables = os.environ if environ is None else environ
    source = _source(variables, file, root)
    content = config_file.read(source) if source else Content()
    from_file, wrong_in_file = _check(content.data)
    wrong = _told(content.faults + _located(content, wrong_in_file), source)
    given, unknown = _variables(variables)
    from_environment, wrong_in_environment = _check(given)
    wrong += unknown + [(_variable(fault.key), fault.text) for fault in wrong_in_environment]
    values = {**from_file, **from_environment}
    if not wrong:
        merged = _merged(values, root)
        faults = _check_together(merged, values)
        wrong = _told(_located(content, [fault for fault in faults if fault.key not in from_environment]), source)
        wrong += [(_variable(fault.key), fault.text) for fault in faults if fault.key in from_environment]
    if not wrong:
        return Settings(**merged, source=source)
    raise _invalid(wrong)


def language(environ: Mapping[str, str] | None = None, file: Path | None = None, *, root: Path = ROOT) -> str | None:
    """The language that is set, the environment's before the file's, whatever else is wrong with the settings; None
    where none is, or none that we speak. For the arguments see ``load``."""
    variables = os.environ if environ is None else environ
    source = _source(variables, file, root)
    told = (variables.get(KEYS["language"].variable), config_file.language(source) if source else None)
    return i18n.choose(text for text in told if text)


def _source(variables: Mapping[str, str], file: Path | None, root: Path) -> Path | None:
    """The file to read; None where none was named and there is none."""
    if file is not None:
        return root / file
    named = variables.get("DINGSHI_CONFIG", "")
    if named:
        return root / named
    usual = root / FILE_NAME
    return usual if os.path.lexists(usual) else None


def _check(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """What of ``given`` is right, loaded, and what is wrong. Absent keys are absent from the result too."""
    faults = [Fault(name, _unknown(name, list(KEYS))) for name in given if name not in KEYS]
    known = {name: value for name, value in given.items() if name in KEYS}
    try:
        loaded: dict[str, Any] = schema().load(known)
    except ValidationError as error:
        valid = error.valid_data if isinstance(error.valid_data, dict) else {}
        loaded = {name: value for name, value in valid.items() if name not in error.messages}
        faults += [Fault(name, text) for name, texts in flatten(error.messages).items() for text in texts]
    servers: dict[str, SmtpServer] = {}
    for name, table in loaded.get("smtp", {}).items():
        try:
            servers[name] = smtp_server(name, table)
        except ValidationError as error:
            wrong = flatten(error.messages, f"smtp.{name}")
            faults += [Fault(field, text) for field, texts in wrong.items() for text in texts]
    if "smtp" in loaded:
        loaded["smtp"] = servers
        faults += [Fault(f"smtp.{name}.default", gettext("Only one mail server may be the default."))
                   for name in [server.name for server in servers.values() if server.default][1:]]
    return loaded, faults


def _unknown(name: str, known: list[str]) -> str:
    plain = name.lower().removeprefix(PREFIX.lower())
    near = plain if plain in known else nearest(plain, known)
    if near is None:
        return gettext("There is no such setting. docs/settings.md lists them all.")
    return gettext("There is no such setting. Did you mean %(near)s?", near=near)


def _variables(variables: Mapping[str, str]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The settings among the environment's variables, by key, and what is wrong with the others' names."""
    by_variable = {key.variable: key.name for key in KEYS.values()}
    given: dict[str, str] = {}
    wrong: list[tuple[str, str]] = []
    for variable, value in variables.items():
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS or not value:
            continue
        name = by_variable.get(variable)
        if name is None:
            near = nearest(variable, list(by_variable))
            wrong.append((variable, gettext("There is no such setting. Did you mean %(near)s?", near=near) if near
                          else gettext("There is no such setting. docs/settings.md lists them all.")))
        elif not KEYS[name].environment:
            wrong.append((variable, gettext("This can only be set in the file, not by a variable.")))
        else:
            given[name] = value
    return given, wrong


def _merged(values: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """All settings: the given ones, else what holds otherwise. Raises SettingsInvalid if the zone cannot be told."""
    merged: dict[str, Any] = {key.name: values.get(key.name, key.default) for key in KEYS.values()}
    paths = {name: _absolute(merged[name], root) for name in PATHS if merged[name] is not None}
    data = paths["data_dir"]
    usual = {"database": data / "task.db", "snapshot": data / "tasks.pkl", "log_file": data / "scheduler.log"}
    merged |= usual | paths
    if merged["timezone"] is None:
        merged["timezone"] = _system_zone()
    if merged["exec_tasks"] is None:
        merged["exec_tasks"] = is_loopback(merged["host"])
    merged["trusted_hosts"] = tuple(merged["trusted_hosts"] or ())
    merged["smtp"] = merged["smtp"] or {}
    return merged


def _check_together(merged: Mapping[str, Any], given: Collection[str]) -> list[Fault]:
    """What one setting alone cannot tell. ``given``: those that somebody has set."""
    faults = []
    if not merged["login"] and not is_loopback(merged["host"]):
        faults.append(Fault("login", gettext(
            "Without a login the page may only listen on this machine, at 127.0.0.1; the host is %(host)s.",
            host=merged["host"])))
    return faults + [Fault(name, text) for name, text in clashes(merged, given)]


def _absolute(text: str, root: Path) -> Path:
    return Path(os.path.normpath(root / text))


def _system_zone() -> zoneinfo.ZoneInfo:
    """The machine's zone. A machine without any runs in UTC; one whose zone has no name that we know is not guessed
    at, since every time shown would be wrong by hours."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        try:
            zone = tzlocal.get_localzone()
        except (zoneinfo.ZoneInfoNotFoundError, LookupError, ValueError, OSError):
            if _utc_offset() == 0:
                return zoneinfo.ZoneInfo("UTC")
            raise _invalid([("timezone", gettext(
                "The time zone of this machine has no name that is known here. Set timezone = 'Asia/Shanghai' (or "
                "yours) in dingshi.toml."))]) from None
    return zone


def _utc_offset() -> int:
    return time.localtime().tm_gmtoff


def _variable(key: str) -> str:
    """The environment's spelling of a key, dotted ones (an item of a list) included."""
    return KEYS[key.split(".", maxsplit=1)[0]].variable


def _located(content: Content, faults: list[Fault]) -> list[Fault]:
    """The same faults with the line of their key, or of the nearest table around it."""
    found = []
    for fault in faults:
        parts = fault.key.split(".")
        around = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
        line = next((content.lines[name] for name in around if name in content.lines), None)
        found.append(Fault(fault.key, fault.text, line))
    return found


def _told(faults: list[Fault], source: Path | None) -> list[tuple[str, str]]:
    """Faults of the file as pairs of key and text, the text ending with the place."""
    return [(fault.key or (source.name if source else FILE_NAME), fault.text + _place(fault, source))
            for fault in faults]


def _place(fault: Fault, source: Path | None) -> str:
    if source is None:
        return ""
    if fault.line is None:
        return gettext(" (%(file)s)", file=source)
    if fault.column is None:
        return gettext(" (%(file)s, line %(line)s)", file=source, line=fault.line)
    return gettext(" (%(file)s, line %(line)s, column %(column)s)", file=source, line=fault.line, column=fault.column)


def _invalid(wrong: list[tuple[str, str]]) -> SettingsInvalid:
    errors: dict[str, list[str]] = {}
    for name, text in wrong:
        errors.setdefault(name, []).append(text)
    lines = [f"  {name}: {text}" for name, texts in errors.items() for text in texts]
    return SettingsInvalid(errors, "\n".join([gettext("These settings are wrong:"), *lines]))
