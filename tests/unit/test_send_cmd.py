"""send_cmd: what it takes, what it tells of a command's end, what a command gets from us. Trees and output have
tests of their own."""

import codecs
import errno
import json
import os
import re
import sys
import threading
from encodings.aliases import aliases
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from dashboard.errors import flatten
from dashboard.handlers import find, processes, send_cmd
from dashboard.handlers._decode import OutputDecoder
from dashboard.handlers.contract import Cancelled, Failed, Outcome, TimedOut, Unknown
from dashboard.i18n import gettext, speaking
from tests.factories import HandlerContext

POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
HELLO = [sys.executable, "-c", "print('hello')"]


def script(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def run(command: Any, context: HandlerContext | None = None, **params: Any) -> tuple[Outcome, str]:
    """How it ended, and its output. A failure is an outcome, too; every place of a reason has its value."""
    context = context or HandlerContext()
    try:
        outcome = send_cmd.run(send_cmd.Params().load({"command": command, **params}), context)
    except Failed as failure:
        outcome = failure.outcome
    assert outcome is not None and outcome.reason is not None
    assert send_cmd.REASONS[outcome.reason.code] % outcome.reason.values
    json.dumps(outcome.reason.values)
    return outcome, context.text.replace("\r\n", "\n")


def reason(outcome: Outcome) -> dict[str, Any]:
    assert outcome.reason is not None
    return {"code": outcome.reason.code, **outcome.reason.values}


def test_it_is_found_and_its_example_runs_as_it_stands() -> None:
    handler = find("send_cmd")
    assert handler is not None and handler.DEFAULTS == {"retries": 0, "timeout_seconds": 3600}
    assert run(**send_cmd.EXAMPLE)[1] == "hello\n"


@pytest.mark.parametrize(("change", "field"), [
    ({"command": None}, "command"), ({"command": 7}, "command"), ({"command": {"a": 1}}, "command"),
    ({"command": ""}, "command"), ({"command": " \t"}, "command"), ({"command": []}, "command"),
    ({"command": "a\0b"}, "command"), ({"command": "half \ud800"}, "command"),
    ({"command": [""]}, "command.0"), ({"command": [" ", "x"]}, "command.0"), ({"command": ["x", 1]}, "command.1"),
    ({"command": ["x", None]}, "command.1"), ({"command": ["x", "a\0"]}, "command.1"),
    ({"command": ["x", "\udfff"]}, "command.1"), ({"command": ["x", ["y"]]}, "command.1"),
    ({"cwd": ""}, "cwd"), ({"cwd": 5}, "cwd"), ({"cwd": "a\nb"}, "cwd"), ({"cwd": "a\0"}, "cwd"),
    ({"env": []}, "env"), ({"env": {"A": "\0"}}, "env"), ({"env": {"A": 1}}, "env.A.value"),
    ({"env": {"A": None}}, "env.A.value"), ({"env": {"": "x"}}, "env..key"), ({"env": {"A=B": "x"}}, "env.A=B.key"),
    ({"env": {"DINGSHI_RUN_ID": "x"}}, "env.DINGSHI_RUN_ID.key"),
    ({"env": {"dingshi_run_id": "x"}}, "env.dingshi_run_id.key"),
    ({"timeout": 0}, "timeout"), ({"timeout": -1}, "timeout"), ({"timeout": "soon"}, "timeout"),
    ({"timeout": True}, "timeout"), ({"timeout": float("nan")}, "timeout"), ({"timeout": float("inf")}, "timeout"),
    ({"timeout": 10**400}, "timeout"), ({"timeout": None}, "timeout"),
    ({"encoding": "klingon"}, "encoding"), ({"encoding": ""}, "encoding"), ({"encoding": 5}, "encoding"),
    ({"encoding": "编码"}, "encoding"), ({"encoding": "x" * 5000}, "encoding"),
    ({"encoding": "undefined"}, "encoding"),
    ({"encoding": "base64"}, "encoding"), ({"encoding": "zip"}, "encoding"), ({"encoding": "rot13"}, "encoding"),
    ({"success_codes": []}, "success_codes"), ({"success_codes": 0}, "success_codes"),
    ({"success_codes": [0, -1]}, "success_codes.1"), ({"success_codes": [2**32]}, "success_codes.0"),
    ({"success_codes": [1.5]}, "success_codes.0"), ({"success_codes": [True]}, "success_codes.0"),
    ({"shell": True}, "shell"),
])
def test_params_that_cannot_be_taken_name_their_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        send_cmd.Params().load({"command": "x"} | change)
    assert list(flatten(caught.value.messages)) == [field]


def test_the_command_is_needed() -> None:
    with pytest.raises(ValidationError) as caught:
        send_cmd.Params().load({})
    assert list(flatten(caught.value.messages)) == ["command"]


ANY_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner,
                                                                                    max_size=3), max_leaves=6)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["command", "cwd", "env", "timeout", "encoding", "success_codes", "?"]),
                       ANY_JSON))
