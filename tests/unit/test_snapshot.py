"""``tasks.pkl``: what is in it, how it is written, and what is refused (hostile files: test_snapshot_hostile)."""

import hashlib
import json
import os
import pickle
import pickletools
import re
import stat
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.engine import _pickle, files, snapshot
from dashboard.models import Task
from dashboard.models.store import Store
from tests.factories import SCHEDULED_AT as NOW
from tests.factories import make_store
from tests.modes import locked


def a_row(key: int = 1, task_id: str = "报表", **changes: Any) -> Task:
    values: dict[str, Any] = {
        "key": key, "id": task_id, "type": "send_cmd", "trigger": {"type": "interval", "minutes": 5},
        "params": {"command": ["echo", "你好"], "deep": {"list": [1, 2.5, None, True]}}, "options": {"retries": 2},
        "paused": False, "anchor_at": NOW, "next_run_at": NOW + timedelta(minutes=5), "run_count": 3,
        "failure_count": 1, "last_run_at": NOW - timedelta(milliseconds=1), "last_result": "failure",
        "created_at": NOW - timedelta(days=2), "updated_at": NOW - timedelta(days=1)}
    return Task(**{**values, **changes})


def a_snapshot(*rows: Task) -> dict[str, Any]:
    two = (a_row(), a_row(2, "b", paused=True, paused_at=NOW, next_run_at=None))
    return snapshot.content(rows or two, "store", NOW)


def walk(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)


# --- what is in it ----------------------------------------------------------------------------------------------


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tasks.pkl"
    snapshot.write(path, a_snapshot())
    assert snapshot.read(path) == a_snapshot()
    first = a_snapshot()
    snapshot.write(path, a_snapshot(a_row(9, "other")))
    assert snapshot.read(path) == a_snapshot(a_row(9, "other")) != first


def test_every_column_is_kept_but_the_revision_and_comes_back(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    with store.writing():
        a_row().save(force_insert=True)
        a_row(2, "b", paused=True, paused_at=NOW, next_run_at=None, last_run_at=None, last_result=None).save(
            force_insert=True)
    with store.reading():
        rows = list(Task.select().order_by(Task.key))
    path = tmp_path / "tasks.pkl"
    snapshot.write(path, snapshot.content(rows, "store", NOW))
    columns = set(Task._meta.fields) - {"revision"}
    for row, task in zip(rows, snapshot.read(path)["tasks"], strict=True):
        assert set(task) == columns
        assert snapshot.values(task) == {name: getattr(row, name) for name in columns}
    store.close()


def test_it_holds_plain_builtins_and_times_as_iso_text(tmp_path: Path) -> None:
    path = tmp_path / "tasks.pkl"
    snapshot.write(path, a_snapshot())
    found = snapshot.read(path)
    assert {type(value) for value in walk(found)} <= {dict, list, str, int, float, bool, type(None)}
    assert found["written_at"] == "2026-11-23T10:00:00.000Z"
    assert found["tasks"][0]["next_run_at"] == "2026-11-23T10:05:00.000Z"
    assert found["tasks"][0]["last_run_at"] == "2026-11-23T09:59:59.999Z"
    assert found["tasks"][1]["paused_at"] == "2026-11-23T10:00:00.000Z"


def test_the_file_is_a_protocol_4_pickle_and_one_checksum_line(tmp_path: Path) -> None:
    path = tmp_path / "tasks.pkl"
    snapshot.write(path, a_snapshot())
    data = path.read_bytes()
    stop = next(position for opcode, _, position in pickletools.genops(data) if opcode.name == "STOP") or 0
    body, foot = data[:stop + 1], data[stop + 1:]
    assert body[:2] == b"\x80\x04"
    assert foot == b"#dingshi1 sha256=" + hashlib.sha256(body).hexdigest().encode() + b"\n"
    assert pickle.loads(data) == a_snapshot()  # any reader of pickles reads it


plain_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers(-(2**200), 2**200)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner, max_size=4), max_leaves=20)


