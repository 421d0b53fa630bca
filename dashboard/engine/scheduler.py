"""APScheduler, made unable to die: whatever a trigger, its store or an executor raises, the next pass comes."""

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from apscheduler.executors.base import BaseExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from dashboard.clock import Clock
from dashboard.triggers.contract import Timetable, TimetableTrigger

log = logging.getLogger("dingshi.scheduler")
LONGEST_WAIT = 1.0
"""Seconds. APScheduler's wait is monotonic: after a suspend or a changed clock it would sleep on."""
JUMP = 5.0


def _nothing() -> None:
    """What APScheduler believes it calls; the executor never does."""


class HandOver(BaseExecutor):  # type: ignore[misc]
    """Hands each due task to ``due(key)``; what it leads to is no business of APScheduler's. In the scheduler's
    thread; never raises."""

    def __init__(self, due: Callable[[int], None]) -> None:
        super().__init__()
        self._due = due

    def submit_job(self, job: Job, run_times: list[datetime]) -> None:
        """The inherited one would keep a count for every job there ever was."""
        self._do_submit_job(job, run_times)

    def _do_submit_job(self, job: Job, run_times: list[datetime]) -> None:
        self._due(int(job.id))


class GuardedTrigger(TimetableTrigger):
    """A timetable that raises, or does not advance, ends its own schedule alone, and says so. ``first``: its next
    due time. APScheduler's own look for that, a moment later, could be too late for it."""

    def __init__(self, timetable: Timetable, task_id: str, first: datetime, broken: Callable[[str], None]) -> None:
        super().__init__(timetable)
        self.task_id = task_id
        self.first = first
        self.broken = broken

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        if previous is None:
            return self.first
        try:
            upcoming = super().get_next_fire_time(previous, now)
            if upcoming is not None and upcoming <= previous:
                raise ValueError(f"{upcoming} does not follow {previous}")
        except Exception as error:
            log.exception("trigger failed id=%s: the task has no further due times", self.task_id)
            self.broken(f"{type(error).__name__}: {error}")
            return None
        return upcoming


class GuardedScheduler(BackgroundScheduler):  # type: ignore[misc]
    """Wakes at least once a second. ``last_tick`` is the monotonic time of the last pass; ``broken`` says why tasks,
    by key, have no further due times."""

    def __init__(self, due: Callable[[int], None], clock: Clock) -> None:
        super().__init__(
            executors={"default": HandOver(due)}, timezone="UTC", daemon=True,
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1_000_000})
        self.clock = clock
        self.broken: dict[int, str] = {}
        self.last_tick = clock.monotonic()
        self._seen = (clock.now(), self.last_tick)

    def put(self, key: int, task_id: str, timetable: Timetable, upcoming: datetime) -> None:
        """Schedules a task, anew if it has a job already; ``upcoming`` is its next due time, in the future."""
        self.broken.pop(key, None)
        trigger = GuardedTrigger(timetable, task_id, upcoming, lambda why: self.broken.update({key: why}))
        try:
            self.reschedule_job(str(key), trigger=trigger)
        except JobLookupError:  # none yet, or it ended a moment ago
            self.add_job(_nothing, trigger, id=str(key), name=task_id, next_run_time=upcoming)

    def drop(self, key: int) -> None:
        """Removes a task's job, if it has one."""
        self.broken.pop(key, None)
        with suppress(JobLookupError):
            self.remove_job(str(key))

    def _process_jobs(self) -> float:
        try:
            wait = super()._process_jobs()
        except Exception:
            log.exception("scheduler pass failed; the next one follows")
            wait = LONGEST_WAIT
        self._tick()
        return LONGEST_WAIT if wait is None else min(float(wait), LONGEST_WAIT)

    def _tick(self) -> None:
        now, self.last_tick = self.clock.now(), self.clock.monotonic()
        wall, steady = self._seen
        jump = (now - wall - timedelta(seconds=self.last_tick - steady)).total_seconds()
        if abs(jump) > JUMP:
            log.warning("clock jumped by %.1f s (changed, or the machine slept)", jump)
        self._seen = (now, self.last_tick)
