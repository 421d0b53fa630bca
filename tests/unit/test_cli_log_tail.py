"""Following a file that others write and rotate."""

from pathlib import Path

from dashboard.cli.log_tail import LogTail


def write(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)


def test_the_last_lines_and_then_what_is_added(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.log"
    tail = LogTail(path)
    assert tail.last(2) == []
    write(path, "one\n", "zwei 二\n", "three\n")
    tail = LogTail(path)
    assert tail.last(2) == ["zwei 二", "three"]
    assert tail.more() == []
    write(path, "four\n", "half")
    assert tail.more() == ["four"]
    write(path, " whole\n")
    assert tail.more() == ["half whole"]


def test_a_rotation_loses_no_line(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.log"
    write(path, "one\n")
    tail = LogTail(path)
    tail.last(9)
    write(path, "two\n")
    path.replace(tmp_path / "scheduler.log.1")
    assert tail.more() == []
    write(path, "three is longer than what was before\n")
    assert tail.more() == ["two", "three is longer than what was before"]
    write(path, "four\n")
    assert tail.more() == ["four"]


def test_two_rotations_in_between_go_on_with_the_present_file(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.log"
    write(path, "one\n")
    tail = LogTail(path)
    tail.last(9)
    path.replace(tmp_path / "scheduler.log.2")
    write(tmp_path / "scheduler.log.1", "between\n")
    write(path, "new\n")
    assert tail.more() == ["new"]


def test_what_is_no_utf8_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.log"
    path.write_bytes(b"\xff\xfe ok\r\n")
    assert LogTail(path).last(1) == ["\ufffd\ufffd ok"]
