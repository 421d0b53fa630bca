"""Conditions that each database spells in its own way; here as SQLite does, with functions ``Store`` registers."""

import unicodedata
from collections.abc import Callable
from typing import Any

from peewee import fn


def _mentions(wanted: str, *texts: str | None) -> bool:
    """Folding Chinese is slow (2 µs for 150 characters), and needless unless ``wanted`` has upper and lower case
    beyond ASCII."""
    if wanted.isascii():
        letters = wanted.lower().encode("ascii")
        return any(text is not None and letters in text.encode("utf-8").lower() for text in texts)
    if wanted.upper() == wanted.lower():
        return any(text is not None and wanted in text for text in texts)
    folded = wanted.casefold()
    return any(text is not None and folded in text.casefold() for text in texts)


def mentions(wanted: str, *columns: Any) -> Any:
    """A condition: one of ``columns`` contains ``wanted``, letter for letter, upper and lower case being equal in
    every script (SQLite's own LOWER and LIKE know that for ASCII alone)."""
    return fn.mentions(unicodedata.normalize("NFC", wanted), *columns)


def json_text(column: Any, name: str) -> Any:
    """An expression: the value of ``name`` in a column of JSON objects."""
    return fn.json_extract(column, f"$.{name}")


FUNCTIONS: dict[str, Callable[..., Any]] = {"mentions": _mentions}
