"""No process is left behind: six shapes of tree, ended by a time-out and by a stop; what is swept and what is not."""

import errno
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from dashboard.handlers import processes, send_cmd
from dashboard.handlers._output import CHUNK, Pump
from dashboard.handlers._process import Tree, child_environment
from dashboard.handlers.contract import Cancelled, TimedOut
from tests.factories import HandlerContext

POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
PATIENCE = 20.0
"""Seconds after which a test gives up; nothing waits so long."""

LIMIT = 2.0
"""A time-out that is long enough for each tree to stand, also on a busy machine."""

SLEEP = "import sys, time; print('up', flush=True); time.sleep(float(sys.argv[1]))"
SHORT_GRACE = 0.5

AWAY = "import os, sys; os.setsid(); os.execvp('sleep', ['sleep', sys.argv[1]])"
TWICE = AWAY.replace("os.setsid()", "os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0)")
# $1: a time to sleep that no other process of the machine sleeps; $2: Python; how many sleepers there will be
SHAPES: dict[str, tuple[str, int]] = {
    "plain child": ("echo up; sleep $1; true", 1),
    "background child": ("sleep $1 & echo up; sleep $1", 2),
    "TERM ignored": ("trap '' TERM; sleep $1 & echo up; sleep $1; sleep $1", 2),
    "setsid": (f'"$2" -c "{AWAY}" $1 & echo up; sleep $1', 2),
    "double fork": (f'"$2" -c "{TWICE}" $1; echo up; sleep $1', 2),
    "pipe held": ("(trap '' TERM HUP PIPE; echo up; while :; do echo flood; sleep $1; done) & wait; sleep $1", 1),
}
"""Shell scripts."""


def unique_seconds() -> str:
    return f"600.{uuid.uuid4().int % 10**12:012}"


def carrying(word: str) -> list[psutil.Process]:
    """The living processes with this argument."""
    found = []
    for process in psutil.process_iter():
        try:
            if word in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def until(true: Callable[[], object]) -> None:
    limit = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.fixture
def word() -> Iterator[str]:
    """An argument of one's own; what still carries it at the end is killed."""
    made = unique_seconds()
    yield made
    for process in carrying(made):
        process.kill()


@dataclass(frozen=True)
class Ending:
    """How a tree ended: ``raised`` by the handler, how long after the time-out or the stop, what was there before
    and what lived on."""

    raised: type[BaseException] | None
    seconds: float
    before: int
    after: int


def end_tree(shape: str, how: str) -> Ending:
    word = unique_seconds()
    text, sleepers = SHAPES[shape]
    context = HandlerContext()
    params: dict[str, Any] = {"command": ["sh", "-c", text, "sh", word, sys.executable]}
    if how == "timeout":
        params["timeout"] = LIMIT
    up, found, stopped_at = threading.Event(), list[int](), list[float]()
    context.on_output = lambda text: up.set() if "up" in text else None

    def watch() -> None:
        assert up.wait(PATIENCE)
        until(lambda: len([one for one in carrying(word) if one.name() == "sleep"]) >= sleepers)
        found.append(len(carrying(word)))
        if how == "stop":
            stopped_at.append(time.monotonic())
            context.cancel()

    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        watching = pool.submit(watch)
        raised: type[BaseException] | None = None
        try:
            send_cmd.run(send_cmd.Params().load(params), context, grace=SHORT_GRACE)
        except (Cancelled, TimedOut) as error:
            raised = type(error)
        finished = time.monotonic()
        left = carrying(word)
        for process in left:
            process.kill()
        watching.result()
    return Ending(raised, finished - (stopped_at[0] if stopped_at else began + LIMIT), found[0], len(left))


@POSIX_ONLY
def test_no_process_of_a_tree_survives_for_five_seconds() -> None:
    cases = [(shape, how) for shape in SHAPES for how in ("timeout", "stop")]
    with ThreadPoolExecutor(len(cases)) as pool:  # all at once: most of it is waiting
        endings = dict(zip(cases, pool.map(lambda case: end_tree(*case), cases), strict=True))
    expected = {"timeout": TimedOut, "stop": Cancelled}
    wrong = {(shape, how): ending for (shape, how), ending in endings.items()
             if ending.raised is not expected[how] or ending.after or ending.before < SHAPES[shape][1]
             or ending.seconds > 5.0 - processes.GRACE + SHORT_GRACE}
    assert wrong == {}


