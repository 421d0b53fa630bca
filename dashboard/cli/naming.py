"""What is wrong, under the names that were typed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dashboard.errors import Invalid

SHORT_TRIGGERS = ("at", "every", "cron", "idle")


class Unanswerable(Invalid):
    """A question that cannot be answered. Nothing is said of changes: there would have been none."""

    code = "question"

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__(errors, "\n".join(f"{name}: {text}" for name, texts in errors.items() for text in texts))


@contextmanager
def asking(name: Callable[[str], str]) -> Iterator[None]:
    """Around a command that only reads: ``name`` makes a field's name an option's. Raises Unanswerable."""
    try:
        yield
    except Invalid as error:
        if error.code != "invalid":  # the settings
            raise
        raise Unanswerable(_named(error.errors, name)) from error


@contextmanager
def changing(name: Callable[[str], str]) -> Iterator[None]:
    """Around a command that changes something. Raises Invalid."""
    try:
        yield
    except Invalid as error:
        if error.code != "invalid":
            raise
        raise Invalid(_named(error.errors, name)) from error


def option(field: str) -> str:
    """``page_size`` as ``--page-size``."""
    return "--" + field.replace("_", "-")


def by_trigger(given: Mapping[str, Any]) -> Callable[[str], str]:
    """``trigger.expression`` as ``--cron (trigger.expression)`` where that was typed; other names as they are."""
    typed = next((name for name in SHORT_TRIGGERS if given.get(name) is not None), None)

    def name(field: str) -> str:
        mine = typed is not None and field.partition(".")[0] == "trigger"
        return f"--{typed} ({field})" if mine else field

    return name


def _named(errors: Mapping[str, list[str]], name: Callable[[str], str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for field, texts in errors.items():
        found.setdefault(name(field), []).extend(texts)
    return found
