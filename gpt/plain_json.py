"""JSON that every program can read."""

import json
import math
from typing import Any


def dumps(data: Any, **settings: Any) -> str:
    """Like json.dumps; numbers that are infinite or not a number, which JSON has no word for, are
    null, and text is written in ASCII unless ensure_ascii=False says otherwise."""
    return json.dumps(_plain(data), allow_nan=False, **settings)


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _plain(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