@given(plain_values)
def test_any_plain_data_comes_back_as_it_was(value: Any) -> None:
    back = _pickle.loads(_pickle.dumps(value))
    assert back == value
    assert json.dumps(back) == json.dumps(value)  # types, too: 1, 1.0 and True are equal


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


SHARED: list[Any] = [1]


@pytest.mark.parametrize("value", [
    NOW, (1,), {1}, b"x", 1j, {1: "a"}, Path("a"), [NOW], {"a": {"b": (1,)}}, print, nested(101), [SHARED, SHARED],
    2**512, -(2**512), "\ud800", {"a\0": 1}, ["\0"], type("Text", (str,), {})("a"), type("Dict", (dict,), {})()],
    ids=repr)
def test_what_is_no_plain_data_is_not_written(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "tasks.pkl"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match=r"plain data|deeper|twice|too long|no text|text that"):
        snapshot.write(path, {"params": value})
    assert path.read_bytes() == b"before"
    assert [found.name for found in tmp_path.iterdir()] == ["tasks.pkl"]


def test_the_deepest_that_is_allowed_is_read(tmp_path: Path) -> None:
    assert _pickle.loads(_pickle.dumps(nested(100))) == nested(100)


# --- how it is written ------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only: modes")
def test_only_its_owner_may_read_it_whatever_it_was_before(tmp_path: Path) -> None:
    path = tmp_path / "tasks.pkl"
    path.write_bytes(b"open to all")
    path.chmod(0o666)
    before = os.umask(0)
    try:
        snapshot.write(path, a_snapshot())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_first_the_whole_file_on_the_disk_then_its_name_then_the_folder(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tasks.pkl"
    snapshot.write(path, a_snapshot(a_row(9, "before")))
    done: list[Any] = []
    fsync, rename = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        found = os.fstat(descriptor)
        done.append(("fsync", found.st_ino, found.st_size))
        fsync(descriptor)

    def renamed(source: Any, target: Any) -> None:
        done.append(("replace", Path(source).stat().st_ino, Path(source).parent, Path(target)))
        assert snapshot.read(Path(source)) == a_snapshot()
        rename(source, target)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    snapshot.write(path, a_snapshot())
    inode, size = path.stat().st_ino, path.stat().st_size
    assert done[:2] == [("fsync", inode, size), ("replace", inode, tmp_path, path)]
    folder = [] if sys.platform == "win32" else [tmp_path.stat().st_ino]
    assert [step[1] for step in done[2:]] == folder


@pytest.mark.parametrize("step", ["fsync", "replace", "open"])
def test_a_step_that_fails_leaves_the_old_file_and_nothing_else(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "tasks.pkl"
    snapshot.write(path, a_snapshot())

    def fails(*_: Any) -> None:
        raise OSError(28, "No space left on device")
    with monkeypatch.context() as patched:
        patched.setattr(os, step, fails)
        with pytest.raises(snapshot.SnapshotUnwritable) as refused:
            snapshot.write(path, a_snapshot(a_row(9, "new")))
    assert refused.value.path == path
    assert str(path) in str(refused.value) and "No space left on device" in str(refused.value)
    assert snapshot.read(path) == a_snapshot()
    assert [found.name for found in tmp_path.iterdir()] == ["tasks.pkl"]


def test_a_file_left_by_a_killed_process_of_this_pid_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "tasks.pkl"
    left = tmp_path / f".tasks.pkl.{os.getpid()}.tmp"
    left.write_bytes(b"half")
    left.chmod(0o444)
    snapshot.write(path, a_snapshot())
    assert snapshot.read(path) == a_snapshot()
    assert not left.exists()


def test_what_killed_writers_left_goes_and_nothing_else(tmp_path: Path) -> None:
    for name in (".tasks.pkl.12.tmp", ".tasks.pkl.9999999.tmp", "tasks.pkl", ".other.pkl.12.tmp", "tasks.pkl.bad-1",
                 ".tasks.pkl.12.txt"):
        (tmp_path / name).write_bytes(b"x")
    files.remove_leftovers(tmp_path / "tasks.pkl")
    assert sorted(found.name for found in tmp_path.iterdir()) == [
        ".other.pkl.12.tmp", ".tasks.pkl.12.txt", "tasks.pkl", "tasks.pkl.bad-1"]
    files.remove_leftovers(tmp_path / "no such folder" / "tasks.pkl")


def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "tasks.pkl"
    snapshot.write(path, a_snapshot())
    with locked(path), pytest.raises(snapshot.SnapshotUnwritable) as refused:
        snapshot.write(path, a_snapshot(a_row(9, "new")))
    assert str(path) in str(refused.value) and "ermission" in str(refused.value)
    assert snapshot.read(path) == a_snapshot()
    assert [found.name for found in tmp_path.iterdir()] == ["tasks.pkl"]


def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "tasks.pkl"
    snapshot.write(path, a_snapshot())
    with locked(tmp_path), pytest.raises(snapshot.SnapshotUnwritable, match=re.escape(str(path))):
        snapshot.write(path, a_snapshot(a_row(9, "new")))
    assert snapshot.read(path) == a_snapshot()


@pytest.mark.skipif(sys.platform != "win32", reason="Windows only")
def test_a_read_only_file_is_not_replaced_on_windows(tmp_path: Path) -> None:
    path = tmp_path / "tasks.pkl"
    snapshot.write(path, a_snapshot())
    path.chmod(stat.S_IREAD)
    with pytest.raises(snapshot.SnapshotUnwritable):
        snapshot.write(path, a_snapshot(a_row(9)))
    assert snapshot.read(path) == a_snapshot()
    path.chmod(stat.S_IWRITE)


def test_a_file_that_others_have_open_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    rename, left = os.replace, [3]

    def busy(source: Any, target: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise PermissionError(13, "in use")
        rename(source, target)
    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(sys, "platform", "win32")
    files.write_atomically(tmp_path / "a", b"new", sleep=waits.append)
    monkeypatch.undo()
    assert (tmp_path / "a").read_bytes() == b"new"
    assert waits == [0.05, 0.1, 0.2]


# --- limits -----------------------------------------------------------------------------------------------------


def test_a_file_over_64_mib_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "tasks.pkl"
    with path.open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(snapshot.SnapshotBad, match="larger than 67108864 bytes"):
        snapshot.read(path)


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tasks.pkl"
    snapshot.write(path, a_snapshot())
    before = path.read_bytes()
    monkeypatch.setattr(_pickle, "MAX_BYTES", 400)
    with pytest.raises(snapshot.SnapshotUnwritable):
        snapshot.write(path, a_snapshot())
    monkeypatch.setattr(_pickle, "MAX_BYTES", 2**26)
    monkeypatch.setattr(_pickle, "MAX_VALUES", 40)
    with pytest.raises(ValueError, match="more than 40 values"):
        snapshot.write(path, a_snapshot())
    with pytest.raises(snapshot.SnapshotBad, match="more than 40 values"):
        snapshot.read(path)
    assert path.read_bytes() == before


# --- what is no snapshot ----------------------------------------------------------------------------------------


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    found = a_snapshot()
    change(found)
    return found


def task_with(**fields: Any) -> dict[str, Any]:
    return changed(lambda found: found["tasks"][0].update(fields))


@pytest.mark.parametrize("found", [
    [], None, 1, "tasks", {}, {"version": 1},
    changed(lambda found: found.update(version=2)), changed(lambda found: found.update(version=True)),
    changed(lambda found: found.update(version="1")), changed(lambda found: found.pop("store_id")),
    changed(lambda found: found.update(store_id=7)), changed(lambda found: found.update(written_at="yesterday")),
    changed(lambda found: found.update(written_at=None)), changed(lambda found: found.update(extra=1)),
    changed(lambda found: found.update(tasks={})), changed(lambda found: found["tasks"].append(None)),
    changed(lambda found: found["tasks"].append({})), changed(lambda found: found["tasks"][0].pop("params")),
    changed(lambda found: found["tasks"][0].update(colour="red")),
    changed(lambda found: found["tasks"].append(snapshot.plain(a_row(1, "another")))),
    changed(lambda found: found["tasks"].append(snapshot.plain(a_row(7)))),
    task_with(key=-1), task_with(key=True), task_with(key="1"), task_with(key=2**63), task_with(id=7),
    task_with(id=None), task_with(params=[]), task_with(params=None), task_with(trigger="cron"),
    task_with(options=None), task_with(paused=0), task_with(run_count=1.0), task_with(run_count=None),
    task_with(failure_count=-1), task_with(last_result=1), task_with(anchor_at=None), task_with(created_at=7),
    task_with(next_run_at="2026-11-23T10:00:00"), task_with(next_run_at="2026-13-23T10:00:00.000Z"),
    task_with(next_run_at=""), task_with(updated_at="Z"),
], ids=range(42))
def test_data_of_another_shape_is_refused(tmp_path: Path, found: Any) -> None:
    path = tmp_path / "tasks.pkl"
    path.write_bytes(_pickle.dumps(found))
    with pytest.raises(snapshot.SnapshotBad) as refused:
        snapshot.read(path)
    assert refused.value.reason == str(refused.value) != ""


def test_what_is_no_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        snapshot.read(tmp_path / "tasks.pkl")
    (tmp_path / "folder").mkdir()
    with pytest.raises((OSError, snapshot.SnapshotBad)):
        snapshot.read(tmp_path / "folder")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only: pipes with names, devices")
def test_a_pipe_or_a_device_keeps_nobody_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "tasks.pkl"
    if sys.platform != "win32":
        os.mkfifo(pipe)
    endless = tmp_path / "endless.pkl"
    endless.symlink_to("/dev/zero")
    for path in (pipe, endless):
        with pytest.raises(snapshot.SnapshotBad, match="not a regular file"):
            snapshot.read(path)


def test_a_bad_file_is_kept_beside_and_none_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "tasks.pkl"
    names = []
    for content in (b"one", b"two", b"three"):
        path.write_bytes(content)
        names.append(snapshot.set_aside(path, NOW))
        assert not path.exists()
    assert [aside.read_bytes() for aside in names] == [b"one", b"two", b"three"]
    assert names[0].name == "tasks.pkl.bad-20261123T100000"
    assert len(set(names)) == 3 and {aside.parent for aside in names} == {tmp_path}


# --- comparing --------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    yield made
    made.close()


def test_every_difference_is_found_and_counters_are_told_last(store: Store) -> None:
    before = snapshot.content(
        [a_row(1, "same"), a_row(2, "edited"), a_row(3, "ran"), a_row(4, "gone"), a_row(5, "both")], "s", NOW)
    rows = [a_row(1, "same"), a_row(2, "edited", params={}, paused=True, paused_at=NOW),
            a_row(3, "ran", run_count=4, last_result="success"), a_row(6, "new"),
            a_row(5, "renamed", run_count=9)]
    assert [str(found) for found in snapshot.compare(before["tasks"], rows)] == [
        "task 'edited' changed: params, paused, paused_at", "task 'gone' extra", "task 'renamed' changed: id",
        "task 'new' missing", "task 'ran' counters: run_count, last_result", "task 'renamed' counters: run_count"]
    assert snapshot.compare(before["tasks"], [a_row(n, i) for n, i in enumerate(
        ("same", "edited", "ran", "gone", "both"), 1)]) == []
