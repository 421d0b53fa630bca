"""Languages. The one in force is a context variable: each request, console command or thread has its own.

Source strings are English with ``%(name)s`` places. ``gettext`` at call time, ``N_`` where a text is only
declared (a table of messages, a summary) and put into words later.
"""

import locale
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from babel.support import NullTranslations, Translations

LANGUAGES = ("en", "zh")
DEFAULT = "en"
CATALOGUES = Path(__file__).parent / "locales"

_language: ContextVar[str] = ContextVar("language", default=DEFAULT)


@cache
def _catalogue(language: str) -> NullTranslations:
    return Translations.load(CATALOGUES, [language])


def language() -> str:
    """The language in force here: one of ``LANGUAGES``."""
    return _language.get()


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Everything inside speaks ``code``."""
    token = _language.set(code)
    try:
        yield
    finally:
        _language.reset(token)


def set_language(code: str) -> None:
    """From here on, in this context, speak ``code``. For a program's entry; elsewhere use ``speaking``."""
    _language.set(code)


def gettext(message: str, /, **values: object) -> str:
    """``message`` in the language in force, its ``%(name)s`` places filled."""
    text = str(_catalogue(_language.get()).ugettext(message))
    return text % values if values else text


def ngettext(singular: str, plural: str, n: int, /, **values: object) -> str:
    """As ``gettext``, by number; ``%(n)s`` is filled with ``n``."""
    text = str(_catalogue(_language.get()).ungettext(singular, plural, n))
    return text % {"n": n, **values}


def pgettext(context: str, message: str, /, **values: object) -> str:
    """As ``gettext``, for a word that means two things."""
    catalogue: Any = _catalogue(_language.get())
    text = str(catalogue.upgettext(context, message))
    return text % values if values else text


def N_(message: str) -> str:
    """Marks a text for the catalogues; ``gettext`` it where it is shown."""
    return message


def choose(tags: Iterable[str]) -> str | None:
    """The first of ``tags`` (``zh-CN``, ``zh_Hans_CN.UTF-8``, ``en``) that we speak."""
    for tag in tags:
        code = tag.replace("_", "-").split("-")[0].split(".")[0].lower()
        if code in LANGUAGES:
            return code
        if code.startswith("chinese"):  # Windows' own locale names: Chinese (Simplified)_China
            return "zh"
    return None


def system_language() -> str:
    """The language of this machine's user, as the environment or Windows tells it; else English."""
    told = [os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG")]
    if not any(told):
        told = [locale.getlocale()[0] or ""]
        if hasattr(__import__("ctypes"), "windll"):
            told.insert(0, _windows_language())
    return choose(tag for tag in told if tag) or DEFAULT


def _windows_language() -> str:
    import ctypes

    windll = getattr(ctypes, "windll")  # noqa: B009 (absent from the stubs of other systems)
    return locale.windows_locale.get(windll.kernel32.GetUserDefaultUILanguage(), "")
