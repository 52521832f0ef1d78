"""Stores: the exact scan, embedded Chroma and a real Chroma server rank alike; filters, reopening, fallbacks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kernelwiki import Wiki
from kernelwiki.errors import BadQuery, IndexUnusable
from kernelwiki.indexing.manage import build_everything
from kernelwiki.indexing.vectors import nearest_rows

QUERIES = [
    "tcgen05 TMEM accumulation",
    "decode attention with one query token fills only a few SMs",
    "FP8 block scaled GEMM",
    "kernel hangs with 2-CTA",
    "moe_align_block_size",
    "activation quantisation is slower than the GEMM",
]


def ids(wiki: Wiki, query: str, **filters: str) -> list[str]:
    return [hit.id for hit in wiki.search(query, limit=10, **filters)]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def with_chroma(shipped: Wiki) -> Path:
    """The home of the session's index, with its embedded Chroma collection built."""
    report = build_everything(home=shipped.places.home)
    assert report["store"] == "chroma (embedded)"
    return shipped.places.home


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real `chroma run` on loopback."""
    folder = tmp_path_factory.mktemp("chroma-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "chroma"), "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        _until_it_answers(process, f"{url}/api/v2/heartbeat")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _until_it_answers(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 60
    pause = __import__("threading").Event()
    while time.monotonic() < deadline:
        assert process.poll() is None, "chroma run ended"
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            pause.wait(0.1)
    raise AssertionError("chroma run did not answer")


@pytest.mark.parametrize("query", QUERIES)
def test_embedded_chroma_ranks_like_the_exact_scan(with_chroma: Path, query: str) -> None:
    exact, chroma = Wiki.open(with_chroma, store="exact"), Wiki.open(with_chroma, store="chroma")
    assert (exact._searcher.store_name, chroma._searcher.store_name) == ("exact", "embedded")
    first, second = ids(exact, query), ids(chroma, query)
    assert first[0] == second[0]
    assert len(set(first) & set(second)) >= 9


def test_filters_give_the_same_answer_from_both_stores(with_chroma: Path) -> None:
    exact, chroma = Wiki.open(with_chroma, store="exact"), Wiki.open(with_chroma, store="chroma")
    options = {"arch": "sm100", "repo": "cutlass"}
    assert set(ids(exact, QUERIES[0], **options)[:5]) == set(ids(chroma, QUERIES[0], **options)[:5])


def test_a_chroma_server_holds_the_collection_and_ranks_alike(with_chroma: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = Wiki.open(with_chroma, store="exact")
    monkeypatch.setenv("KWIKI_CHROMA_URL", server)
    with pytest.raises(IndexUnusable, match="kwiki index build"):
        Wiki.open(with_chroma)
    report = build_everything(home=with_chroma)
    assert report["store"] == f"chroma ({server})"
    remote = Wiki.open(with_chroma)
    assert remote._searcher.store_name == server
    for query in QUERIES[:3]:
        assert len(set(ids(exact, query)) & set(ids(remote, query))) >= 9
    again = build_everything(home=with_chroma)
    assert again["seconds"] < report["seconds"], "a second build finds the collection complete"


def test_a_server_that_does_not_answer_is_named(with_chroma: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KWIKI_CHROMA_URL", "http://127.0.0.1:9")
    with pytest.raises(IndexUnusable, match=r"127\.0\.0\.1:9.*chroma run"):
        Wiki.open(with_chroma)
    monkeypatch.setenv("KWIKI_CHROMA_URL", "not an address")
    with pytest.raises(BadQuery, match="http://host:8000"):
        Wiki.open(with_chroma)


def test_an_unknown_store_is_refused(with_chroma: Path) -> None:
    with pytest.raises(BadQuery, match="auto, exact, chroma"):
        Wiki.open(with_chroma, store="faiss")


def test_nearest_rows_are_the_true_nearest_with_ties_by_row() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.9, -1.0], dtype=np.float32)
    assert nearest_rows(scores, 3, None).tolist() == [1, 3, 2]
    assert nearest_rows(scores, 3, np.array([True, False, True, False, True])).tolist() == [2, 0, 4]
    assert nearest_rows(scores, 9, None).tolist() == [1, 3, 2, 0, 4]
    assert nearest_rows(scores, 2, np.zeros(5, dtype=bool)).tolist() == []
