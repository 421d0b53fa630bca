"""What can go wrong in a way a person should read. Each door turns these into its own shape in one place.

Messages are put into words where they are raised, in the language then in force (``dashboard.i18n``).
"""

from collections.abc import Mapping, Sequence
from typing import Any


class DingshiError(Exception):
    """Something was refused; nothing was changed.

    ``code`` is for programs, ``exit_code`` for the console (0 done, 1 refused, 2 usage, 3 another scheduler
    owns the store, 4 the store is damaged or gone, 5 the store is read-only), ``str()`` for people.
    """

    code = "refused"
    exit_code = 1


class Invalid(DingshiError):
    """Input that cannot be taken. ``errors`` maps a dotted field name to its messages, in order."""

    code = "invalid"

    def __init__(self, errors: Mapping[str, Sequence[str]], message: str = "") -> None:
        self.errors = {field: list(texts) for field, texts in errors.items()}
        super().__init__(message or "; ".join(f"{f}: {' '.join(t)}" for f, t in self.errors.items()))


class SettingsInvalid(Invalid):
    """``dingshi.toml`` or a ``DINGSHI_*`` variable is wrong."""

    code = "settings"
    exit_code = 2


class NotFound(DingshiError):
    """There is no such task or log row."""

    code = "not_found"


class Conflict(DingshiError):
    """The state of things forbids it: the id is taken, the task is already running, somebody changed it meanwhile."""

    code = "conflict"


class SchedulerRunning(DingshiError):
    """Another scheduler holds this store."""

    code = "scheduler_running"
    exit_code = 3

    def __init__(self, message: str, pid: int | None = None, port: int | None = None) -> None:
        self.pid = pid
        self.port = port
        super().__init__(message)


class StoreDamaged(DingshiError):
    """The store is damaged, foreign, empty or gone while a snapshot or a backup still holds tasks."""

    code = "store_damaged"
    exit_code = 4


class StoreReadOnly(DingshiError):
    """A file or folder cannot be written; ``path`` names it."""

    code = "read_only"
    exit_code = 5

    def __init__(self, message: str, path: str = "") -> None:
        self.path = path
        super().__init__(message)


class StoreBusy(DingshiError):
    """Another program kept the store locked for longer than the busy time-out."""

    code = "busy"


def flatten(messages: Any, prefix: str = "") -> dict[str, list[str]]:
    """Marshmallow's nested messages as ``{"trigger.hour": ["…"]}``; ``_schema`` becomes the field above it."""
    if isinstance(messages, Mapping):
        found: dict[str, list[str]] = {}
        for key, value in messages.items():
            name = prefix if key == "_schema" else f"{prefix}.{key}" if prefix else str(key)
            for field, texts in flatten(value, name).items():
                found.setdefault(field, []).extend(texts)
        return found
    if isinstance(messages, str) or not isinstance(messages, Sequence):
        return {prefix: [str(messages)]}
    if any(isinstance(item, Mapping) for item in messages):
        merged: dict[str, list[str]] = {}
        for item in messages:
            for field, texts in flatten(item, prefix).items():
                merged.setdefault(field, []).extend(texts)
        return merged
    return {prefix: [str(item) for item in messages]}
