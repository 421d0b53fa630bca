"""Which tasks of a file are new: what is there already with the same definition is left as it is."""

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.errors import Conflict, Invalid
from dashboard.i18n import gettext
from dashboard.models import Task
from dashboard.schemas.task import load_task
from dashboard.services.task_service import TaskService

SAME = ("type", "trigger", "params", "options")


def new_ones(service: TaskService, documents: Sequence[Any], taken: set[str] | None = None) -> list[Any]:
    """The documents whose ids are free. ``taken``: ids of earlier files; those of this one are added. Raises Invalid
    with every error (``tasks.N.field``), an id given twice among them, and Conflict for a task that is there with
    another definition."""
    taken = set() if taken is None else taken
    with service.store.reading():
        present = {task.id: task for task in Task.select()}
    new, errors = [], {}
    for index, document in enumerate(documents):
        try:
            task = _present(service, document, present)
            if task is None:
                task_id = load_task(document, zone=service.zone, now=service.clock.now())["id"]
                if task_id in taken:
                    raise Invalid({"id": [gettext("The id %(id)s occurs twice.", id=task_id)]})
                taken.add(task_id)
                new.append(document)
        except Invalid as error:
            errors.update({f"tasks.{index}.{name}": texts for name, texts in error.errors.items()})
    if errors:
        raise Invalid(errors)
    return new


def _present(service: TaskService, document: Any, present: Mapping[str, Task]) -> Task | None:
    task_id = document.get("id") if isinstance(document, dict) else None
    task = present.get(task_id) if isinstance(task_id, str) else None
    if task is None:
        return None
    loaded = load_task(document, zone=service.zone, now=None)
    if any(loaded[name] != getattr(task, name) for name in SAME):
        raise Conflict(gettext(
            "There is a task %(id)s already, with another definition; nothing was created. Change it with: python "
            "run.py task edit %(id)s", id=task.id))
    return task
