"""``scheduler.log``: nothing lost between processes and across rotations, nothing raised into those who log."""

import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dashboard import logfile
from dashboard.i18n import speaking
from dashboard.log_format import LONGEST
from dashboard.logfile import LogWriter, setup
from tests.factories import make_settings

ROOT = Path(__file__).resolve().parents[2]
ZONE = ZoneInfo("Asia/Shanghai")
HEAD = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+08:00) ([A-Z]+) (\S+) \[(\d+) (.+?)\] (.*)")
MANY = """
import logging, sys
from pathlib import Path
from zoneinfo import ZoneInfo
from dashboard.logfile import LogWriter
writer = LogWriter(Path(sys.argv[1]), ZoneInfo("Asia/Shanghai"), max_bytes=64 * 1024, keep=20)
writer.install()
sys.stdin.readline()
for number in range(1000):
    logging.getLogger("dingshi.test").info("line %s-%d %s", sys.argv[2], number, "x" * 40)
    if number % 97 == 0:
        assert writer.flush(30)
writer.close(30)
"""


def record(text: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord("dingshi.test", logging.INFO, __file__, 1, text, values, None)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "scheduler.log"


@pytest.fixture
def writer(path: Path) -> Iterator[LogWriter]:
    made = LogWriter(path, ZONE)
    yield made
    made.close()


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[LogWriter]:
    made = setup(make_settings(tmp_path))
    yield made
    made.close()


def test_what_goes_in_and_how_it_looks(installed: LogWriter) -> None:
    before = datetime.now(ZONE)
    for name in ("dingshi", "dingshi.engine", "apscheduler.scheduler", "peewee"):
        for level in (logging.DEBUG, logging.INFO, logging.WARNING):
            logging.getLogger(name).log(level, "%s says %s", name, "任务")
    assert installed.flush()
    found = [HEAD.fullmatch(line) for line in lines(installed.path)]
    assert [(m[2], m[3]) for m in found if m] == [
        ("INFO", "dingshi"), ("WARNING", "dingshi"), ("INFO", "dingshi.engine"), ("WARNING", "dingshi.engine"),
        ("WARNING", "apscheduler.scheduler"), ("WARNING", "peewee"),
    ]
    assert all(m and m[6] == f"{m[3]} says 任务" for m in found)
    assert found[0]
    assert 0 <= (datetime.fromisoformat(found[0][1]) - before).total_seconds() + 0.001 < 10
    assert found[0][5] == threading.current_thread().name


def test_closing_brings_back_what_was(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("dingshi").level
    writer = setup(make_settings(tmp_path))
    logging.getLogger("dingshi").info("a")
    writer.close()
    writer.close()
    assert before == (root.handlers, root.level, logging.getLogger("dingshi").level)
    logging.getLogger("dingshi").warning("b")
    assert [line[-2:] for line in lines(writer.path)] == [" a"]
    assert not writer.flush(0.1)


def test_a_traceback_stays_readable(installed: LogWriter) -> None:
    try:
        raise ValueError("two\nlines\r2026 INFO fake")
    except ValueError:
        logging.getLogger("dingshi").exception("failed:\n%s", "2026-11-24 INFO\x1b[31m \u2028")
    assert installed.flush()
    text = lines(installed.path)
    assert text[0].endswith(r"failed:\n2026-11-24 INFO\x1b[31m \u2028")
    assert text[1] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in text[1:])
    assert text[-2:] == ["    ValueError: two", r"    lines\r2026 INFO fake"]


class Awkward:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(("text", "values", "shown"), [
    ("%d of %s", ("x", 1), "TypeError in its values"), ("%s", (Awkward(),), "RuntimeError in its values"),
    ("%s", ("\ud800",), r"\ud800"), ("%s", ("x" * (LONGEST + 5),), "… (5 characters more)"),
])
def test_any_message_can_be_written(installed: LogWriter, text: str, values: tuple[object, ...], shown: str) -> None:
    installed._handler.handle(record(text, *values))  # no other handler, which might not stand it
    assert installed.flush()
    (line,) = lines(installed.path)
    assert line.endswith(shown) or shown in line[-100:]


def test_values_are_those_of_the_moment(installed: LogWriter) -> None:
    changing = {"a": 1}
    logging.getLogger("dingshi").info("%s", changing)
    changing["a"] = 2
    assert installed.flush()
    assert lines(installed.path)[0].endswith("{'a': 1}")


def test_rotation_keeps_plain_numbered_files(path: Path) -> None:
    writer = LogWriter(path, ZONE, max_bytes=400, keep=3)
    for number in range(30):
        writer.put(record("number %02d %s", number, "x" * 40))
        assert writer.flush()
    writer.close()
    names = ["scheduler.log", "scheduler.log.1", "scheduler.log.2", "scheduler.log.3"]
    assert sorted(p.name for p in path.parent.iterdir() if p.suffix != ".lock") == names
    kept = [line.split()[6] for name in reversed(names) for line in lines(path.parent / name)]
    assert kept == [f"{number:02d}" for number in range(30 - len(kept), 30)]
    assert all((path.parent / name).stat().st_size <= 400 for name in names)


def test_a_rotation_that_fails_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LogWriter(path, ZONE, max_bytes=200, keep=2)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", refuse)
        for number in range(9):
            writer.put(record("number %d", number))
            assert writer.flush()
    assert len(lines(path)) == 9
    writer.put(record("after"))
    assert writer.flush()
    writer.close()
    assert (len(lines(path)), len(lines(Path(f"{path}.1")))) == (1, 9)


def refuse(*values: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_three_processes_write_at_once_and_no_line_is_lost(path: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", MANY, str(path), name], cwd=ROOT, stdin=subprocess.PIPE,
                                  text=True, encoding="utf-8") for name in "abc"]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    files = [p for p in path.parent.iterdir() if not p.name.endswith(".lock")]
    assert len(files) > 3
    texts = [line for p in files for line in lines(p)]
    assert all(HEAD.fullmatch(line) for line in texts)
    assert sorted(line.split()[6] for line in texts) == sorted(f"{name}-{n}" for name in "abc" for n in range(1000))


def a_folder_in_the_way(path: Path) -> Callable[[], None]:
    path.mkdir(parents=True)
    return path.rmdir


def a_file_for_a_folder(path: Path) -> Callable[[], None]:
    path.parent.write_text("", encoding="utf-8")
    return path.parent.unlink


def no_right_to_write(path: Path) -> Callable[[], None]:
    if sys.platform == "win32":
        pytest.skip("folders of Windows have no such mode")
    path.parent.mkdir()
    path.parent.chmod(0o555)
    root = os.geteuid() == 0  # who may write everywhere
    if root:
        os.seteuid(65534)

    def allow() -> None:
        if root:
            os.seteuid(0)
        path.parent.chmod(0o755)

    return allow


@pytest.mark.parametrize("obstacle", [a_folder_in_the_way, a_file_for_a_folder, no_right_to_write])
def test_a_file_that_cannot_be_written_is_told_and_tried_again(
        path: Path, obstacle: Callable[[Path], Callable[[], None]]) -> None:
    remove = obstacle(path)
    writer = LogWriter(path, ZONE)
    try:
        writer.put(record("first"))
        assert not writer.flush()
        assert writer.problem
        assert str(path) in writer.problem
        with speaking("zh"):
            assert "无法写入" in writer.problem
        writer.put(record("second"))
    finally:
        remove()
    assert writer.flush()
    writer.close()
    assert writer.problem is None
    assert [line.rpartition(" ")[2] for line in lines(path)] == ["first", "second"]


def test_it_is_tried_again_without_being_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "RETRY_SECONDS", 0.05)
    remove = a_folder_in_the_way(path)
    writer = LogWriter(path, ZONE)
    written = threading.Event()
    append = LogWriter._append

    def notice(self: LogWriter, data: bytes) -> None:
        append(self, data)
        written.set()

    monkeypatch.setattr(LogWriter, "_append", notice)
    writer.put(record("first"))
    assert not writer.flush()
    remove()
    assert written.wait(10)
    writer.close()
    assert len(lines(path)) == 1


