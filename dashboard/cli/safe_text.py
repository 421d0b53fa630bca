"""Text from elsewhere, made harmless for a terminal (X5)."""

import re

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(text: str, *, line: bool = False) -> str:
    """C0, C1, bidirectional controls, line separators and lone surrogates as escapes; line breaks stay unless
    ``line``."""
    shown = _CONTROL.sub(_escape, text.replace("\r\n", "\n"))
    return shown.replace("\n", "\\n").replace("\t", " ") if line else shown


def safe_json(text: str) -> str:
    """The same for JSON that is made already: what could steer a terminal becomes JSON's own escape."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
