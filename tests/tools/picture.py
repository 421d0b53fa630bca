"""Draws what console commands say: ``python -m tests.tools.picture OUT.svg "task list" "logs --limit 5"``.

The commands run as they are, with the settings of the environment (``DINGSHI_DATA_DIR``, ``DINGSHI_LANGUAGE``); let
a scheduler run there for some minutes before. Each word has its own place and length, so that columns stand whatever
fonts the reader has (rich's own export stretches whole lines); nothing from elsewhere goes into the picture.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

from rich.cells import cell_len

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = 124
CELL, LINE, MARGIN = 8, 20, 16
_WORD = re.compile(r"[\u2e80-\u9fff\uff00-\uff60]+|[^\s\u2e80-\u9fff\uff00-\uff60]+")  # Chinese, and anything else
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
STYLE = ("text { font: 13px/1 ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', 'Noto Sans Mono CJK SC', "
         "'Microsoft YaHei', monospace; fill: #d0d0d0; white-space: pre } .b { font-weight: bold; fill: #fff } "
         ".w { font-size: 15px }")


def said(words: str) -> list[str]:
    """The lines that the command prints on a terminal of our width."""
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "run.py", *words.split()], cwd=ROOT, env=environment, check=True,
                          capture_output=True)
    return done.stdout.decode("utf-8").rstrip().splitlines()


def drawn(number: int, line: str) -> Iterator[str]:
    """One line of the console, word by word."""
    plain = _ANSI.sub("", line)
    for word in _WORD.finditer(plain):
        kinds = ["b"] * ("\x1b[1m" in line) + ["w"] * (cell_len(word[0]) > len(word[0]))
        kind = f' class="{" ".join(kinds)}"' if kinds else ""
        x = MARGIN + CELL * cell_len(plain[:word.start()])
        yield (f'<text{kind} x="{x}" y="{MARGIN + LINE * number + 14}" textLength="{CELL * cell_len(word[0])}">'
               f'{escape(word[0])}</text>')


def picture(lines: list[str]) -> str:
    """Light text on dark ground, with a rim, to stand out on a light page and on a dark one."""
    width, height = COLUMNS * CELL + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    body = "\n".join(text for number, line in enumerate(lines) for text in drawn(number, line))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}">\n<style>{STYLE}</style>\n<rect x="0.5" y="0.5" width="{width - 1}" '
            f'height="{height - 1}" rx="8" fill="#242424" stroke="#808080"/>\n{body}\n</svg>\n')


def main(arguments: list[str]) -> int:
    """The command line."""
    lines: list[str] = []
    for words in arguments[1:]:
        lines += [f"\x1b[1m$ python run.py {words}", *said(words), ""]
    Path(arguments[0]).write_text(picture(lines[:-1]), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
