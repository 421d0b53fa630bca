"""How large a document may be."""

import json
from typing import Any

PARAMS_BYTES = 64 * 1024


def json_size(value: Any) -> int:
    """Bytes of ``value`` as the store keeps it: compact JSON in UTF-8."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8"))
