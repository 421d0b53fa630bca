"""The real program with one more task type: ``python -m tests.fault.host [--claim-late] scheduler …``.

``--claim-late`` takes out the guard that the kill loop is about: a run begins before its claim is committed.
"""

import sys
from typing import Any

from dashboard import handlers
from dashboard.cli import main
from dashboard.clock import to_ms
from tests.fault import witness


class Silent(witness.Witness):
    """Notes nothing: the late claim has noted the start already."""

    def run(self, params: dict[str, Any], context: Any) -> None:
        return


def claim_late() -> None:
    """From now on in this process the handler's work is done, and only then claimed."""
    from dashboard.engine.ledger import Ledger

    commit = Ledger._commit

    def late(self: Ledger, batch: Any) -> None:
        for claim in batch.claims:
            task = self.book.by_key[claim.key]
            if claim.result == "running" and task.type == witness.Witness.KEY:
                witness.note("start", task.id, to_ms(claim.scheduled_at))
        commit(self, batch)

    Ledger._commit = late  # type: ignore[method-assign]


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if "--claim-late" in arguments:
        arguments.remove("--claim-late")
        claim_late()
        handlers.register(Silent())
    else:
        handlers.register(witness.Witness())
    raise SystemExit(main(arguments))
