"""Data tables of the package: YAML files beside the code, read through a compiled JSON copy.

Importing a YAML parser costs as much as a diagnosis.
After editing a table run `python -m ncu_skill.data`; a test fails while the copy is stale.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

TABLES = ("catalog", "comparison", "metrics", "opcodes", "playbook", "timeline")
COMPILED = Path(__file__).with_name("tables.json")


@cache
def _compiled() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(COMPILED.read_text(encoding="utf-8"))
    return found


def table(name: str) -> Any:
    """One table: catalog, comparison, opcodes, playbook or timeline, or the parsed expressions of the playbook. Keys are strings."""
    return _compiled()[name]


def compiled_text() -> str:
    """What tables.json has to hold."""
    import yaml

    from ncu_skill.grammar import compiled

    tables = {name: yaml.safe_load(Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8")) for name in TABLES}
    tables["expressions"] = {text: compiled(text) for text in sorted(_texts(tables["playbook"]))}
    return json.dumps(tables, ensure_ascii=False, indent=0) + "\n"


def _texts(playbook: dict[str, Any]) -> set[str]:
    """Every expression of the playbook."""
    found: set[str] = set()
    for row in playbook.values():
        found.update(row.get("when", ()))
        found.update(str(text) for text in row.get("keeps", {}).values())
        found.update(str(row[key]) for key in ("share", "claim", "level", "otherwise") if key in row)
    return found | {"0"}


if __name__ == "__main__":
    COMPILED.write_text(compiled_text(), encoding="utf-8")
