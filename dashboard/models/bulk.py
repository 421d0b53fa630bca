"""The engine's statements for many runs at once, in SQL of SQLite's own.

Each is one statement over a JSON array, and what it tells comes back as one JSON array: a thousand runs cost a few
steps inside SQLite with Python's lock released, not a thousand that each wait to get it back from busy workers (so no
RETURNING, which is a step a row).
"""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard.clock import to_ms
from dashboard.models.base import compact
from dashboard.models.store import Store


@dataclass(slots=True)
class NewRun:
    """A row to insert, its definition copied from the task row, if that is still the one meant."""

    key: int
    revision: int
    result: str
    cause: str
    scheduled_at: datetime
    at: datetime
    next_run_at: datetime | None = None
    advance: bool = True
    """Set the task's ``next_run_at``; without it the schedule is not touched (idle runs)."""
    owner: str | None = None
    reason: dict[str, Any] | None = None
    covers: dict[str, Any] | None = None
    finished_at: datetime | None = None
    """For a row that never runs: when that was decided."""
    log_id: int = 0
    """Set by ``insert_runs``; 0: not inserted (paused, changed, deleted or already there)."""


@dataclass(slots=True)
class EndedRun:
    """How a run ended. ``key`` is its task's; ``started_at``: when its handler was called; None: as claimed."""

    log_id: int
    key: int
    result: str
    failed: bool
    started_at: datetime | None
    finished_at: datetime
    duration_ms: int | None
    output: str
    reason: dict[str, Any] | None = None
    error: str | None = None
    carried: dict[str, Any] | None = None


_INSERT = """
INSERT INTO task_log (task_key, task_id, task_type, trigger, params, options, result, cause, scheduled_at,
  occurrence_at, at, started_at, owner, reason, covers, finished_at, attempt)
SELECT t.key, t.id, t.type, t.trigger, t.params, t.options, r.value->>2, r.value->>3, r.value->>4,
  r.value->>4, r.value->>5, CASE WHEN r.value->>2 = 'running' THEN r.value->>5 END, r.value->>6,
  r.value->>7, r.value->>8, r.value->>9, 1
FROM json_each(?) AS r JOIN task AS t ON t.key = r.value->>0
WHERE t.revision = r.value->>1 AND t.paused = 0
ON CONFLICT DO NOTHING"""

# Within a transaction nobody else adds rows, and a new id is above every other.
_LAST = "SELECT coalesce(max(id), 0) FROM task_log"
_ADDED = "SELECT json_group_array(json_array(id, task_key, scheduled_at, result, cause)) FROM task_log WHERE id > ?"

_CLAIMED = """
UPDATE task SET next_run_at = CASE r.value->>2 WHEN 1 THEN r.value->>3 ELSE next_run_at END,
  run_count = run_count + (r.value->>4), last_run_at = coalesce(r.value->>5, last_run_at)
FROM json_each(?) AS r WHERE task.key = r.value->>0 AND task.revision = r.value->>1 AND task.paused = 0"""

_COUNT = """
UPDATE task SET run_count = run_count + 1, last_run_at = r.value->>1 FROM json_each(?) AS r
WHERE task.key = r.value->>0"""

# The plus keeps SQLite from walking every queued row for each one meant.
_QUEUED = """
SELECT json_group_array(l.id) FROM json_each(?) AS r JOIN task_log AS l ON l.id = r.value AND +l.result = 'queued'"""

_START = """
UPDATE task_log SET result = 'running', started_at = ?, at = ?, owner = ?
FROM json_each(?) AS r WHERE task_log.id = r.value"""

_BACK = """
UPDATE task_log SET started_at = NULL, owner = NULL, at = scheduled_at,
  result = CASE WHEN here THEN 'queued' ELSE 'cancelled' END,
  reason = CASE WHEN here THEN NULL ELSE '{"code":"deleted"}' END, finished_at = CASE WHEN here THEN NULL ELSE ? END
FROM (SELECT l.id AS meant, EXISTS (SELECT 1 FROM task WHERE task.key = l.task_key) AS here
  FROM json_each(?) AS r JOIN task_log AS l ON l.id = r.value) AS m
WHERE task_log.id = m.meant AND task_log.result = 'running'"""

_UNCOUNT = """
UPDATE task SET run_count = run_count - (r.value->>1), last_run_at = (SELECT started_at FROM task_log AS l
  WHERE l.task_id = task.id AND l.task_key = task.key AND l.started_at IS NOT NULL ORDER BY l.at DESC LIMIT 1)
FROM json_each(?) AS r WHERE task.key = r.value->>0"""

_CANCELLED = """
SELECT json_group_array(l.id) FROM json_each(?) AS r JOIN task_log AS l ON l.id = r.value
WHERE +l.result = 'cancelled'"""

_RETRY = """
INSERT INTO task_log (task_key, task_id, task_type, trigger, params, options, result, cause, scheduled_at,
  occurrence_at, at, attempt, carried)
SELECT l.task_key, l.task_id, l.task_type, l.trigger, l.params, l.options, 'queued', 'retry', r.value->>1,
  l.occurrence_at, r.value->>1, l.attempt + 1, l.carried
FROM json_each(?) AS r JOIN task_log AS l ON l.id = r.value->>0 JOIN task AS t ON t.key = l.task_key"""

