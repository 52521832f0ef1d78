"""The index: everything search needs, derived from the corpus, versioned by fingerprint, built beside the old one, then renamed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kernelwiki.errors import IndexBusy, IndexUnusable
from kernelwiki.home import Places

INDEX_SCHEMA = "3"
REVERTS = "reverts.json"  # the pull requests of the index that took others back
COMPLETE = "index.json"
LOCK_SECONDS = 120.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class IndexInfo:
    """What `index.json` of a complete index says. `documents` counts rows, `records` and `sections` those that a search can return.

    `corpus` is the fingerprint of the shipped files. An index that grew from another one keeps its `lineage`, the version of the whole
    build at its beginning: rows keep their numbers in it, and its first `lineage_vectors` vector rows are those of that build.
    """

    version: str
    corpus: str
    lineage: str
    lineage_vectors: int
    documents: int
    records: int
    sections: int
    pages: int
    embedder: str
    built_seconds: float
    archs: tuple[str, ...]
    repos: tuple[str, ...]
    dense: bool
    added: int = 0
    note: str = ""


def wanted_version(places: Places, embedder: str = "") -> str:
    """The version that an index of the corpus as it is now has."""
    return places.fingerprint(INDEX_SCHEMA, embedder)


def corpus_version(places: Places, embedder: str = "") -> str:
    """The part of the version that the user's own records do not change."""
    return places.fingerprint(INDEX_SCHEMA, embedder, own=False)


def read_info(folder: Path) -> IndexInfo | None:
    """The description of a complete index, or None when there is none in `folder`."""
    try:
        data = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        data["archs"], data["repos"] = tuple(data["archs"]), tuple(data["repos"])
        return IndexInfo(**data)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def complete_indexes(places: Places) -> list[tuple[Path, IndexInfo]]:
    """Complete indexes in the home, newest first."""
    found = []
    for folder in places.indexes.glob("*") if places.indexes.is_dir() else ():
        info = None if folder.name.startswith(".") else read_info(folder)
        if info:
            found.append((folder, info))
    return sorted(found, key=lambda entry: (entry[0] / COMPLETE).stat().st_mtime_ns, reverse=True)


def ensure_index(
    places: Places, embedder: str = "", wait: float = LOCK_SECONDS, progress: Progress | None = None
) -> tuple[Path, IndexInfo, str]:
    """The index of the corpus as it is now, built when it is not there: (folder, info, note for the user).

    While another process builds, an older complete index answers at once; without one this waits. Raises IndexBusy after `wait`
    seconds and IndexUnusable when the home cannot be written.
    """
    from filelock import FileLock, Timeout

    from kernelwiki.indexing.builder import make_index

    version = wanted_version(places, embedder)
    folder = places.indexes / version
    info = read_info(folder)
    if info:
        return folder, info, info.note
    older = complete_indexes(places)
    try:
        places.indexes.mkdir(parents=True, exist_ok=True)
        with FileLock(places.indexes / "lock", timeout=0.0 if older else wait):
            info = read_info(folder) or make_index(places, version, embedder, progress)
            return folder, info, info.note
    except Timeout:
        if older:
            return older[0][0], older[0][1], "another process is rebuilding the index: this answer is from the previous one"
        raise IndexBusy(
            f"{places.indexes}: another process has been building the index for {wait:.0f} s. Try again, or see `kwiki index status`."
        ) from None
    except OSError as error:
        if older:
            return older[0][0], older[0][1], f"the index cannot be rebuilt ({error.strerror}): this answer is from the previous one"
        raise cannot_write(places, error) from error


def cannot_write(places: Places, error: OSError) -> IndexUnusable:
    """The error for a home without room or permission."""
    reason = error.strerror or str(error)
    return IndexUnusable(
        f"{places.indexes}: the index cannot be written ({reason}). Free space there, or set KWIKI_HOME to a folder that you can write."
    )