def test_whatever_comes_is_taken_or_refused_by_field(document: dict[str, Any]) -> None:
    try:
        loaded = send_cmd.Params().load(document)
    except ValidationError as error:
        named = {field.split(".")[0] for field in flatten(error.messages)}
        assert named and named <= set(document) | {"command"}
    else:
        assert loaded["command"] == document["command"]


ENCODINGS = sorted({*aliases, *aliases.values(), "mbcs", "oem", "undefined", "idna", "GB18030", "cp936"})


def is_taken(encoding: str) -> bool:
    try:
        send_cmd.Params().load({"command": "x", "encoding": encoding})
    except ValidationError:
        return False
    return True


def is_of_text(encoding: str) -> bool:
    """By Python's own mark. ``undefined`` decodes nothing, ``idna`` cannot replace what is wrong."""
    try:
        return bool(codecs.lookup(encoding)._is_text_encoding) and encoding not in ("undefined", "idna")
    except LookupError:
        return False


def test_an_encoding_is_taken_if_it_is_one_of_text() -> None:
    assert [name for name in ENCODINGS if is_taken(name) != is_of_text(name)] == []


def test_no_output_is_too_odd_for_any_encoding() -> None:
    odd = [b"", b"plain", b"\xff\xfe\x00\x80", b"\xfe\xff", b"a", bytes(range(256)) * 3]
    for name in filter(is_taken, ENCODINGS):
        for data in odd:
            decoder = OutputDecoder(name, "utf-8")
            text = "".join(decoder.feed(data[n:n + 3]) for n in range(0, len(data), 3))
            assert isinstance(text + decoder.feed(b"", final=True), str), name


@pytest.mark.parametrize("command", [HELLO, "echo hello"])
def test_the_end_of_a_command_that_did_its_work(command: Any) -> None:
    outcome, text = run(command)
    assert (outcome.result, outcome.error, reason(outcome)) == ("success", None, {"code": "cmd_done", "exit_code": 0})
    assert text == "hello\n"


@pytest.mark.parametrize(("command", "code"), [(script("exit(3)"), 3), ("exit 7", 7), (script("exit(255)"), 255)])
def test_any_other_exit_code_is_a_failure_that_names_it(command: Any, code: int) -> None:
    outcome, _ = run(command)
    assert (outcome.result, outcome.final) == ("failure", False)
    assert reason(outcome) == {"code": "cmd_exit", "exit_code": code}


def test_the_task_says_which_codes_are_fine() -> None:
    outcome, _ = run(script("exit(3)"), success_codes=[1, 3])
    assert (outcome.result, reason(outcome)) == ("success", {"code": "cmd_done", "exit_code": 3})
    assert run(HELLO, success_codes=[1])[0].result == "failure"


def test_both_streams_are_kept_in_the_order_of_writing() -> None:
    code = "import os\nfor n in range(6): os.write(1 + n % 2, b'%d\\n' % n)"
    assert run(script(code))[1] == "0\n1\n2\n3\n4\n5\n"


@POSIX_ONLY
@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (11, "SIGSEGV"), (40, "40")])
def test_a_command_ended_by_a_signal_says_by_which(number: int, name: str) -> None:
    outcome, text = run(f"echo before; kill -{number} $$")
    assert (outcome.result, outcome.final) == ("failure", False)
    assert reason(outcome) == {"code": "cmd_signal", "signal": number, "name": name}
    assert text == "before\n"


@pytest.mark.parametrize("program", ["no-such-program-of-ours", str(Path("no", "such", "folder", "program"))])
def test_a_program_that_is_not_there_is_named(program: str) -> None:
    context = HandlerContext()
    outcome, text = run([program, "x"], context)
    assert (outcome.result, outcome.final, text) == ("failure", True, "")
    assert reason(outcome) == {"code": "cmd_not_found", "program": program}
    assert outcome.error and not context.processes


