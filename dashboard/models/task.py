"""The task table: what the user defined, and when it is next due."""

from peewee import BooleanField, IntegerField, TextField

from dashboard.models.base import Base, InstantField, JsonField


class Task(Base):
    """``key`` never changes and is never given twice; ``id`` is the user's own name. ``revision`` moves with every
    change a scheduler must notice (a database trigger moves it), ``updated_at`` with the definition alone.
    ``paused_at``: from when on the pause holds due times back; ``anchor_at``: when the trigger was set."""

    key = IntegerField(primary_key=True)
    id = TextField(unique=True)
    type = TextField(index=True)
    trigger = JsonField()
    params = JsonField()
    options = JsonField()
    paused = BooleanField(default=False)
    paused_at = InstantField(null=True)
    anchor_at = InstantField()
    next_run_at = InstantField(null=True, index=True)
    run_count = IntegerField(default=0)
    failure_count = IntegerField(default=0)
    last_run_at = InstantField(null=True)
    last_result = TextField(null=True)
    created_at = InstantField()
    updated_at = InstantField()
    revision = IntegerField(default=0, index=True)

    class Meta:
        table_name = "task"
