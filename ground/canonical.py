"""JSON whose bytes depend on the values only."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any


def encode_json(value: Any) -> bytes:
    """Keys sorted, two blanks a level, a line feed at the end; NaN is refused (ValueError)."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def utc(time: datetime) -> str:
    """RFC 3339 in UTC, with microseconds only when there are some."""
    aware = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
    return aware.astimezone(timezone.utc).replace(tzinfo=None).isoformat() + "Z"
