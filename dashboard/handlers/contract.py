"""What a task type is. A module of this package with a ``KEY`` is one; nothing lists them.

A handler imports leaves alone (clock, errors, fields, i18n, servers) and reaches everything else of Dingshi
through the ``Context`` that the engine hands in. It may raise whatever it likes: that is a failed run.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from marshmallow import Schema

ParamsDocument = dict[str, Any]
"""A task's params as its schema loaded them."""


@dataclass(frozen=True)
class Reason:
    """Why a run ended as it did: a code with values, put into words when shown (``REASONS`` of the module that
    gives it; one message with ``%(name)s`` places a code). Values are plain JSON; none is named ``code``."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``result`` is ``success``, ``failure``, ``timeout`` or ``unknown``. ``error`` holds what
    others said (a server's reply, an exit code's meaning), in their words. ``final``: a retry would not help or
    could harm."""

    result: str = "success"
    reason: Reason | None = None
    error: str | None = None
    final: bool = False


class Failed(Exception):
    """Raised by a handler: the run is a failure for this reason."""

    def __init__(self, code: str, *, error: str | None = None, final: bool = False, **values: Any) -> None:
        super().__init__(code)
        self.outcome = Outcome("failure", Reason(code, values), error, final)


class Unknown(Failed):
    """Raised by a handler: nobody can tell whether it was done (a mail after its final dot). Never retried."""

    def __init__(self, code: str, *, error: str | None = None, **values: Any) -> None:
        super().__init__(code, error=error, final=True, **values)
        self.outcome = Outcome("unknown", Reason(code, values), error, True)


class TimedOut(Failed):
    """Raised by a handler: a limit of the task's own, shorter than the run's deadline, has passed."""

    def __init__(self, code: str, *, error: str | None = None, **values: Any) -> None:
        super().__init__(code, error=error, **values)
        self.outcome = Outcome("timeout", Reason(code, values), error)


class Cancelled(Exception):
    """Raised by a handler that noticed ``context.cancelled``; the engine knows why (stop, deadline)."""


class Context(Protocol):
    """What a handler may use of Dingshi. One a run; every method is safe from any thread."""

    run_id: int
    task_id: str
    scheduled_at: datetime
    attempt: int
    marker: str
    """``DINGSHI_RUN_ID`` of every process the run starts; unique over all runs of all stores."""
    deadline: float
    """When the run must be over, on ``time.monotonic()``."""
    cancelled: threading.Event
    """Set at the deadline and when somebody stops the run."""
    occurrence: str
    """The same for all attempts at one due time, unique otherwise: what a Message-ID is made of."""
    carried: dict[str, Any]
    """What the attempt before this one wanted remembered (plain JSON); a handler may change it, and the next
    attempt of the same occurrence finds it."""

    def remaining(self) -> float:
        """Seconds to the deadline, never below 0."""

    def on_cancel(self, stop: Callable[[], None]) -> None:
        """Call ``stop`` (from another thread, once) when the run is cancelled; at once if it already is. It must
        return quickly and make the handler's blocking call fail: shut the socket, kill the tree."""

    def output(self, text: str) -> None:
        """Adds to the run's output. The first 32 KiB and the last 224 KiB are kept, the rest is counted."""

    def started(self, pid: int, create_time: float) -> None:
        """Tells of a process of this run, so that it can be found after a crash of ours."""

    def server(self, kind: str, name: str | None) -> Any:
        """A configured server (``smtp`` → ``dashboard.servers.SmtpServer``), the default one if ``name`` is None.
        Raises Failed (``server_unknown``, ``server_none``)."""


def servers_used(handler: "Handler") -> Mapping[str, str]:
    """Which param names a server of which kind: ``{"smtp": "server"}``. A module says so in ``SERVERS``, if it uses
    any."""
    found: Mapping[str, str] = getattr(handler, "SERVERS", {})
    return found


class Handler(Protocol):
    """A module of this package. ``DEFAULTS``: options that differ for this type (``retries``,
    ``timeout_seconds``); ``EXAMPLE``: params accepted as they stand; ``SUMMARY``: one line, marked ``N_``."""

    @property
    def KEY(self) -> str: ...  # read-only members, so that a class's own constants fit, too
    @property
    def SUMMARY(self) -> str: ...
    @property
    def EXAMPLE(self) -> ParamsDocument: ...
    @property
    def DEFAULTS(self) -> Mapping[str, int]: ...
    @property
    def REASONS(self) -> Mapping[str, str]: ...
    @property
    def Params(self) -> type[Schema]: ...

    def run(self, params: ParamsDocument, context: Context) -> Outcome | None:
        """Does it. None is success."""
