"""Workers, deadlines, handlers that do not end. Real threads, no waiting but for events."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar, cast

import pytest

from dashboard import handlers
from dashboard.clock import SystemClock
from dashboard.engine.definition import Run
from dashboard.engine.outcome import Ended
from dashboard.engine.run_context import RunContext
from dashboard.engine.runner import Runner
from dashboard.fields import Document
from dashboard.handlers.contract import Cancelled, Context, Failed, Outcome, Reason, Unknown

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
        self.backs: list[int] = []
        self.came = threading.Semaphore(0)
        self.runner = Runner(workers, SystemClock(), self.context, self.over, self.put_back)

    def context(self, run: Run) -> RunContext:
        return RunContext(run, f"store:boot:{run.log_id}", SystemClock(), {"smtp": {}}, lambda *_: None)

    def over(self, ended: Ended) -> None:
        self.ends.append(ended)
        self.came.release()

    def put_back(self, runs: list[Run]) -> None:
        self.backs += [run.log_id for run in runs]

    def end(self) -> Ended:
        self.wait_for(1)
        return self.ends[-1]

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self.came.acquire(timeout=10)


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
    assert house.runner.status() == {"workers": 1, "running": 0, "abandoned": 1, "stuck": 0}
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


class Hanging:
    """The first run of type ``act`` does not end until ``go`` is set; the others end at once."""

    def __init__(self) -> None:
        self.inside = threading.Event()
        self.go = threading.Event()

    def __call__(self, context: Context) -> Outcome | None:
        if not self.inside.is_set():
            self.inside.set()
            assert self.go.wait(10)
        return None


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers are given up at once when they were cancelled."""
    monkeypatch.setattr("dashboard.engine.runner.PATIENCE", {"timeout": 0.0})


@pytest.mark.usefixtures("impatient")
def test_what_was_claimed_behind_an_abandoned_run_begins_all_the_same() -> None:
    house, ACT.act = House(workers=1), (hanging := Hanging())
    house.runner.submit([a_run(1, seconds=0)])
    assert hanging.inside.wait(10)
    house.runner.submit([a_run(2), a_run(3)])
    while not house.ends:
        time.sleep(house.runner.watch() / 10)
    house.wait_for(3)
    assert sorted((ended.run.log_id, ended.result) for ended in house.ends) == [
        (1, "timeout"), (2, "success"), (3, "success")]
    hanging.go.set()
    house.runner.close()


@pytest.mark.usefixtures("impatient")
def test_a_type_whose_run_was_abandoned_is_slow_from_then_on() -> None:
    house, ACT.act = House(workers=1), (lambda context: None)
    for number in range(10, 20):  # one quick run proves nothing
        house.runner.submit([a_run(number)])
        house.end()
        seats = house.runner.seats()
        assert seats.take("act") and (number > 10 or not seats.take("act"))
    ACT.act = hanging = Hanging()
    house.runner.submit([a_run(2, seconds=0)])
    assert hanging.inside.wait(10)
    seats = house.runner.seats()
    assert seats.take("act")  # ahead of the worker, which is soon free
    time.sleep(0.06)
    house.runner.watch()
    house.runner.watch()
    house.wait_for(1)
    seats = house.runner.seats()
    assert seats.take("act") and not seats.take("act")  # the new worker, and none ahead of it
    hanging.go.set()
    house.runner.close()


def test_when_the_process_ends_what_has_not_begun_goes_back() -> None:
    house, ACT.act = House(workers=1), (hanging := Hanging())
    house.runner.submit([a_run(1)])
    assert hanging.inside.wait(10)
    house.runner.submit([a_run(2), a_run(3)])
    house.runner.leave()
    house.runner.submit([a_run(4)])  # of a commit that was under way
    assert house.backs == [2, 3, 4]
    hanging.go.set()
    house.wait_for(1)
    assert [(ended.run.log_id, ended.result) for ended in house.ends] == [(1, "success")]
    assert house.runner.busy() == 0
    house.runner.close()


def test_a_run_that_has_not_begun_can_be_stopped() -> None:
    house, ACT.act = House(workers=1), (hanging := Hanging())
    house.runner.submit([a_run(1)])
    assert hanging.inside.wait(10)
    house.runner.submit([a_run(2), a_run(3)])
    assert house.runner.cancel(2, "stopped") and not house.runner.cancel(2, "stopped")
    assert (house.end().run.log_id, house.ends[0].result, house.ends[0].duration_ms) == (2, "cancelled", 0)
    hanging.go.set()
    house.wait_for(2)
    assert sorted(ended.run.log_id for ended in house.ends) == [1, 2, 3]
    house.runner.close()


def test_a_system_that_gives_no_thread_now_gives_one_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ACT.act = lambda context: None

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        house.runner.submit([a_run(1), a_run(2)])
        house.runner.watch()
    assert house.runner.backlog() == 2 and house.ends == []
    house.runner.watch()
    house.wait_for(2)
    assert [ended.result for ended in house.ends] == ["success"] * 2


