"""A second process that uses the services on the same store, as the console does.

What a call returned is acknowledged, and only then noted in FILE: ``task ID``, ``gone ID``, ``run LOG_ID RESULT``.
``going ID`` stands there before a task is deleted: from then on it may be gone.
"""

import itertools
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dashboard import config, handlers
from dashboard.errors import DingshiError
from dashboard.models.store import Store
from dashboard.services.log_service import LogService
from dashboard.services.task_service import TaskService
from tests.fault.witness import Witness

INTERVALS = 100
KEPT = 400
"""So many tasks stand before the oldest one that has run is deleted: the store stays of a size."""
FINISHED = "success,failure,interrupted"
NAMES = ("w{0}", "任务-{0}", "w.{0}_x", "Задача{0}", "{0}")


def document(number: int, chance: random.Random) -> dict[str, Any]:
    """A date task due within a second; the first few are interval tasks of a second."""
    trigger: dict[str, Any] = {"type": "interval", "seconds": 1}
    if number >= INTERVALS:
        due = datetime.now(UTC) + timedelta(milliseconds=chance.randint(50, 900))
        trigger = {"type": "date", "run_date": due.isoformat(timespec="milliseconds")}
    return {"id": NAMES[number % len(NAMES)].format(number), "type": Witness.KEY, "trigger": trigger,
            "params": {"seconds": chance.choice([0, 0, 0.02, 0.2])}}


class Client:
    """Works until killed."""

    def __init__(self, noted: Path, seed: int) -> None:
        settings = config.load()
        store = Store(settings.database)
        store.open()
        self.tasks = TaskService(store, settings)
        self.logs = LogService(store, settings)
        self.chance = random.Random(seed)
        self.told = noted.open("a", encoding="utf-8", buffering=1)
        self.seen: set[int] = set()
        self.dates: list[str] = []

    def work(self) -> None:
        """A task every few hundredths of a second."""
        for number in itertools.count():
            try:
                task = self.tasks.create(document(number, self.chance))
                self.told.write(f"task {task.id}\n")
                if number >= INTERVALS:
                    self.dates.append(task.id)
                if number % 5 == 0:
                    self.look()
                if len(self.dates) > KEPT:
                    self.delete(self.dates[0])
            except DingshiError as error:
                print(error, file=sys.stderr)
            time.sleep(0.01)

    def look(self) -> None:
        """Which runs have finished."""
        for row in self.logs.find({"result": FINISHED, "page_size": "100"}).items:
            if row.id not in self.seen:
                self.seen.add(row.id)
                self.told.write(f"run {row.id} {row.result}\n")

    def delete(self, task_id: str) -> None:
        """The oldest task, if its due time has its row; else its turn comes later."""
        self.dates.pop(0)
        if self.tasks.get(task_id).state != "finished":
            self.dates.append(task_id)
            return
        self.told.write(f"going {task_id}\n")
        self.tasks.delete(task_id)
        self.told.write(f"gone {task_id}\n")


if __name__ == "__main__":
    handlers.register(Witness())
    Client(Path(sys.argv[1]), int(sys.argv[2])).work()
