"""The real program with one more task type, and where a test asks for it one thing replaced:

``python -m tests.fault.host [--claim-late] [--no-lock] [--poll SECONDS] [--idle FILE] scheduler …``

``--claim-late`` takes out the guard that the kill loop is about: a run begins before its claim is committed;
``--no-lock`` the lock on the store; ``--poll`` looks for others' changes that seldom. ``--idle``: what FILE holds is
the load of the processor in per cent, how old it is the time since the last input.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from dashboard import handlers
from dashboard.cli import main
from dashboard.clock import to_ms
from dashboard.engine import engine, ledger, lock
from tests.fault import witness


class Silent(witness.Witness):
    """Notes nothing: the late claim has noted the start already."""

    def run(self, params: dict[str, Any], context: Any) -> None:
        return


class FileSource:
    """Samples from a file."""

    name = "test"

    def __init__(self, path: Path) -> None:
        self.path = path

    def sample(self) -> tuple[float, float | None]:
        return float(self.path.read_text("utf-8")), time.time() - self.path.stat().st_mtime


def claim_late() -> None:
    """From now on in this process the handler's work is done, and only then claimed."""
    commit = ledger.Ledger._commit

    def late(self: ledger.Ledger, batch: Any) -> None:
        for claim in batch.claims:
            task = self.book.by_key[claim.key]
            if claim.result == "running" and task.type == witness.Witness.KEY:
                witness.note("start", task.id, to_ms(claim.scheduled_at))
        commit(self, batch)

    ledger.Ledger._commit = late  # type: ignore[method-assign]


def no_lock() -> None:
    """From now on in this process everybody gets the store."""
    lock.InstanceLock.acquire = lambda self, port=None: None  # type: ignore[method-assign]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--claim-late", action="store_true")
    parser.add_argument("--no-lock", action="store_true")
    parser.add_argument("--poll", type=float)
    parser.add_argument("--idle", type=Path)
    parser.add_argument("words", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    handlers.register(Silent() if given.claim_late else witness.Witness())
    if given.claim_late:
        claim_late()
    if given.no_lock:
        no_lock()
    if given.poll:
        ledger.POLL_SECONDS = given.poll
    if given.idle:
        engine.find_source = lambda: FileSource(given.idle)  # type: ignore[attr-defined]
    sys.exit(main(given.words))
