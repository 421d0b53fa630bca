"""A task type that leaves a line outside the store each time it really runs."""

import os
import time
from pathlib import Path
from typing import Any, ClassVar

from dashboard.clock import to_ms
from dashboard.fields import Document, Number
from dashboard.handlers.contract import Context

FILE = "WITNESS_FILE"


class Params(Document):
    """``seconds``: how long it takes."""

    seconds = Number(load_default=0.0)


def note(word: str, task_id: str, due: int) -> None:
    """One line, in one write: it is there whole or not at all."""
    descriptor = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{word} {task_id} {due}\n".encode())
    finally:
        os.close(descriptor)


def lines(path: Path, word: str) -> list[tuple[str, int]]:
    """(task id, due) of every line that begins with ``word``."""
    if not path.exists():
        return []
    split = [line.split() for line in path.read_text("utf-8").splitlines()]
    return [(parts[1], int(parts[2])) for parts in split if parts[0] == word]


class Witness:
    """Notes ``start`` and ``end``."""

    KEY = "witness"
    SUMMARY = "notes that it ran"
    EXAMPLE: ClassVar[dict[str, Any]] = {}
    DEFAULTS: ClassVar[dict[str, int]] = {}
    REASONS: ClassVar[dict[str, str]] = {}
    Params = Params

    def run(self, params: dict[str, Any], context: Context) -> None:
        note("start", context.task_id, to_ms(context.scheduled_at))
        time.sleep(params["seconds"])
        note("end", context.task_id, to_ms(context.scheduled_at))
