"""Everything that goes into one commit: ends, retries, starts and claims that came together."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from dashboard.engine.definition import Run
from dashboard.engine.outcome import Ended
from dashboard.models import TaskLog
from dashboard.models.bulk import NewRun, end_runs, insert_retries, insert_runs, put_back, start_runs
from dashboard.models.store import Store


@dataclass(slots=True)
class Batch:
    """``starts``: the first of the board's ready runs. ``claims``: rows to insert. ``skips``: queued rows that may
    not start. ``back``: running rows that have not begun and are queued again. ``keys``, ``idle``: the tasks that
    this batch looked at.

    After ``commit``, ``started`` holds the log ids of those of ``starts`` that were still queued, ``retries`` the
    new rows' ids, and each claim its ``log_id``.
    """

    now: datetime
    ended: list[Ended] = field(default_factory=list)
    starts: list[Run] = field(default_factory=list)
    claims: list[NewRun] = field(default_factory=list)
    skips: list[Run] = field(default_factory=list)
    back: list[Run] = field(default_factory=list)
    processes: dict[int, list[list[float]]] = field(default_factory=dict)
    keys: list[int] = field(default_factory=list)
    idle: list[int] = field(default_factory=list)
    started: set[int] = field(default_factory=set)
    retries: list[int] = field(default_factory=list)

    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not (self.ended or self.starts or self.claims or self.skips or self.back or self.processes)

    def commit(self, store: Store, owner: str) -> None:
        """One transaction. Raises what the store raises; nothing is changed then."""
        with store.writing():
            for log_id, processes in self.processes.items():
                TaskLog.update(processes=processes).where(TaskLog.id == log_id).execute()
            put_back(store, [(run.log_id, run.key) for run in self.back], self.now)
            end_runs(store, [ended.row() for ended in self.ended])
            self.retries = insert_retries(
                store, [(ended.run.log_id, ended.retry_at) for ended in self.ended if ended.retry_at])
            for run in self.skips:
                (TaskLog.update(result="skipped", reason={"code": "overlap"}, finished_at=self.now)
                 .where(TaskLog.id == run.log_id, TaskLog.result == "queued").execute())
            self.started = start_runs(store, [(run.log_id, run.key) for run in self.starts], self.now, owner)
            if self.claims:
                insert_runs(store, self.claims)

    def parts(self) -> Iterator["Batch"]:
        """The same, one thing at a time: what cannot be stored then harms nothing else."""
        for ended in self.ended:
            yield Batch(self.now, ended=[ended])
        if self.starts or self.skips or self.back or self.processes:
            yield Batch(self.now, starts=self.starts, skips=self.skips, back=self.back, processes=self.processes)
        by_key: dict[int, list[NewRun]] = {}
        for claim in self.claims:
            by_key.setdefault(claim.key, []).append(claim)
        for claims in by_key.values():
            yield Batch(self.now, claims=claims)
