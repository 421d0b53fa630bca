"""A ``tasks.pkl`` that wants to harm whoever reads it (X13, R8, S8): refused, whatever it holds."""

import hashlib
import io
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.engine import _pickle, snapshot
from tests.factories import SCHEDULED_AT
from tests.hostile_pickles import all_of_them, greedy, odd, running

ROOT = Path(__file__).resolve().parents[2]
MEGABYTES = 50


def signed(body: bytes) -> bytes:
    """With a checksum line that is right: it proves nothing about who wrote it."""
    return body + b"#dingshi1 sha256=" + hashlib.sha256(body).hexdigest().encode("ascii") + b"\n"


def good() -> bytes:
    task = {
        "key": 1, "id": "报表", "type": "send_cmd", "trigger": {"type": "interval", "minutes": 5},
        "params": {"command": ["echo", "你好"], "n": [1, 2.5, None, True, 70000, -1]}, "options": {}, "paused": False,
        "paused_at": None, "anchor_at": "2026-11-23T10:00:00.000Z", "next_run_at": None, "run_count": 3,
        "failure_count": 0, "last_run_at": None, "last_result": None, "created_at": "2026-11-23T10:00:00.000Z",
        "updated_at": "2026-11-23T10:00:00.000Z"}
    return _pickle.dumps({"version": 1, "store_id": "s", "written_at": "2026-11-23T10:00:00.000Z",
                          "tasks": [task, {**task, "key": 2, "id": "b", "trigger": {}, "params": {}, "options": {}}]})


def read_by_a_victim(how: str, folder: Path, bodies: dict[str, bytes]) -> tuple[dict[str, str], set[str]]:
    """What each was refused for, and which files their code made, in a process with 50 MB to spare."""
    files, work = folder / "files", folder / "work"
    for made in (files, work):
        made.mkdir()
    for name, body in bodies.items():
        (files / name).write_bytes(signed(body))
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile_pickles", how, str(files), str(MEGABYTES)], cwd=work,
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, encoding="utf-8",
        timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), {path.name for path in work.iterdir()}


def test_none_runs_code_crashes_or_takes_much_memory(tmp_path: Path) -> None:
    bodies = all_of_them()
    assert len(bodies) > 50
    refused, made = read_by_a_victim("ours", tmp_path, bodies)
    assert made == set()
    assert set(refused) == set(bodies)
    assert {said.split(":")[0] for said in refused.values()} == {"SnapshotBad"}


@pytest.mark.parametrize("name", sorted({**greedy(), **odd()}))
def test_what_wants_no_code_is_refused_as_a_pickle_already(name: str) -> None:
    with pytest.raises(_pickle.Refused) as refused:
        _pickle.loads(signed({**greedy(), **odd()}[name]))
    if name.startswith("frame"):
        assert "longer than the file" in str(refused.value)
    if name == "memo_put":  # it would have taken gigabytes already
        assert str(refused.value).startswith("opcode ")


