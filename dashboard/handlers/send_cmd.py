"""Runs a command: a list of arguments as it stands, or one text that the shell reads.

Nothing is ever put into a shell's text. The command, and whatever it starts, ends at the deadline.
"""

import errno
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from marshmallow import ValidationError, fields

from dashboard.fields import Document, Integer, ListOf, Number, Text, between, clean_text, length, say
from dashboard.fields import Mapping as MappingField
from dashboard.handlers._decode import OutputDecoder, is_text_encoding, machine_encoding
from dashboard.handlers._output import Pump
from dashboard.handlers._process import Tree, child_environment
from dashboard.handlers.contract import Cancelled, Context, Failed, Outcome, ParamsDocument, Reason, TimedOut
from dashboard.handlers.processes import GRACE, MARKER
from dashboard.i18n import N_, gettext

KEY = "send_cmd"
SUMMARY = N_("Runs a command and records its exit code and output.")
EXAMPLE: ParamsDocument = {"command": "echo hello"}
DEFAULTS: Mapping[str, int] = {"retries": 0, "timeout_seconds": 3600}
REASONS: Mapping[str, str] = {
    "cmd_done": N_("Exit code %(exit_code)s."),
    "cmd_done_read_as": N_("Exit code %(exit_code)s. The output is not valid UTF-8; it was read as %(encoding)s. If "
                           "characters are wrong, set encoding."),
    "cmd_exit": N_("The command ended with exit code %(exit_code)s."),
    "cmd_exit_read_as": N_("The command ended with exit code %(exit_code)s. Its output is not valid UTF-8; it was "
                           "read as %(encoding)s. If characters are wrong, set encoding."),
    "cmd_signal": N_("The command was ended by signal %(signal)s (%(name)s), which did not come from Dingshi."),
    "cmd_signal_read_as": N_("The command was ended by signal %(signal)s (%(name)s), which did not come from "
                             "Dingshi. Its output is not valid UTF-8; it was read as %(encoding)s. If characters are "
                             "wrong, set encoding."),
    "cmd_timeout": N_("The command was still running after its timeout of %(seconds)s seconds and was stopped."),
    "cmd_timeout_read_as": N_("The command was still running after its timeout of %(seconds)s seconds and was "
                              "stopped. Its output is not valid UTF-8; it was read as %(encoding)s. If characters "
                              "are wrong, set encoding."),
    "cmd_not_found": N_("There is no program %(program)s. Check its spelling, give its full path, or install it; if "
                        "it is a command of the shell, write command as one text."),
    "cmd_cwd": N_("There is no folder %(folder)s to start in. Correct cwd, or create the folder."),
    "cmd_denied": N_("%(program)s may not be run. Check that it is a program, and that the account of Dingshi may "
                     "run it and enter the folder %(folder)s."),
    "cmd_batch": N_("%(program)s is a batch file: Windows reads its arguments a second time, so a list is not safe. "
                    "Write command as one text, quoted as in a console."),
    "cmd_not_started": N_("%(program)s could not be started."),
}

HOME = Path(__file__).resolve().parents[2]
"""The folder of ``run.py``: where a command starts without ``cwd``, and where a relative ``cwd`` counts from."""
_WINDOWS_NOT_FOUND = (2, 3)


class Command(fields.Field[str | list[str]]):
    """A list of arguments, or one text for the shell."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str | list[str]:
        if isinstance(value, list):
            return self._arguments(value)
        if not isinstance(value, str):
            raise ValidationError(gettext("A list of arguments, or one text for the shell, is expected."))
        if not clean_text(value).strip():
            raise ValidationError(gettext("This may not be empty."))
        return value

    def _arguments(self, value: list[Any]) -> list[str]:
        if not value:
            raise ValidationError(gettext("This may not be empty."))
        errors: dict[str | int, list[Any]] = {}
        for index, argument in enumerate(value):
            try:
                if not clean_text(argument).strip() and index == 0:
                    raise ValidationError(gettext("This may not be empty."))
            except ValidationError as error:
                errors[index] = list(error.messages)
        if errors:
            raise ValidationError(errors)
        return [str(argument) for argument in value]

    def make_error(self, key: str, **kwargs: Any) -> ValidationError:
        return say(key)


def _variable_name(name: str) -> None:
    if not name or "=" in name:
        raise ValidationError(gettext("The name of a variable is not empty and has no “=”."))
    if name.upper() == MARKER:
        raise ValidationError(gettext("%(name)s is set by Dingshi itself.", name=MARKER))


def _text_encoding(name: str) -> None:
    if not is_text_encoding(name):
        raise ValidationError(
            gettext("There is no encoding %(name)s. Known are utf-8, gbk, gb18030, big5, cp437 and others.",
                    name=name))


class Params(Document):
    """``cwd``: the folder to start in. ``env``: variables added to Dingshi's own. ``timeout``: seconds, shortens
    the run's deadline. ``encoding``: of the output, a name that Python knows. ``success_codes``: exit codes."""

    command = Command(required=True)
    cwd = Text(line=True, validate=length(1))
    env = MappingField(keys=Text(validate=_variable_name), values=Text())
    timeout = Number(validate=between(0.001, None))
    encoding = Text(line=True, validate=_text_encoding)
    success_codes = ListOf(Integer(validate=between(0, 0xFFFFFFFF)), validate=length(1))


