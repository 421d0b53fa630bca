"""A task's options: retries, deadline, what to do about overlap and missed runs."""

from collections.abc import Mapping
from typing import Any

from dashboard.fields import Document, Integer, Text, between, one_of
from dashboard.handlers.contract import Handler

DAY = 86_400
DEFAULTS: Mapping[str, Any] = {
    "retries": 0,
    "retry_delay_seconds": 60,
    "timeout_seconds": 3600,
    "overlap": "skip",
    "missed": "run_once",
}


class OptionsSchema(Document):
    """Only what the user gave is stored; ``effective`` fills in the rest."""

    retries = Integer(validate=between(0, 100))
    retry_delay_seconds = Integer(validate=between(0, 7 * DAY))
    timeout_seconds = Integer(validate=between(1, 30 * DAY))
    overlap = Text(validate=one_of(("skip", "queue", "allow")))
    missed = Text(validate=one_of(("run_once", "skip")))


def effective(options: Mapping[str, Any], handler: Handler | None) -> dict[str, Any]:
    """All options of a task: what it gives, else its type's defaults, else the general ones."""
    return {**DEFAULTS, **(handler.DEFAULTS if handler else {}), **options}
