"""A second process that uses the services on the same store, as the console does.

What a call returned is acknowledged: it goes to FILE as ``task ID`` or ``run LOG_ID RESULT``.
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

INTERVALS = 10
FINISHED = "success,failure,interrupted"


def document(number: int, chance: random.Random) -> dict[str, Any]:
    """A date task due within a second; the first few are interval tasks of a second."""
    trigger: dict[str, Any] = {"type": "interval", "seconds": 1}
    if number >= INTERVALS:
        due = datetime.now(UTC) + timedelta(milliseconds=chance.randint(50, 900))
        trigger = {"type": "date", "run_date": due.isoformat(timespec="milliseconds")}
    return {"id": f"w{number}", "type": Witness.KEY, "trigger": trigger,
            "params": {"seconds": chance.choice([0, 0, 0.02, 0.2])}}


def work(noted: Path, seed: int) -> None:
    """Until killed."""
    handlers.register(Witness())
    settings = config.load()
    store = Store(settings.database)
    store.open()
    tasks, logs = TaskService(store, settings), LogService(store, settings)
    chance = random.Random(seed)
    seen: set[int] = set()
    with noted.open("a", encoding="utf-8", buffering=1) as told:
        for number in itertools.count():
            try:
                task = tasks.create(document(number, chance))
                told.write(f"task {task.id}\n")
                if number % 5 == 0:
                    for row in logs.find({"result": FINISHED, "page_size": "50"}).items:
                        if row.id not in seen:
                            seen.add(row.id)
                            told.write(f"run {row.id} {row.result}\n")
            except DingshiError as error:
                print(error, file=sys.stderr)
            time.sleep(0.01)


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
