"""Column types shared by the models: instants as integers, JSON as compact text."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from peewee import BigIntegerField, Model, TextField

if TYPE_CHECKING:  # generic in peewee's stubs alone
    _Integer = BigIntegerField[Any]
    _Text = TextField[Any]
else:
    _Integer, _Text = BigIntegerField, TextField

from dashboard.clock import from_ms, to_ms


def compact(value: Any) -> str:
    """JSON as the store keeps it: no spaces, Chinese as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class InstantField(_Integer):
    """An aware UTC instant, kept as milliseconds since 1970: sortable, exact, the same on every database."""

    def db_value(self, value: datetime | int | None) -> int | None:
        return to_ms(value) if isinstance(value, datetime) else value

    def python_value(self, value: int | None) -> datetime | None:
        return None if value is None else from_ms(value)


class JsonField(_Text):
    """Plain JSON as compact text."""

    def db_value(self, value: Any) -> str | None:
        return None if value is None else compact(value)

    def python_value(self, value: str | None) -> Any:
        return None if value is None else json.loads(value)


class Base(Model):
    """Bound to the database of the open ``Store``."""

    class Meta:
        legacy_table_names = False
