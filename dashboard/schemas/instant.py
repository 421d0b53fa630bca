"""Instants as they leave through a door."""

from datetime import datetime
from typing import Any

from marshmallow import fields

from dashboard.clock import iso


class Instant(fields.Field[datetime]):
    """An aware instant; goes out as ``2026-11-23T10:00:00.123Z``."""

    def _serialize(self, value: datetime | None, attr: Any, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else iso(value)
