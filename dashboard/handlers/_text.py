"""What strangers say (mail servers, web servers), made fit for a row of the log."""

import unicodedata

LIMIT = 1000


def tidy(text: str, limit: int = LIMIT) -> str:
    """``text`` without control characters and half characters, line breaks as `` / ``, at most ``limit`` long."""
    lines = (" ".join(_visible(line).split()) for line in text.splitlines())
    joined = " / ".join(line for line in lines if line)
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"


def readable(text: str) -> str:
    """``text`` with its line breaks and tabs, but no other control characters."""
    return "".join(c if c in "\n\t" else _visible(c) for c in text.replace("\r\n", "\n").replace("\r", "\n"))


def _visible(text: str) -> str:
    # Cc: terminal sequences; Cf: what turns the direction of writing; Cs: half characters, which no store takes
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\t" else c
                   for c in text)
