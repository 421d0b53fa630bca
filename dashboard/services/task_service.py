"""Tasks: every door's use cases. One transaction each; the scheduler is told after the commit."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from marshmallow import ValidationError

from dashboard import triggers
from dashboard.clock import Clock, SystemClock, whole_ms
from dashboard.config import Settings
from dashboard.errors import Conflict, Invalid, NotFound, flatten
from dashboard.i18n import gettext
from dashboard.models import Revision, Task, TaskLog
from dashboard.models.store import Store
from dashboard.schemas.options import DEFAULTS
from dashboard.schemas.task import TaskQuery, load_task
from dashboard.schemas.task import task_id as spelled
from dashboard.services.task_query import TaskPage, matching, ordered
from dashboard.services.task_rows import EDITABLE, change, new_task
from dashboard.services.task_view import TaskView, views
from dashboard.triggers.contract import Preview

log = logging.getLogger("dingshi.tasks")
FIXED = ("id", "type")
ROWS_AT_ONCE = 200
TRIES = 4
PREVIEWS = 100


class TaskService:
    """Thread-safe; holds no state of its own. ``changed`` is called after each commit (the engine in this process;
    another process's engine notices by itself within 0.25 s)."""

    def __init__(self, store: Store, settings: Settings, clock: Clock | None = None,
                 changed: Callable[[], None] = lambda: None) -> None:
        self.store = store
        self.settings = settings
        self.zone = settings.timezone
        self.clock = clock or SystemClock()
        self.changed = changed

    def list(self, query: dict[str, Any] | None = None) -> TaskPage:
        """One page. ``query``: texts as a door got them, see ``TaskQuery``. Raises Invalid."""
        try:
            loaded = TaskQuery().load(query or {})
        except ValidationError as error:
            raise Invalid(flatten(error.messages)) from error
        with self.store.reading():
            found = matching(loaded)
            rows = ordered(found, loaded["sort"]).paginate(loaded["page"], loaded["page_size"])
            return TaskPage(views(list(rows), self.zone), found.count(), loaded["page"], loaded["page_size"])

    def get(self, task_id: str) -> TaskView:
        """Raises NotFound."""
        with self.store.reading():
            return views([self._row(task_id)], self.zone)[0]

    def create(self, document: object) -> TaskView:
        """Raises Invalid, or Conflict if the id is taken."""
        return self.create_all([document])[0]

    def create_all(self, documents: Sequence[object], *, past: bool = False) -> Sequence[TaskView]:
        """All or none, in one transaction. ``past``: due times gone by are taken (import, restore); such a task is
        finished. Raises Invalid with field names prefixed by ``tasks.N.`` if there are several, Conflict."""
        now = whole_ms(self.clock.now())
        tasks = [new_task(data, self.zone, now) for data in self._load_all(documents, None if past else now)]
        with self.store.writing():
            self._refuse_taken([task.id for task in tasks])
            self._insert(tasks)
        for task in tasks:
            log.info("task created id=%s type=%s trigger=%s", task.id, task.type, triggers.fields_text(task.trigger))
        self.changed()
        with self.store.reading():
            return views(tasks, self.zone)

    def update(self, task_id: str, changes: object, *, updated_at: datetime | None = None) -> TaskView:
        """Changes trigger, params, options or paused. Options are merged, null takes one back to its default;
        trigger and params are replaced. With ``updated_at``: only if the definition is still of that time.
        Raises Invalid (another id or type is one), NotFound, Conflict."""
        if not isinstance(changes, dict):
            raise Invalid({"task": [gettext("An object with named values is expected.")]})
        for tries in range(1, TRIES + 1):
            now = whole_ms(self.clock.now())
            with self.store.reading():
                seen = self._row(task_id)
            self._refuse_stale(seen, updated_at)
            data = self._merged(seen, changes, now)  # may search a calendar for a while: outside the transaction
            with self.store.writing():
                task = self._row(task_id)
                if (task.key, task.revision) != (seen.key, seen.revision):
                    if tries < TRIES:
                        continue
                    self._refuse_stale(task, updated_at)
                    data = self._merged(task, changes, now)  # others are at it all the time: nobody waits for ever
                now = whole_ms(self.clock.now())  # the lock may have been waited for
                changed = change(task, data, self.zone, now)
            break
        return self._told("changed", task, changed)

    def delete(self, task_id: str) -> None:
        """The task goes, queued runs become cancelled, a running one ends; the log stays. Raises NotFound."""
        with self.store.writing():
            now = whole_ms(self.clock.now())
            task = self._row(task_id)
            (TaskLog.update(result="cancelled", reason={"code": "deleted"}, finished_at=now)
             .where(TaskLog.task_key == task.key, TaskLog.result == "queued").execute())
            task.delete_instance()
        log.info("task deleted id=%s", task.id)
        self.changed()

    def run(self, task_id: str) -> int:
        """Asks for a run now, beside the schedule; returns its log id. Raises NotFound, or Conflict if the task is
        running, or about to, and its overlap is skip (no row then). A waiting retry is no hindrance."""
        with self.store.writing():
            now = whole_ms(self.clock.now())
            task = self._row(task_id)
            if views([task], self.zone)[0].options["overlap"] == "skip" and self._is_busy(task):
                raise Conflict(gettext("The task %(id)s is running or queued already.", id=task.id))
            made = TaskLog.create(
                task_key=task.key, task_id=task.id, task_type=task.type, trigger=task.trigger, params=task.params,
                options=task.options, result="queued", cause="manual", scheduled_at=now, occurrence_at=now, at=now)
        log.info("run requested id=%s run=%s", task.id, made.id)
        self.changed()
        return int(made.id)

    def pause(self, task_id: str) -> TaskView:
        """No due times from now on; queued retries wait. Raises NotFound."""
        return self._pause(task_id, True)

    def resume(self, task_id: str) -> TaskView:
        """The schedule goes on; one ``skipped`` row tells how many due times passed. Raises NotFound."""
        return self._pause(task_id, False)

    def preview(self, trigger: object, count: int = 5, anchor: datetime | None = None) -> Preview:
        """The next due times of a trigger, by the very timetable that would fire. ``anchor``: that of a stored
        interval; else now. Raises Invalid."""
        if not 1 <= count <= PREVIEWS:
            raise Invalid({"count": [gettext("A number from %(low)s to %(high)s is expected.", low=1,
                                             high=PREVIEWS)]})
        now = whole_ms(self.clock.now())
        try:
            spec = triggers.load(trigger, zone=self.zone, now=None)
        except ValidationError as error:
            raise Invalid(flatten(error.messages, "trigger")) from error
        return triggers.preview(spec, self.zone, anchor or now, now, count)

    def preview_of(self, task_id: str, count: int = 5) -> Preview:
        """The next due times of a task, on its own grid. Raises NotFound, Invalid."""
        with self.store.reading():
            task = self._row(task_id)
        return self.preview(task.trigger, count, task.anchor_at)

    def _load_all(self, documents: Sequence[object], now: datetime | None) -> Iterator[dict[str, Any]]:
        loaded: dict[int, dict[str, Any]] = {}
        errors: dict[str, list[str]] = {}
        several = len(documents) > 1
        for index, document in enumerate(documents):
            try:
                loaded[index] = load_task(document, zone=self.zone, now=now)
            except Invalid as error:
                for field, texts in error.errors.items():
                    errors[f"tasks.{index}.{field}".removesuffix(".task") if several else field] = texts
        seen: set[str] = set()
        for index, data in loaded.items():
            if data["id"] in seen:
                errors[f"tasks.{index}.id"] = [gettext("The id %(id)s occurs twice.", id=data["id"])]
            seen.add(data["id"])
        if errors:
            raise Invalid(errors)
        return iter(loaded.values())

    def _refuse_stale(self, task: Task, updated_at: datetime | None) -> None:
        if updated_at is not None and whole_ms(updated_at) != task.updated_at:
            raise Conflict(gettext("The task %(id)s was changed by somebody else meanwhile.", id=task.id))

    def _refuse_taken(self, ids: Sequence[str]) -> None:
        for part in _parts(ids):
            taken = Task.select(Task.id).where(Task.id.in_(part)).first()
            if taken:
                raise Conflict(gettext("There is a task %(id)s already.", id=taken.id))

    def _insert(self, tasks: Sequence[Task]) -> None:
        """Each with the next key that no task ever had."""
        Revision.update(last_key=Revision.last_key + len(tasks)).execute()
        first = Revision.get_by_id(1).last_key - len(tasks) + 1
        for key, task in enumerate(tasks, first):
            task.key = key
        for part in _parts(tasks):
            Task.insert_many([task.__data__ for task in part]).execute()

    def _row(self, task_id: str) -> Task:
        try:
            row: Task | None = Task.get_or_none(Task.id == spelled(task_id))
        except ValidationError:
            row = None
        if row is None:
            raise NotFound(gettext("There is no task %(id)s.", id=task_id))
        return row

    def _is_busy(self, task: Task) -> bool:
        return bool(TaskLog.select().where(
            TaskLog.task_key == task.key,
            (TaskLog.result == "running") | ((TaskLog.result == "queued") & (TaskLog.cause != "retry"))).exists())

    def _merged(self, task: Task, changes: dict[str, Any], now: datetime) -> dict[str, Any]:
        """The whole document after the change, loaded again, because params depend on the type."""
        errors = {
            name: [gettext("The %(field)s of a task cannot be changed.", field=name)]
            for name in FIXED if name in changes and _differs(name, changes[name], getattr(task, name))
        }
        stored = {name: getattr(task, name) for name in (*FIXED, *EDITABLE)}
        document = {**stored, **changes, **{name: stored[name] for name in FIXED}}
        if isinstance(document["options"], dict):
            merged = {**task.options, **document["options"]}
            document["options"] = {name: value for name, value in merged.items()
                                   if value is not None or name not in DEFAULTS}
        try:
            loaded = load_task(document, zone=self.zone, now=now, stored=task.trigger)
        except Invalid as error:
            raise Invalid({**error.errors, **errors}) from error
        if errors:
            raise Invalid(errors)
        return loaded

    def _pause(self, task_id: str, paused: bool) -> TaskView:
        with self.store.writing():
            now = whole_ms(self.clock.now())
            task = self._row(task_id)
            data = {name: getattr(task, name) for name in EDITABLE}
            changed = change(task, {**data, "paused": paused}, self.zone, now)
        return self._told("paused" if paused else "resumed", task, changed)

    def _told(self, what: str, task: Task, changed: Iterable[str]) -> TaskView:
        if changed:
            log.info("task %s id=%s what=%s", what, task.id, ",".join(changed))
            self.changed()
        with self.store.reading():
            return views([task], self.zone)[0]


def _differs(name: str, given: object, stored: str) -> bool:
    if name != "id":
        return given != stored
    try:
        return spelled(given) != stored
    except ValidationError:
        return True


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """SQLite takes so many values in one statement."""
    for start in range(0, len(items), ROWS_AT_ONCE):
        yield items[start:start + ROWS_AT_ONCE]
