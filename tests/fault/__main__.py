"""``make fault``: the promises, tried from outside. ``--size ci`` is the short form. What follows goes to pytest."""

import argparse
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ALONE = ("test_kill_loop.py", "test_second_console.py", "test_second_scheduler.py", "test_stop.py")
"""They measure times of less than a second or load the machine: one after the other. The rest waits most of its time:
two at once."""


def main() -> int:
    """pytest's exit code, the worse one of two rounds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=("ci", "full"), default="full")
    chosen, rest = parser.parse_known_args()
    os.environ["FAULT_SIZE"] = chosen.size
    given = ["-rA", "--durations=5", "-q", *rest]
    together = [str(path) for path in sorted(HERE.glob("test_*.py")) if path.name not in ALONE]
    alone = [str(HERE / name) for name in ALONE]
    codes = [pytest.main([*together, "-n", "2", *given]), pytest.main([*alone, *given])]
    return max(int(code) for code in codes if code != pytest.ExitCode.NO_TESTS_COLLECTED)


if __name__ == "__main__":
    sys.exit(main())
