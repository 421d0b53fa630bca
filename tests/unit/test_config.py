"""Settings: what passes, and that everything wrong is told at once, each with its key and its line."""

import re
import sys
import zoneinfo
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
import tzlocal
from marshmallow import ValidationError

from dashboard import config, i18n
from dashboard.config import KEYS, Settings, load
from dashboard.config_paths import check_path
from dashboard.config_schema import is_loopback
from dashboard.errors import SettingsInvalid
from dashboard.i18n import gettext, speaking

ROOT = Path(__file__).resolve().parents[2]
FERNET_KEY = "A" * 43 + "="


def read(folder: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    (folder / "dingshi.toml").write_text(text, encoding="utf-8", newline="")
    return load(environ or {}, root=folder)


def refused(folder: Path, text: str, environ: dict[str, str] | None = None) -> dict[str, list[str]]:
    with pytest.raises(SettingsInvalid) as caught:
        read(folder, text, environ)
    assert caught.value.exit_code == 2
    for key, texts in caught.value.errors.items():
        assert all(f"{key}: {told}" in str(caught.value) for told in texts)
    assert [path.name for path in folder.iterdir()] == ["dingshi.toml"]  # nothing else was made
    return caught.value.errors


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    settings = load({}, root=tmp_path)
    data = tmp_path / "data"
    assert settings.source is None
    assert (settings.data_dir, settings.database, settings.snapshot) == (data, data / "task.db", data / "tasks.pkl")
    assert (settings.log_file, settings.backup_dir) == (data / "scheduler.log", data / "backups")
    assert (settings.host, settings.port, settings.login, settings.exec_tasks) == ("127.0.0.1", 8710, True, True)
    assert (settings.workers, settings.idle_cpu, settings.idle_cooldown_seconds) == (32, 10, 300)
    assert (settings.missed_grace_seconds, settings.min_free_mb) == (60, 64)
    assert (settings.retention_days, settings.retention_rows) == (90, 200_000)
    assert (settings.language, settings.key, settings.handler_dir, dict(settings.smtp)) == (None, None, None, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "\ufeff", "# nothing\n", "\ufeffport = 9000\r\n"])
def test_utf8_with_or_without_bom(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text).port == (9000 if "9000" in text else 8710)


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    settings = read(tmp_path, "port = 9000\nworkers = 4\nlogin = false\ntrusted_hosts = ['a.lan']\n",
                    {"DINGSHI_PORT": "9001", "DINGSHI_LOGIN": "true", "DINGSHI_TRUSTED_HOSTS": "b.lan, c.lan",
                     "DINGSHI_WORKERS": "", "DINGSHI_RUN_ID": "x", "PATH": "y", "DINGSHI_KEY": FERNET_KEY})
    assert (settings.port, settings.workers, settings.login) == (9001, 4, True)
    assert settings.trusted_hosts == ("b.lan", "c.lan")
    assert settings.key == FERNET_KEY
    assert FERNET_KEY not in repr(settings)


def test_the_file_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.toml").write_text("port = 9000\ndata_dir = 'd'\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "sub")  # the working folder counts for nothing
    for settings in (load({"DINGSHI_CONFIG": "sub/mine.toml"}, root=tmp_path),
                     load({"DINGSHI_CONFIG": "no"}, Path("sub/mine.toml"), root=tmp_path)):
        assert (settings.port, settings.data_dir) == (9000, tmp_path / "d")
        assert settings.source == tmp_path / "sub" / "mine.toml"


