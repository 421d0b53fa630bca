"""A file of tasks, JSON or TOML, as a person wrote it: ``{"tasks": [...]}``, a bare list (JSON), or one task."""

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dashboard.errors import Invalid
from dashboard.fields import MOST_LEVELS
from dashboard.i18n import gettext
from dashboard.schemas import json_text, toml_text

MOST_BYTES = 10 * 1024 * 1024
_LEVELS = MOST_LEVELS + 4  # params may be as deep as everywhere: tasks, list, task and params come on top
_TASK_FIELDS = {"id", "type", "trigger", "params"}


def read_task_file(path: Path) -> list[Any]:
    """The task documents of ``path`` (``.json``, ``.toml``; UTF-8 with or without BOM), at least one; what stands in
    each is not checked. TOML's dates and times are texts, so that naive ones count in the configured zone.

    Raises Invalid, its one field being the file as it was named; the message tells line and column where it can."""
    text = _text(path, _content(path))
    try:
        found: Any = (toml_text.decode(text, _LEVELS) if path.suffix.lower() == ".toml"
                      else json_text.decode(text, _LEVELS))
    except (json_text.JsonFault, toml_text.TomlFault) as fault:
        raise _refusal(path, str(fault)) from fault
    return _documents(path, found)


def explain(error: Invalid, documents: Sequence[Any], path: Path) -> Invalid:
    """``error`` with names for a person: ``tasks.2.trigger.hour`` becomes ``tasks.toml, task 3 (backup):
    trigger.hour``. Names of another form stay as they are. ``documents``: those of the file, in its order."""
    return Invalid({_place(name, documents, path): texts for name, texts in error.errors.items()})


def _place(name: str, documents: Sequence[Any], path: Path) -> str:
    head, _, rest = name.partition(".")
    number, _, field = rest.partition(".")
    if head != "tasks" or not (number.isascii() and number.isdigit()) or int(number) >= len(documents):
        return name
    document = documents[int(number)]
    task_id = document.get("id") if isinstance(document, dict) else None
    values = {"file": path, "number": int(number) + 1, "id": task_id, "field": field}
    named = isinstance(task_id, str) and 0 < len(task_id) <= 64
    if field in ("", "task"):  # the task as a whole
        return (gettext("%(file)s, task %(number)s (%(id)s)", **values) if named
                else gettext("%(file)s, task %(number)s", **values))
    return (gettext("%(file)s, task %(number)s (%(id)s): %(field)s", **values) if named
            else gettext("%(file)s, task %(number)s: %(field)s", **values))


def _refusal(path: Path, message: str) -> Invalid:
    return Invalid({str(path): [message]})


def _content(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _refusal(path, gettext("This is a folder; a file of tasks is expected."))
        if not stat.S_ISREG(mode):  # a pipe would be waited for without end
            raise _refusal(path, gettext("This is no ordinary file."))
        if path.suffix.lower() not in (".json", ".toml"):
            raise _refusal(path, gettext("The name of a file of tasks ends in .json or .toml."))
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise _refusal(path, gettext("There is no such file. Check its spelling and folder.")) from None
    except PermissionError:
        raise _refusal(path, gettext("This file may not be read. Check its permissions, and that no other program "
                                     "holds it.")) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        words = getattr(error, "strerror", None) or str(error)
        raise _refusal(path, gettext("This file cannot be read: %(words)s.", words=words)) from error
    if len(raw) > MOST_BYTES:
        raise _refusal(path, gettext("This file is larger than %(megabytes)s MB. Split it.",
                                     megabytes=MOST_BYTES // (1024 * 1024)))
    return raw


def _text(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        content: bytes = error.object  # without the BOM
        start = content.rfind(b"\n", 0, error.start) + 1
        column = len(content[start : error.start].decode("utf-8")) + 1
        raise _refusal(path, gettext(
            "Line %(line)s, column %(column)s: the byte %(byte)s is not UTF-8. Save the file in the encoding UTF-8.",
            line=content.count(b"\n", 0, error.start) + 1, column=column,
            byte=f"0x{content[error.start]:02X}")) from None


def _documents(path: Path, found: Any) -> list[Any]:
    if isinstance(found, dict) and "tasks" in found:
        others = ", ".join(name for name in found if name != "tasks")
        if others:
            raise _refusal(path, gettext("Beside tasks nothing else is expected; here is also: %(names)s.",
                                         names=others))
        found = found["tasks"]
    elif isinstance(found, dict) and _TASK_FIELDS & set(found):
        found = [found]
    if not isinstance(found, list):
        raise _refusal(path, gettext("Each task begins with a line [[tasks]]; or the file is one single task.")
                       if path.suffix.lower() == ".toml" else
                       gettext('A list of tasks is expected, {"tasks": [...]}, or one single task.'))
    if not found:
        raise _refusal(path, gettext("There is no task in this file."))
    return found
