"""Emit: one document to stdout, as text or as one JSON document without NaN and infinities."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import Any


def emit(document: dict[str, Any], as_json: bool, text: Callable[[dict[str, Any]], str]) -> None:
    """Print the document as JSON, or what `text` makes of it; what the terminal's encoding lacks becomes a question mark."""
    line = json.dumps(finite(document), allow_nan=False, default=str) if as_json else text(document)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(line.encode(encoding, errors="replace").decode(encoding), flush=True)


def finite(value: Any) -> Any:
    """The document with NaN and infinities, which JSON has no words for, as null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
