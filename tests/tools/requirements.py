"""Writes ``requirements*.txt`` from ``pyproject.toml``: ``python -m tests.tools.requirements`` (needs ``uv``).

Exact versions with hashes, for Linux and Windows and every Python from 3.11 on. Versions already there are kept;
``--upgrade`` takes the newest ones. Where packages come from is the machine's own affair: no address goes in.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url",
           "--no-emit-find-links", "--no-header", "--no-annotate", "--quiet")


def lock(name: str, *sources: str, arguments: list[str]) -> None:
    """Writes the file ``name``. Raises CalledProcessError; the resolver has then said why."""
    command = [sys.executable, "-m", "uv", "pip", "compile", *OPTIONS, "--output-file", name, *sources, *arguments]
    subprocess.run(command, cwd=ROOT, check=True)


def main(arguments: list[str]) -> int:
    """The command line; ``arguments`` go to the resolver."""
    lock("requirements.txt", "pyproject.toml", arguments=arguments)
    lock("requirements-dev.txt", "pyproject.toml", "--group", "dev", "--constraints", "requirements.txt",
         arguments=arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