@pytest.mark.parametrize("name", ["absent.toml", "."])
def test_a_named_file_must_be_readable(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsInvalid, match="cannot be read") as caught:
        load({"DINGSHI_CONFIG": name}, root=tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_relative_paths_count_from_the_programs_folder(tmp_path: Path) -> None:
    settings = read(tmp_path, f"data_dir = 'd'\ndatabase = '../x/task.db'\nlog_file = '{tmp_path / 'log'}'\n")
    assert settings.database == tmp_path.parent / "x" / "task.db"
    assert (settings.snapshot, settings.log_file) == (tmp_path / "d" / "tasks.pkl", tmp_path / "log")
    assert config.ROOT == ROOT


@pytest.mark.parametrize("name", ["", "database", "snapshot", "log_file", "data_dir", "handler_dir"])
@pytest.mark.parametrize(("written", "shown"), [
    (r"D:\new\tasks", r"D:\new\tasks"), (r"C:\Users\me", r"C:\Users\me"), (r"D:\\data\\a", r"D:\data\a"),
    (r"D:\data" + "\\", r"D:\data" + "\\"), (r"\\nas\tasks", r"\\nas\tasks"), (r"data\new", r"data\new"),
])
def test_a_backslash_path_in_double_quotes(tmp_path: Path, name: str, written: str, shown: str) -> None:
    key = name or "'data_dir'"
    errors = refused(tmp_path, f'\nport = 1\n{key} = "{written}" # why\n')
    assert list(errors) == [name or "data_dir"]
    (text,) = errors[name or "data_dir"]
    assert f"= '{shown}'" in text
    assert "line 3" in text


def test_such_a_path_hides_no_other_error(tmp_path: Path) -> None:
    errors = refused(tmp_path, 'data_dir = "D:\\data\\"\nworkers = 0\nsnapshot = "C:\\Users"\n[smtp.a]\nport = "x"\n')
    assert list(errors) == ["data_dir", "snapshot", "workers", "smtp.a.port", "smtp.a.host", "smtp.a.sender"]


@pytest.mark.parametrize("line", ["data_dir = 'a\tb'", 'data_dir = "a\\u0007b"', "data_dir = ''", "data_dir = ' a'"])
def test_control_characters_in_a_path(tmp_path: Path, line: str) -> None:
    errors = refused(tmp_path, f"{line}\n")
    assert list(errors) == ["data_dir"]
    assert "line 1" in errors["data_dir"][0]


def test_windows_paths() -> None:
    for path in (r"D:\dingshi\data", "D:/data", r"\\nas\share\x", r"data\x", r"D:\定时 任务"):
        check_path(path, windows=True)
        assert PureWindowsPath(r"C:\dingshi", path).is_absolute()
    with pytest.raises(ValidationError, match="backslash"):
        check_path("D:data", windows=True)
    for path in (r"D:\a?b", r"D:\nul", r"data\COM1.db", "aux", r"D:\a:b", r"D:\a.\b", "task.db ", r'D:\"x"', "a/con"):
        with pytest.raises(ValidationError, match=r"Windows|blank"):
            check_path(path, windows=True)
    for path in (r"D:\console\auxiliary", r"..\data", r".\com10", "D:/nullen"):
        check_path(path, windows=True)
    for path in (r"D:\data", "D:data", r"\\nas\share"):  # else a folder of that name would be made here
        with pytest.raises(ValidationError, match="Windows"):
            check_path(path, windows=False)


@pytest.mark.skipif(sys.platform != "win32", reason="Windows only: absolute paths")
def test_absolute_windows_paths_are_taken(tmp_path: Path) -> None:
    assert read(tmp_path, "database = 'D:\\data\\task.db'\n").database == Path(r"D:\data\task.db")


@pytest.mark.parametrize(("text", "line", "column"), [
    ("port = 1\nworkers = \n", 2, 11), ("a b\n", 1, 3), ("port = 1\nport = 2\n", 2, None),
    ("[smtp.a]\nuser='x'\n[smtp.a]\n", 3, 8), ("x = 'open\n", 1, 5), ("x = '''open\n\n", 1, 5),
    ("port = " + "9" * 5000, 1, 8), ("data_dir = D:\\x", 1, 12), ("port ＝ 1", 1, 6),
])
def test_syntax_errors_name_line_and_column(tmp_path: Path, text: str, line: int, column: int | None) -> None:
    errors = refused(tmp_path, text, {"DINGSHI_PORT": "x"})
    assert list(errors) == ["dingshi.toml", "DINGSHI_PORT"]
    (told,) = errors["dingshi.toml"]
    found = re.search(r"line (\d+)(?:, column (\d+))?\)$", told)
    assert found
    assert int(found[1]) == line
    assert column is None or int(found[2]) == column
    with speaking("zh"):
        (told,) = refused(tmp_path, text)["dingshi.toml"]
    assert not re.search("[A-Za-z]{6,}", told.split(str(tmp_path))[0].replace("dingshi.toml", ""))


@pytest.mark.parametrize("raw", ["port = 1\nx = '任务'".encode("gbk"), "port = 1".encode("utf-16")])
def test_other_encodings(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "dingshi.toml").write_bytes(raw)
    with pytest.raises(SettingsInvalid, match="UTF-8"):
        load({}, root=tmp_path)


WRONG: dict[str, list[Any]] = {
    "data_dir": [1, "", True, [], "a\nb"], "database": [1, ""], "snapshot": [1, ""], "log_file": [1, ""],
    "host": [1, "", "http://a", "a b", "127.1", "1.2.3.4.5", "a:8710", "-a"], "port": [0, 65536, 1.5, "x", True, []],
    "timezone": [1, "", "Nowhere", "../etc/passwd", "/etc/passwd", "Asia/Shangai"], "language": [1, "", "fr"],
    "workers": [0, 513, "x", 1.5, True], "login": [1, "yes", "", 0], "trusted_hosts": [1, ["a b"], [1], [["a"]], {}],
    "trusted_proxy": [1, "", "proxy.lan"], "insecure_lan": [1, "x"], "exec_tasks": [1, "x"],
    "key": [1, "", "short", "!" * 44], "idle_cpu": [-1, 101, "x", True, float("nan")],
    "idle_cooldown_seconds": [-1, 604_801, "x"], "missed_grace_seconds": [0, 86_401, "x"],
    "min_free_mb": [0, "x", 10**9], "handler_dir": [1, ""], "retention_days": [0, 36_501, "x"],
    "retention_rows": [0, "x", 10**10], "backup_keep": [0, 1001, "x"], "smtp": [1, "x", [], {"a": 1}],
}


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {as_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(as_toml(item) for item in value) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\n", "\\u000a") + '"'
    return str(value).lower()


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_wrong_values(tmp_path: Path, key: str, value: Any) -> None:
    errors = refused(tmp_path, f"# settings\n{key} = {as_toml(value)}\n")
    assert {name.split(".")[0] for name in errors} == {key}
    assert all("dingshi.toml, line 2)" in text for texts in errors.values() for text in texts)
    if isinstance(value, str) and value and "\n" not in value and KEYS[key].environment:
        errors = refused(tmp_path, "", {KEYS[key].variable: value})
        assert list(errors) == [KEYS[key].variable]


def test_the_table_of_wrong_values_is_complete() -> None:
    assert set(WRONG) == set(KEYS)


def test_every_error_at_once(tmp_path: Path) -> None:
    errors = refused(tmp_path, "port = 0\nPORT = 1\nretention = 1\n[smtp.a]\nhost = 'h'\nx = 1\n",
                     {"DINGSHI_WORKERS": "x", "DINGSHI_DATABSE": "y", "DINGSHI_SMTP": "z", "DINGSHI_ZZZZ": "1"})
    assert list(errors) == ["PORT", "retention", "port", "smtp.a.x", "smtp.a.sender", "DINGSHI_DATABSE",
                            "DINGSHI_SMTP", "DINGSHI_ZZZZ", "DINGSHI_WORKERS"]
    assert "Did you mean port?" in errors["PORT"][0]
    assert "Did you mean retention_" in errors["retention"][0]
    assert "Did you mean DINGSHI_DATABASE?" in errors["DINGSHI_DATABSE"][0]
    assert "only be set in the file" in errors["DINGSHI_SMTP"][0]
    assert "line 6" in errors["smtp.a.x"][0]
    assert "line 4" in errors["smtp.a.sender"][0]  # of the table, where the key is not there


def test_errors_speak_chinese(tmp_path: Path) -> None:
    with speaking("zh"):
        errors = refused(tmp_path, "port = 0\n")
    assert "第 1 行" in errors["port"][0]


@pytest.mark.parametrize(("name", "near"), [
    ("Asia/Shangai", "Asia/Shanghai"), ("shanghai", "Asia/Shanghai"), ("Asia/Beijing", "Asia/Shanghai"),
    ("China Standard Time", "Asia/Shanghai"), ("europe/berlin", "Europe/Berlin"), ("New York", "America/New_York"),
])
def test_a_wrong_zone_is_answered_with_the_right_one(tmp_path: Path, name: str, near: str) -> None:
    if sys.platform in ("win32", "darwin") and name == "europe/berlin":
        pytest.skip("the file system ignores case")
    assert f"Did you mean {near}?" in refused(tmp_path, f"timezone = '{name}'")["timezone"][0]


@pytest.mark.parametrize(("text", "key"), [
    ("database = 'data'", "database"), ("log_file = './data/../data/'", "log_file"),
    ("snapshot = 'data/task.db'", "snapshot"), ("database = 'data/tasks.pkl'", "database"),
    ("database = 'data/scheduler'\nlog_file = 'data/scheduler-shm'", "log_file"),
    ("log_file = 'x.lock'\ndatabase = 'x'", "log_file"), ("snapshot = 'data/scheduler.log.lock'", "snapshot"),
    ("database = 'x'\nsnapshot = 'x-wal'", "snapshot"), ("snapshot = 'data/task.db.lock'", "snapshot"),
    ("database = 'x'\nlog_file = 'x-journal'", "log_file"), ("log_file = 'data/tasks.pkl'", "log_file"),
])
def test_no_two_files_in_one_place(tmp_path: Path, text: str, key: str) -> None:
    (told,) = refused(tmp_path, text)[key]
    assert "same file as" in told or "the folder data_dir" in told
    line = 1 + next(number for number, line in enumerate(text.split("\n")) if line.startswith(key))
    assert told.endswith(f"line {line})")


def test_keys_are_found_where_they_stand(tmp_path: Path) -> None:
    text = "x = '''\nport = 0\n'''\nport = 0\nsmtp.a.port = 0\nworkers = [\n 'a',\n]\nlogin = 1\n"
    errors = refused(tmp_path, text)
    lines = {name: texts[0].rpartition("line ")[2] for name, texts in errors.items()}
    assert lines == {"x": "1)", "port": "4)", "smtp.a.port": "5)", "smtp.a.host": "5)", "smtp.a.sender": "5)",
                     "workers": "6)", "login": "9)"}


def test_what_only_goes_together(tmp_path: Path) -> None:
    assert not read(tmp_path, "login = false\nhost = 'localhost'\n").login
    errors = refused(tmp_path, "login = false\nhost = '0.0.0.0'\nlog_file = 'x'\n", {"DINGSHI_DATABASE": "./x"})
    assert list(errors) == ["login", "log_file"]
    assert list(refused(tmp_path, "host = 'a.lan'", {"DINGSHI_LOGIN": "off"})) == ["DINGSHI_LOGIN"]


@pytest.mark.parametrize(("host", "local"), [
    ("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("LOCALHOST", True), ("0.0.0.0", False), ("::", False),
    ("a.lan", False),
])
def test_programs_may_be_run_on_loopback_alone_unless_said(tmp_path: Path, host: str, local: bool) -> None:
    assert is_loopback(host) is local
    assert read(tmp_path, f"host = '{host}'").exec_tasks is local
    assert read(tmp_path, f"host = '{host}'\nexec_tasks = true").exec_tasks is True


def test_mail_servers(tmp_path: Path) -> None:
    settings = read(tmp_path, "[smtp.work]\npreset = '163'\nuser = 'a@163.com'\npassword = 'pass#1'\ndefault = true\n"
                              "[smtp.'家 2']\nhost = 'h'\nsecurity = 'none'\nsender = 'a@h'\n")
    assert list(settings.smtp) == ["work", "家 2"]
    assert (settings.smtp["work"].host, settings.smtp["work"].port) == ("smtp.163.com", 465)
    assert settings.smtp["work"].default
    assert "pass#1" not in repr(settings)
    server = "{host = 'h', sender = 'a@h', default = true}"
    assert list(refused(tmp_path, f"[smtp]\na = {server}\nb = {server}\n")) == ["smtp.b.default"]


def test_the_zone_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tzlocal, "get_localzone", lambda: zoneinfo.ZoneInfo("Asia/Shanghai"))
    assert load({}, root=tmp_path).timezone.key == "Asia/Shanghai"

    def none() -> zoneinfo.ZoneInfo:
        raise zoneinfo.ZoneInfoNotFoundError("none")

    monkeypatch.setattr(tzlocal, "get_localzone", none)
    for offset, fine in ((0, True), (28_800, False)):
        monkeypatch.setattr(config, "_utc_offset", lambda offset=offset: offset)
        if fine:
            assert load({}, root=tmp_path).timezone.key == "UTC"
        else:
            with pytest.raises(SettingsInvalid, match="timezone = 'Asia/Shanghai'"):
                load({}, root=tmp_path)
    assert load({"DINGSHI_TIMEZONE": "Asia/Shanghai"}, root=tmp_path).timezone.key == "Asia/Shanghai"


def documented(name: str) -> dict[str, tuple[str, str]]:
    rows = {}
    for line in (ROOT / "docs" / name).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) >= 3 and re.fullmatch(r"`[a-z_]+`", cells[0]):
            rows[cells[0].strip("`")] = (cells[1].strip("`"), cells[2])
    return rows


@pytest.mark.parametrize(("name", "code"), [("settings.md", "en"), ("settings.zh-CN.md", "zh")])
def test_the_documentation_lists_every_setting(name: str, code: str) -> None:
    rows = documented(name)
    assert list(rows) == list(KEYS)
    with speaking(code):
        for key in KEYS.values():
            otherwise, doc = key.otherwise, key.doc
            default = gettext(otherwise) if otherwise else as_toml(key.default).strip('"')
            assert rows[key.name] == (default, gettext(doc))


def test_the_example_is_right(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "examples" / "dingshi.toml").read_text(encoding="utf-8")
    assert read(tmp_path, text).source
    spelled = re.sub(r"^# ?(?=[a-z_]+ = |\[)", "", text, flags=re.MULTILINE)  # the offered lines too
    assert spelled != text
    settings = read(tmp_path, spelled)
    assert settings.smtp


@pytest.mark.parametrize(("text", "environ", "code"), [
    ("language = 'zh'\nport = 'x'\n", {}, "zh"), ("language = \"zh-CN\"\nworkers = [\n", {}, "zh"),
    ("language = 'zh'\n", {"DINGSHI_LANGUAGE": "en"}, "en"), ("language = 'zh'\n", {"DINGSHI_LANGUAGE": "xx"}, "zh"),
    ("language = 'xx'\n", {}, None), ("language = 7\n", {}, None), ("", {}, None),
    ("[smtp.a]\nlanguage = 'zh'\n", {}, None),
    ("\ufeff# é\n  language='en'\nhost = 1\n", {"DINGSHI_LANGUAGE": ""}, "en"),
])
def test_a_valid_language_holds_whatever_else_is_wrong(tmp_path: Path, text: str, environ: dict[str, str],
                                                       code: str | None) -> None:
    (tmp_path / "dingshi.toml").write_text(text, encoding="utf-8")
    assert config.language(environ, root=tmp_path) == code
    assert config.language(environ, tmp_path / "absent.toml") == i18n.choose(environ.values())
