"""The first minutes: what is said while packages are installed, and where one is missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAID = ("Setting up .venv ...", "Installing packages ...")


@pytest.mark.skipif(sys.platform == "win32" or shutil.which("make") is None, reason="POSIX only: make")
def test_make_tells_what_takes_its_time_and_only_then(tmp_path: Path) -> None:
    # The tests themselves may have been started by make, which tells its children so.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.txt").write_text("click\n", encoding="utf-8")
    (tmp_path / ".venv").mkdir()
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    python.chmod(0o700)

    def made() -> str:
        done = subprocess.run(["make", "run", f"PY={python}"], cwd=tmp_path, capture_output=True, check=True,
                              env=environ)
        return done.stdout.decode("utf-8")

    assert made().strip() == "Installing packages ..."
    assert made() == ""


@pytest.mark.parametrize("name", ["Makefile", "make.bat"])
def test_both_files_say_the_same(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert all(said in text for said in SAID)


def test_a_package_that_is_missing_is_told_with_what_helps() -> None:
    done = subprocess.run([sys.executable, "-I", "-S", str(ROOT / "run.py")], capture_output=True, check=False)
    said = done.stderr.decode("utf-8")
    assert done.returncode == 1
    assert "is missing: wait for `make run` or `make init` to end" in said
    assert said.count("\n") == 1
