"""The instance lock, with real second processes."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dashboard.engine.lock import Holder, InstanceLock, holder, lock_path, owner_path
from dashboard.errors import SchedulerRunning, StoreReadOnly

HOLD = """
import subprocess, sys
from pathlib import Path
from dashboard.engine.lock import InstanceLock
lock = InstanceLock(Path(sys.argv[1]))
lock.acquire(8765)
child = None
if "child" in sys.argv:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=sys.stdin)
    print(child.pid)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(database: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(database), *words], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, encoding="utf-8")
    assert process.stdout is not None
    try:
        while process.stdout.readline().strip() != "held":
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.communicate()


def test_free_taken_told_and_free_again(tmp_path: Path) -> None:
    database = tmp_path / "task.db"
    assert holder(database) is None
    assert list(tmp_path.iterdir()) == []
    lock = InstanceLock(database)
    lock.acquire(8766)
    found = holder(database)
    assert found is not None
    assert (found.pid, found.port) == (os.getpid(), 8766)
    lock.acquire(9000)
    again = holder(database)
    assert again is not None
    assert again.port == 9000
    lock.release()
    lock.release()
    assert holder(database) is None
    assert not owner_path(database).exists()


def test_another_process_is_named_within_a_second_and_its_death_frees_the_store(tmp_path: Path) -> None:
    database = tmp_path / "task.db"
    lock = InstanceLock(database)
    with another_process(database, "child") as process:
        begun = time.monotonic()
        with pytest.raises(SchedulerRunning) as caught:
            lock.acquire()
        assert time.monotonic() - begun < 1.0
        assert (caught.value.pid, caught.value.port) == (process.pid, 8765)
        assert str(process.pid) in str(caught.value)
        assert "8765" in str(caught.value)
        assert not lock.held
        process.kill()  # its own child lives on, and has inherited nothing
        process.wait()
        begun = time.monotonic()
        lock.acquire()
        assert time.monotonic() - begun < 0.3
        lock.release()


def test_what_a_dead_holder_left_is_not_believed(tmp_path: Path) -> None:
    database = tmp_path / "task.db"
    with another_process(database) as process:
        process.kill()
        process.wait()
    assert owner_path(database).exists()
    assert holder(database) is None
    lock = InstanceLock(database)
    lock.acquire()
    owner_path(database).write_text(json.dumps({"pid": process.pid, "port": 1, "started": "x"}), "utf-8")
    assert holder(database) == Holder()
    with pytest.raises(SchedulerRunning, match=r"task\.db"):
        InstanceLock(database).acquire()
    lock.release()


@pytest.mark.parametrize("text", ["", "[]", '{"pid": "a", "port": null, "started": 1}', "[" * 100_000])
def test_a_damaged_owner_file_hides_nobody(tmp_path: Path, text: str) -> None:
    lock = InstanceLock(tmp_path / "task.db")
    lock.acquire()
    owner_path(lock.database).write_text(text, "utf-8")
    assert holder(lock.database) == Holder()
    lock.release()


def test_looking_disturbs_no_start(tmp_path: Path) -> None:
    database = tmp_path / "task.db"
    lock_path(database).touch()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            holder(database)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            lock = InstanceLock(database)
            lock.acquire()
            lock.release()
    finally:
        ended.set()
        for thread in threads:
            thread.join(5)


def test_one_of_many_threads_gets_it_and_another_may_give_it_back(tmp_path: Path) -> None:
    locks = [InstanceLock(tmp_path / "task.db") for _ in range(5)]
    refused: list[SchedulerRunning] = []

    def take(lock: InstanceLock) -> None:
        try:
            lock.acquire()
        except SchedulerRunning as error:
            refused.append(error)

    threads = [threading.Thread(target=take, args=(lock,)) for lock in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 4
    assert [lock.held for lock in locks].count(True) == 1
    for lock in locks:
        lock.release()
    assert holder(tmp_path / "task.db") is None


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_to_the_store_is_the_same_store(tmp_path: Path) -> None:
    (tmp_path / "task.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "task.db")
    lock = InstanceLock(tmp_path / "link.db")
    lock.acquire()
    assert holder(tmp_path / "task.db") is not None
    lock.release()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    with pytest.raises(StoreReadOnly) as caught:
        InstanceLock(tmp_path / "file" / "task.db").acquire()
    assert caught.value.path == str(tmp_path / "file")
    assert "a folder is needed" in str(caught.value)
    assert caught.value.path in str(caught.value)


def test_a_lock_without_an_owner_file_is_given_back(tmp_path: Path) -> None:
    owner_path(tmp_path / "task.db").mkdir()
    lock = InstanceLock(tmp_path / "task.db")
    with pytest.raises(StoreReadOnly):
        lock.acquire()
    assert not lock.held
    assert holder(tmp_path / "task.db") is None
