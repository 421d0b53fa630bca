"""One run, from the handler's call to what it leaves. In a worker's thread; never raises."""

import logging
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from marshmallow import ValidationError

from dashboard import handlers
from dashboard.clock import Clock
from dashboard.engine.definition import Run
from dashboard.engine.kept_output import clean
from dashboard.engine.outcome import Ended
from dashboard.engine.run_context import RunContext
from dashboard.errors import flatten
from dashboard.handlers.contract import Cancelled, Failed, Outcome, Reason

log = logging.getLogger("dingshi.runs")
LONGEST_ERROR = 4000
CANCELLED = {"timeout": "timeout", "stopped": "cancelled", "shutdown": "interrupted"}
"""The result of a run that was cancelled, by why it was."""
RETURNED = ("success", "failure", "timeout", "unknown")
TRIES = 3


def execute(run: Run, context: RunContext, clock: Clock, begun: float, started_at: datetime) -> Ended:
    """Calls the handler and tells how it went. ``begun``: when the run began, monotonic; ``started_at``: the same in
    UTC."""
    outcome = _call(run, context)
    if context.why and outcome.result in ("failure", "timeout"):
        outcome = cancelled(run, context.why)
    seconds = clock.monotonic() - begun
    try:
        return ended(run, context, outcome, started_at, seconds)
    except Exception as error:
        log.exception("what a run left cannot be told id=%s run=%d", run.task_id, run.log_id)
        reason = Reason("exception", {"kind": type(error).__name__})
        return ended(run, context, Outcome(outcome.result, reason, final=True), started_at, seconds, carried=False)


def cancelled(run: Run, why: str) -> Outcome:
    """The outcome of a run that was cut short."""
    values = {"seconds": run.options["timeout_seconds"]} if why == "timeout" else {}
    return Outcome(CANCELLED[why], Reason(why, values))


def ended(run: Run, context: RunContext, outcome: Outcome, started_at: datetime, seconds: float, *,
          carried: bool = True) -> Ended:
    """An outcome with all that the store keeps of it. ``finished_at`` is measured from the start by the monotonic
    clock, so that a changed clock makes no run end before it began."""
    duration_ms = max(0, round(seconds * 1000))
    finished_at = started_at + timedelta(milliseconds=duration_ms)
    reason = outcome.reason
    return Ended(
        run=run, result=outcome.result, started_at=started_at, finished_at=finished_at,
        duration_ms=duration_ms, output=context.kept.text(),
        reason=None if reason is None else {**(_plain(dict(reason.values)) or {}), "code": reason.code},
        error=None if outcome.error is None else clean(outcome.error)[:LONGEST_ERROR],
        final=outcome.final, carried=(_plain(context.carried) or None) if carried and context.carried else None)


def _call(run: Run, context: RunContext) -> Outcome:
    handler = handlers.find(run.type)
    if handler is None:
        return Outcome("failure", Reason("type_unknown", {"type": run.type}), final=True)
    try:
        return _told(handler.run(handlers.load_params(handler, run.params), context))
    except ValidationError as error:
        found = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in flatten(error.messages).items())
        return Outcome("failure", Reason("params"), error=found, final=True)
    except Failed as error:
        return error.outcome
    except Cancelled:
        return Outcome("failure", Reason("cancelled"))
    except BaseException as error:
        log.exception("run failed with an exception id=%s run=%d", run.task_id, run.log_id)
        reason = Reason("exception", {"kind": type(error).__name__})
        return Outcome("failure", reason, error=_words(error))


def _told(outcome: Outcome | None) -> Outcome:
    """What a handler returned, if it is what one may return."""
    if outcome is None:
        return Outcome()
    if not isinstance(outcome, Outcome) or outcome.result not in RETURNED:
        raise TypeError(f"run() returned {outcome!r:.200}")
    reason, error = outcome.reason, outcome.error
    if reason is not None and not (isinstance(reason.code, str) and isinstance(reason.values, Mapping)):
        raise TypeError(f"run() gave the reason {reason!r:.200}")
    if error is not None and not isinstance(error, str):
        raise TypeError(f"run() gave the error {error!r:.200}")
    return outcome


def _words(value: object) -> str:
    try:
        return str(value) or repr(value)
    except Exception:  # noqa: BLE001  an object of somebody else's, which may fail at anything
        return type(value).__name__


def _plain(value: dict[str, Any]) -> dict[str, Any] | None:
    """Plain JSON; None if it is none. A handler that was given up may even change it at this moment."""
    for _ in range(TRIES):
        try:
            found: dict[str, Any] | None = _cleaned(value) if isinstance(value, dict) else None
        except RuntimeError:
            continue
        if found is not None:
            return found
        break
    log.error("what a run left cannot be kept: %s", type(value).__name__)
    return None


def _cleaned(value: Any) -> Any:
    """Plain JSON with texts the store takes; anything else as text."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {clean(_words(name)): _cleaned(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else clean(_words(value))
