"""A row of the log as a row of a table."""

from zoneinfo import ZoneInfo

from dashboard.cli.console import when
from dashboard.cli.words import cause_word, result_word
from dashboard.i18n import gettext, ngettext
from dashboard.models import TaskLog
from dashboard.services.reasons import words

LONGEST_NOTE = 120


def columns() -> list[str]:
    """Their heads."""
    return [gettext("Run"), gettext("At"), gettext("Task"), gettext("Type"), gettext("Cause"), gettext("Attempt"),
            gettext("Result"), gettext("Duration"), gettext("Note")]


def texts(row: TaskLog, zone: ZoneInfo) -> tuple[str, ...]:
    """In the order of the columns."""
    return (str(row.id), when(row.at, zone, exact=True), row.task_id, row.task_type, cause_word(row.cause),
            str(row.attempt), result_word(row.result), duration(row), note(row))


def duration(row: TaskLog) -> str:
    """Seconds to the millisecond; '-' for a run that has not ended, or never began."""
    return "-" if row.duration_ms is None else f"{row.duration_ms / 1000:.3f} s"


def note(row: TaskLog) -> str:
    """Why, how many due times it covers, and the first line of the error, else of the output."""
    parts = [words(row.reason)]
    if row.covers:
        parts.append(ngettext("%(n)s due time", "%(n)s due times", row.covers["count"]))
    lines = (row.error or row.output or "").strip().splitlines()
    parts.append(lines[0].strip()[:LONGEST_NOTE] if lines else "")
    return " · ".join(part for part in parts if part)
