"""The real program from outside: ``python run.py …`` as people start it, on a data folder of its own.

What was started ends with ``end``; waiting is polling with a deadline.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil

from dashboard import config
from dashboard.clock import to_ms
from dashboard.models.store import Store

ROOT = Path(__file__).resolve().parents[2]
RUN = (sys.executable, str(ROOT / "run.py"))
HOST = (sys.executable, "-m", "tests.fault.host")
ZONE = "Asia/Shanghai"
GROUP: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
FOLDER = "FAULT_FOLDER"
"""In the environment of all that is started: which data folder it belongs to."""
Found = TypeVar("Found")


def until(look: Callable[[], Found], seconds: float, what: str) -> Found:
    """What ``look`` gives as soon as it is something. Fails after ``seconds``."""
    limit = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < limit, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return found


def now_ms() -> int:
    """The present instant as the store keeps it."""
    return time.time_ns() // 1_000_000


def accounted(rows: list[dict[str, Any]], step: int) -> list[int]:
    """Every due time, ``step`` milliseconds apart, that rows of one task tell of, those that one row covers
    included."""
    found = []
    for row in rows:
        if row["covers"] is None:
            found.append(row["scheduled_at"])
        else:
            covers = json.loads(row["covers"])
            start, end = (to_ms(datetime.fromisoformat(covers[name])) for name in ("first", "last"))
            found += range(start, end + 1, step)
            assert (end - start) // step + 1 == covers["count"]
    return sorted(found)


@dataclass(frozen=True)
class Answer:
    """What a command said, and how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        """Standard output as one JSON value; nothing else may stand there."""
        return json.loads(self.out)


class Scheduler:
    """One that was started. ``began``: when, as ``time.monotonic`` tells it."""

    def __init__(self, words: Sequence[str], environ: dict[str, str], said: Path) -> None:
        self.began = time.monotonic()
        self._said = (said.with_suffix(".out"), said.with_suffix(".err"))
        with self._said[0].open("wb") as out, self._said[1].open("wb") as err:
            self.process = subprocess.Popen(words, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            cwd=said.parent, creationflags=GROUP)
        self.pid = self.process.pid

    @property
    def out(self) -> str:
        """Its standard output so far."""
        return self._said[0].read_text("utf-8")

    @property
    def err(self) -> str:
        """Its standard error so far."""
        return self._said[1].read_text("utf-8")

    def ready(self, seconds: float = 15.0) -> float:
        """Waits until it runs; the seconds from its start till then."""
        until(lambda: "is running" in self.out or self.process.poll() is not None, seconds, "the scheduler runs")
        assert self.process.poll() is None, f"exit {self.process.returncode}\n{self.out}\n{self.err}"
        return time.monotonic() - self.began

    def wait(self, seconds: float) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(seconds)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 15.0) -> float:
        """Asks it to stop (on Windows by Ctrl+Break, the one that can be sent); it must end in good order. How long
        that took."""
        asked = time.monotonic()
        self.process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", number))
        code = self.wait(seconds)
        took = time.monotonic() - asked
        assert code == 0, f"exit {code}\n{self.out}\n{self.err}"
        assert "Traceback" not in self.out + self.err
        return took

    def kill(self) -> None:
        """``kill -9``; does nothing to one that has ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


class Outside:
    """One data folder. Call it with the words of a command line; ``start`` starts a scheduler. ``settings`` are
    ``DINGSHI_*`` variables without that beginning."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.words = folder.parent / f"{folder.name}-words"  # what they say stands beside: the folder may be full
        self.words.mkdir(exist_ok=True)
        plain = {name: value for name, value in os.environ.items() if not name.startswith("DINGSHI_")}
        self.environ = {**plain, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "COLUMNS": "200",
                        FOLDER: str(folder)}
        self.configured("")
        self.set(CONFIG=str(self.words / "dingshi.toml"), DATA_DIR=str(folder), TIMEZONE=ZONE, LANGUAGE="en",
                 MIN_FREE_MB="1", **settings)
        self._started: list[Scheduler] = []
        self._ending = ExitStack()

    def set(self, **settings: str) -> None:
        """Sets ``DINGSHI_*`` variables for whatever is started from now on."""
        self.environ |= {f"DINGSHI_{name}": value for name, value in settings.items()}

    def configured(self, text: str) -> None:
        """The content of ``dingshi.toml``."""
        (self.words / "dingshi.toml").write_text(text, encoding="utf-8")

    def __call__(self, *words: str, code: int | None = 0, seconds: float = 20.0,
                 before: Sequence[str] = ()) -> Answer:
        """Runs a command, ``before`` being what stands before it; its exit code must be ``code`` (None: any), and
        nothing it says a traceback."""
        began = time.monotonic()
        done = subprocess.run([*before, *RUN, *words], env=self.environ, stdin=subprocess.DEVNULL,
                              capture_output=True, encoding="utf-8", timeout=seconds, check=False, cwd=self.words)
        answer = Answer(done.returncode, done.stdout, done.stderr, time.monotonic() - began)
        assert code in (None, answer.code), f"{words}: exit {answer.code}, not {code}\n{answer.out}\n{answer.err}"
        assert "Traceback" not in answer.out + answer.err
        return answer

    def start(self, *, host: Sequence[str] = (), before: Sequence[str] = (), ready: bool = True) -> Scheduler:
        """A scheduler; with ``host``, words for ``tests.fault.host``, started by that."""
        program = [*HOST, *host] if host else RUN
        scheduler = Scheduler([*before, *program, "scheduler"], self.environ,
                              self.words / f"scheduler-{len(self._started)}")
        self._started.append(scheduler)
        if ready:
            scheduler.ready()
        return scheduler

    def sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of the store, or a change of it."""
        with closing(sqlite3.connect(self.folder / "task.db", timeout=10)) as store, store:
            store.row_factory = sqlite3.Row
            return [dict(row) for row in store.execute(statement, values)]

    def rows(self, task_id: str = "%") -> list[dict[str, Any]]:
        """The log of one task, or of all, oldest first."""
        return self.sql("SELECT * FROM task_log WHERE task_id LIKE ? ORDER BY id", task_id)

    def whole(self) -> None:
        """Every page of the store is as it should be."""
        assert self.sql("PRAGMA integrity_check") == [{"integrity_check": "ok"}]

    def log(self) -> str:
        """``scheduler.log``."""
        return (self.folder / "scheduler.log").read_text("utf-8")

    def settings(self) -> config.Settings:
        """What the program makes of its environment."""
        return config.load(self.environ)

    def store(self) -> Store:
        """The store opened in this process, as a console opens it; closed by ``end``."""
        store = Store(self.folder / "task.db")
        store.open()
        self.afterwards(store.close)
        return store

    def afterwards(self, step: Callable[..., object], *values: object) -> None:
        """Something that ``end`` does, last one first."""
        self._ending.callback(step, *values)

    def left(self) -> list[psutil.Process]:
        """Commands of tasks, and whatever these started, that live."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                ours = process.environ().get(FOLDER) == str(self.folder) and "DINGSHI_RUN_ID" in process.environ()
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def end(self) -> None:
        """Ends what was started, commands of tasks included, and does what is to be done afterwards."""
        for scheduler in self._started:
            scheduler.kill()
        for process in self.left():
            process.kill()
        self._ending.close()
