"""Workers, deadlines, handlers that do not end. Real threads, no waiting but for events."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from dashboard import handlers
from dashboard.clock import SystemClock
from dashboard.engine.definition import Run
from dashboard.engine.outcome import Ended
from dashboard.engine.run_context import RunContext
from dashboard.engine.runner import Runner
from dashboard.fields import Document
from dashboard.handlers.contract import Cancelled, Context, Failed, Outcome, Unknown

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


class Act:
    """A task type whose params name what it does."""

    KEY = "act"
    SUMMARY = "does what the test says"
    EXAMPLE: ClassVar[dict[str, Any]] = {}
    DEFAULTS: ClassVar[dict[str, int]] = {}
    REASONS: ClassVar[dict[str, str]] = {}
    Params = Document
    act: Callable[[Context], Outcome | None]

    def run(self, params: dict[str, Any], context: Context) -> Outcome | None:
        return self.act(context)


ACT = Act()


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    handlers.register(ACT)
    yield
    del handlers.installed()["act"]


class House:
    """A runner and what it reports."""

    def __init__(self, workers: int = 2) -> None:
        self.ends: list[Ended] = []
        self.came = threading.Semaphore(0)
        self.runner = Runner(workers, SystemClock(), self.context, self.over)

    def context(self, run: Run) -> RunContext:
        return RunContext(run, f"store:boot:{run.log_id}", SystemClock(), {"smtp": {}}, lambda *_: None)

    def over(self, ended: Ended) -> None:
        self.ends.append(ended)
        self.came.release()

    def end(self) -> Ended:
        assert self.came.acquire(timeout=10)
        return self.ends[-1]


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    made.runner.close()


def a_run(log_id: int = 1, seconds: float = 60, kind: str = "act") -> Run:
    return Run(log_id, 1, "t", kind, {}, {"timeout_seconds": seconds, "overlap": "skip", "retries": 0}, "manual", 1,
               NOW, NOW)


def raising(error: BaseException) -> Callable[[Context], Outcome | None]:
    def act(context: Context) -> Outcome | None:
        raise error
    return act


@pytest.mark.parametrize(("act", "result", "code"), [
    (lambda context: None, "success", None),
    (lambda context: Outcome("unknown"), "unknown", None),
    (raising(Failed("exit_code", status=3)), "failure", "exit_code"),
    (raising(Unknown("after_data")), "unknown", "after_data"),
    (raising(RuntimeError("no")), "failure", "exception"),
    (raising(SystemExit(1)), "failure", "exception"),
    (raising(KeyboardInterrupt()), "failure", "exception"),
    (raising(MemoryError()), "failure", "exception"),
])
def test_whatever_a_handler_does_is_told(house: House, act: Any, result: str, code: str | None) -> None:
    ACT.act = act
    house.runner.submit([a_run()])
    ended = house.end()
    assert ended.result == result
    assert (ended.reason or {}).get("code") == code
    assert house.runner.busy() == 0


def test_an_unknown_type_and_wrong_params_fail_for_good(house: House) -> None:
    house.runner.submit([a_run(kind="nonsense")])
    ended = house.end()
    assert ended.final and ended.reason == {"code": "type_unknown", "type": "nonsense"}
    run = a_run()
    run.params = {"extra": 1}
    house.runner.submit([run])
    ended = house.end()
    assert ended.final and ended.reason == {"code": "params"} and "extra" in str(ended.error)


def test_what_a_handler_leaves_can_be_stored(house: House) -> None:
    def act(context: Context) -> Outcome | None:
        context.output("a\0b\ud800")
        context.carried["accepted"] = ["x\0", {1, 2}.pop()]
        raise Failed("odd", error="bad \0 text", value="\udcff")
    ACT.act = act
    house.runner.submit([a_run()])
    ended = house.end()
    assert ended.output == "a␀b\N{REPLACEMENT CHARACTER}"
    assert ended.error == "bad ␀ text"
    assert ended.reason == {"code": "odd", "value": "\N{REPLACEMENT CHARACTER}"}
    assert ended.carried == {"accepted": ["x␀", 1]}


def test_a_deadline_cancels_and_the_row_says_timeout(house: House) -> None:
    stopped = threading.Event()

    def act(context: Context) -> Outcome | None:
        context.on_cancel(stopped.set)
        assert stopped.wait(10)
        raise Cancelled
    ACT.act = act
    house.runner.submit([a_run(seconds=0)])
    while not house.ends:
        time.sleep(house.runner.watch() / 10)
    ended = house.end()
    assert (ended.result, ended.reason) == ("timeout", {"code": "timeout", "seconds": 0})


@pytest.mark.parametrize(("why", "result"), [("stopped", "cancelled"), ("shutdown", "interrupted")])
def test_cancelling(house: House, why: str, result: str) -> None:
    began = threading.Event()

    def act(context: Context) -> Outcome | None:
        began.set()
        assert context.cancelled.wait(10)
        raise Failed("cut_short")
    ACT.act = act
    house.runner.submit([a_run(7)])
    assert began.wait(10)
    assert house.runner.cancel(7, why) and not house.runner.cancel(8, why)
    assert house.end().result == result


def test_a_success_in_spite_of_the_cancelling_is_one(house: House) -> None:
    began = threading.Event()

    def act(context: Context) -> Outcome | None:
        began.set()
        assert context.cancelled.wait(10)
        return None
    ACT.act = act
    house.runner.submit([a_run(7)])
    assert began.wait(10)
    house.runner.cancel(7, "stopped")
    assert house.end().result == "success"


def test_a_handler_that_does_not_end_is_abandoned_and_its_worker_replaced() -> None:
    house = House(workers=1)
    release, began = threading.Event(), threading.Event()

    def act(context: Context) -> Outcome | None:
        context.output("so far")
        began.set()
        assert release.wait(10)
        return None
    ACT.act = act
    house.runner.submit([a_run(1)])
    assert began.wait(10)
    house.runner.give_up_all()
    ended = house.end()
    assert (ended.result, ended.output) == ("interrupted", "so far")
    assert house.runner.status() == {"workers": 1, "running": 0, "abandoned": 1}
    ACT.act = lambda context: None
    house.runner.submit([a_run(2)])
    assert house.end().result == "success"
    release.set()
    while house.runner.abandoned:
        time.sleep(0.01)
    assert len(house.ends) == 2
    house.runner.close()


def test_the_workers_are_as_many_as_asked_for() -> None:
    house = House(workers=3)
    gate, inside = threading.Event(), threading.Semaphore(0)

    def act(context: Context) -> Outcome | None:
        inside.release()
        assert gate.wait(10)
        return None
    ACT.act = act
    house.runner.submit([a_run(n) for n in range(8)])
    for _ in range(3):
        assert inside.acquire(timeout=10)
    assert house.runner.status()["running"] == 3
    assert not inside.acquire(blocking=False)
    gate.set()
    for _ in range(8):
        house.end()
    assert sorted(ended.run.log_id for ended in house.ends) == list(range(8))
    house.runner.close()
