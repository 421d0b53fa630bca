"""The house: who may import whom, what stands at the top, how long things get, and what is never written."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "dashboard").rglob("*.py"))
EVERYTHING = [*SOURCES, ROOT / "run.py", *(ROOT / "migrations").glob("*.py"), *sorted((ROOT / "tests").rglob("*.py"))]
LEAVES = {"clock", "errors", "i18n", "fields", "config", "config_file", "config_schema", "servers", "instants",
          "logfile", "log_format", "toml_words", "config_paths"}
LOWER = LEAVES | {"handlers", "triggers"}
MIDDLE = LOWER | {"models", "schemas", "engine"}
MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys(LEAVES, LEAVES), "triggers": LEAVES, "handlers": LEAVES, "models": LOWER, "schemas": LOWER,
    "engine": MIDDLE, "services": MIDDLE, **dict.fromkeys(("cli", "web", "api"), MIDDLE | {"services"}),
    "app": MIDDLE | {"services", "web", "api"},
}
ONLY_IN: dict[str, set[str]] = {
    "flask": {"web", "api", "app"}, "werkzeug": {"web", "api", "app"}, "peewee": {"models", "engine", "services"},
    "playhouse": {"models", "engine", "services"}, "sqlite3": {"models", "engine", "services", "handlers"},
    "apscheduler": {"engine", "triggers"}, "click": {"cli"}, "rich": {"cli"},
}
TOP = {"run.py", "dashboard", "partials", "static", "migrations", "tests", "Makefile", "make.bat", "README.md",
       "README.zh-CN.md", "LICENSE", "pyproject.toml", "docs", "requirements.txt", "requirements-dev.txt"}
MADE_HERE = {"data", "dingshi.toml", "secret.key", "__pycache__"}  # as .gitignore says
MODULE_LINES, FUNCTION_LINES = 260, 40
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "dashboard")


def forbidden(part: str, tree: ast.AST) -> list[str]:
    """What ``part`` of the house imports and may not. ``part`` itself it may."""
    found = []
    for module in imported(tree):
        top, _, rest = module.partition(".")
        other = rest.split(".")[0]
        if top == "dashboard" and other and other not in MAY_IMPORT[part] | {part}:
            found.append(module)
        if top == "tests" or part not in ONLY_IN.get(top, {part}):
            found.append(module)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    part = path.relative_to(ROOT / "dashboard").with_suffix("").parts[0]
    if part != "__init__":
        assert forbidden(part, ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(("part", "text"), [
    ("handlers", "from dashboard.models.store import Store"), ("models", "import dashboard.engine.ledger"),
    ("clock", "from dashboard import engine"), ("services", "def f():\n    from flask import g"),
    ("schemas", "import peewee"), ("engine", "from dashboard.services.task_service import TaskService"),
    ("triggers", "from dashboard.handlers import contract"), ("cli", "from tests.factories import a_task"),
])
def test_the_rule_notices(part: str, text: str) -> None:
    assert len(forbidden(part, ast.parse(text))) == 1


def test_nothing_else_stands_at_the_top() -> None:
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found - TOP - MADE_HERE == set()


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    first = node.body[0]
    told = ast.get_docstring(node) is not None
    return (node.end_lineno or 0) - node.lineno + 1 - ((first.end_lineno or 0) - first.lineno + 1 if told else 0)


@pytest.mark.parametrize("path", [*SOURCES, ROOT / "run.py"], ids=name_of)
def test_modules_and_functions_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MODULE_LINES
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, FUNCTIONS)]
    assert [node.name for node in functions if length(node) > FUNCTION_LINES] == []


@pytest.mark.parametrize("path", [*SOURCES, ROOT / "run.py"], ids=name_of)
def test_nothing_is_printed_and_nothing_left_undone(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id in ("print", "breakpoint", "eval")]
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text.replace("XX:", ""))


def texts() -> list[Path]:
    kinds = {".py", ".md", ".toml", ".txt", ".json", ".po", ".bat", ""}
    folders = ("dashboard", "docs", "migrations", "tests", "partials", "static", ".ci")
    inside = [path for name in folders for path in (ROOT / name).rglob("*")]
    at_top = [path for path in ROOT.iterdir() if path.name in TOP]
    return [path for path in [*inside, *at_top]
            if path.is_file() and path.suffix in kinds and path != Path(__file__) and "__pycache__" not in path.parts]


def test_no_path_of_one_machine_and_no_package_index_is_written_down() -> None:
    machine = re.compile(r"/(work|root|home/\w+)/|/simple/|--(extra-)?index-url|--find-links", re.IGNORECASE)
    wrong = {name_of(path): machine.findall(path.read_text(encoding="utf-8")) for path in texts()}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_every_requirement_has_a_version_and_hashes() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        joined = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        lines = [line for line in joined if line.strip()]
        assert lines
        assert [line for line in lines if not re.match(r"[a-z0-9._-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []
    runtime, tools = (set(re.findall(r"^[a-z0-9._-]+==\S+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
                      for name in ("requirements.txt", "requirements-dev.txt"))
    assert runtime <= tools


def test_both_makes_know_the_same_words() -> None:
    words = ["init", "run", "test", "check", "fault", "bench"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    batch = (ROOT / "make.bat").read_text(encoding="utf-8")
    assert [word for word in words if f"\n{word}:" not in makefile or f"\n:{word}\n" not in batch] == []
    assert f"({' '.join(words)})" in batch


def test_every_test_is_found_under_a_name_of_its_own() -> None:
    names = [path.name for path in EVERYTHING if path.name.startswith("test_")]
    assert len(names) == len(set(names))