@pytest.mark.usefixtures("impatient")
def test_abandoned_threads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap a handler that does not end keeps its worker; its row is closed all the same."""
    monkeypatch.setattr("dashboard.engine.runner.MOST_ABANDONED", 1)
    house, go, inside = House(workers=2), threading.Event(), threading.Semaphore(0)

    def act(context: Context) -> Outcome | None:
        inside.release()
        assert go.wait(10)
        return None
    ACT.act = act
    house.runner.submit([a_run(1, seconds=0), a_run(2, seconds=0)])
    assert inside.acquire(timeout=10) and inside.acquire(timeout=10)
    for _ in range(4):
        house.runner.watch()
    house.wait_for(2)
    assert house.runner.status() == {"workers": 2, "running": 0, "abandoned": 1, "stuck": 1}
    assert [ended.result for ended in house.ends] == ["timeout"] * 2
    assert [house.runner.seats().take("new") for _ in range(1)] == [True]
    go.set()
    while house.runner.stuck or house.runner.abandoned:
        time.sleep(0.001)
    assert len(house.ends) == 2
    house.runner.submit([a_run(3), a_run(4)])
    house.wait_for(2)
    assert house.runner.status() == {"workers": 2, "running": 0, "abandoned": 0, "stuck": 0}
    house.runner.close()


def test_what_a_run_starts_is_told_with_all_it_started_before() -> None:
    told: list[tuple[int, list[list[float]]]] = []
    context = RunContext(a_run(7), "store:boot:7", SystemClock(), {}, lambda *known: told.append(known))
    context.started(10, 1.5)
    context.started(11, 2.5)
    assert told == [(7, [[10, 1.5]]), (7, [[10, 1.5], [11, 2.5]])]


class Mute:
    """An object that fails at being put into words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class MuteError(Exception):
    """An exception that does."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


@pytest.mark.parametrize("answer", ["ok", True, {"result": "success"}, Outcome("done"), Outcome("running"), Mute])
def test_an_answer_that_no_handler_may_give_is_a_failure(house: House, answer: Any) -> None:
    ACT.act = lambda context: answer
    house.runner.submit([a_run()])
    ended = house.end()
    assert (ended.result, ended.reason) == ("failure", {"code": "exception", "kind": "TypeError"})
    assert "returned" in str(ended.error)


def test_what_cannot_be_put_into_words_costs_no_worker(house: House) -> None:
    tangle: dict[str, Any] = {}
    tangle["self"] = tangle

    def act(context: Context) -> Outcome | None:
        context.carried["tangle"] = tangle
        raise MuteError
    ACT.act = act
    house.runner.submit([a_run()])
    ended = house.end()
    assert (ended.reason, ended.error, ended.carried) == (
        {"code": "exception", "kind": "MuteError"}, "MuteError", None)
    ACT.act = lambda context: Outcome("failure", Reason("odd", {"what": Mute(), "number": float("nan"), "n": 1.5}))
    house.runner.submit([a_run()])
    assert house.end().reason == {"code": "odd", "what": "Mute", "number": "nan", "n": 1.5}


def test_what_a_handler_still_changes_while_it_is_given_up_is_told_all_the_same() -> None:
    house, began, go = House(), threading.Event(), threading.Event()

    def act(context: Context) -> Outcome | None:
        began.set()
        for number in range(10**9):
            context.carried[str(number % 5000)] = number
            if number % 5000 == 4999:
                context.carried.clear()
            if go.is_set():
                return None
        return None
    ACT.act = act
    house.runner.submit([a_run()])
    assert began.wait(10)
    house.runner.give_up_all()
    assert house.end().result == "interrupted"
    go.set()
    while house.runner.abandoned:
        time.sleep(0.001)
    house.runner.close()


def test_runs_claimed_ahead_of_a_worker_that_does_not_come_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.engine.runner.LONGEST_AHEAD", 0.05)
    house, ACT.act = House(workers=1), (hanging := Hanging())
    house.runner.submit([a_run(1)])
    assert hanging.inside.wait(10)
    house.runner.submit([a_run(2), a_run(3)])
    house.runner.watch()
    assert house.backs == []
    while not house.backs:
        time.sleep(house.runner.watch() / 10)
    assert house.backs == [2, 3] and house.runner.backlog() == 0
    hanging.go.set()
    house.wait_for(1)
    house.runner.close()


def test_when_the_process_ends_every_run_is_given_up_however_many() -> None:
    house, go, inside = House(workers=60), threading.Event(), threading.Semaphore(0)

    def act(context: Context) -> Outcome | None:
        inside.release()
        assert go.wait(10)
        return None
    ACT.act = act
    house.runner.submit([a_run(number) for number in range(60)])
    for _ in range(60):
        assert inside.acquire(timeout=10)
    house.runner.give_up_all()
    assert house.runner.busy() == 0
    assert [ended.result for ended in house.ends] == ["interrupted"] * 60
    go.set()
    house.runner.close()


@pytest.mark.parametrize("given", [
    Outcome("failure", error=cast(Any, ValueError("x"))), Outcome("failure", Reason("x", cast(Any, [1, 2]))),
    Outcome("failure", Reason(cast(Any, 7))), cast(Any, "done"), Outcome("running"), cast(Any, 7)])
def test_whatever_a_handler_returns_its_worker_lives(house: House, given: Outcome) -> None:
    ACT.act = lambda context: given
    house.runner.submit([a_run()])
    ended = house.end()
    assert (ended.result, (ended.reason or {}).get("code")) == ("failure", "exception")
    ACT.act = lambda context: None
    house.runner.submit([a_run(2)])
    assert house.end().result == "success"


@pytest.mark.parametrize("carried", [["a"], "text", 7, {1: 2}, {"a": float("nan")}])
def test_whatever_a_handler_carries_the_next_attempt_begins(house: House, carried: Any) -> None:
    def act(context: Context) -> Outcome | None:
        context.carried = carried
        return Outcome("failure")
    ACT.act = act
    house.runner.submit([a_run()])
    ended = house.end()
    assert ended.result == "failure" and (ended.carried is None or isinstance(ended.carried, dict))
    retry = a_run(2)
    retry.carried = carried
    ACT.act = lambda context: None
    house.runner.submit([retry])
    assert house.end().result == "success"
