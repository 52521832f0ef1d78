"""Questions: what each pull request answers, in our words. Indexed with the record so that plain and symptom wording finds it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from kernelwiki.errors import CorpusUnreadable


def read_questions(folder: Path) -> dict[str, list[str]]:
    """Questions by record id, from every `*.jsonl.gz` of `folder` (lines {"query", "kind", "id"})."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.jsonl.gz")):
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for line in file:
                    row = json.loads(line)
                    found.setdefault(row["id"], []).append(row["query"])
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise CorpusUnreadable(
                f"{path}: not a complete question file ({error!r}). Reinstall kernel-skills or restore the file."
            ) from error
    return found
