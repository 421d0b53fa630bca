"""The console as people use it: ``main`` with arguments, in this process, against a store in a folder of its own."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dashboard.cli import main
from dashboard.i18n import speaking
from dashboard.models.store import Store
from tests.factories import make_store

ZONE = "Asia/Shanghai"


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON value; nothing else may stand there."""
        return json.loads(self.out)


class Console:
    """Call it with the words of a command line. Settings come from the environment alone."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._stores: list[Store] = []
        (folder / "dingshi.toml").write_text("", encoding="utf-8")
        self.environment(CONFIG=str(folder / "dingshi.toml"), DATA_DIR=str(folder), TIMEZONE=ZONE, LANGUAGE="en",
                         MIN_FREE_MB="1")
        monkeypatch.setenv("COLUMNS", "200")

    def environment(self, **settings: str) -> None:
        """Sets ``DINGSHI_*`` variables."""
        for name, value in settings.items():
            self._monkeypatch.setenv(f"DINGSHI_{name}", value)

    def typed(self, text: str) -> None:
        """What the person types at the next question."""
        self._monkeypatch.setattr("sys.stdin", io.StringIO(text))

    def __call__(self, *words: str, code: int = 0) -> Answer:
        """Runs it; the exit code must be ``code``. Each call is a program of its own, as far as language goes."""
        self._capsys.readouterr()
        with speaking("en"):
            found = main(list(words))
        while self._stores:
            self._stores.pop().close()
        said = self._capsys.readouterr()
        answer = Answer(found, said.out, said.err)
        assert answer.code == code, f"exit {found}\n{said.out}\n{said.err}"
        assert "Traceback" not in said.out + said.err
        return answer

    def store(self) -> Store:
        """The store, opened beside the console's own; closed after the next command at the latest."""
        store = Store(self.folder / "task.db")
        store.open()
        self._stores.append(store)
        return store


def with_store(console: Console) -> Console:
    """A console whose store is there already."""
    make_store(console.folder).close()
    return console
