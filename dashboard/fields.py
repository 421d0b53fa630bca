"""marshmallow fields and checks whose messages speak the language in force, and which refuse what a store or a
wire cannot carry (lone surrogates, NUL, NaN, endless depth). Every schema of ours is a ``Document`` of these."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields

from dashboard.i18n import N_, gettext

Check = Callable[[Any], None]

_MESSAGES = {
    "required": N_("This is needed."),
    "null": N_("This may not be null."),
    "validator_failed": N_("This value is not allowed."),
    "invalid": N_("This value is not allowed."),
    "invalid_utf8": N_("This text is not valid UTF-8."),
    "type": N_("An object with named values is expected."),
    "not_text": N_("A text is expected."),
    "surrogate": N_("The text contains half of a character (a lone surrogate)."),
    "nul": N_("The text contains a NUL character."),
    "control": N_("The text contains a line break or another control character."),
    "not_integer": N_("A whole number is expected."),
    "not_number": N_("A number is expected."),
    "not_boolean": N_("true or false is expected."),
    "not_list": N_("A list is expected."),
    "not_object": N_("An object with named values is expected."),
    "not_json": N_("This is no JSON value: text, numbers, true, false, null, lists and objects are."),
    "not_finite": N_("NaN and infinity are no JSON values."),
    "too_deep": N_("Values are nested more than 64 levels deep."),
}
MOST_LEVELS = 64
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,300}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")


def _words(key: str) -> str:
    message = _MESSAGES[key]
    return gettext(message)


def say(key: str) -> ValidationError:
    """The error for one of the general messages, in the language in force."""
    return ValidationError(_words(key))


class _Translated:
    def make_error(self, key: str, **kwargs: Any) -> ValidationError:
        return say(key if key in _MESSAGES else "invalid")


def clean_text(value: object, *, line: bool = False) -> str:
    """``value`` if it is a text that every layer can carry; with ``line``, one without control characters."""
    if not isinstance(value, str):
        raise say("not_text")
    if any(0xD800 <= ord(c) <= 0xDFFF for c in value):
        raise say("surrogate")
    if "\0" in value:
        raise say("nul")
    if line and any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise say("control")
    return value


class Text(_Translated, fields.String):
    """A text. ``line=True``: of one line."""

    def __init__(self, *, line: bool = False, **kwargs: Any) -> None:
        self.line = line
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        return clean_text(value, line=self.line)


class Integer(_Translated, fields.Integer):
    """A whole number, or its digits as text (a form's). Neither 2.7 nor true."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise say("not_integer")
        return value


class Number(_Translated, fields.Float):
    """A finite number, or its digits as text."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise say("not_number")
        if isinstance(value, str) and not _DECIMAL.fullmatch(value.strip()):
            raise say("not_number")
        try:
            number = float(value)
        except OverflowError:
            raise say("not_number") from None
        if not math.isfinite(number):
            raise say("not_number")
        return number


class Boolean(_Translated, fields.Boolean):
    """true or false; from a form also the texts ``true``, ``false``, ``on``, ``off``."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> bool:
        if isinstance(value, bool):
            return value
        known = {"true": True, "on": True, "false": False, "off": False}
        if isinstance(value, str) and value.lower() in known:
            return known[value.lower()]
        raise say("not_boolean")


class Anything(_Translated, fields.Raw):
    """Any JSON value; texts within it are checked as ``Text`` is."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        _clean(value)
        return value


class ListOf(_Translated, fields.List[Any]):
    """A list. Errors of its items are named by their index."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise say("not_list")
        return super()._deserialize(value, attr, data, **kwargs)


class Mapping(_Translated, fields.Dict):
    """An object with free names."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise say("not_object")
        _clean(value)
        loaded: dict[Any, Any] = super()._deserialize(value, attr, data, **kwargs)  # type: ignore[no-untyped-call]
        return loaded


class Nested(_Translated, fields.Nested):
    """An object with a schema of its own."""


class CommaList(Text):
    """One of ``choices``, or several with commas between them; loads to a list without repeats."""

    def __init__(self, choices: Sequence[str], **kwargs: Any) -> None:
        self.choices = choices
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        for name in names:
            if name not in self.choices:
                raise ValidationError(gettext("%(name)s is none of %(choices)s.", name=name,
                                              choices=", ".join(self.choices)))
        return names


def _clean(value: Any) -> None:
    """Without recursion: the depth of a document is in other people's hands."""
    level: list[Any] = [value]
    for _ in range(MOST_LEVELS + 1):
        inside: list[Any] = []
        for item in level:
            if isinstance(item, str):
                clean_text(item)
            elif isinstance(item, dict):
                for name in item:
                    clean_text(name)
                inside.extend(item.values())
            elif isinstance(item, list):
                inside.extend(item)
            elif isinstance(item, float):
                if not math.isfinite(item):
                    raise say("not_finite")
            elif not isinstance(item, int | None):
                raise say("not_json")
        if not inside:
            return
        level = inside
    raise say("too_deep")


def between(low: float | None, high: float | None) -> Check:
    """A check: a number from ``low`` to ``high``, both included; None leaves a side open."""

    def check(value: float) -> None:
        if (low is None or value >= low) and (high is None or value <= high):
            return
        if high is None:
            raise ValidationError(gettext("At least %(low)s is expected.", low=low))
        if low is None:
            raise ValidationError(gettext("At most %(high)s is allowed.", high=high))
        raise ValidationError(gettext("A number from %(low)s to %(high)s is expected.", low=low, high=high))

    return check


def length(low: int, high: int | None = None) -> Check:
    """A check: a text or list of ``low`` to ``high`` characters or items."""

    def check(value: Sequence[Any]) -> None:
        if len(value) < low:
            if low == 1:
                raise ValidationError(gettext("This may not be empty."))
            raise ValidationError(gettext("At least %(low)s are expected.", low=low))
        if high is not None and len(value) > high:
            raise ValidationError(gettext("At most %(high)s characters or items are allowed; these are %(n)s.",
                                          high=high, n=len(value)))

    return check


def one_of(choices: Sequence[str]) -> Check:
    """A check: one of ``choices``; the message lists them."""

    def check(value: str) -> None:
        if value not in choices:
            raise ValidationError(gettext("One of %(choices)s is expected.", choices=", ".join(choices)))

    return check


class Document(Schema):
    """A schema whose unknown fields are errors that list the known ones."""

    class Meta:
        unknown = RAISE

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        names = ", ".join(field.data_key or name for name, field in self.load_fields.items())
        self.error_messages = {
            **self.error_messages,
            "unknown": gettext("There is no such field. Known: %(names)s.", names=names),
            "type": _words("type"),
        }
