"""Doctor: what this installation has, what it lacks, and what to run about it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from kernelwiki.errors import KernelWikiError
from kernelwiki.home import find_places
from kernelwiki.indexing.index import complete_indexes, read_info, wanted_version

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
    yield _github_token(places.home)
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


def _github_token(home: Path) -> Finding:
    """What is known of GITHUB_TOKEN without asking anybody: its form, and what the server said of it in the last ingest."""
    token = os.environ.get("GITHUB_TOKEN", "")
    name, fix = (
        "github token",
        "make one at https://github.com/settings/tokens (read access to public repositories is enough) and set GITHUB_TOKEN",
    )
    if not token.strip():
        return Finding(name, True, "not set: `kwiki ingest github` works, with 60 requests an hour instead of 5,000")
    if not token.strip().isascii() or re.search(r"[\s\"']", token.strip()) or token.lower().startswith(("bearer", "token")):
        return Finding(name, False, "GITHUB_TOKEN has blanks, quotes or a word before it: only the token itself belongs there", fix)
    try:
        last = json.loads((home / "ingest" / "token.json").read_text(encoding="utf-8"))
        known = last["token"] == hashlib.sha256(token.strip().encode()).hexdigest()[:12]
    except (OSError, ValueError, TypeError, KeyError):
        known, last = False, {}
    if not known:
        return Finding(name, True, "set, not used yet")
    if not last.get("ok"):
        return Finding(name, False, f"refused by {last.get('base_url')} in the last ingest: it is wrong, expired or revoked", fix)
    return Finding(
        name, True, f"accepted by {last.get('base_url')} in the last ingest, {last.get('limit') or 'unlimited'} requests an hour"
    )


def _chroma(url: str) -> Finding:
    from kernelwiki.indexing.vectors import chroma_client

    try:
        chroma_client(None, url).heartbeat()
    except (KernelWikiError, OSError, ValueError) as error:
        return Finding("chroma server", False, str(error), "start it with `chroma run`, or unset KWIKI_CHROMA_URL")
    return Finding("chroma server", True, url)
