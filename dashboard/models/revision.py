"""Single-row bookkeeping: what another process's change moves, and facts about this store."""

from peewee import IntegerField, TextField

from dashboard.models.base import Base


class Revision(Base):
    """The one row (``id`` 1). ``value`` moves with each change that a scheduler must notice, ``deletions`` with each
    deleted task too; ``last_key`` is the newest task key given."""

    id = IntegerField(primary_key=True)
    value = IntegerField(default=0)
    deletions = IntegerField(default=0)
    last_key = IntegerField(default=0)

    class Meta:
        table_name = "revision"


class Meta(Base):
    """Facts about the store by name: ``store_id`` (unique over all stores), ``probe``."""

    name = TextField(primary_key=True)
    value = TextField()

    class Meta:
        table_name = "meta"
