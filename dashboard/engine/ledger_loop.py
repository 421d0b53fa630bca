"""The ledger's thread: when it looks again, and how it ends."""

import threading
import time

from dashboard.engine.ledger import POLL_SECONDS, Ledger

LINGER_SECONDS = 0.02
LONGEST_LINGER = 0.1
"""While claimed runs wait for a worker, ends wait that long for more of them: starting comes first."""
PUT_OFF_SECONDS = 0.002
HOPELESS_SECONDS = 1.0
"""So long the last commit is tried while the store cannot be written: nobody waits for that at a stop."""


class LedgerLoop:
    """``start``, ``finish``, ``is_alive`` from any thread."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._until = self._soon = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dingshi-ledger", daemon=True)

    def start(self) -> None:
        """From now on in a thread of its own."""
        self._thread.start()

    def finish(self, seconds: float) -> None:
        """Records what has come in and ends; tries for that long while another program has locked the store, for a
        moment if it cannot be written. Does not wait."""
        now = time.monotonic()
        self._until, self._soon = now + seconds, now + min(seconds, HOPELESS_SECONDS)
        self._stop.set()
        self.ledger.inbox.look()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        ledger = self.ledger
        while not self._stop.is_set():
            ledger.inbox.wait(self._pause())
            self._linger()
            ledger.step()
            if ledger.problem:
                self._stop.wait(POLL_SECONDS)
        ledger.step()
        while ledger.problem and time.monotonic() < (self._until if ledger.locked else self._soon):
            time.sleep(POLL_SECONDS)
            ledger.step()

    def _linger(self) -> None:
        until = time.monotonic() + LONGEST_LINGER
        while self.ledger.only_ends() and time.monotonic() < until and not self._stop.is_set():
            self._stop.wait(LINGER_SECONDS)

    def _pause(self) -> float:
        """Seconds without news until there is something to do."""
        ledger = self.ledger
        if ledger.may_claim() and not ledger.problem:
            return PUT_OFF_SECONDS if ledger.put_off else 0.0
        upcoming = ledger.board.next_delayed()
        if upcoming is None:
            return POLL_SECONDS
        return min(POLL_SECONDS, max(0.001, (upcoming - ledger.clock.now()).total_seconds()))
