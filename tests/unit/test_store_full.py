"""A full disk makes SQLite roll back by itself, and the rollback after it fail: people read about the disk."""

from pathlib import Path

import pytest

from dashboard.errors import StoreReadOnly
from dashboard.models import Meta
from dashboard.models.complaints import explain
from dashboard.models.store import Store
from tests.factories import make_store


@pytest.fixture
def full(tmp_path: Path) -> Store:
    """A store that cannot grow."""
    store = make_store(tmp_path)
    pages = store.database.pragma("page_count")
    store.database.pragma("max_page_count", pages)
    return store


def grow(store: Store) -> None:
    with store.writing():
        Meta.create(name="small", value="x")
        for number in range(50):
            Meta.create(name=f"large-{number}", value="x" * 4000)


def test_what_is_told_is_the_full_disk_and_nothing_is_changed(full: Store) -> None:
    with full.reading():
        before = Meta.select().count()
    with pytest.raises(StoreReadOnly, match="disk is full"):
        grow(full)
    with full.reading():
        assert Meta.select().count() == before
    assert not full.database.in_transaction()
    full.database.pragma("max_page_count", 1_000_000)
    grow(full)  # it can be written again
    with full.reading():
        assert Meta.select().count() == before + 51
    full.close()


def test_a_refusal_is_told_as_it_is_when_the_rollback_after_it_fails(full: Store) -> None:
    refusal = StoreReadOnly("as it was")
    with pytest.raises(StoreReadOnly) as told, full.writing():
        full.database.execute_sql("ROLLBACK")  # what SQLite does by itself
        raise refusal
    assert told.value is refusal
    full.close()


def test_a_rollback_that_fails_of_itself_is_a_mistake_of_ours(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    with pytest.raises(Exception, match="no transaction is active") as told, store.reading():
        store.database.execute_sql("ROLLBACK")
    assert explain(told.value, store.path) is None
    store.close()
