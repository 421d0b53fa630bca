"""The thread that watches for idleness, and where its samples come from."""

import logging
import sys
import threading
from collections.abc import Callable
from datetime import datetime

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.engine import idle_source
from dashboard.engine.idle_monitor import IdleMonitor
from dashboard.engine.idle_source import MachineSource, find_source, read_logind, tick_age
from tests.factories import SCHEDULED_AT as START
from tests.factories import HandClock


class Script:
    """A source that says what the test put in; an exception is raised."""

    name = "script"

    def __init__(self, *samples: tuple[float, float | None] | Exception) -> None:
        self.samples = list(samples)
        self.asked = 0

    def sample(self) -> tuple[float, float | None]:
        self.asked += 1
        found = self.samples.pop(0) if self.samples else (2.0, 1000.0)
        if isinstance(found, Exception):
            raise found
        return found


class House:
    """A monitor on a hand-moved clock."""

    def __init__(self, *samples: tuple[float, float | None] | Exception) -> None:
        self.clock = HandClock()
        self.source = Script(*samples)
        self.tasks = {7: 20}
        self.busy = False
        self.fired: list[tuple[int, datetime]] = []
        self.monitor = IdleMonitor(
            self.source, fire=lambda key, at: self.fired.append((key, at)), tasks=lambda: self.tasks,
            busy=lambda: self.busy, clock=self.clock, idle_cpu=10.0, cooldown_seconds=300.0, interval=0.001)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(5)
            self.monitor.look()


def test_it_tells_which_task_and_when() -> None:
    house = House()
    house.look(5)
    assert house.fired == [(7, house.clock.now())]
    house.look(20)
    assert len(house.fired) == 1


def test_a_sample_in_which_a_run_of_ours_ended_is_our_own_too() -> None:
    house = House((2.0, 1000.0), (2.0, 1000.0), (90.0, 1000.0), (90.0, 1000.0), (90.0, 1000.0), (90.0, 1000.0))
    house.look(2)
    house.busy = True
    house.look(2)
    house.busy = False
    house.look(1)  # most of these five seconds the run went on
    assert house.monitor.state.seconds() == 20
    house.look(1)
    assert house.monitor.state.seconds() == 25
    house.source.samples = [(90.0, 1000.0)]
    house.look(1)
    assert house.monitor.state.seconds() is None


def test_what_was_seeded_cools_down() -> None:
    house = House()
    house.monitor.seed(7, START)
    house.look(59)
    assert house.fired == []
    house.look(1)
    assert len(house.fired) == 1


def test_the_status_says_where_samples_come_from_and_how_long_the_machine_is_idle() -> None:
    house = House((50.0, 1.25), (4.0, None))
    assert house.monitor.status() == {
        "source": "script", "cpu_limit": 10.0, "cpu": None, "input_age_seconds": None, "sampled_at": None,
        "idle_seconds": None}
    house.look()
    assert house.monitor.status() == {
        "source": "script", "cpu_limit": 10.0, "cpu": 50.0, "input_age_seconds": 1.2,
        "sampled_at": "2026-11-23T10:00:05.000Z", "idle_seconds": None}
    house.look()
    assert house.monitor.status()["input_age_seconds"] is None
    assert house.monitor.status()["idle_seconds"] == 5.0


def test_the_thread_outlives_whatever_a_sample_raises(caplog: pytest.LogCaptureFixture) -> None:
    house = House(OSError("no processor"), RuntimeError("again"))
    done = threading.Event()
    house.monitor._fire = lambda key, at: done.set()
    house.tasks = {7: 0}
    with caplog.at_level(logging.ERROR, "dingshi.idle"):
        house.monitor.start()
        assert done.wait(5)
    house.monitor.stop()
    assert not house.monitor._thread.is_alive()
    assert [record.getMessage() for record in caplog.records if record.name == "dingshi.idle"] == [
        "idle monitor failed; it goes on"] * 2


def test_it_can_be_stopped_before_it_began() -> None:
    House().monitor.stop()


# --- sources ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("now", "last", "seconds"), [
    (5000, 3000, 2.0), (3000, 3000, 0.0), (500, 2**32 - 500, 1.0), (0, 2**32 - 1, 0.001),
    (2**32 - 1, 0, 4294967.295)])
def test_a_tick_counter_that_wraps(now: int, last: int, seconds: float) -> None:
    assert tick_age(now, last) == seconds


@given(up=st.integers(0, 2**40), age=st.integers(0, 2**32 - 1))
def test_the_age_is_right_however_often_the_counter_has_wrapped(up: int, age: int) -> None:
    assert tick_age((up + age) % 2**32, up % 2**32) == age / 1000


GRAPHICAL = "IdleHint={}\nIdleSinceHintMonotonic={}\nCanGraphical=yes\n"


@pytest.mark.parametrize(("said", "age"), [
    (GRAPHICAL.format("no", 0), 0.0), (GRAPHICAL.format("no", 90_000_000), 0.0),
    (GRAPHICAL.format("yes", 90_000_000), 10.0), (GRAPHICAL.format("yes", 100_500_000), 0.0),
    (GRAPHICAL.format("yes", ""), None), (GRAPHICAL.format("yes", "-5"), None), (GRAPHICAL.format("", 5), None),
    ("IdleHint=yes\nIdleSinceHintMonotonic=90000000\nCanGraphical=no\n", None), ("", None), ("nonsense\n=\n", None),
    ("IdleHint=yes\nCanGraphical=yes\n", None)])
def test_what_logind_says(said: str, age: float | None) -> None:
    assert read_logind(said, 100.0) == age


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], None]:
    """Puts a ``loginctl`` of the test's own on the path."""
    folder = tmp_path_factory.mktemp("bin")

    def put(script: str) -> None:
        (folder / "loginctl").write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        (folder / "loginctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setattr(idle_source, "_SUBPROCESS_SECONDS", 0.5)
    return put


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only: loginctl")
@pytest.mark.parametrize(("script", "name", "age"), [
    ("printf 'IdleHint=no\\nIdleSinceHintMonotonic=0\\nCanGraphical=yes\\n'", "cpu+input", 0.0),
    ("printf 'IdleHint=no\\nCanGraphical=no\\n'", "cpu", None), ("exit 1", "cpu", None),
    ("exec sleep 5", "cpu", None), ("printf '\\377\\376'", "cpu", None)])
def test_linux_has_input_where_logind_knows_it(program: Callable[[str], None], script: str, name: str,
                                                    age: float | None) -> None:
    program(script)
    source = find_source()
    assert source.name == name
    cpu, found = source.sample()
    assert (0.0 <= cpu <= 100.0, found) == (True, age)


def test_without_loginctl_the_processor_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_source, "windows_input_age", lambda: 3.0)
    monkeypatch.setenv("PATH", "")
    assert find_source().name == ("cpu+input" if sys.platform == "win32" else "cpu")


def test_windows_has_its_own_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_source, "windows_input_age", lambda: 3.0)
    monkeypatch.setattr(sys, "platform", "win32")
    source = find_source()
    monkeypatch.undo()
    assert source.name == "cpu+input" and source.sample()[1] == 3.0


@pytest.mark.skipif(sys.platform != "win32", reason="Windows only")
def test_windows_tells_the_age_of_the_last_input() -> None:
    age = idle_source.windows_input_age()
    assert age is not None and 0 <= age < 2**32 / 1000


def test_the_first_sample_is_no_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil's first answer is 0.0, which would look like an idle machine."""
    answers = iter([0.0, 73.0])
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: next(answers))
    assert MachineSource(None).sample() == (73.0, None)
