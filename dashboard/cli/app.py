"""The console's entry, and what becomes of errors: a few words and an exit code, never a traceback."""

import contextlib
import logging
import sys
from collections.abc import Sequence
from typing import Any

import click

from dashboard import config, i18n, logfile
from dashboard.cli.console import output_lost, say
from dashboard.cli.door import Door
from dashboard.cli.usage import complaint
from dashboard.errors import DingshiError, Invalid
from dashboard.i18n import gettext

log = logging.getLogger("dingshi.console")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    i18n.set_language(config.language() or i18n.system_language())
    try:
        settings = config.load()
    except DingshiError as error:
        return _run(arguments, _NoDoor(error)) if "--help" in arguments else _refused(error)
    if settings.language:
        i18n.set_language(settings.language)
    writer = logfile.setup(settings)
    door = Door(settings, writer)
    try:
        return _run(arguments, door)
    except Exception as error:  # the last net: the traceback goes to the log, words to the person
        log.exception("command failed: %s", arguments[:2])
        words = f"{type(error).__name__}: {error}"
        say(gettext("Something went wrong: %(error)s. Details are in %(path)s.", error=words,
                    path=settings.log_file), error=True)
        return 1
    finally:
        door.close()
        writer.close()
        if writer.problem:
            say(writer.problem, error=True)


class _NoDoor:
    """Stands where the settings are wrong: help needs none of them, and whatever else asks is told."""

    def __init__(self, error: DingshiError) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


def _run(arguments: list[str], door: Door | _NoDoor) -> int:
    from dashboard.cli.tree import build

    try:
        result: Any = build().main(arguments, prog_name="run.py", standalone_mode=False, obj=door)
    except (click.exceptions.Abort, KeyboardInterrupt):
        say(gettext("Cancelled."), error=True)
        return 1
    except click.UsageError as error:
        say(complaint(error), error=True)
        return 2
    except click.ClickException as error:
        say(error.format_message(), error=True)
        return error.exit_code
    except DingshiError as error:
        return _refused(error)
    except OSError as error:
        if not output_lost(error):
            raise
        with contextlib.suppress(OSError):
            say(gettext("The output cannot be written: %(words)s.", words=error.strerror or error), error=True)
        return 1
    return result if isinstance(result, int) else 0


def _refused(error: DingshiError) -> int:
    if isinstance(error, Invalid) and error.code == "invalid":
        say(gettext("This was refused; nothing was changed."), error=True)
        for name, texts in error.errors.items():
            for text in texts:
                say(f"  {name}: {text}", error=True)
    else:
        say(str(error), error=True)
    return error.exit_code
