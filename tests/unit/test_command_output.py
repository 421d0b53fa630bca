"""What a command writes: read while it runs, bounded, and put into characters by the rule."""

import locale
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import psutil
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from dashboard.engine.kept_output import HEAD_BYTES, TAIL_BYTES, KeptOutput
from dashboard.handlers import send_cmd
from dashboard.handlers._decode import HELD_BYTES, SURE, OutputDecoder, machine_encoding
from dashboard.handlers.contract import Cancelled, Failed, Outcome, Reason
from tests.factories import HandlerContext

POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
CHINESE = "任务执行成功，共处理三百条记录。"


class KeepingContext(HandlerContext):
    """Keeps the output as the engine does, never all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = KeptOutput()

    def output(self, text: str) -> None:
        self.kept.add(text)


def writing(data: bytes) -> list[str]:
    """A command that writes these bytes."""
    return [sys.executable, "-c", "import sys; sys.stdout.buffer.write(bytes.fromhex(sys.argv[1]))", data.hex()]


def run(command: Any, context: HandlerContext | None = None, **params: Any) -> tuple[Reason, str]:
    """Its reason and its output."""
    context = context or HandlerContext()
    try:
        outcome: Outcome = send_cmd.run(send_cmd.Params().load({"command": command, **params}), context)
    except Failed as failure:
        outcome = failure.outcome
    assert outcome.reason is not None
    assert send_cmd.REASONS[outcome.reason.code] % outcome.reason.values
    return outcome.reason, context.text


def decoded(data: bytes, encoding: str | None, fallback: str, cuts: list[int]) -> tuple[str, str | None]:
    """As it comes in pieces; the text and what it was read as."""
    decoder = OutputDecoder(encoding, fallback)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    text = "".join(decoder.feed(data[start:end]) for start, end in pairwise(places))
    return text + decoder.feed(b"", final=True), decoder.read_as


@contextmanager
def growth() -> Iterator[list[int]]:
    """The most bytes by which this process grew inside, as its one item at the end."""
    us, over, found = psutil.Process(), threading.Event(), [0]
    before = us.memory_info().rss

    def watch() -> None:
        while not over.wait(0.01):
            found[0] = max(found[0], us.memory_info().rss - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def test_output_comes_while_the_command_runs() -> None:
    context = HandlerContext()
    context.on_output = lambda text: context.cancel()
    code = "import time; print('first', flush=True); time.sleep(600); print('second')"
    with pytest.raises(Cancelled):
        send_cmd.run({"command": [sys.executable, "-c", code]}, context)
    assert context.text.split() == ["first"]


def test_the_last_words_of_a_command_are_kept_though_it_ends_at_once() -> None:
    for _ in range(5):
        _, text = run([sys.executable, "-c", "import os; os.write(1, b'x' * 60_000); os._exit(3)"])
        assert len(text) == 60_000


@POSIX_ONLY
@pytest.mark.parametrize("encoding", [None, "utf-8"])
def test_a_flood_costs_no_memory_and_no_time(encoding: str | None) -> None:
    context, began = KeepingContext(), time.monotonic()
    params = {"command": "yes 'a line of output' | head -c 100M; echo the end", "encoding": encoding}
    with growth() as grown:
        run(context=context, **{name: value for name, value in params.items() if value is not None})
    assert grown[0] < 50 * 1024 * 1024
    assert time.monotonic() - began < 20.0
    text = context.kept.text()
    assert text.startswith("a line of output\n") and text.endswith("the end\n")
    dropped = 100 * 1024 * 1024 + len("the end\n") - HEAD_BYTES - TAIL_BYTES
    assert f"\n… {dropped} bytes …\n" in text and len(text) < HEAD_BYTES + TAIL_BYTES + 100


@pytest.mark.parametrize(("encoding", "shift"), [("utf-8", 0), ("utf-8", 1), ("utf-8", 2), ("gbk", 0), ("gbk", 1)])
def test_the_cap_cuts_no_character_in_two(encoding: str, shift: int) -> None:
    code = "import sys; sys.stdout.buffer.write(('x' * int(sys.argv[2]) + '字' * 200_000).encode(sys.argv[1]))"
    context = KeepingContext()
    run([sys.executable, "-c", code, encoding, str(shift)], context, encoding=encoding)
    head, dropped, tail = context.kept.text().split("\n")
    assert head == "x" * shift + "字" * len(head[shift:]) and set(tail) == {"字"}
    assert len(head.encode()) > HEAD_BYTES - 4 and len(tail.encode()) > TAIL_BYTES - 4
    assert int(dropped.split()[1]) == shift + 600_000 - len(head.encode()) - len(tail.encode())


def test_what_the_task_says_is_taken_and_needs_no_word() -> None:
    reason, text = run(writing(CHINESE.encode("gbk")), encoding="gbk")
    assert text == CHINESE and dict(reason.values) == {"exit_code": 0}
    reason, text = run(writing(b"\xff" + "ä".encode("cp437")), encoding="utf-8")
    assert text == "\ufffd" * 2 and dict(reason.values) == {"exit_code": 0}


def test_utf_8_needs_no_word_either() -> None:
    reason, text = run(writing(CHINESE.encode()))
    assert (reason.code, text) == ("cmd_done", CHINESE)


@POSIX_ONLY
@pytest.mark.parametrize(("ending", "code"), [("", "cmd_done_read_as"), ("; exit(3)", "cmd_exit_read_as"),
                                              ("; os.kill(os.getpid(), 9)", "cmd_signal_read_as")])
def test_the_row_says_what_was_read_as_the_machine_s_own(
        monkeypatch: pytest.MonkeyPatch, ending: str, code: str) -> None:
    monkeypatch.setattr(locale, "getencoding", lambda: "GBK")
    reason, text = run([sys.executable, "-c", f"import os; os.write(1, {CHINESE.encode('gbk')!r}){ending}"])
    assert (reason.code, reason.values["encoding"], text) == (code, "gbk", CHINESE)


@POSIX_ONLY
def test_a_timeout_says_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locale, "getencoding", lambda: "GBK")
    timer, wrote = threading.Timer, threading.Event()
    monkeypatch.setattr(threading, "Timer", lambda _, *rest: timer(0.3, *rest))
    code = f"import os, time; os.write(1, {('好 ' + CHINESE).encode('gbk')!r}); time.sleep(600)"
    context = HandlerContext()
    context.on_output = lambda text: wrote.set()
    reason, text = run([sys.executable, "-c", code], context, timeout=10)
    assert wrote.is_set() and text == "好 " + CHINESE
    assert (reason.code, dict(reason.values)) == ("cmd_timeout_read_as", {"seconds": 10, "encoding": "gbk"})


@pytest.mark.skipif(sys.platform != "win32", reason="Windows only")
def test_the_oem_code_page_reads_what_the_console_s_own_programs_write() -> None:
    page = machine_encoding()
    sample = next(c for c in "ä任я" if c.encode(page, "ignore"))
    reason, text = run(writing(sample.encode(page)))
    assert (reason.values.get("encoding"), text) == (None if page == "utf-8" else page, sample)


@POSIX_ONLY
@pytest.mark.parametrize(("data", "text", "code"), [
    ("好".encode(), "好", "cmd_done"), (b"x\xc4", "x\ufffd", "cmd_done_read_as"),
    ("好".encode()[:2], "濂", "cmd_done_read_as")])
def test_the_last_characters_come_at_the_end(
        monkeypatch: pytest.MonkeyPatch, data: bytes, text: str, code: str) -> None:
    monkeypatch.setattr(locale, "getencoding", lambda: "GBK")
    reason, output = run(writing(data))
    assert (reason.code, output) == (code, text)


def test_what_is_neither_is_replaced_and_said() -> None:
    reason, text = run(writing(b"caf\xe9 \xff!"))
    if machine_encoding() == "utf-8":
        assert (reason.code, reason.values["encoding"], text) == ("cmd_done_read_as", "utf-8", "caf\ufffd \ufffd!")
    else:
        assert reason.code == "cmd_done_read_as" and text.endswith("!")


@POSIX_ONLY
@pytest.mark.parametrize(("name", "encoding"), [
    ("UTF-8", "utf-8"), ("GB18030", "gb18030"), ("GBK", "gbk"), ("ISO-8859-1", "iso8859-1"),
    ("ANSI_X3.4-1968", "utf-8"), ("", "utf-8"), ("no such thing", "utf-8"),
])
def test_the_machine_s_own_encoding_is_one_that_exists(
        monkeypatch: pytest.MonkeyPatch, name: str, encoding: str) -> None:
    monkeypatch.setattr(locale, "getencoding", lambda: name)
    assert machine_encoding() == encoding
    assert OutputDecoder(None, machine_encoding()).feed(b"\xff", final=True)


CUTS = st.lists(st.integers(0, 300), max_size=6)
TEXT = st.text(st.characters(codec="utf-8"), max_size=80)
HAN = st.text(st.sampled_from("任务执行成功失败结果的一是在不了有和人这中大为上个国我以要他时来 ab1 \n"), max_size=80)


@given(TEXT, CUTS, st.sampled_from(["utf-8", "gbk", "cp437", "big5"]))
def test_utf_8_arrives_whole_however_it_comes(text: str, cuts: list[int], fallback: str) -> None:
    assert decoded(text.encode(), None, fallback, cuts) == (text, None)


@given(HAN, CUTS, st.sampled_from(["gbk", "gb18030"]))
@example("好任务", [1, 3], "gbk")
def test_the_machine_s_own_arrives_whole_however_it_comes(text: str, cuts: list[int], fallback: str) -> None:
    data = text.encode("gbk")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        assume(sum(c > "\x7f" for c in data[:error.start].decode("utf-8")) < SURE)
        assert decoded(data, None, fallback, cuts) == (text, fallback)
    else:
        assert decoded(data, None, fallback, cuts) == (data.decode("utf-8"), None)


@given(st.binary(max_size=200), CUTS, st.sampled_from(["utf-8", "gbk", "utf-16-le", "cp1252", "shift_jis"]))
def test_what_the_task_says_decodes_as_python_does_it_in_one_go(data: bytes, cuts: list[int], encoding: str) -> None:
    assert decoded(data, encoding, "utf-8", cuts) == (data.decode(encoding, "replace"), None)


@given(TEXT, CUTS, st.sampled_from(["utf-16", "utf-32"]), st.sampled_from(["", "-le"]))
@example("", [], "utf-16", "")
@example("a", [1], "utf-16", "-le")
def test_utf_16_arrives_with_a_mark_and_without_one(text: str, cuts: list[int], name: str, form: str) -> None:
    assume(not text.startswith("\ufeff") and not text.startswith("\ufffe"))
    assert decoded(text.encode(name + form), name, "utf-8", cuts)[0] == text


@settings(max_examples=60)
@given(st.lists(st.tuples(HAN, st.booleans()), min_size=1, max_size=12), CUTS)
@example([("一上", True)], [51])
def test_lines_in_two_encodings_are_read_each_by_itself(lines: list[tuple[str, bool]], cuts: list[int]) -> None:
    """Once it is sure that UTF-8 is spoken."""
    begin = CHINESE + "\n"
    data, text = begin.encode(), begin
    for given_line, is_gbk in lines:
        line = given_line.replace("\n", "")
        coded = line.encode("gbk" if is_gbk else "utf-8")
        assume(not is_gbk or line.isascii() or not _is_utf_8(coded))
        data, text = data + coded + b"\n", text + line + "\n"
    assert decoded(data, None, "gbk", cuts)[0] == text


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def test_plain_text_is_given_out_at_once_and_doubtful_text_when_it_is_sure() -> None:
    decoder = OutputDecoder(None, "gbk")
    assert decoder.feed(b"plain ") == "plain "
    assert decoder.feed("一二三".encode()) == ""  # three characters may be UTF-8 by accident
    assert decoder.feed("四五六七八\n".encode()) == "一二三四五六七八\n"
    assert decoder.feed("plain 九".encode()) == "plain "  # each line by itself: it may turn out to be another's
    assert decoder.feed("十\n".encode()) == "九十\n"
    other = OutputDecoder(None, "utf-8")
    assert other.feed("一".encode()[:2]) == "" and other.feed("一".encode()[2:]) == "一"


def test_what_is_held_back_is_bounded() -> None:
    decoder = OutputDecoder(None, "gbk")
    given_out = decoder.feed("好".encode())
    for _ in range(HELD_BYTES // 1000 + 1):
        given_out += decoder.feed(b"x" * 1000)
    assert given_out.startswith("好x") and len(given_out) > HELD_BYTES - 1000
    assert decoder.feed(b"\xc4\xe3\n" + b"y" * 3 * HELD_BYTES)[:3] == "你\ny"
    assert decoder.read_as == "gbk"


def open_handles() -> int:
    if sys.platform == "win32":
        handles = psutil.Process().num_handles()
    else:
        handles = psutil.Process().num_fds()
    return handles


def test_no_handle_is_left_open() -> None:
    run("echo hello")
    before = open_handles()
    for _ in range(5):
        run("echo hello")
        run([sys.executable, "-c", "import sys, subprocess as s; s.Popen([sys.executable, '-c', 'input()'])"])
    assert open_handles() <= before