@pytest.mark.parametrize("name", sorted(running()))
def test_what_wants_to_run_code_meets_two_walls(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    body = running()[name]
    with pytest.raises(_pickle.Refused, match=r"^opcode [A-Z_0-9]+ at byte \d+$"):
        _pickle._check_opcodes(b"\x80\x04" + (body[2:] if body[:1] == b"\x80" else body))
    if not name.startswith("ext"):
        with pytest.raises(_pickle.Refused, match=r"^it names "):
            _pickle._Unpickler(io.BytesIO(body)).load()
    assert list(tmp_path.iterdir()) == []


def test_the_stock_reader_does_what_those_files_want(tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    bodies = running()
    _, made = read_by_a_victim("stock", tmp_path, bodies)
    assert made == {f"ran-{name}" for name in bodies}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only: a limit of memory")
def test_the_stock_reader_takes_more_memory_than_there_is(tmp_path: Path) -> None:
    refused, _ = read_by_a_victim("stock", tmp_path, {"memo_put": greedy()["memo_put"]})
    assert refused["memo_put"].startswith("MemoryError")


def test_cuts_and_changed_bytes_never_pass_for_a_snapshot(tmp_path: Path) -> None:
    path, whole, chance = tmp_path / "tasks.pkl", good(), random.Random(8)
    path.write_bytes(whole)
    assert len(snapshot.read(path)["tasks"]) == 2
    for turn in range(200):
        data = bytearray(whole)
        if turn % 2:
            del data[chance.randrange(len(data)):]
        else:
            data[chance.randrange(len(data))] ^= chance.randint(1, 255)
        path.write_bytes(data)
        with pytest.raises(snapshot.SnapshotBad):
            snapshot.read(path)


@pytest.mark.parametrize("seed", range(4))
def test_what_somebody_changed_and_signed_is_a_snapshot_or_refused(tmp_path: Path, seed: int) -> None:
    path, chance = tmp_path / "tasks.pkl", random.Random(seed)
    body = good()[:-len(signed(b""))]
    passed = 0
    for turn in range(200):
        data = bytearray(body)
        for _ in range(chance.choice([1, 1, 2, 5])):
            place = chance.randrange(len(data))
            match turn % 4:
                case 0:
                    del data[place:place + chance.randint(1, 9)]
                case 1:
                    data[place] = chance.randrange(256)
                case 2:
                    data[place:place] = bytes(chance.choices(b"\x80\x95\x94h]}(easu.NK\x8cXGJRcib\x93\x81Q", k=3))
                case _:
                    data[place:place] = data[chance.randrange(len(data)):][:20]
        path.write_bytes(signed(bytes(data)))
        try:
            found = snapshot.read(path)
        except snapshot.SnapshotBad:
            continue
        passed += 1
        json.dumps(found)
        for task in found["tasks"]:
            snapshot.values(task)
    assert passed < 150


OPCODES = [b"]", b"}", b"(", b"N", b"\x88", b"\x89", b"\x94", b"a", b"e", b"s", b"u", b"K\x07", b"M\x01\x02",
           b"J\xff\xff\xff\xff", b"\x8a\x01\x05", b"G?\xf0\0\0\0\0\0\0", b"\x8c\x01k", b"\x8c\x01v", b"h\0", b"h\x01",
           b"j\0\0\0\0", b"\x8c\x02\xe4\xbb", b".", b"0", b"2", b")", b"R", b"\x95\x02\0\0\0\0\0\0\0"]


@given(st.lists(st.sampled_from(OPCODES), max_size=30).map(b"".join) | st.binary(max_size=60))
def test_any_row_of_opcodes_is_plain_data_or_refused(row: bytes) -> None:
    try:
        found = _pickle.loads(signed(b"\x80\x04" + row + b"."))
    except _pickle.Refused:
        return
    assert json.loads(json.dumps(found)) == found
    assert _pickle.loads(_pickle.dumps(found)) == found


def test_memory_and_time_are_bounded_by_what_is_counted_not_by_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MiB of ``]`` would be five gigabytes of lists, and of marks or memo entries half as much."""
    monkeypatch.setattr(_pickle, "MAX_VALUES", 1000)
    monkeypatch.setattr(_pickle, "MAX_OPCODES", 3000)
    assert _pickle.loads_unsigned(b"\x80\x04](" + b"N" * 900 + b"e.") == [None] * 900
    for code in (b"]", b"}", b"N", b"K\x01", b"\x8c\x01a"):
        with pytest.raises(_pickle.Refused, match="more than 1000 values"):
            _pickle.loads_unsigned(b"\x80\x04](" + code * 1001 + b"e.")
    for code in (b"\x94", b"("):
        with pytest.raises(_pickle.Refused, match="more than 1000 values"):
            _pickle.loads_unsigned(b"\x80\x04N" + code * 3001 + b".")


@pytest.mark.parametrize("foot", [
    b"", b"#dingshi1 sha256=" + b"0" * 64 + b"\n", b"#dingshi1 sha256=" + b"0" * 63 + b"\n", b"\n",
    signed(b"\x80\x04N.")[4:] + b"\n", signed(b"\x80\x04N.")[4:-1], signed(b"\x80\x04N.")[4:-1] + b"\r\n",
    signed(b"\x80\x04N.")[4:].upper(), b" " + signed(b"\x80\x04N.")[4:]])
def test_a_checksum_line_that_is_missing_wrong_or_in_another_form(foot: bytes) -> None:
    assert _pickle.loads(signed(b"\x80\x04N.")) is None
    with pytest.raises(_pickle.Refused):
        _pickle.loads(b"\x80\x04N." + foot)


def test_the_reason_does_not_repeat_what_the_file_says(tmp_path: Path) -> None:
    """It goes to the log: no megabytes of it, no line ends."""
    path = tmp_path / "tasks.pkl"
    for body in (*all_of_them().values(), b"\x80\x04c" + b"a" * 10**5 + b"\n" + b"b" * 10**5 + b"\n."):
        path.write_bytes(signed(body))
        with pytest.raises(snapshot.SnapshotBad) as refused:
            snapshot.read(path)
        said: Any = refused.value.reason
        assert said.isprintable() and 0 < len(said) < 200
    assert snapshot.set_aside(path, SCHEDULED_AT).name == "tasks.pkl.bad-20261123T100000"