@pytest.mark.skipif(sys.platform != "win32", reason="Windows only")
@pytest.mark.parametrize("how", ["timeout", "stop"])
def test_no_process_of_a_tree_survives_on_windows(word: str, how: str) -> None:
    away = """if True:
        import subprocess, sys
        subprocess.Popen([sys.executable, *sys.argv[1:]],
                         creationflags=subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP)"""
    code = f"""if True:
        import subprocess, sys, time
        sleep = ["-c", "import sys, time; time.sleep(float(sys.argv[1]))", sys.argv[1]]
        subprocess.Popen([sys.executable, *sleep])
        subprocess.run([sys.executable, "-c", {away!r}, *sleep])
        print("up", flush=True)
        time.sleep(600)"""
    context = HandlerContext()
    seen: list[int] = []

    def up(text: str) -> None:
        seen.append(len(carrying(word)))
        if how == "stop":
            context.cancel()

    context.on_output = up
    params = {"command": [sys.executable, "-c", code, word]} | ({"timeout": 5} if how == "timeout" else {})
    with pytest.raises(TimedOut if how == "timeout" else Cancelled):
        send_cmd.run(send_cmd.Params().load(params), context)
    assert seen and seen[0] >= 3
    assert carrying(word) == []


@pytest.mark.skipif(sys.platform != "win32", reason="Windows only")
def test_a_tree_ends_with_us_on_windows(word: str) -> None:
    parent = """if True:
        import subprocess, sys
        subprocess.run([sys.executable, "-c", *sys.argv[1:]])"""
    code = f"""if True:
        import os, sys
        from dashboard.handlers import send_cmd
        from dashboard.handlers._process import Tree, child_environment
        command = [sys.executable, "-c", {parent!r}, {SLEEP!r}, sys.argv[1]]
        tree = Tree(command, send_cmd.HOME, child_environment({{}}, "marker"))
        assert tree.popen.stdout.read(2) == b"up"
        os._exit(0)"""
    subprocess.run([sys.executable, "-c", code, word], check=True, cwd=send_cmd.HOME, timeout=PATIENCE)
    until(lambda: not carrying(word))


@POSIX_ONLY
def test_a_command_that_heeds_is_not_killed() -> None:
    context = HandlerContext()
    context.on_output = lambda text: context.cancel() if "up" in text else None
    code = """if True:
        import signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        print("up", flush=True)
        signal.sigwait({signal.SIGTERM})
        print("tidied")"""
    with pytest.raises(Cancelled):
        send_cmd.run({"command": [sys.executable, "-c", code]}, context)
    assert context.text == "up\ntidied\n"


@POSIX_ONLY
def test_who_does_not_heed_is_killed_after_the_grace() -> None:
    context = HandlerContext()
    context.on_output = lambda text: context.cancel()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        send_cmd.run({"command": "trap '' TERM; echo up; while :; do sleep 0.05; done"}, context, grace=0.3)
    assert 0.3 <= time.monotonic() - began < 2.0


def test_the_run_returns_though_something_in_the_background_holds_its_pipe(word: str) -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', *sys.argv[1:]]); sys.exit('hello')"
    silent = SLEEP.replace("print('up', flush=True); ", "")
    context = HandlerContext()
    began = time.monotonic()
    outcome = send_cmd.run({"command": [sys.executable, "-c", code, silent, word], "success_codes": [1]}, context)
    assert time.monotonic() - began < 5.0
    assert outcome.result == "success" and "hello" in context.text
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("output-")] == []
    assert len(carrying(word)) == 1  # what a command leaves behind on purpose lives on


