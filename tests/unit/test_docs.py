"""The documentation against the program: what the code has stands in both languages, what stands there the code has;
links lead somewhere, commands parse, examples are taken."""

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import click
import pytest
from marshmallow import Schema

from dashboard import config, errors, handlers, triggers
from dashboard.cli.task_options import options_from, params_from, trigger_from
from dashboard.cli.tree import build
from dashboard.cli.words import cause_word, result_word, state_word
from dashboard.config_schema import KEYS
from dashboard.i18n import speaking
from dashboard.schemas.log import CAUSES, RESULTS
from dashboard.schemas.options import DEFAULTS, OptionsSchema, effective
from dashboard.schemas.task import STATES, load_task
from dashboard.schemas.task_file import read_task_file
from dashboard.servers import PRESETS
from dashboard.services.reasons import REASONS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 25, tzinfo=UTC)
PAIRS = [("README.md", "README.zh-CN.md"), *((f"docs/{name}.md", f"docs/{name}.zh-CN.md")
                                             for name in ("guide", "operations", "settings"))]
FILES = [*(name for pair in PAIRS for name in pair), "docs/architecture.md"]
BOTH = [("en", ""), ("zh", ".zh-CN")]
LATER = {"chain"}  # a cause that nothing makes yet
Json = dict[str, Any]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose(name: str) -> list[str]:
    """Its lines outside of blocks of code."""
    return re.sub(r"^```.*?^```$", "", text(name), flags=re.MULTILINE | re.DOTALL).splitlines()


def headings(name: str) -> list[str]:
    return [line.lstrip("#").strip() for line in prose(name) if re.match(r"#+ ", line)]


def section(name: str, heading: str) -> str:
    """From a heading to the next one of its own or a higher level."""
    lines = text(name).splitlines()
    start = next((n for n, line in enumerate(lines) if line.lstrip("#").strip() == heading), None)
    assert start is not None, f"{name} has no heading {heading!r}"
    level = len(lines[start]) - len(lines[start].lstrip("#"))
    rest = "\n".join(lines[start + 1:])
    return re.split(rf"^#{{1,{level}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def table(part: str) -> list[list[str]]:
    """The rows of all its tables, heads and rules too."""
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
            for line in part.splitlines() if line.startswith("|")]


def firsts(part: str) -> list[str]:
    """The names in backticks in the first column of its tables."""
    return [name for row in table(part) for name in re.findall(r"`([^`]+)`", row[0])]


def blocks(name: str, *kinds: str) -> list[str]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", text(name), flags=re.MULTILINE | re.DOTALL)
    return [body for kind, body in found if kind in kinds]


def commands(name: str) -> list[list[str]]:
    """The words after ``run.py`` of every command line, in blocks and in the text."""
    lines = "\n".join(blocks(name, "sh", "bat", "powershell")).splitlines()
    lines += re.findall(r"`([^`\n]+)`", "\n".join(prose(name)))
    start = re.compile(r"(?:\.venv[/\\]\S*[/\\])?python run\.py\b(.*)")
    return [shlex.split(re.sub(r"\\(?=\w)", "/", found[1]))
            for line in lines if (found := start.match(line.removeprefix("nohup ").removesuffix(" &").strip()))]