def test_what_does_not_fit_is_counted(path: Path) -> None:
    remove = a_folder_in_the_way(path)
    writer = LogWriter(path, ZONE, capacity=10)
    for number in range(25):
        writer.put(record("number %d", number))
    assert not writer.flush()
    remove()
    assert writer.flush()
    writer.put(record("after"))
    writer.close()
    texts = lines(path)
    kept = next(place for place, line in enumerate(texts) if "WARNING dingshi.log" in line)
    assert kept in (10, 11)  # one may be on its way from the queue to the lines that wait
    assert [line.rpartition(" ")[2] for line in texts[:kept]] == [str(number) for number in range(kept)]
    assert f"{25 - kept} messages were dropped" in texts[kept]
    assert [line.rpartition(" ")[2] for line in texts[kept + 1:]] == ["after"]


def test_half_a_batch_is_taken_back(path: Path, writer: LogWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.put(record("whole"))
    assert writer.flush()

    def full(file: object, data: bytes) -> None:
        assert hasattr(file, "write")
        file.write(data[:7])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(logfile, "_write_all", full)
        writer.put(record("late"))
        assert not writer.flush()
        assert "No space left" in (writer.problem or "")
        assert len(lines(path)) == 1
    assert writer.flush()
    assert [line.rpartition(" ")[2] for line in lines(path)] == ["whole", "late"]


def test_a_line_cut_off_by_a_crash_stays_a_line_of_its_own(path: Path, writer: LogWriter) -> None:
    path.parent.mkdir()
    path.write_bytes("2026-11-24T10:00 INFO 任".encode()[:-1])
    writer.put(record("next"))
    assert writer.flush()
    assert path.read_bytes().count(b"\n") == 2
    assert path.read_bytes().endswith(b"next\n")
