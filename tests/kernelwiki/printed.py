"""What a terminal or an agent must never be sent: shared by the tests of the renderers and of the command."""

from __future__ import annotations

import unicodedata
from typing import Any


def strings(data: Any) -> str:
    """Every string inside a JSON document, joined: its repr would hide control characters."""
    if isinstance(data, dict):
        return strings([*data.keys(), *data.values()])
    return " ".join(map(strings, data)) if isinstance(data, list) else str(data)


def control_characters(text: str) -> set[str]:
    """Control, direction and separator characters and lone surrogates, but for the newline and the tab."""
    return {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in "\n\t"}


def assert_clean(text: str) -> None:
    """No character that a terminal would obey, and no traceback."""
    assert "Traceback" not in text
    assert not control_characters(text)
