"""Which tasks of a file are new: what is there already with the same definition is left as it is."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import ValidationError

from dashboard.errors import Invalid
from dashboard.i18n import gettext
from dashboard.models import Task
from dashboard.schemas.task import load_task, task_id
from dashboard.services.task_service import TaskService

SAME = ("type", "trigger", "params", "options")


def new_ones(service: TaskService, documents: Sequence[Any], taken: set[str] | None = None) -> list[Any]:
    """The documents whose ids are free. ``taken``: ids of earlier files; those of this one are added. Raises Invalid
    with every error (``tasks.N.field``), an id given twice and a task that is there with another definition among
    them."""
    taken = set() if taken is None else taken
    with service.store.reading():
        present = {task.id: task for task in Task.select()}
    new, errors = [], {}
    for index, document in enumerate(documents):
        try:
            stored = _stored(document, present)
            if stored is not None:
                _refuse_other(service, document, stored)
                continue
            loaded = load_task(document, zone=service.zone, now=service.clock.now())
            if loaded["id"] in taken:
                raise Invalid({"id": [gettext("The id %(id)s occurs twice.", id=loaded["id"])]})
            taken.add(loaded["id"])
            new.append(document)
        except Invalid as error:
            errors.update({f"tasks.{index}.{name}": texts for name, texts in error.errors.items()})
    if errors:
        raise Invalid(errors)
    return new


def _stored(document: Any, present: Mapping[str, Task]) -> Task | None:
    if not isinstance(document, dict):
        return None
    try:
        return present.get(task_id(document.get("id")))
    except ValidationError:
        return None


def _refuse_other(service: TaskService, document: Any, stored: Task) -> None:
    loaded = load_task(document, zone=service.zone, now=None)
    if any(loaded[name] != getattr(stored, name) for name in SAME):
        raise Invalid({"id": [gettext(
            "There is a task %(id)s already, with another definition. Change it with: python run.py task edit %(id)s",
            id=stored.id)]})
