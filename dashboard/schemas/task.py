"""A task as it passes a door, in and out: form, JSON, file and console use this one module."""

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import ValidationError, fields

from dashboard import handlers, triggers
from dashboard.errors import Invalid, flatten
from dashboard.fields import (
    Anything,
    Boolean,
    CommaList,
    Document,
    Integer,
    Nested,
    Text,
    between,
    clean_text,
    one_of,
)
from dashboard.i18n import gettext
from dashboard.schemas.instant import Instant
from dashboard.schemas.json_size import PARAMS_BYTES, json_size
from dashboard.schemas.options import OptionsSchema

STATES = ("running", "queued", "paused", "idle", "scheduled", "finished")
TRIGGERS = ("date", "interval", "cron", "idle")
STATE_FILTERS = (*STATES, "failing", "never_run")
SORTS = ("id", "type", "trigger", "run_count", "last_run_at", "next_run_at", "last_result", "created_at")


# Letters and marks that show nothing: two ids would look alike.
INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def task_id(value: object) -> str:
    """``value`` in the one spelling under which a task is kept and looked for. Raises ValidationError."""
    return unicodedata.normalize("NFC", clean_text(value, line=True))


class TaskId(Text):
    """T7: 1–64 letters of any script, digits, ``_ - .``; not only dots; NFC, so that one name has one spelling."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = task_id(value)
        if not 1 <= len(text) <= 64:
            raise ValidationError(gettext("A task id has 1 to 64 characters; this one has %(n)s.", n=len(text)))
        for character in text:
            kind = unicodedata.category(character)
            known = kind[0] in "LM" or kind in ("Nd", "Nl")  # Nl: the Chinese zero is a "letter number"
            if character not in "_-." and (not known or INVISIBLE.match(character)):
                raise ValidationError(gettext("A task id is made of letters of any script, digits and _ - . ; "
                                              "%(character)s is not allowed.", character=repr(character)))
        if not text.strip("."):
            raise ValidationError(gettext("A task id may not consist of dots alone."))
        return text


class TaskSchema(Document):
    """The document of design.md's API contract. ``trigger`` and ``params`` depend on their types and are loaded by
    ``load_task``."""

    id = TaskId(required=True)
    type = Text(required=True, line=True)
    trigger = Anything(required=True)
    params = Anything(load_default=dict)
    options = Nested(OptionsSchema, load_default=dict)
    paused = Boolean(load_default=False)
    trigger_text = fields.String(dump_only=True)
    trigger_fields = fields.String(dump_only=True)
    state = fields.String(dump_only=True)
    executed = fields.Boolean(dump_only=True)
    running = fields.Boolean(dump_only=True)
    run_count = fields.Integer(dump_only=True)
    failure_count = fields.Integer(dump_only=True)
    last_run_at = Instant(dump_only=True)
    last_result = fields.String(dump_only=True)
    next_run_at = Instant(dump_only=True)
    created_at = Instant(dump_only=True)
    updated_at = Instant(dump_only=True)


class TaskQuery(Document):
    """Filters, order and page of a task list. ``sort``: a column, ``-`` before it for descending."""

    search = Text(load_default="")
    type = Text(load_default="")
    trigger = CommaList(TRIGGERS, load_default=list)
    state = CommaList(STATE_FILTERS, load_default=list)
    sort = Text(load_default="id", validate=one_of((*SORTS, *(f"-{name}" for name in SORTS))))
    page = Integer(load_default=1, validate=between(1, 1_000_000))
    page_size = Integer(load_default=20, validate=between(1, 200))


def load_task(document: object, *, zone: ZoneInfo, now: datetime | None,
              stored: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A whole task document, checked and normalised: id, type, trigger, params, options, paused.

    Instants in the past are refused, measured by ``now``, unless it is None (a restore, an import) or the trigger
    is, once loaded, the ``stored`` one.
    Raises Invalid with every error at once, by dotted field name; ``task`` if it is no object at all.
    """
    errors: dict[str, list[str]] = {}
    try:
        data: dict[str, Any] = TaskSchema().load(document)  # type: ignore[arg-type]
    except ValidationError as error:
        errors = {field or "task": texts for field, texts in flatten(error.messages).items()}
        data = error.valid_data if isinstance(error.valid_data, dict) else {}
    if "trigger" in data:
        try:
            data["trigger"] = _trigger(data["trigger"], zone, now, stored)
        except ValidationError as error:
            errors.update(flatten(error.messages, "trigger"))
    if "type" in data:
        errors.update(_type_errors(data))
    if errors:
        raise Invalid(errors)
    return data


def _trigger(trigger: object, zone: ZoneInfo, now: datetime | None,
             stored: Mapping[str, Any] | None) -> dict[str, Any]:
    if stored is not None or now is None:
        loaded = triggers.load(trigger, zone=zone, now=None)
        if now is None or loaded == stored:
            return loaded
    return triggers.load(trigger, zone=zone, now=now)


def _type_errors(data: Mapping[str, Any]) -> dict[str, list[str]]:
    handler = handlers.find(data["type"])
    if handler is None:
        known = ", ".join(handlers.installed())
        return {"type": [gettext("There is no task type %(type)s. Known: %(known)s.", type=data["type"],
                                 known=known)]}
    if "params" not in data:
        return {}
    params = data["params"]
    if not isinstance(params, dict):
        return {"params": [gettext("The params are an object with named values, such as %(example)s.",
                                   example=json.dumps(handler.EXAMPLE, ensure_ascii=False))]}
    size = json_size(params)
    if size > PARAMS_BYTES:
        return {"params": [gettext("The params are %(size)s bytes long; at most %(most)s are allowed.",
                                   size=size, most=PARAMS_BYTES)]}
    try:
        handlers.load_params(handler, params)
    except ValidationError as error:
        return flatten(error.messages, "params")
    return {}
