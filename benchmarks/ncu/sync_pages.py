"""Carry what pattern pages repeat of the playbook and of RESULTS.md into the pages: `python benchmarks/ncu/sync_pages.py [--check]`.

A pattern page lists the conditions of its finding, the findings that it explains, and the speed-ups of our labelled pairs. Only these
blocks are rewritten; `--check` writes nothing and fails when a page is out of date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CONDITIONS = "All conditions of the finding, in the fact names of the playbook and its catalogue:\n"
EXPLAINS = "It also explains these findings of the same launch: "
TABLE = "| Pair | Finding | Speed-up |\n| --- | --- | --- |\n"
_PAIR = re.compile(r"^\| (\w+) \| ([a-z][a-z0-9-]+) \| ([\d.]+) \| [\d.]+ to", re.M)
_MEASURED = "one H200, clocks not locked"


def with_conditions(text: str, row: dict[str, Any], known: set[str]) -> str:
    """`text` with the conditions of its finding and the findings that it explains."""
    lines = "".join(f"- `{when}`[^finding]\n" for when in row["when"])
    text = re.sub(re.escape(CONDITIONS) + r"(?:- `[^\n]*\n)*", lambda _: CONDITIONS + lines, text)
    others = [f"pattern/{name}" for name in row.get("explains") or [] if name in known]
    if len(others) < 2:
        return text
    sentence = f"{EXPLAINS}{', '.join(others[:-1])} and {others[-1]}.[^finding]"
    return re.sub(re.escape(EXPLAINS) + r"[^\n]*", lambda _: sentence, text)


def with_pairs(text: str, pairs: list[tuple[str, str, str]]) -> str:
    """`text` with the speed-ups of `pairs` (name, finding, ratio), in its table and in the front-matter."""
    if TABLE not in text or not pairs:
        return text
    rows = "".join(f"| `{name}` | `{finding}` | {value}[^run] |\n" for name, finding, value in pairs)
    text = re.sub(re.escape(TABLE) + r"(?:\| `[^\n]*\n)*", lambda _: TABLE + rows, text)
    measured = "".join(
        f'  - {{gpu: "{_MEASURED}", dtype: "as in the pair\'s kernel", shape: "{name} {finding}", '
        f'metric: "speed-up", value: "{value}", source: "run"}}\n'
        for name, finding, value in pairs
    )
    return re.sub(r"(?:  - \{gpu: [^\n]*source: \"run\"\}\n)+", lambda _: measured, text, count=1)


def main() -> None:
    playbook = yaml.safe_load((ROOT / "ncu_skill" / "playbook.yaml").read_text(encoding="utf-8"))
    pairs = _PAIR.findall((ROOT / "benchmarks" / "ncu" / "RESULTS.md").read_text(encoding="utf-8"))
    pages = {path.stem: path for path in sorted((ROOT / "corpus" / "pages" / "pattern").glob("*.md"))}
    changed = []
    for finding, path in pages.items():
        text = path.read_text(encoding="utf-8")
        if finding in playbook and CONDITIONS in text:
            new = with_pairs(with_conditions(text, playbook[finding], set(pages)), [pair for pair in pairs if pair[1] == finding])
            if new != text:
                changed.append(f"pattern/{finding}")
                if "--check" not in sys.argv:
                    path.write_text(new, encoding="utf-8")
    print(f"changed: {', '.join(changed) or 'none'}")
    if changed and "--check" in sys.argv:
        sys.exit("Pattern pages are out of date: run python benchmarks/ncu/sync_pages.py")


if __name__ == "__main__":
    main()
