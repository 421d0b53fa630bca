"""What a person should know of a task that was taken all the same."""

from dashboard import handlers
from dashboard.errors import Invalid
from dashboard.handlers.contract import servers_used
from dashboard.servers import chosen
from dashboard.services.reasons import words
from dashboard.services.task_service import TaskService
from dashboard.services.task_view import TaskView


def warnings(service: TaskService, task: TaskView) -> list[str]:
    """About its due times, and about servers that it names and nobody has set up: its runs will fail with the same
    words. In the language in force."""
    found = _about_times(service, task)
    handler = handlers.find(task.type)
    servers = {"smtp": service.settings.smtp}
    for kind, field in servers_used(handler).items() if handler else ():
        name = task.params.get(field)
        if chosen(servers.get(kind, {}), name) is None:
            code = "server_none" if name is None else "server_unknown"
            found.append(words({"code": code, "kind": kind, "name": name}))
    return found


def _about_times(service: TaskService, task: TaskView) -> list[str]:
    try:
        return list(service.preview_of(task.id).warnings)
    except Invalid as error:  # a row that a newer version wrote, or somebody by hand
        return [f"{field}: {text}" for field, texts in error.errors.items() for text in texts]
