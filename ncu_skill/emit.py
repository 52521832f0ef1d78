"""Emit: one document to stdout, as text or as one JSON document without NaN and infinities."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import click


def emit(document: dict[str, Any], as_json: bool, text: Callable[[dict[str, Any]], str]) -> None:
    """Print the document as JSON, or what `text` makes of it."""
    click.echo(json.dumps(finite(document), allow_nan=False, default=str) if as_json else text(document))


def finite(value: Any) -> Any:
    """The document with NaN and infinities, which JSON has no words for, as null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