def run(params: ParamsDocument, context: Context, *, grace: float = GRACE) -> Outcome:
    """The outcome's reason has the exit code, in success too. ``grace``: seconds between asking the tree to end and
    killing it."""
    decoder = OutputDecoder(params.get("encoding"), machine_encoding())

    def show(chunk: bytes, final: bool = False) -> None:
        text = decoder.feed(chunk, final)
        if text:
            context.output(text)

    with _start(params, context) as tree:
        pump = Pump(tree.popen, show)
        context.started(tree.pid, tree.create_time)
        context.on_cancel(lambda: tree.stop("cancelled", grace))
        code = _wait(tree, params.get("timeout"), context, grace)
        pump.finish()
    show(b"", final=True)
    if tree.stopped == "cancelled":
        raise Cancelled
    if tree.stopped is not None:
        raise _timed_out(params["timeout"], decoder.read_as)
    return _judge(code, params.get("success_codes", [0]), decoder.read_as)


def _start(params: ParamsDocument, context: Context) -> Tree:
    command: str | list[str] = params["command"]
    folder = HOME / params.get("cwd", ".")
    if _is_missing(folder):
        raise Failed("cmd_cwd", folder=str(folder))
    if sys.platform == "win32" and is_batch(command):
        raise Failed("cmd_batch", final=True, program=command[0])
    if context.cancelled.is_set():  # perhaps while the system looked for the folder
        raise Cancelled
    try:
        return Tree(command, folder, child_environment(params.get("env", {}), context.marker))
    except (OSError, ValueError) as error:
        raise _not_started(error, command, folder) from error


def _is_missing(folder: Path) -> bool:
    try:
        return not folder.is_dir()
    except OSError:  # not even that may be asked: the start itself will tell why
        return False


def shell() -> str:
    """The program that reads a command given as one text."""
    return os.environ.get("COMSPEC", "cmd.exe") if sys.platform == "win32" else "/bin/sh"


def is_batch(command: str | Sequence[str]) -> bool:
    """Whether Windows would hand these arguments to cmd.exe, which reads them again by its own rules."""
    return not isinstance(command, str) and command[0].rstrip(". ").lower().endswith((".bat", ".cmd"))


def _not_started(error: OSError | ValueError, command: str | list[str], folder: Path) -> Failed:
    program = shell() if isinstance(command, str) else command[0]
    number = getattr(error, "winerror", None)
    if isinstance(error, FileNotFoundError | NotADirectoryError) or number in _WINDOWS_NOT_FOUND:
        return Failed("cmd_not_found", final=True, error=str(error), program=program)
    if isinstance(error, PermissionError):
        return Failed("cmd_denied", final=True, error=str(error), program=program, folder=str(folder))
    passing = isinstance(error, OSError) and error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
    return Failed("cmd_not_started", final=not passing, error=str(error), program=program)


def _wait(tree: Tree, timeout: float | None, context: Context, grace: float) -> int:
    with ExitStack() as stack:
        if timeout is not None and timeout < context.remaining():
            timer = threading.Timer(timeout, tree.stop, ("timeout", grace))
            timer.daemon = True
            stack.callback(timer.cancel)
            timer.start()
        return tree.wait()


def _judge(code: int, success: list[int], read_as: str | None) -> Outcome:
    note: dict[str, Any] = {} if read_as is None else {"encoding": read_as}
    if code in success:
        return Outcome(reason=Reason("cmd_done" if read_as is None else "cmd_done_read_as",
                                     {"exit_code": code, **note}))
    if code < 0:
        raise Failed("cmd_signal" if read_as is None else "cmd_signal_read_as", signal=-code,
                     name=_signal_name(-code), **note)
    raise Failed("cmd_exit" if read_as is None else "cmd_exit_read_as", exit_code=code, **note)


def _timed_out(seconds: float, read_as: str | None) -> TimedOut:
    shown = int(seconds) if seconds.is_integer() else seconds
    if read_as is None:
        return TimedOut("cmd_timeout", seconds=shown)
    return TimedOut("cmd_timeout_read_as", seconds=shown, encoding=read_as)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
