"""Doctor: what this installation has, what it lacks, and what to run about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from kernelwiki.errors import KernelWikiError
from kernelwiki.home import find_places
from kernelwiki.index import complete_indexes, read_info, wanted_version

OUR_NAMES = ("kernelwiki", "ingest", "ncu_skill", "kernel_lab", "mcp_server")
DISTRIBUTION = "kernel-skills"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `ok` or not, what was seen, and what to run when it is not ok."""

    name: str
    ok: bool
    seen: str
    fix: str = ""


def diagnose() -> Iterator[Finding]:
    """Look at everything, cheapest first. Never raises for something that is broken: that is a finding."""
    yield Finding("python", sys.version_info >= (3, 10), sys.version.split()[0], "install Python 3.10 or newer")
    yield from _names()
    try:
        places = find_places()
    except KernelWikiError as error:
        yield Finding("corpus", False, str(error), "pip install --force-reinstall kernel-skills")
        return
    yield Finding("corpus", True, str(places.corpus))
    yield _home(places.home)
    model = places.model / "model.onnx"
    yield Finding("embedding model", model.is_file(), str(model), "pip install --force-reinstall kernel-skills")
    version = wanted_version(places, os.environ.get("KWIKI_EMBEDDER", ""))
    info = read_info(places.indexes / version)
    older = len(complete_indexes(places))
    seen = f"{info.documents} documents, embedder {info.embedder or 'none (lexical only)'}" if info else f"not built yet ({older} older)"
    yield Finding("index", info is not None and info.dense, seen, "kwiki index build")
    url = os.environ.get("KWIKI_CHROMA_URL")
    if url:
        yield _chroma(url)


def _names() -> Iterator[Finding]:
    """Whether another distribution owns one of our generic top-level names."""
    owners = metadata.packages_distributions()
    for name in OUR_NAMES:
        foreign = sorted({owner for owner in owners.get(name, []) if owner.lower() != DISTRIBUTION})
        if util.find_spec(name) is None and not foreign:
            continue
        seen = f"also owned by {', '.join(foreign)}" if foreign else "ours"
        yield Finding(f"package {name}", not foreign, seen, "install kernel-skills on its own: uv tool install kernel-skills")


def _home(home: Path) -> Finding:
    existing = next(parent for parent in (home, *home.parents) if parent.exists())
    fix = "set KWIKI_HOME to a folder that you can write"
    return Finding("data folder", os.access(existing, os.W_OK), str(home), fix)


def _chroma(url: str) -> Finding:
    from kernelwiki.vectors import chroma_client

    try:
        chroma_client(None, url).heartbeat()
    except (KernelWikiError, OSError, ValueError) as error:
        return Finding("chroma server", False, str(error), "start it with `chroma run`, or unset KWIKI_CHROMA_URL")
    return Finding("chroma server", True, url)
