"""R1, R2, R3. The seed is printed: the same one makes the same tasks and pauses."""

import random
from pathlib import Path

from tests.fault.kill_loop import KillLoop
from tests.fault.size import pick


def test_kill_minus_nine_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    report = KillLoop(tmp_path, seed).run(pick(30, 500))
    print(f"seed {seed}: {report}")
    assert report.violations == [], f"seed {seed}"
    assert report.kills == pick(30, 500)
    assert report.tasks > report.kills and report.runs > report.kills


def test_the_loop_notices_a_claim_that_comes_after_the_start(tmp_path: Path) -> None:
    report = KillLoop(tmp_path, 1, claim_late=True).run(120)
    print(report)
    assert any("times" in violation for violation in report.violations), "the loop above proves nothing"
