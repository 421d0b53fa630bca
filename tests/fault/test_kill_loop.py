"""R1, R2, R3. The seed is printed: the same one makes the same tasks and pauses."""

import random

from tests.fault.kill_loop import KillLoop
from tests.fault.outside import Outside
from tests.fault.size import pick

KILLS = pick(30, 500)
TASKS, RUNS = pick(600, 15_000), pick(1_000, 40_000)
"""Fewer would be no load."""


def test_kill_minus_nine_loses_nothing_and_doubles_nothing(outside: Outside) -> None:
    seed = random.SystemRandom().randrange(10**6)
    report = KillLoop(outside, seed).run(KILLS)
    print(f"kill loop: seed {seed}, {report}")
    assert report.violations == [], f"seed {seed}"
    assert report.kills == KILLS
    assert report.tasks >= TASKS and report.runs >= RUNS and report.deleted > 0


def test_the_loop_notices_a_claim_that_comes_after_the_start(outside: Outside) -> None:
    report = KillLoop(outside, 1, claim_late=True).run(120)
    print(f"kill loop without its guard: {report}")
    assert any("times" in violation for violation in report.violations), "the loop above proves nothing"
