"""Which addresses a task may call."""

import re
from typing import Literal
from urllib.parse import urlsplit

Problem = Literal["scheme", "userinfo", "host", "port", "characters"]

_LABEL = re.compile(r"\w([\w-]*\w)?", re.ASCII)


def check_url(url: str) -> Problem | None:
    """What is wrong with ``url``, None if nothing. Hosts without a dot (an intranet's) and Chinese ones pass."""
    if any(c.isspace() or ord(c) < 32 or ord(c) == 127 or c == "\\" for c in url):
        return "characters"
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        return "port" if "port" in str(error).lower() else "host"
    if parts.scheme not in ("http", "https"):
        return "scheme"
    if "@" in parts.netloc:
        return "userinfo"
    if port == 0 or parts.netloc.endswith(":"):
        return "port"
    return None if _is_host(host) else "host"


def _is_host(host: str) -> bool:
    if ":" in host:  # urlsplit lets brackets hold an IPv6 address alone
        return True
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return False
    labels = name.removesuffix(".").split(".")
    return len(name) <= 253 and all(len(label) <= 63 and _LABEL.fullmatch(label) for label in labels)
