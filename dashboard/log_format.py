"""How a record looks in ``scheduler.log``."""

import logging
import re
import traceback
from datetime import datetime, tzinfo

LONGEST = 16 * 1024
"""Characters of a message, and of a traceback; the rest is cut off."""
_UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def encode(record: logging.LogRecord, zone: tzinfo) -> bytes:
    """The record as its lines in the file, UTF-8:
    ``2026-11-23T18:00:00.123+08:00 INFO dingshi.engine [4711 MainThread] text``, one line; a traceback follows in
    indented lines. Control characters are escaped, so that no text can look like another record."""
    when = datetime.fromtimestamp(record.created, zone).isoformat(timespec="milliseconds")
    name = f"{record.name} [{record.process} {record.threadName}]"
    lines = [_escape(f"{when} {record.levelname} {name} {_shorten(record.getMessage())}")]
    lines += [f"    {_escape(line)}" for line in _shorten(_traceback(record)).split("\n") if line]
    return ("\n".join(lines) + "\n").encode("utf-8")


def _traceback(record: logging.LogRecord) -> str:
    text = record.exc_text or ""
    if not text and record.exc_info and record.exc_info[0]:
        text = "".join(traceback.format_exception(*record.exc_info))
    return f"{text}\n{record.stack_info}" if record.stack_info else text


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text) - LONGEST} characters more)"


def _escape(text: str) -> str:
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def dropped_record(count: int) -> logging.LogRecord:
    """What the file says once it can be written again."""
    return logging.LogRecord("dingshi.log", logging.WARNING, __file__, 0, "%d messages were dropped while this file "
                             "could not be written", (count,), None)