@POSIX_ONLY
def test_a_flood_from_the_background_does_not_hold_the_run(word: str) -> None:
    context = HandlerContext()
    outcome = send_cmd.run({"command": f"(yes; sleep {word}) & sleep 0.1"}, context)
    assert outcome.result == "success" and context.text.startswith("y\ny\n")


@POSIX_ONLY
def test_after_the_end_no_more_is_read_than_the_pipe_held() -> None:
    got: list[int] = []

    def slow(chunk: bytes) -> None:  # the flood refills the pipe meanwhile
        got.append(len(chunk))
        time.sleep(0.01)

    with subprocess.Popen(["yes"], stdout=subprocess.PIPE, bufsize=0) as flood:
        pump = Pump(flood, slow)
        until(lambda: len(got) > 2)
        before = len(got)
        pump.finish()
        flood.kill()
    assert sum(got[before:]) <= 4 * CHUNK  # a pipe's capacity, and what was under way


@POSIX_ONLY
def test_a_group_is_killed_even_if_no_descriptor_is_left_to_look_around(
        word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> list[int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    context = HandlerContext()
    context.on_output = lambda text: context.cancel()
    with monkeypatch.context() as patch, pytest.raises(Cancelled):
        patch.setattr(psutil, "pids", none_left)
        send_cmd.run({"command": f"trap '' TERM; sleep {word} & echo up; sleep {word}"}, context)
    until(lambda: not carrying(word))


@pytest.mark.parametrize("kind", ["output-", "Thread-"])
def test_a_command_without_a_thread_to_watch_it_is_ended(
        word: str, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith(kind):
            raise RuntimeError("can't start new thread")
        start(thread)

    context = HandlerContext()
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(threading.Thread, "start", refuse)
        send_cmd.run({"command": [sys.executable, "-c", SLEEP, word], "timeout": 30.0}, context)
    assert carrying(word) == []


def started(word: str, marker: str | None, **options: Any) -> subprocess.Popen[bytes]:
    """A process that sleeps, with a marker or without one."""
    environment = child_environment({}, marker or "")
    if marker is None:
        del environment[processes.MARKER]
    made = subprocess.Popen([sys.executable, "-c", SLEEP, word], env=environment, stdout=subprocess.PIPE, **options)
    assert made.stdout is not None
    with made.stdout:
        made.stdout.readline()
    return made


@pytest.fixture
def three(word: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Three processes: the first two are marked as runs of a store, the third is nobody's."""
    made = [started(word, f"{word}:boot:1"), started(word, f"{word}:later:2"), started(word, None)]
    yield made
    for one in made:
        one.kill()
        one.wait()


def test_the_sweep_ends_what_carries_a_marker_of_ours_and_nothing_else(
        word: str, three: list[subprocess.Popen[bytes]]) -> None:
    count = processes.sweep(lambda found: found.startswith(f"{word}:") and not found.startswith(f"{word}:later:"))
    assert count == 1
    three[0].wait(PATIENCE)
    assert [one.poll() is None for one in three] == [False, True, True]
    assert processes.sweep(lambda found: found == f"{word}:later:2") == 1
    assert three[1].wait(PATIENCE) != 0 and three[2].poll() is None
    assert processes.sweep(lambda found: found.startswith(f"{word}:")) == 0


def test_the_sweep_ends_a_process_it_knows_by_number_and_time(
        word: str, three: list[subprocess.Popen[bytes]]) -> None:
    stranger = three[2].pid
    at = psutil.Process(stranger).create_time()
    for others in ([(stranger, at - 60)], [(stranger, at + 60)], [(0, at)], [(2**30, at)]):
        assert processes.sweep(lambda found: False, others) == 0
    assert three[2].poll() is None
    # two runs may have had the same number at different times
    assert processes.sweep(lambda found: False, [(stranger, at + 0.5), (stranger, at - 60)]) == 1
    three[2].wait(PATIENCE)
    assert [one.poll() is None for one in three] == [True, True, False]


def test_neither_we_nor_our_ancestors_are_ever_ended() -> None:
    present = processes.snapshot()
    us = psutil.Process()
    line = {us, *us.parents()}
    assert line & set(present.parents)
    assert present.with_descendants(line) == set()
    assert processes.sweep(lambda found: False, [(one.pid, one.create_time()) for one in line]) == 0
    everything = present.with_descendants(set(present.parents))
    assert not line & everything


def test_a_marker_in_our_own_environment_is_no_reason_to_end_us(monkeypatch: pytest.MonkeyPatch) -> None:
    marker = uuid.uuid4().hex
    code = "import sys\nfrom dashboard.handlers import processes\nprint(processes.sweep(sys.argv[1].__eq__, (), 0.0))"
    done = subprocess.run([sys.executable, "-c", code, marker], env={**os.environ, processes.MARKER: marker},
                          capture_output=True, check=True, cwd=send_cmd.HOME, encoding="utf-8")
    assert done.stdout.strip() == "0"


def test_descendants_are_found_through_those_in_between(word: str) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
    with subprocess.Popen([sys.executable, "-c", code, SLEEP, word], stdout=subprocess.DEVNULL) as top:
        until(lambda: len(carrying(word)) == 2)
        seed = psutil.Process(top.pid)
        found = processes.snapshot().with_descendants({seed})
        assert {process.pid for process in found} == {process.pid for process in carrying(word)}
        assert processes.end(lambda present: {seed}, 0.0) == 2
    assert carrying(word) == []


def test_processes_that_end_while_one_looks_do_no_harm(word: str) -> None:
    one = started(word, f"{word}:boot:1")
    present = processes.snapshot()
    gone = psutil.Process(one.pid)
    one.kill()
    one.wait()
    assert gone in present.parents
    assert gone not in present.marked(lambda marker: True)
    assert gone in present.with_descendants(present.known([(one.pid, time.time())]) | {gone})
    assert not processes.alive(gone)
    assert processes.end(lambda _: {gone}, PATIENCE) == 0


@POSIX_ONLY
def test_a_child_is_one_though_the_clock_was_set_back_between_two_looks(
        word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil reckons times of creation from the time of boot, which moves with the wall clock."""
    code = "import subprocess, sys; subprocess.run(['sleep', sys.argv[1]])"
    with subprocess.Popen([sys.executable, "-c", code, word]) as top:
        until(lambda: len(carrying(word)) == 2)
        seed = psutil.Process(top.pid)
        seed.create_time()
        present = processes.snapshot()
        real = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda one: real(one) - 3600.0 * (one is not seed))
        found = present.with_descendants({seed})
        monkeypatch.undo()
        assert len(found) == 2
        processes.end(lambda _: found, 0.0)


@POSIX_ONLY
def test_what_shows_no_environment_for_a_moment_is_found_by_the_next_look(
        word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = started(word, f"{word}:boot:1", start_new_session=True)
    looks: list[int] = []
    real = psutil.Process.environ

    def late(process: psutil.Process) -> dict[str, str]:
        if process.pid == one.pid:
            looks.append(process.pid)
            if len(looks) <= 2:  # that of asking and the first one of killing
                return {}
        return real(process)

    monkeypatch.setattr(psutil.Process, "environ", late)
    assert processes.sweep(lambda found: found == f"{word}:boot:1", (), 0.0) == 1
    assert one.wait(PATIENCE) == -9


def test_a_stop_after_the_end_changes_nothing(word: str) -> None:
    environment = child_environment({}, word)
    with Tree([sys.executable, "-c", "print(1)"], send_cmd.HOME, environment) as tree:
        assert tree.popen.stdout is not None
        with tree.popen.stdout as pipe:
            assert pipe.read().split() == [b"1"]
        assert tree.wait() == 0
        tree.stop("late")
    assert tree.stopped is None


def test_the_first_reason_for_a_stop_counts(word: str) -> None:
    with Tree([sys.executable, "-c", SLEEP, word], send_cmd.HOME, child_environment({}, word)) as tree:
        assert tree.popen.stdout is not None
        tree.stop("first", 0.2)
        tree.stop("second", 0.0)
        tree.wait()
        tree.popen.stdout.close()
    assert tree.stopped == "first" and carrying(word) == []
