"""``scheduler``: runs until stopped. Also what ``python run.py`` does without a command."""

import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import click

from dashboard.cli.console import flush, say
from dashboard.cli.door import Door
from dashboard.cli.usage import Command
from dashboard.engine.engine import Engine
from dashboard.i18n import gettext, ngettext
from dashboard.logfile import LogWriter

GRACE_SECONDS = 8.0
CLOSING_SECONDS = 3.0
"""Windows gives a console that is closed about five seconds."""
LOOK_SECONDS = 0.2


class Signals:
    """The first one asks to stop, the second one to hurry. Handlers run in the main thread, which waits in short
    waits: on Windows a wait without time-out hears no Ctrl+C."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.asked = threading.Event()
        self.grace = GRACE_SECONDS
        for name in ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP"):
            number = getattr(signal, name, None)
            # A program started by nohup has SIGHUP ignored, and is to live on.
            if number is not None and (name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN):
                signal.signal(number, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.asked.is_set():
            self.engine.abort()
        if sys.platform == "win32" and number == signal.SIGBREAK:
            self.grace = CLOSING_SECONDS
        self.asked.set()


def default(context: click.Context) -> int | None:
    """``python run.py`` alone."""
    return None if context.invoked_subcommand else run(context.obj)


def command() -> click.Command:
    """``scheduler``."""
    return Command("scheduler", callback=click.pass_obj(run), help=gettext("Runs the scheduler until Ctrl+C."))


def run(door: Door) -> int:
    """Until a signal; 0."""
    store = door.store(create=True)
    engine = Engine(store, door.settings)
    signals = Signals(engine)
    engine.start()
    count = len(engine.book.by_key)
    say(ngettext("Dingshi is running: %(n)s task, store %(path)s, times in %(zone)s.",
                 "Dingshi is running: %(n)s tasks, store %(path)s, times in %(zone)s.", count,
                 path=store.path, zone=door.settings.timezone.key))
    if not count:
        say(gettext("There are no tasks yet. Add some from another console: python run.py task add --help"))
    say(gettext("Stop with Ctrl+C. What happens is written to %(path)s.", path=door.settings.log_file))
    _wait(engine, signals, door)
    say(gettext("Stopping: runs that are going on have a few seconds to end. Ctrl+C again stops at once."))
    flush()
    failures: list[Exception] = []
    stopping = threading.Thread(target=_stop, args=(engine, signals.grace, failures), name="dingshi-stop")
    stopping.start()
    while stopping.is_alive():
        stopping.join(0.1)
    if failures:
        raise failures[0]
    say(gettext("Stopped."))
    return 0


def _stop(engine: Engine, grace: float, failures: list[Exception]) -> None:
    try:
        engine.stop(grace)
    except Exception as error:  # noqa: BLE001  told in the main thread
        failures.append(error)


def _wait(engine: Engine, signals: Signals, door: Door) -> None:
    """Tells trouble as it comes and goes."""
    flush()
    told: list[str] = []
    while not signals.asked.wait(LOOK_SECONDS):
        trouble = troubles(engine, door.log)
        for text in trouble:
            if text not in told:
                say(gettext("Trouble: %(text)s", text=text), error=True)
        if told and not trouble:
            say(gettext("The trouble is over."), error=True)
        told = trouble


def troubles(engine: Engine, log: LogWriter) -> list[str]:
    """What is wrong at the moment, in the language in force."""
    status, settings = engine.status(), engine.settings
    found = []
    if status["disk_low"]:
        found.append(gettext("The disk is nearly full: no run starts until %(least)s MB are free at %(path)s.",
                             least=settings.min_free_mb, path=settings.database.parent))
    if status["problem"]:
        found.append(_named(settings.database, status["problem"]) or gettext(
            "The store %(path)s: %(error)s", path=settings.database, error=status["problem"]))
    if status["snapshot_problem"]:
        found.append(_named(settings.snapshot, status["snapshot_problem"]) or gettext(
            "The snapshot %(path)s is not written: %(error)s", path=settings.snapshot,
            error=status["snapshot_problem"]))
    if status["runs"]["stuck"]:
        found.append(gettext("%(n)s handlers do not end and keep their workers; only a restart frees them.",
                             n=status["runs"]["stuck"]))
    if log.problem:
        found.append(log.problem)
    return found


def _named(path: Path, problem: str) -> str:
    """The text itself if it says which file it is about, else nothing."""
    return problem if str(path) in problem else ""
