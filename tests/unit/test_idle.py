"""When the machine counts as idle: the state machine, against the rules in plain words and against a second reading
of them."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.engine.idle import IdleState, Sample
from tests.factories import SCHEDULED_AT as START

LONG = 10_000.0
"""Seconds since the last input: nobody is there."""


class Machine:
    """Feeds samples, five seconds apart unless told otherwise; ``fired`` notes (key, second)."""

    def __init__(self, cooldown: float = 300.0, cpu_limit: float = 10.0) -> None:
        self.state = IdleState(cpu_limit, cooldown)
        self.tasks = {1: 60}
        self.second = 0.0
        self.fired: list[tuple[int, float]] = []
        self.sample(50.0)

    def sample(self, cpu: float = 3.0, input_age: float | None = LONG, *, own: bool = False,
               after: float = 5.0) -> None:
        self.second += after
        at = START + timedelta(seconds=self.second)
        self.state.feed(Sample(self.second, at, cpu, input_age, own))
        self.fired += [(key, self.second) for key in self.state.due(self.tasks)]

    def quiet(self, seconds: float) -> None:
        for _ in range(round(seconds / 5)):
            self.sample(3.0)

    def keys(self) -> list[int]:
        return [key for key, _ in self.fired]


# --- one rule each ----------------------------------------------------------------------------------------------


def test_it_fires_when_the_period_has_lasted_as_long_as_the_task_asks() -> None:
    machine = Machine()
    machine.quiet(55)
    assert machine.fired == [] and machine.state.seconds() == 55
    machine.quiet(5)
    assert machine.fired == [(1, 65.0)]  # quiet since second 5


def test_once_in_a_period_however_long_it_lasts() -> None:
    machine = Machine(cooldown=0)
    machine.quiet(4 * 3600)
    assert machine.keys() == [1]


def test_each_task_has_its_own_duration() -> None:
    machine = Machine()
    machine.tasks = {1: 60, 2: 10, 3: 3600}
    machine.quiet(120)
    assert machine.fired == [(2, 20.0), (1, 65.0)]  # from when it was known on


@pytest.mark.parametrize(("cpu", "idle"), [(10.0, True), (10.1, False), (0.0, True), (25.0, False), (100.0, False)])
def test_idle_begins_at_ten_per_cent(cpu: float, idle: bool) -> None:
    machine = Machine()
    machine.sample(cpu)
    assert (machine.state.since is not None) == idle


def test_the_limit_is_a_setting() -> None:
    machine = Machine(cpu_limit=40.0)
    machine.sample(35.0)
    assert machine.state.since is not None
    machine.sample(39.0)
    machine.sample(40.0)
    assert machine.state.since is not None  # what the setting calls quiet ends nothing
    machine.sample(41.0)
    machine.sample(41.0)
    assert machine.state.since is None


def test_load_between_the_limits_changes_nothing() -> None:
    machine = Machine()
    machine.quiet(30)
    for _ in range(20):
        machine.sample(20.0)
    assert machine.keys() == [1]
    busy = Machine()
    for _ in range(100):
        busy.sample(20.0)
    assert busy.state.since is None


def test_a_period_ends_at_high_load_twice_running_and_not_at_one_peak() -> None:
    machine = Machine()
    for _ in range(6):
        machine.quiet(5)
        machine.sample(90.0)
    assert machine.keys() == [1]
    machine.sample(25.1)
    assert machine.state.since is None
    machine = Machine()
    machine.quiet(30)
    for _ in range(10):
        machine.sample(25.0)
    assert machine.state.since is not None


@pytest.mark.parametrize(("age", "ends"), [(0.0, True), (4.9, True), (5.0, False), (6.0, False), (None, False)])
def test_a_period_ends_at_input_since_the_last_sample(age: float | None, ends: bool) -> None:
    machine = Machine()
    machine.quiet(50)
    machine.sample(3.0, age)
    assert (machine.state.since is None) == ends


def test_after_input_the_period_begins_anew() -> None:
    machine = Machine()
    machine.quiet(50)
    machine.sample(3.0, 1.0)  # a key at second 59
    for age in range(6, 60, 5):
        machine.sample(3.0, float(age))
    assert machine.fired == []
    machine.sample(3.0, 61.0)
    assert machine.fired == [(1, 120.0)]  # quiet since the sample at second 60


def test_without_a_source_of_input_the_processor_alone_decides() -> None:
    machine = Machine()
    for _ in range(12):
        machine.sample(3.0, None)
    assert machine.keys() == [1]


@pytest.mark.parametrize(("gap", "ends"), [(15.0, False), (15.1, True), (3600.0, True)])
def test_a_gap_in_sampling_ends_a_period(gap: float, ends: bool) -> None:
    machine = Machine()
    machine.quiet(50)
    machine.sample(3.0, after=gap)
    assert (machine.state.since is None) == ends
    assert machine.keys() == ([] if ends else [1])


def test_the_first_sample_and_the_one_after_a_gap_begin_nothing() -> None:
    state = IdleState(10.0, 300.0)
    state.feed(Sample(0.0, START, 0.0, LONG))
    assert state.since is None and state.seconds() is None
    state.feed(Sample(5.0, START, 0.0, LONG))
    assert state.since == 0.0
    state.feed(Sample(500.0, START, 0.0, LONG))
    assert state.since is None


def test_our_own_runs_end_no_period_and_begin_none() -> None:
    machine = Machine(cooldown=0)
    machine.quiet(60)
    for _ in range(60):
        machine.sample(100.0, own=True)
    assert machine.state.since == 5.0
    machine.quiet(600)
    assert machine.keys() == [1]  # the same period: nothing fires a second time
    busy = Machine(cooldown=0)
    for _ in range(60):
        busy.sample(2.0, own=True)
    assert busy.state.since is None


def test_high_load_before_and_after_an_own_run_is_not_twice_running() -> None:
    machine = Machine()
    machine.quiet(30)
    machine.sample(90.0)
    machine.sample(90.0, own=True)
    machine.sample(90.0)
    assert machine.state.since is not None
    machine.sample(90.0)
    assert machine.state.since is None


def test_a_person_who_comes_during_an_own_run_ends_the_period() -> None:
    machine = Machine()
    machine.quiet(60)
    machine.sample(100.0, 2.0, own=True)
    assert machine.state.since is None


def test_a_new_period_fires_again_after_the_cool_down_alone() -> None:
    machine = Machine(cooldown=300)
    machine.quiet(60)
    first = machine.second
    machine.sample(3.0, 0.0)
    machine.quiet(600)
    assert machine.fired == [(1, first), (1, first + 300)]


def test_what_ran_before_a_restart_cools_down_too() -> None:
    machine = Machine(cooldown=300)
    machine.state.seed(1, START)
    machine.quiet(600)
    assert machine.fired == [(1, 300.0)]


def test_a_clock_set_back_keeps_no_task_waiting() -> None:
    machine = Machine(cooldown=300)
    machine.state.seed(1, START + timedelta(days=1))
    machine.quiet(60)
    assert machine.keys() == [1]


def test_a_task_made_in_the_middle_of_a_period_waits_its_own_time() -> None:
    machine = Machine()
    machine.tasks = {}
    machine.quiet(1000)
    machine.tasks = {7: 30}
    machine.quiet(30)
    assert machine.fired == []
    machine.quiet(5)
    assert machine.keys() == [7]


def test_a_task_that_was_paused_waits_again_and_cools_down_still() -> None:
    machine = Machine(cooldown=300)
    machine.quiet(60)
    machine.tasks = {}
    machine.sample(3.0, 0.0)
    machine.tasks = {1: 60}
    machine.quiet(100)
    assert machine.keys() == [1]


def test_tasks_that_are_gone_leave_nothing() -> None:
    machine = Machine(cooldown=60)
    for key in range(100):
        machine.tasks = {key: 5}
        machine.quiet(10)
    machine.tasks = {}
    machine.quiet(120)
    machine.sample(3.0, 0.0)
    assert len(machine.keys()) == 100
    assert not machine.state._fired and not machine.state._seen and not machine.state._done


# --- a day ------------------------------------------------------------------------------------------------------


@dataclass
class Day:
    """Eleven spells of 45 minutes in which nobody is there, with a peak of load now and then. Each firing starts a
    run of our own that loads the machine for two minutes. In the fourth spell somebody else's backup runs for five
    minutes, in the sixth the machine sleeps for ten."""

    seed: int = 11

    def quiet(self, second: int) -> bool:
        return second % 7200 >= 4500 and second < 11 * 7200

    def samples(self, running: set[int]) -> Iterable[Sample]:
        """``running``: seconds in which a run of ours goes on; it grows meanwhile."""
        chance, typed = random.Random(self.seed), 0
        for second in range(0, 86_400, 5):
            spell, within = divmod(second, 7200)
            if spell == 5 and 5400 <= within < 6000:
                continue
            cpu = chance.uniform(5, 70)
            if self.quiet(second):
                cpu = 60.0 if second % 175 == 0 else chance.uniform(0, 9)
            elif chance.random() < 0.5:
                typed = second
            if spell == 3 and 5400 <= within < 5700:
                cpu = 80.0
            own = second in running
            at = START + timedelta(seconds=second)
            yield Sample(float(second), at, 95.0 if own else cpu, float(second - typed), own)


def test_a_day_with_eleven_quiet_spells_fires_once_in_each_and_anew_after_sleep_and_foreign_load() -> None:
    day, running, fired = Day(), set[int](), list[int]()
    state = IdleState(10.0, 300.0)
    for sample in day.samples(running):
        state.feed(sample)
        if state.due({1: 60}):
            fired.append(int(sample.tick))
            running.update(range(int(sample.tick) + 5, int(sample.tick) + 125))
    assert len(fired) == 13
    spells = [second // 7200 for second in fired]
    assert [spells.count(spell) for spell in range(11)] == [1, 1, 1, 2, 1, 2, 1, 1, 1, 1, 1]
    assert all(day.quiet(second) for second in fired)


def test_a_threshold_that_counts_our_own_load_would_fire_hundreds_of_times() -> None:
    """Else the day above would prove nothing."""
    running, fired, since = set[int](), 0, None
    for sample in Day().samples(running):
        quiet = sample.cpu <= 10 and (sample.input_age or 0) >= 5
        since = (since if since is not None else sample.tick) if quiet else None
        if since is not None and sample.tick - since >= 60:
            fired += 1
            since = None
            running.update(range(int(sample.tick) + 5, int(sample.tick) + 125))
    assert fired > 100, fired


# --- a second reading of the rules ------------------------------------------------------------------------------


def model(samples: list[Sample], tasks: list[dict[int, int]], cooldown: float) -> list[list[int]]:
    """What fires at each sample, worked out from the whole history each time."""
    def spell(i: int) -> float:
        return samples[i].tick - samples[i - 1].tick

    def touched(i: int) -> bool:
        age = samples[i].input_age
        return age is not None and age < (spell(i) if i else 0)

    def high(i: int) -> bool:
        return i >= 0 and not samples[i].own and samples[i].cpu > 25

    def ends(i: int) -> bool:
        return i == 0 or spell(i) > 15 or touched(i) or (high(i) and high(i - 1))

    def begins(i: int) -> bool:
        return i > 0 and not samples[i].own and samples[i].cpu <= 10 and not ends(i)

    fired: list[tuple[int, int, int]] = []  # (key, end of the period before, index)
    found: list[list[int]] = []
    for i, sample in enumerate(samples):
        end = max(k for k in range(i + 1) if ends(k))
        begun = next((k for k in range(end, i + 1) if begins(k)), None)
        due = []
        for key, seconds in tasks[i].items():
            known = i
            while known and key in tasks[known - 1]:
                known -= 1
            if begun is None or sample.tick - max(samples[begun - 1].tick, samples[known].tick) < seconds:
                continue
            mine = [(period, index) for other, period, index in fired if other == key]
            if any(period == end for period, _ in mine):
                continue
            if mine and sample.tick - samples[mine[-1][1]].tick < cooldown:
                continue
            due.append(key)
        fired += [(key, end, i) for key in due]
        found.append(due)
    return found


steps = st.lists(st.tuples(
    st.sampled_from([5.0, 5.0, 5.0, 5.0, 15.0, 16.0]),
    st.sampled_from([0.0, 3.0, 3.0, 3.0, 10.0, 11.0, 25.0, 26.0, 90.0]),
    st.sampled_from([None, LONG, LONG, LONG, 5.0, 4.0, 0.0]), st.sampled_from([False, False, False, True]),
    st.sampled_from([{}, {1: 10}, {1: 10}, {1: 10, 2: 20}, {1: 10, 2: 20}])), max_size=60)


@given(steps, st.sampled_from([0.0, 30.0, 60.0]))
def test_it_fires_when_a_second_reading_of_the_rules_says_so(
        given_steps: list[tuple[float, float, float | None, bool, dict[int, int]]], cooldown: float) -> None:
    state, tick = IdleState(10.0, cooldown), 0.0
    samples: list[Sample] = []
    found = []
    for after, cpu, age, own, tasks in given_steps:
        tick += after
        samples.append(Sample(tick, START + timedelta(seconds=tick), cpu, age, own))
        state.feed(samples[-1])
        found.append(state.due(tasks))
    assert found == model(samples, [step[-1] for step in given_steps], cooldown)
