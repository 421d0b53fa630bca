"""click in the language in force: its headings, and its complaints about a command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import click

from dashboard.i18n import gettext


class Formatter(click.HelpFormatter):
    """Help with translated headings."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, gettext("Usage: ") if prefix is None else prefix)

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        headings = {"Options": gettext("Options"), "Commands": gettext("Commands")}
        with super().section(headings.get(name, name)):
            yield


    def write_heading(self, heading: str) -> None:
        self.write(" " * self.current_indent + gettext("%(heading)s:", heading=heading) + "\n")


class Context(click.Context):
    """Makes our help."""

    formatter_class = Formatter


class Extra(click.UsageError):
    """More words than the command takes."""


class Command(click.Command):
    """A command that speaks the language in force."""

    context_class = Context

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        return _translated(super().get_help_option(ctx))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if rest:
            raise Extra(gettext("This is too much: %(words)s", words=" ".join(rest)), ctx)
        return rest


class Group(click.Group):
    """Commands under one word."""

    context_class = Context

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        return _translated(super().get_help_option(ctx))


class Whole(click.ParamType[int, Any]):
    """A whole number from ``low`` to ``high``."""

    name = "number"

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).strip()
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None
        if number is None or not self.low <= number <= self.high:
            self.fail(gettext("A number from %(low)s to %(high)s is expected.", low=self.low, high=self.high), param,
                      ctx)
        return number


def complaint(error: click.UsageError) -> str:
    """What is wrong with the command line, and where help is."""
    command = error.ctx.command_path if error.ctx else "run.py"
    return _words(error) + "\n" + gettext("Help: python %(command)s --help", command=command)


def _words(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption):
        params = error.ctx.command.get_params(error.ctx) if error.ctx else []
        known = [name for param in params for name in param.opts]
        return _meant(gettext("There is no option %(name)s.", name=error.option_name), error.option_name, known)
    if isinstance(error, click.exceptions.NoSuchCommand):
        group = error.ctx.command if error.ctx else None
        known = list(group.commands) if isinstance(group, click.Group) else []
        return _meant(gettext("There is no command %(name)s.", name=error.command_name), error.command_name, known)
    if isinstance(error, click.MissingParameter):
        return gettext("%(name)s is missing.", name=_name(error))
    if isinstance(error, click.BadParameter):
        return f"{_name(error)}: {error.message}"
    if isinstance(error, click.BadOptionUsage):
        return _value_words(error)
    return error.format_message()


def _value_words(error: click.BadOptionUsage) -> str:
    params = error.ctx.command.get_params(error.ctx) if error.ctx else []
    flag = any(isinstance(param, click.Option) and param.is_flag and error.option_name in param.opts
               for param in params)
    if flag:
        return gettext("%(name)s takes no value.", name=error.option_name)
    return gettext("%(name)s needs a value.", name=error.option_name)


def _meant(text: str, wrong: str, known: list[str]) -> str:
    near = get_close_matches(wrong, known)
    return f"{text} " + gettext("Did you mean %(names)s?", names=", ".join(near)) if near else text


def _name(error: click.BadParameter) -> str:
    if isinstance(error.param, click.Option):
        return error.param.opts[0]
    return error.param.make_metavar(error.ctx).strip("[]") if error.param and error.ctx else ""


def _translated(option: click.Option | None) -> click.Option | None:
    if option is not None:
        option.help = gettext("Shows this help.")
    return option
