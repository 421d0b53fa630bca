"""Reason codes of log rows in words, in the language in force. Handlers bring their own (``REASONS``); the engine's
and the services' are here."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from dashboard import handlers
from dashboard.i18n import N_, gettext

REASONS = {
    "overlap": N_("The run before it was still going on."),
    "paused": N_("The task was paused."),
    "changed": N_("The task was changed before it came to it."),
    "deleted": N_("The task was deleted."),
    "stopped": N_("Somebody stopped it."),
    "timeout": N_("It ran longer than its deadline (%(seconds)s s)."),
    "shutdown": N_("The scheduler was stopped."),
    "crash": N_("The scheduler ended while it ran."),
    "down": N_("The scheduler was not running."),
    "late": N_("The machine slept, its clock was changed, or it was too busy."),
    "disk": N_("The disk was nearly full."),
    "store": N_("The store could not be written."),
    "request_old": N_("The request was more than an hour old when the scheduler started."),
    "type_unknown": N_("There is no task type %(type)s."),
    "params": N_("The params do not fit the task type."),
    "exception": N_("The task type failed with %(kind)s; scheduler.log has the details."),
    "cancelled": N_("It was cancelled."),
    "not_stored": N_("Its output could not be stored."),
    "server_unknown": N_("There is no mail server named %(name)s. Add [smtp.%(name)s] to dingshi.toml (see "
                         "docs/settings.md) and start again, or name another one in the task."),
    "server_none": N_("No mail server is set up, or none of several is the default. Add [smtp.NAME] to dingshi.toml "
                      "(see docs/settings.md) and start again."),
}


def words(reason: Mapping[str, Any] | None) -> str:
    """'' for no reason; the code itself for one that nobody knows (a handler that is gone)."""
    if not reason:
        return ""
    message = _known().get(str(reason.get("code")))
    if message is None:
        return str(reason.get("code", ""))
    try:
        return gettext(message, **{name: value for name, value in reason.items() if name != "code"})
    except (KeyError, TypeError, ValueError):
        return gettext(message) if "%(" not in message else str(reason["code"])


@cache
def _known() -> dict[str, str]:
    found = dict(REASONS)
    for handler in handlers.installed().values():
        found.update(handler.REASONS)
    return found
