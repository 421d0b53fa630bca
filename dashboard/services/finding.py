"""What a look at the installation tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]
MOST_NAMED = 5


@dataclass(frozen=True)
class Finding:
    """``code`` for programs; ``remedy`` may be ''."""

    code: str
    level: Level
    text: str
    remedy: str = ""


def named(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    shown = ", ".join(names[:MOST_NAMED])
    return f"{shown} (+{len(names) - MOST_NAMED})" if len(names) > MOST_NAMED else shown