_END = """
UPDATE task_log SET result = r.value->>1, started_at = coalesce(r.value->>2, started_at),
  at = coalesce(r.value->>2, at), finished_at = r.value->>3,
  duration_ms = r.value->>4, output = r.value->>5, reason = r.value->>6, error = r.value->>7, carried = r.value->>8
FROM json_each(?) AS r WHERE task_log.id = r.value->>0"""

_TOLD = """
UPDATE task SET last_result = r.value->>1, failure_count = failure_count + (r.value->>2),
  last_run_at = max(last_run_at, r.value->>3)
FROM json_each(?) AS r WHERE task.key = r.value->>0"""


def _json(value: Any) -> str | None:
    return None if value is None else compact(value)


def _ms(instant: datetime | None) -> int | None:
    return None if instant is None else to_ms(instant)


def insert_runs(store: Store, runs: list[NewRun]) -> None:
    """Inserts what is still meant, advances the schedules, counts what starts; sets each ``log_id``.

    A run whose occurrence has a row already, or that has no result, is not inserted; its task's schedule advances.
    """
    rows = [[r.key, r.revision, r.result, r.cause, to_ms(r.scheduled_at), to_ms(r.at), r.owner,
             _json(r.reason), _json(r.covers), _ms(r.finished_at)] for r in runs if r.result]
    inserted: dict[tuple[int, int, str, str], list[int]] = {}
    for log_id, *occurrence in _added(store, _INSERT, rows):
        inserted.setdefault(tuple(occurrence), []).append(log_id)
    for run in runs:
        fitting = inserted.get((run.key, to_ms(run.scheduled_at), run.result, run.cause))
        run.log_id = fitting.pop() if fitting else 0  # never one row for two runs
    tasks: dict[tuple[int, int], list[Any]] = {}
    for run in runs:
        task = tasks.setdefault((run.key, run.revision), [run.key, run.revision, 0, None, 0, None])
        if run.advance:
            task[2:4] = [1, _ms(run.next_run_at)]
        if run.log_id and run.result == "running":
            task[4:6] = [task[4] + 1, to_ms(run.at)]
    store.database.execute_sql(_CLAIMED, (compact(list(tasks.values())),))


def _added(store: Store, insert: str, rows: list[list[Any]]) -> list[list[Any]]:
    """Does it; the new rows as [id, task key, due, result, cause]."""
    if not rows:
        return []
    last = store.database.execute_sql(_LAST).fetchone()[0]
    store.database.execute_sql(insert, (compact(rows),))
    found: list[list[Any]] = json.loads(store.database.execute_sql(_ADDED, (last,)).fetchone()[0])
    return found


def _count(store: Store, started: list[list[int]]) -> None:
    """UPDATE … FROM changes a row once whatever it joins: several starts of one task go in rounds."""
    while started:
        seen: set[int] = set()
        now: list[list[int]] = []
        later: list[list[int]] = []
        for row in started:
            (later if row[0] in seen else now).append(row)
            seen.add(row[0])
        store.database.execute_sql(_COUNT, (compact(now),))
        started = later


def start_runs(store: Store, runs: list[tuple[int, int]], at: datetime, owner: str) -> set[int]:
    """Turns queued rows, as (log id, task key), into running ones; returns the ids still queued until now."""
    if not runs:
        return set()
    ids = compact([log_id for log_id, _ in runs])
    queued = store.database.execute_sql(_QUEUED, (ids,)).fetchone()[0]
    store.database.execute_sql(_START, (to_ms(at), to_ms(at), owner, queued))
    started = set(json.loads(queued))
    _count(store, [[key, to_ms(at)] for log_id, key in runs if log_id in started])
    return started


def put_back(store: Store, runs: list[tuple[int, int]], now: datetime) -> None:
    """Running rows that have not begun, as (log id, task key), are queued again; cancelled if their task is gone."""
    if not runs:
        return
    store.database.execute_sql(_BACK, (to_ms(now), compact([log_id for log_id, _ in runs])))
    counts = Counter(key for _, key in runs)
    store.database.execute_sql(_UNCOUNT, (compact(list(counts.items())),))


def cancelled_of(store: Store, log_ids: list[int]) -> list[int]:
    """Those of these rows that are cancelled."""
    if not log_ids:
        return []
    found: list[int] = json.loads(store.database.execute_sql(_CANCELLED, (compact(log_ids),)).fetchone()[0])
    return found


def end_runs(store: Store, runs: list[EndedRun]) -> None:
    """Closes rows and tells their tasks, in the order given."""
    if not runs:
        return
    rows = [[r.log_id, r.result, _ms(r.started_at), to_ms(r.finished_at), r.duration_ms, r.output, _json(r.reason),
             r.error, _json(r.carried)] for r in runs]
    store.database.execute_sql(_END, (compact(rows),))
    told: dict[int, list[Any]] = {}
    for run in runs:
        _, _, failures, started = told.get(run.key, [0, "", 0, 0])
        # the claim set last_run_at to its own instant; the run itself began a little later
        told[run.key] = [run.key, run.result, failures + run.failed, max(started, _ms(run.started_at) or 0)]
    store.database.execute_sql(_TOLD, (compact(list(told.values())),))


def insert_retries(store: Store, ended: list[tuple[int, datetime]]) -> list[int]:
    """Queues the next attempt of each ended run, as (its log id, when); returns the new log ids. None for a task that
    is gone."""
    if not ended:
        return []
    rows = [[log_id, to_ms(at)] for log_id, at in ended]
    return [row[0] for row in _added(store, _RETRY, rows)]