@POSIX_ONLY
def test_a_word_the_shell_does_not_know_is_the_shell_s_own_failure() -> None:
    outcome, text = run("no-such-program-of-ours")
    assert reason(outcome) == {"code": "cmd_exit", "exit_code": 127}
    assert "no-such-program-of-ours" in text


def test_a_folder_that_is_not_there_is_named_and_nothing_started(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "missing", tmp_path / "file"):
        context = HandlerContext()
        outcome, _ = run(HELLO, context, cwd=str(folder))
        assert reason(outcome) == {"code": "cmd_cwd", "folder": str(folder)}
        assert outcome.result == "failure" and not outcome.final  # a network folder comes back
        assert not context.processes


@POSIX_ONLY
def test_a_folder_that_no_system_takes_is_a_failure_with_the_system_s_words() -> None:
    outcome, _ = run(HELLO, cwd="x" * 300)
    assert reason(outcome)["code"] == "cmd_not_started" and "long" in (outcome.error or "")


def test_the_folder_is_that_of_run_py_unless_the_task_says_another(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    where = script("import os; print(os.getcwd())")
    home = Path(__file__).resolve().parents[2]
    assert Path(run(where)[1].strip()) == home
    assert Path(run(where, cwd="docs")[1].strip()) == home / "docs"
    assert Path(run(where, cwd=str(tmp_path))[1].strip()) == tmp_path.resolve()


@POSIX_ONLY
@pytest.mark.parametrize(("mode", "code"), [(0o644, "cmd_denied"), (0o755, "cmd_not_started")])
def test_a_file_that_is_no_program_is_told(tmp_path: Path, mode: int, code: str) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(b"\x7fnotes")
    file.chmod(mode)
    outcome, _ = run([str(file)])
    assert (outcome.result, outcome.final, reason(outcome)["code"]) == ("failure", True, code)
    assert reason(outcome)["program"] == str(file) and outcome.error


@POSIX_ONLY
def test_arguments_that_are_too_long_are_a_failure() -> None:
    outcome, _ = run(["true", "x" * 3_000_000])
    assert (reason(outcome)["code"], outcome.final) == ("cmd_not_started", True)


@pytest.mark.parametrize(("number", "final"), [(errno.EAGAIN, False), (errno.ENOMEM, False), (errno.EMFILE, False),
                                               (errno.ENFILE, False), (errno.ENOEXEC, True), (errno.EIO, True)])
def test_what_passes_by_itself_may_be_retried(
        monkeypatch: pytest.MonkeyPatch, number: int, final: bool) -> None:
    def no_process(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("subprocess.Popen.__init__", no_process)
    monkeypatch.setattr("subprocess.Popen.__del__", lambda self: None)
    outcome, _ = run("echo hello")
    assert (reason(outcome), outcome.final) == ({"code": "cmd_not_started", "program": send_cmd.shell()}, final)


@pytest.mark.parametrize(("command", "batch"), [
    (["report.bat"], True), (["C:\\jobs\\Report.CMD", "x"], True), (["report.bat. "], True), (["report.bat"], True),
    (["report.exe"], False), (["bat"], False), (["cmd.exe", "/c", "report.bat"], False), ("report.bat x", False),
])
def test_a_batch_file_takes_no_list_of_arguments(command: Any, batch: bool) -> None:
    assert send_cmd.is_batch(command) is batch


@pytest.mark.skipif(sys.platform != "win32", reason="Windows only")
def test_a_batch_file_is_refused_as_a_list_and_runs_as_a_text(tmp_path: Path) -> None:
    (tmp_path / "report.bat").write_text("@echo hello %1\r\n", encoding="ascii")
    outcome, _ = run(["report.bat", "x"], cwd=str(tmp_path))
    assert (reason(outcome)["code"], outcome.final) == ("cmd_batch", True)
    assert run("report.bat x", cwd=str(tmp_path))[1] == "hello x\n"


def test_a_child_gets_its_run_s_marker_and_nothing_else_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DINGSHI_KEY", "canary")
    monkeypatch.setenv("dingshi_port", "canary")
    monkeypatch.setenv("DINGSHI_RUN_ID", "outer")
    monkeypatch.setenv("KEPT", "as it was")
    context = HandlerContext()
    _, text = run(script("import json, os; print(json.dumps(dict(os.environ)))"), context,
                  env={"MINE": "值 %PATH% $HOME", "KEPT": "changed"})
    found = json.loads(text)
    assert {name: value for name, value in found.items() if name.upper().startswith("DINGSHI_")} == {
        "DINGSHI_RUN_ID": context.marker}
    assert (found["MINE"], found["KEPT"]) == ("值 %PATH% $HOME", "changed")
    assert found["PATH"] == os.environ["PATH"]
    assert os.environ["DINGSHI_RUN_ID"] == "outer"


@pytest.mark.skipif(sys.platform != "win32", reason="Windows only")
def test_names_of_variables_ignore_case_on_windows() -> None:
    assert run("echo %MINE%", env={"mine": "a"})[1] == "a\n"
    assert run("echo %path%", env={"Path": "b"})[1] == "b\n"


def test_a_child_s_input_is_empty() -> None:
    assert run(script("import sys; print(repr(sys.stdin.read()))"))[1] == "''\n"


ARGUMENT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@settings(max_examples=12, deadline=None)
@given(st.lists(ARGUMENT, max_size=30))
@example(["$HOME", "`id`", "; exit 9", "* ?", '"', "'", "\\", "a b", "", "-c", "任务", "%PATH%", "^&|<>", "\n"])
def test_arguments_arrive_as_they_stand(arguments: list[str]) -> None:
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    assert json.loads(run(script(code, *arguments))[1]) == arguments


def test_the_engine_learns_which_process_it_is() -> None:
    context = HandlerContext()
    _, text = run(script("import os; print(os.getpid())"), context)
    ((pid, create_time),) = context.processes
    assert pid == int(text) and abs(create_time - psutil.Process().create_time()) < 1000
    assert not psutil.pid_exists(pid)


def test_a_limit_of_the_task_s_own_is_a_timeout() -> None:
    outcome, _ = run(script("import time; time.sleep(60)"), timeout=0.2)
    assert (outcome.result, outcome.final) == ("timeout", False)
    assert reason(outcome) == {"code": "cmd_timeout", "seconds": 0.2}


def test_whole_seconds_are_shown_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = threading.Timer
    monkeypatch.setattr(threading, "Timer", lambda seconds, *rest: timer(seconds / 1000, *rest))
    assert reason(run(script("import time; time.sleep(60)"), timeout="30")[0])["seconds"] == 30


def test_a_command_quicker_than_its_limit_is_none() -> None:
    assert run(HELLO, timeout=30)[0].result == "success"


def test_a_stopped_run_starts_nothing() -> None:
    context = HandlerContext()
    context.cancel()
    with pytest.raises(Cancelled):
        run(HELLO, context)
    assert not context.processes


def test_a_run_stopped_while_a_slow_folder_is_looked_at_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network folder may take minutes; the run's row is closed by then."""
    context = HandlerContext()

    def slow(folder: Path) -> bool:
        context.cancel()
        return True

    with monkeypatch.context() as patch, pytest.raises(Cancelled):
        patch.setattr(Path, "is_dir", slow)
        run(HELLO, context)
    assert not context.processes


def test_a_run_stopped_while_it_starts_ends() -> None:
    context = HandlerContext()
    context.started = lambda pid, create_time: context.cancel()  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        run(script("import time; time.sleep(60)"), context)


def test_a_command_that_we_fail_to_watch_does_not_stay_behind() -> None:
    context = HandlerContext()

    def fail(pid: int, create_time: float) -> None:
        raise RuntimeError("no")

    context.started = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="no"):
        run(script("import time; time.sleep(60)"), context)
    assert processes.snapshot().marked(lambda marker: marker == context.marker) == set()


@pytest.mark.skipif(sys.platform != "win32", reason="Windows only")
def test_exit_codes_of_windows_are_positive() -> None:
    outcome, _ = run(script("import os; os.kill(os.getpid(), 0xC000013A)"))
    assert reason(outcome) == {"code": "cmd_exit", "exit_code": 0xC000013A}


def test_every_reason_is_put_into_both_languages() -> None:
    for message in [*send_cmd.REASONS.values(), send_cmd.SUMMARY]:
        with speaking("zh"):
            chinese = gettext(message)
        assert chinese != message
        assert set(re.findall(r"%\((\w+)\)s", chinese)) == set(re.findall(r"%\((\w+)\)s", message))


def test_no_reason_has_a_value_that_its_own_code_would_hide() -> None:
    values: dict[str, Any] = {"code": 3}
    for kind in (Failed, Unknown, TimedOut):
        with pytest.raises(TypeError):
            kind("cmd_exit", **values)
