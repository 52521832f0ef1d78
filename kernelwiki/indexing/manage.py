"""Building on request: the whole index with its Chroma collection, and what is there now."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from kernelwiki.errors import IndexBusy
from kernelwiki.home import Places, find_places
from kernelwiki.indexing.builder import make_index
from kernelwiki.indexing.index import LOCK_SECONDS, IndexInfo, Progress, cannot_write, complete_indexes, read_info, wanted_version


def build_everything(
    embedder: str = "", chroma: bool = True, force: bool = False, progress: Progress | None = None, home: Path | None = None
) -> dict[str, Any]:
    """Build what is missing of the index of the corpus as it is now (`force`: all of it) and report what was built.

    The lock makes one writer of many: a second process waits, then finds everything done. Raises IndexBusy and IndexUnusable.
    """
    from filelock import FileLock, Timeout

    places = find_places(home)
    version = wanted_version(places, embedder)
    folder = places.indexes / version
    started = time.monotonic()
    try:
        places.indexes.mkdir(parents=True, exist_ok=True)
        with FileLock(places.indexes / "lock", timeout=LOCK_SECONDS):
            info = None if force else read_info(folder)
            if info is None:
                info = make_index(places, version, embedder, progress, grow=not force)
            store = _fill_chroma(places, folder, info, force, progress) if chroma and info.dense else ("exact" if info.dense else "none")
    except Timeout:
        raise IndexBusy(
            f"{places.indexes}: another process has been building for {LOCK_SECONDS:.0f} s. See `kwiki index status`."
        ) from None
    except OSError as error:
        raise cannot_write(places, error) from error
    return {
        "version": version,
        "path": str(folder),
        "documents": info.documents,
        "embedder": info.embedder,
        "store": store,
        "seconds": round(time.monotonic() - started, 2),
        "note": info.note,
    }


def _fill_chroma(places: Places, folder: Path, info: IndexInfo, force: bool, progress: Progress | None) -> str:
    """The Chroma collection of this version, embedded or on the server; other versions of ours are dropped there."""
    import shutil

    from kernelwiki.indexing.vectors import chroma_client, fill, open_collection

    url = os.environ.get("KWIKI_CHROMA_URL")
    target, beside = folder / "chroma", places.indexes / f".building-chroma-{info.version}-{os.getpid()}"
    name = f"chroma ({url or 'embedded'})"
    if not url and not force:
        if target.is_dir():
            return name
        kin = (path / "chroma" for path, other in complete_indexes(places) if other.lineage == info.lineage)
        of_lineage = next((path for path in kin if path.is_dir()), None)
        if of_lineage:
            shutil.copytree(of_lineage, beside)
            beside.rename(target)
            return name
    client = chroma_client(beside, url)
    if url and not force and open_collection(client, info.lineage, info.lineage_vectors) is not None:
        return name
    matrix = np.load(folder / "vectors.npy", mmap_mode="r")[: info.lineage_vectors]
    ids = (folder / "ids.txt").read_text(encoding="utf-8").split("\n")
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress("Filling Chroma", done, len(matrix))

    fill(client, info.lineage, matrix, [ids[int(row)] for row in np.load(folder / "owner.npy")[: len(matrix)]], advance)
    if not url:
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)
    return name


def index_status(home: Path | None = None) -> dict[str, Any]:
    """Which indexes are there and whether one fits the corpus as it is now."""
    places = find_places(home)
    version = wanted_version(places, os.environ.get("KWIKI_EMBEDDER", ""))
    found = [
        {**vars(info), "path": str(folder), "chroma": (folder / "chroma").is_dir(), "current": info.version == version}
        for folder, info in complete_indexes(places)
    ]
    return {"path": str(places.indexes), "wanted": version, "up_to_date": any(entry["current"] for entry in found), "indexes": found}
