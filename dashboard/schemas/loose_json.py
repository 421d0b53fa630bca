"""What a person meant who typed almost JSON: ``{to="xxx"}``, a Python dict, Chinese punctuation, commas forgotten."""

import json
import re
from typing import Any

from dashboard.toml_words import FULL_WIDTH, WINDOWS_PATH

_PLAIN = str.maketrans({**{mark: plain for mark, plain in FULL_WIDTH.items() if plain != '"'}, "；": ",", ";": ","})
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "”": "”", "＂": "＂", "「": "」"}
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)
_BARE = re.compile(r"[^\s{}\[\],:=\"'“”‘’＂「」｛｝【】：，；＝;、]+")
_WORDS: dict[str, Any] = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|[\"'\\/bfnrt])")


class _Unclear(Exception):
    """Nobody can tell what was meant."""


def read_loosely(text: str, levels: int) -> dict[str, Any] | None:
    """The object meant by ``text``; None if that is not clear, or it is nested more than ``levels`` deep."""
    reader = _Reader(text.removeprefix("\ufeff").strip(), levels)
    try:
        value = reader.value(0) if reader.peek() == "{" else reader.pairs("", 1)
    except _Unclear:
        return None
    return value if isinstance(value, dict) and not reader.peek() else None


class _Reader:
    def __init__(self, text: str, levels: int) -> None:
        self.text = text
        self.levels = levels
        self.at = 0

    def peek(self) -> str:
        """The next character, Chinese punctuation as plain; '' at the end. Skips blanks."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1].translate(_PLAIN)

    def value(self, depth: int) -> Any:
        """An object, list, text, number or word."""
        if depth >= self.levels:
            raise _Unclear
        first = self.peek()
        if first == "{":
            self.at += 1
            return self.pairs("}", depth + 1)
        if first == "[":
            self.at += 1
            return self.items(depth + 1)
        return self.quoted(first) if first in _QUOTES and first else self.word()

    def pairs(self, end: str, depth: int) -> dict[str, Any]:
        """Names and values up to ``end``."""
        found: dict[str, Any] = {}
        while self.peek() != end:
            first = self.peek()
            name = self.quoted(first) if first and first in _QUOTES else self.name()
            if name in found or self.peek() not in (":", "="):
                raise _Unclear
            self.at += 1
            found[name] = self.value(depth)
            self.separator()
        self.at += 1
        if not found and not end:
            raise _Unclear
        return found

    def items(self, depth: int) -> list[Any]:
        """Values up to the closing bracket."""
        found = []
        while self.peek() != "]":
            found.append(self.value(depth))
            self.separator()
        self.at += 1
        return found

    def separator(self) -> None:
        """At most one comma, or none."""
        if self.peek() == ",":
            self.at += 1

    def name(self) -> str:
        """A bare name."""
        found = _BARE.match(self.text, self.at)
        if not found:
            raise _Unclear
        self.at = found.end()
        return found[0]

    def word(self) -> Any:
        """A number, true, false, null, or a bare text without blanks."""
        text = self.name()
        if text in _WORDS:
            return _WORDS[text]
        if _NUMBER.fullmatch(text) and len(text) < 300:
            return json.loads(text)
        return text

    def quoted(self, opening: str) -> str:
        """A text in quotes of any kind."""
        closing, start = _QUOTES[opening], self.at + 1
        at = start
        while at < len(self.text) and self.text[at] != closing:
            at += 2 if self.text[at] == "\\" else 1
        if at >= len(self.text):
            raise _Unclear
        self.at = at + 1
        return self._unescaped(self.text[start:at])

    def _unescaped(self, inner: str) -> str:
        """Backslashes that mean nothing stay as they are; all of them where a path of Windows stands."""
        def meant(found: re.Match[str]) -> str:
            mark = found[1]
            if mark.startswith("u"):
                return chr(int(mark[1:], 16))
            return {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.get(mark, mark)

        if WINDOWS_PATH.search(inner):
            return inner
        text = _ESCAPE.sub(meant, inner)
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")  # halves meet