def leaves(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{name} ")
        else:
            yield path + name, command


def options(command: click.Command) -> set[str]:
    return {name for param in command.params if isinstance(param, click.Option) and not param.hidden
            for name in param.opts}


def parsed(words: list[str]) -> tuple[str, Json]:
    """The command that these words name, and what it would be given. Raises UsageError."""
    command: click.Command = build()
    context = command.make_context("run.py", list(words))
    path = []
    while isinstance(command, click.Group) and (rest := [*context._protected_args, *context.args]):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        path.append(name or "")
        command, context = found, found.make_context(name, rest, parent=context)
    return " ".join(path), context.params


def guide(suffix: str) -> str:
    return f"docs/guide{suffix}.md"


@pytest.mark.parametrize(("_", "suffix"), BOTH)
def test_every_command_and_option_is_told_and_no_other(_: str, suffix: str) -> None:
    name = guide(suffix)
    told = {heading.strip("`") for heading in headings(name) if heading.startswith("`")}
    known = dict(leaves(build()))
    others = {*triggers.installed(), *handlers.installed(), "python run.py"}
    assert told - others == set(known)
    assert "python run.py" in told
    for path, command in known.items():
        part = re.sub(r"^```.*?^```$", "", section(name, f"`{path}`"), flags=re.MULTILINE | re.DOTALL)
        found = set(re.findall(r"`(--[a-z-]+)", part))
        missing = options(command) - {"--help"} - found
        assert not missing, (path, missing)
        assert {option for option in firsts(part) if option.startswith("--") and option.split()[0]
                not in options(command)} == set(), path


@pytest.mark.parametrize("name", FILES)
def test_every_command_line_parses(name: str) -> None:
    for words in commands(name):
        path, given = parsed(words)
        if path in ("task add", "task edit", "task preview"):
            check_definition(path, given)
        files = [*given.get("files", ()), *([given["params_file"]] if given.get("params_file") else [])]
        assert all((ROOT / file).is_file() for file in files if "FILE" not in str(file)), words


def check_definition(path: str, given: Json) -> None:
    """What a command line defines is taken by the schema."""
    trigger, params, chosen = trigger_from(given), params_from(given), options_from(given)
    if path == "task add":
        load_task({"id": given["task_id"], "type": given["task_type"], "trigger": trigger, "params": params or {},
                   "options": chosen, "paused": given["paused"]}, zone=ZONE, now=NOW)
    else:
        OptionsSchema().load({name: value for name, value in chosen.items() if value is not None})
        if trigger is not None:
            triggers.load(trigger, zone=ZONE, now=NOW)


def test_the_command_lines_are_found() -> None:
    seen = {parsed(words)[0] for name in FILES for words in commands(name)}
    assert seen >= {path for path, _ in leaves(build())}
    assert len(commands("README.md")) >= 10
    with pytest.raises(click.UsageError):
        parsed(["task", "list", "--no-such-option"])
    with pytest.raises(click.UsageError):
        parsed(["task", "lisst"])


@pytest.mark.parametrize(("_", "suffix"), BOTH)
@pytest.mark.parametrize("kind", sorted(triggers.installed()))
def test_every_field_of_every_trigger_is_told(kind: str, _: str, suffix: str) -> None:
    assert set(firsts(section(guide(suffix), f"`{kind}`"))) == set(triggers.installed()[kind].Spec().fields)
    assert f"`{kind}`" in firsts_of_readme(suffix)


def firsts_of_readme(suffix: str) -> set[str]:
    return {f"`{name}`" for name in firsts(text(f"README{suffix}.md"))}


@pytest.mark.parametrize(("_", "suffix"), BOTH)
@pytest.mark.parametrize("kind", sorted(handlers.installed()))
def test_every_param_of_every_task_type_is_told(kind: str, _: str, suffix: str) -> None:
    part = section(guide(suffix), f"`{kind}`").split("\n#### ")[0]
    fields = handlers.installed()[kind].Params().fields
    assert set(firsts(part)) == set(fields)
    needed = {row[0].strip("`") for row in table(part) if row[1] in ("needed", "必填")}
    assert needed == {name for name, field in fields.items() if field.required}
    assert f"--type {kind} " in text(f"README{suffix}.md")


@pytest.mark.parametrize(("heading", "suffix"), [("Mail servers", ""), ("邮件服务器", ".zh-CN")])
def test_every_preset_is_told_as_it_is(heading: str, suffix: str) -> None:
    rows = {row[0].strip("`"): row for row in table(section(guide(suffix), heading))}
    for key, preset in PRESETS.items():
        assert rows[key][1] == preset.host
        assert re.split("[,， ]+", rows[key][2]) == [str(preset.port), preset.security]


@pytest.mark.parametrize(("heading", "suffix"), [("Options", ""), ("选项", ".zh-CN")])
def test_every_option_is_told_with_its_defaults(heading: str, suffix: str) -> None:
    rows = {row[0].strip("`"): row[1] for row in table(section(guide(suffix), heading)) if row[0].startswith("`")}
    assert set(rows) == set(DEFAULTS) == set(OptionsSchema().fields)
    for name, cell in rows.items():
        values = {str(effective({}, handler)[name]) for handler in handlers.installed().values()}
        assert set(re.findall(r"[a-z0-9_]+", re.sub(r"`send_\w+`|else|for", "", cell))) == values, name


@pytest.mark.parametrize(("code", "suffix", "heading", "known", "word"), [
    ("en", "", "Results", RESULTS, result_word), ("zh", ".zh-CN", "执行结果", RESULTS, result_word),
    ("en", "", "Results", CAUSES, cause_word), ("zh", ".zh-CN", "执行结果", CAUSES, cause_word),
    ("en", "", "Tasks", STATES, state_word), ("zh", ".zh-CN", "任务", STATES, state_word),
])
def test_every_result_cause_and_state_is_told(code: str, suffix: str, heading: str, known: tuple[str, ...],
                                              word: Any) -> None:
    part = section(guide(suffix), heading)
    rows = [row for row in table(part) if row[0].startswith("`")]
    for name in set(known) - LATER:
        found = [row for row in rows if row[0] == f"`{name}`"]
        assert found, name
        with speaking(code):
            shown = word(name)
        assert code == "en" or any(row[1] == shown for row in found), (name, shown)
    if known is not STATES:
        assert set(firsts(part)) == (set(RESULTS) | set(CAUSES)) - LATER


@pytest.mark.parametrize(("heading", "suffix"), [("Reasons", ""), ("原因代码", ".zh-CN")])
def test_every_reason_is_told_and_no_other(heading: str, suffix: str) -> None:
    codes = {*REASONS, *(code for handler in handlers.installed().values() for code in handler.REASONS)}
    told = firsts(section(guide(suffix), heading))
    assert set(told) == codes
    assert len(told) == len(codes)


@pytest.mark.parametrize(("name", "heading"), [
    ("docs/guide.md", "Exit codes"), ("docs/guide.zh-CN.md", "退出码"),
    ("docs/operations.md", "Trouble"), ("docs/operations.zh-CN.md", "故障处理"),
])
def test_every_exit_code_is_told(name: str, heading: str) -> None:
    codes = {0, click.UsageError.exit_code}
    codes |= {kind.exit_code for kind in vars(errors).values()
              if isinstance(kind, type) and issubclass(kind, errors.DingshiError)}
    told = [int(row[0]) for row in table(section(name, heading)) if row[0].isdigit()]
    assert told == sorted(codes)


@pytest.mark.parametrize(("_", "suffix"), BOTH)
def test_every_word_of_make_is_told(_: str, suffix: str) -> None:
    for name in ("Makefile", "make.bat"):
        words = re.findall(r'echo "?make (\w+) ', text(name))
        assert len(words) >= 6
        assert set(re.findall(r"`make (\w+)`", text(f"README{suffix}.md"))) == set(words)


def used_settings() -> set[str]:
    """Those that the program acts on: looking at one (``config``, ``doctor``) is no effect."""
    found = {"data_dir"}  # the other paths come from it
    for path in (ROOT / "dashboard").rglob("*.py"):
        if path.stem.startswith(("config", "doctor")):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in KEYS and re.search(
                    r"\bsettings$", ast.unparse(node.value)):
                found.add(node.attr)
    return found


@pytest.mark.parametrize(("mark", "suffix"), [("no effect yet", ""), ("目前不起作用", ".zh-CN")])
def test_settings_without_effect_are_told(mark: str, suffix: str) -> None:
    paragraph = next(part for part in text(f"docs/settings{suffix}.md").split("\n\n") if mark in part)
    assert set(re.findall(r"`(\w+)`", paragraph)) == set(KEYS) - used_settings()


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def links(name: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", "\n".join(prose(name))))


@pytest.mark.parametrize("name", FILES)
def test_every_link_leads_somewhere(name: str) -> None:
    for link in links(name):
        if link.startswith("https://"):
            continue
        target, _, anchor = unquote(link).partition("#")
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.resolve().is_relative_to(ROOT)
        assert path.is_file(), link
        if anchor:
            found = path.resolve().relative_to(ROOT).as_posix()
            assert anchor in [slug(heading) for heading in headings(found)], link


def test_links_are_found_and_headings_are_told_apart() -> None:
    assert all(len(links(name)) >= 3 for name in FILES if "architecture" not in name)
    for name in FILES:
        assert len({slug(heading) for heading in headings(name)}) == len(headings(name)), name


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_both_languages_are_built_alike_and_name_each_other(english: str, chinese: str) -> None:
    assert Path(chinese).name in links(english)
    assert Path(english).name in links(chinese)
    for count in (lambda name: [re.match(r"#*", line).group().count("#")  # type: ignore[union-attr]
                                for line in prose(name) if line.startswith("#")],
                  lambda name: [line.split()[0] for line in text(name).splitlines() if line.startswith("```")],
                  lambda name: [len(words) for words in commands(name) if words[:1] != ["task"]]):
        assert count(english) == count(chinese)
    assert [row[0] for row in table(text(english)) if re.fullmatch(r"(`[^`]+` ?)+|\d+", row[0])] == [
        row[0] for row in table(text(chinese)) if re.fullmatch(r"(`[^`]+` ?)+|\d+", row[0])]


def schema_of(document: Json, part: str) -> Schema | None:
    """Whose params a document in this section is."""
    for kind, handler in handlers.installed().items():
        if f"`{kind}`" == part:
            return handler.Params()
    return None


@pytest.mark.parametrize("name", FILES)
def test_every_example_is_taken(name: str, tmp_path: Path) -> None:
    part = ""
    for line in re.split(r"^(?=#+ |```json)", text(name), flags=re.MULTILINE):
        if not line.startswith("```json"):
            part = line.splitlines()[0].lstrip("# ").strip() if line.startswith("#") else part
            continue
        document = json.loads(line.split("\n", 1)[1].split("```")[0])
        schema = schema_of(document, part)
        if schema is not None:
            schema.load(document)
        elif "tasks" in document:
            for task in document["tasks"]:
                load_task(task, zone=ZONE, now=NOW)
        else:
            triggers.load(document, zone=ZONE, now=NOW)
    for number, body in enumerate(blocks(name, "toml")):
        if "[[tasks]]" in body:
            file = tmp_path / f"{number}.toml"
            file.write_text(body, encoding="utf-8")
            for task in read_task_file(file):
                load_task(task, zone=ZONE, now=NOW)
        else:
            file = tmp_path / "dingshi.toml"
            file.write_text(body, encoding="utf-8")
            assert set(config.load({}, file).smtp) == set(tomllib.loads(body)["smtp"])


def test_the_examples_are_found() -> None:
    counts = {name: (len(blocks(name, "json")), len(blocks(name, "toml"))) for name in FILES}
    assert counts["docs/guide.md"][0] >= 8
    assert all(counts[name][1] for name in FILES if "operations" not in name and "architecture" not in name)


def test_both_example_files_hold_the_same_tasks_and_load_on_any_day() -> None:
    found = [[load_task(task, zone=ZONE, now=datetime(2098, 1, 1, tzinfo=UTC)) for task in read_task_file(path)]
             for path in (DOCS / "examples" / "tasks.json", DOCS / "examples" / "tasks.toml")]
    assert found[0] == found[1]
    assert {task["trigger"]["type"] for task in found[0]} == set(triggers.installed())


def test_the_architecture_names_every_dependency_and_module() -> None:
    said = text("docs/architecture.md")
    project = tomllib.loads(text("pyproject.toml"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {match[0] for line in wanted if (match := re.match(r"[a-z0-9-]+", line))}
    told = {name.split()[0] for row in table(section("docs/architecture.md", "Dependencies, and why"))[1:]
            for name in row[0].split(", ")}
    assert told - {"---", "package", "for", "uv"} == names
    for folder in ("cli", "services", "models", "schemas", "triggers", "handlers", "engine"):
        modules = {path.stem for path in (ROOT / "dashboard" / folder).glob("[a-z]*.py")}
        missing = {module for module in modules if not re.search(rf"`(?:{folder}/)?{module}`", said)}
        assert not missing, (folder, missing)
    leaf = {path.stem for path in (ROOT / "dashboard").glob("[a-z]*.py")}
    assert {module for module in leaf if not re.search(rf"^  .*\b{module}\b", said, re.MULTILINE)} == set()


@pytest.mark.parametrize("name", ["console.svg", "console.zh-CN.svg"])
def test_the_picture_is_small_and_asks_for_nothing_from_elsewhere(name: str) -> None:
    drawn = (DOCS / "images" / name).read_text(encoding="utf-8")
    assert len(drawn.encode("utf-8")) < 60_000
    addresses = set(re.findall(r"https?://[^\"'\s)]+", drawn))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@font-face|@import|<script|<image|href=", drawn)
    assert "half-minute" in drawn
