"""Codes in words, in the language in force."""

from dashboard.i18n import gettext, pgettext


def result_word(result: str | None) -> str:
    """A run's result."""
    words = {
        "queued": pgettext("result", "queued"), "running": pgettext("result", "running"),
        "success": pgettext("result", "success"), "failure": pgettext("result", "failure"),
        "timeout": pgettext("result", "timeout"), "cancelled": pgettext("result", "cancelled"),
        "skipped": pgettext("result", "skipped"), "missed": pgettext("result", "missed"),
        "interrupted": pgettext("result", "interrupted"), "unknown": pgettext("result", "unknown"),
    }
    return words.get(result or "", result or "-")


def cause_word(cause: str) -> str:
    """How a run was started."""
    words = {
        "schedule": pgettext("cause", "schedule"), "idle": pgettext("cause", "idle"),
        "manual": pgettext("cause", "manual"), "retry": pgettext("cause", "retry"),
        "catchup": pgettext("cause", "catch-up"), "chain": pgettext("cause", "chain"),
    }
    return words.get(cause, cause)


def state_word(state: str) -> str:
    """A task's state."""
    words = {
        "running": pgettext("state", "running"), "queued": pgettext("state", "queued"),
        "paused": pgettext("state", "paused"), "idle": pgettext("state", "waits for idleness"),
        "scheduled": pgettext("state", "scheduled"), "finished": pgettext("state", "finished"),
    }
    return words.get(state, state)


def yes_or_no(value: bool) -> str:
    """Yes, or no."""
    return gettext("yes") if value else gettext("no")
