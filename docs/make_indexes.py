"""Write the generated index pages of the corpus (`corpus/indexes/*.md`); with `--check` fail when they are out of date."""

from __future__ import annotations

import sys
from pathlib import Path

from kernelwiki.home import Places
from kernelwiki.page_lists import index_files, stale_indexes

CORPUS = Path(__file__).parents[1] / "corpus"


def main() -> int:
    """Write or check the index pages."""
    places, folder = Places(CORPUS, CORPUS), CORPUS / "indexes"
    stale = stale_indexes(places, folder)
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"{folder / name} is out of date: run python docs/make_indexes.py", file=sys.stderr)
        return 1 if stale else 0
    folder.mkdir(exist_ok=True)
    for name, text in index_files(places).items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in set(stale) - set(index_files(places)):
        (folder / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
