"""Tasks, their log, and the bookkeeping row."""

from typing import Any

from peewee import BigIntegerField, BooleanField, IntegerField, Model, TextField
from playhouse.sqlite_ext import AutoIncrementField


class Base(Model):
    class Meta:
        legacy_table_names = False


class Task(Base):
    key = IntegerField(primary_key=True)
    id = TextField(unique=True)
    type = TextField(index=True)
    trigger = TextField()
    params = TextField()
    options = TextField()
    paused = BooleanField(default=False)
    paused_at = BigIntegerField(null=True)
    anchor_at = BigIntegerField()
    next_run_at = BigIntegerField(null=True, index=True)
    run_count = IntegerField(default=0)
    failure_count = IntegerField(default=0)
    last_run_at = BigIntegerField(null=True)
    last_result = TextField(null=True)
    created_at = BigIntegerField()
    updated_at = BigIntegerField()
    revision = IntegerField(default=0, index=True)

    class Meta:
        table_name = "task"


class TaskLog(Base):
    id = AutoIncrementField()  # never given twice: links, followers and the marks of processes rely on it
    task_key = IntegerField()
    task_id = TextField()
    task_type = TextField()
    trigger = TextField()
    params = TextField()
    options = TextField()
    result = TextField()
    reason = TextField(null=True)
    covers = TextField(null=True)
    cause = TextField()
    attempt = IntegerField(default=1)
    scheduled_at = BigIntegerField()
    occurrence_at = BigIntegerField()
    started_at = BigIntegerField(null=True)
    finished_at = BigIntegerField(null=True)
    at = BigIntegerField()
    duration_ms = IntegerField(null=True)
    owner = TextField(null=True)
    processes = TextField(null=True)
    carried = TextField(null=True)
    stop_requested_at = BigIntegerField(null=True)
    error = TextField(null=True)
    output = TextField(null=True)

    class Meta:
        table_name = "task_log"


TaskLog.add_index(TaskLog.at, TaskLog.id, name="task_log_at")
TaskLog.add_index(TaskLog.task_id, TaskLog.at, TaskLog.id, name="task_log_task")
TaskLog.add_index(TaskLog.task_type, TaskLog.at, TaskLog.id, name="task_log_type")
TaskLog.add_index(TaskLog.result, TaskLog.at, TaskLog.id, name="task_log_result")
# One row for one due time, whatever crashes or runs twice: the promise rests on this index.
TaskLog.add_index(TaskLog.task_key, TaskLog.scheduled_at, name="task_log_occurrence", unique=True,
                  where=TaskLog.cause.in_(("schedule", "catchup")))


class Revision(Base):
    id = IntegerField(primary_key=True)
    value = IntegerField(default=0)
    deletions = IntegerField(default=0)
    last_key = IntegerField(default=0)

    class Meta:
        table_name = "revision"


class Meta(Base):
    name = TextField(primary_key=True)
    value = TextField()

    class Meta:
        table_name = "meta"


def up(migrator: Any, db: Any) -> None:
    models = [Task, TaskLog, Revision, Meta]
    with db.bind_ctx(models):
        db.create_tables(models)
        Revision.create(id=1)
