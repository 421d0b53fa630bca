"""While the store cannot be written nothing is lost, what is missed says why, and a stop does not wait for it."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dashboard.engine.lock import holder
from dashboard.models.store import Store
from tests.engine_house import EngineHouse, Gate, eventually
from tests.ledger_house import LedgerHouse

READ_ONLY = "attempt to write a readonly database"


@contextmanager
def read_only(store: Store) -> Iterator[None]:
    """SQLite says of every change to the log that the store cannot be written."""
    change(store, *(f"CREATE TRIGGER no_{what.lower()} BEFORE {what} ON task_log "
                    f"BEGIN SELECT RAISE(ABORT, '{READ_ONLY}'); END" for what in ("INSERT", "UPDATE")))
    try:
        yield
    finally:
        change(store, "DROP TRIGGER no_insert", "DROP TRIGGER no_update")


def change(store: Store, *statements: str) -> None:
    with store.writing():
        for statement in statements:
            store.database.execute_sql(statement)


def test_what_was_due_meanwhile_is_missed_because_of_the_store_and_later_for_other_reasons(tmp_path: Path) -> None:
    house = LedgerHouse(tmp_path)
    house.add()
    house.due()
    house.finish()
    with read_only(house.store):
        house.due()
        house.due()
        assert house.ledger.problem.count("cannot be written") == 1 and READ_ONLY in house.ledger.problem
        assert str(house.store.path) in house.ledger.problem and "StoreReadOnly" not in house.ledger.problem
        assert house.results() == ["success"]
    house.ledger.step()
    house.finish()
    assert house.results() == ["success", "missed", "success"] and house.ledger.problem == ""
    assert house.rows(result="missed")[0].reason == {"code": "store"}
    house.due(3600)
    house.finish()
    assert [row.reason for row in house.rows(result="missed")] == [{"code": "store"}, {"code": "late"}]
    house.close()


def test_a_stop_does_not_wait_for_a_store_that_cannot_be_written(tmp_path: Path,
                                                                 caplog: pytest.LogCaptureFixture) -> None:
    house = EngineHouse(tmp_path)
    house.does = gate = Gate()
    engine = house.start()
    house.add("t")
    house.tasks.run("t")
    gate.entered()
    with read_only(house.store):
        gate.go.set()
        eventually(lambda: engine.status()["problem"])
        begun = time.monotonic()
        with caplog.at_level(logging.ERROR, "dingshi.scheduler"):
            engine.stop(0.5)
        assert time.monotonic() - begun < 3.5
    assert "not everything could be recorded" in caplog.text and READ_ONLY in caplog.text
    assert holder(house.settings.database) is None
    house.start()
    assert house.results() == ["interrupted"]
    house.close()
