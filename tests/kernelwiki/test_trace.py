"""Trace: from every hit to address, merge SHA, file and line."""

from __future__ import annotations

import random
import re

import pytest

from kernelwiki.errors import NotFound
from kernelwiki.home import corpus_folder
from kernelwiki.reading.pages import page_files, page_id
from kernelwiki.trace import trace

SHA = re.compile(r"[0-9a-f]{40}")
QUERIES = (
    "tcgen05 mma accumulator in tensor memory",
    "split kv over thread blocks",
    "nvfp4 grouped gemm for mixture of experts",
    "register spill in the epilogue",
    "TMA multicast descriptor",
    "paged attention decode is slow",
    "warp specialization with setmaxnreg",
    "hang on B200",
)


@pytest.fixture(scope="module")
def fifty_hits(shipped):
    hits = [hit for query in QUERIES for hit in shipped.search(query, kind="pr", limit=60)]
    return random.Random(20).sample(hits, 50)


def test_fifty_random_hits_lead_to_address_sha_file_and_line(shipped, fifty_hits) -> None:
    for hit in fifty_hits:
        pull_request, commit, *evidence = trace(shipped, hit.id)
        assert pull_request.name == hit.id
        assert pull_request.url == hit.url == f"https://github.com/{hit.repo}/pull/{hit.number}"
        assert SHA.fullmatch(commit.name)
        assert commit.url == f"https://github.com/{hit.repo}/commit/{commit.name}"
        for link in evidence:
            if link.path:
                assert link.sha == commit.name
                assert link.url.startswith(f"https://github.com/{hit.repo}/blob/{link.sha}/")
            if link.kind not in ("arch", "family", "changed file"):  # these may rest on a path or a title alone
                assert link.line
                assert link.line >= 1
                assert link.url.endswith(f"#L{link.line}")


def test_the_evidence_of_a_hit_is_in_its_chain(shipped, fifty_hits) -> None:
    assert any(hit.evidence for hit in fifty_hits)
    for hit in fifty_hits:
        chain = {(link.path, link.line, link.sha, link.url) for link in trace(shipped, hit.id)}
        for item in hit.evidence:
            assert (item.path, item.line, item.sha, item.url) in chain


def test_the_evidence_of_a_record_points_into_its_own_files(shipped, fifty_hits) -> None:
    for hit in fifty_hits:
        record = shipped.record(hit.id)
        changed = {file.path for file in record.files}
        assert {item.path for item in record.evidence if item.path} <= changed


@pytest.mark.parametrize("wanted", [page_id(path) for path in page_files(corpus_folder() / "pages")])
def test_a_shipped_page_leads_to_documents_and_pull_requests(shipped, wanted: str) -> None:
    first, *links = trace(shipped, wanted)
    assert (first.kind, first.name) == ("page", wanted)
    kinds = {link.kind for link in links}
    assert kinds & {"document", "finding", "term"}
    assert kinds & {"pull request", "evidence"}
    for link in links:
        assert link.name
        if link.kind in ("pull request", "evidence"):
            assert link.url.startswith("https://")
            assert SHA.fullmatch(link.sha)
        elif link.kind == "document":
            assert link.url.startswith("https://") or link.name.startswith("Project fact sheet")
        else:
            assert link.kind in ("code of this page", "term", "finding", "recorded run")
        if link.kind == "evidence":
            assert link.path
            assert link.line


def test_a_section_leads_to_its_own_citations_only(shipped) -> None:
    whole, part = trace(shipped, "hardware/tcgen05"), trace(shipped, "hardware/tcgen05#when-to-use-it")
    assert 1 < len(part) < len(whole)
    assert set(part) <= set(whole)


@pytest.mark.parametrize("wanted", ["hardware/gone", "cutlass#99999999", "", "nothing", "../vocabulary/hardware", "https://example.com/x"])
def test_an_id_that_names_nothing_is_not_found(shipped, wanted: str) -> None:
    with pytest.raises(NotFound):
        trace(shipped, wanted)
