"""``make fault``: the promises, tried from outside. ``--size ci`` is the short form."""

import argparse
import os
import sys
from pathlib import Path

import pytest


def main() -> int:
    """pytest's exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=("ci", "full"), default="full")
    chosen, rest = parser.parse_known_args()
    os.environ["FAULT_SIZE"] = chosen.size
    return int(pytest.main([str(Path(__file__).parent), "-rA", "--durations=5", "-q", *rest]))


if __name__ == "__main__":
    sys.exit(main())
