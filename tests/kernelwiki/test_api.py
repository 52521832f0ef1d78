"""The Python interface: `Wiki` and its answers."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import kernelwiki
from kernelwiki import Hit, Wiki
from kernelwiki.errors import BadQuery, CorpusUnreadable, IndexUnusable, KernelWikiError, NotFound
from kernelwiki.indexing.documents import record_terms
from kernelwiki.reading.vocabulary import Vocabulary

RECORD = "cutlass#2472"
HOSTILE = {
    "empty": "",
    "spaces": "   \t ",
    "10,000 characters": "tcgen05 " * 1250,
    "1 MB": "warp specialization " * 52_429,
    "emoji": "🔥🚀 kernel 🧵",
    "SQL": "'; DROP TABLE records; --",
    "regex": "(a+)+$ [^]] .* \\",
    "glob": "*?[!x]",
    "control characters": "tma\x01\x02\x07\x08 load",
    "ANSI": "\x1b[31mtma\x1b[0m",
    "null byte": "tma\x00load",
    "right-to-left marks": "\u202etma\u202c \u2067x\u2069",
    "lone surrogate": "tma \ud800 load",
    "very long token": "x" * 200_000,
    "very long identifier": "a." * 5_000 + "b",
    "stop words only": "how do I use it",
    "punctuation": "!@#$%^&*()",
    "json": '{"kind": "pr"}',
    "option": "--kind",
    "newlines": "tma\nload\r\nstore",
    "combining marks": "t̸m̸a̸",
    "other scripts": "如何使用张量内存 как работает 텐서",
    "ids only": "#1 ##2 a#b kernels#",
    "huge number": "cutlass#" + "9" * 400,
    "path": "../../etc/passwd",
    "format string": "%s%n{0}{x}",
}


def test_the_public_names_are_two() -> None:
    assert kernelwiki.__all__ == ["Hit", "Wiki"]
    assert (kernelwiki.Wiki, kernelwiki.Hit) == (Wiki, Hit)
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = kernelwiki.nothing_here


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import kernelwiki, kernelwiki.cli, sys; print([m for m in ('numpy', 'chromadb', 'yaml', 'pydantic', 'rich') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_opening_takes_the_home_that_the_contract_names() -> None:
    assert inspect.signature(Wiki.open).parameters["home"].default is None


def test_opening_without_home_takes_the_folder_of_kwiki_home(small_corpus) -> None:
    hits = Wiki.open(home=None).search("tile with TMA multicast", kind="pr", limit=10)
    assert isinstance(hits, list)
    assert all(isinstance(hit, Hit) for hit in hits)
    assert hits[0].id == "kernels#1"
    assert (small_corpus.home / "index").is_dir()


def test_a_search_for_pull_requests_returns_as_many_hits_as_asked(shipped) -> None:
    hits = shipped.search("grouped GEMM with block scales", kind="pr", limit=10)
    assert len(hits) == 10
    assert all(hit.kind == "pr" and re.fullmatch(r"[\w.-]+#\d+", hit.id) for hit in hits)


@pytest.mark.parametrize("query", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_query_breaks_a_search(shipped, query: str) -> None:
    answer = shipped.answer(query, limit=3)
    assert len(answer.hits) <= 3
    assert answer.total >= len(answer.hits)
    assert answer.query == query


@pytest.mark.parametrize("query", ["", "   ", "!?", "how do I use it"])
def test_a_query_without_words_finds_nothing_and_says_why(shipped, query: str) -> None:
    answer = shipped.answer(query)
    assert (answer.total, answer.hits) == (0, ())
    assert any("no words" in note for note in answer.notes)


@pytest.mark.parametrize(
    ("filters", "valid"),
    [
        ({"kind": "book"}, ["page", "pr", "any"]),
        ({"repo": "nowhere"}, ["cutlass", "vllm", "flashinfer"]),
        ({"repo": ["cutlass", "nowhere"]}, ["cutlass"]),
        ({"arch": "sm999"}, ["sm90", "sm100", "B200"]),
        ({"arch": "vax"}, ["sm90"]),
        ({"tag": "tmme"}, ["tmem", "kwiki list --terms"]),
        ({"since": "someday"}, ["2025-06-30", "2025-06", "2025"]),
        ({"since": "2025-13"}, ["2025-06"]),
        ({"since": "30.06.2025"}, ["2025-06-30"]),
        ({"since": "2025-02-31"}, ["2025-06-30"]),
        ({"limit": -1}, ["5000"]),
        ({"offset": -1}, ["at least 0"]),
        ({"limit": 5001}, ["5000"]),
    ],
)
def test_a_filter_that_is_not_valid_is_refused_with_valid_ones(shipped, filters: dict, valid: list[str]) -> None:
    with pytest.raises(BadQuery) as refused:
        shipped.search("gemm", **filters)
    assert refused.value.exit_code == 2
    assert all(word in str(refused.value) for word in valid), refused.value


@pytest.mark.parametrize("kind", ["page", "pr"])
def test_every_hit_is_of_the_kind_asked_for(shipped, kind: str) -> None:
    hits = shipped.search("tensor memory", kind=kind, limit=50)
    assert hits
    assert {hit.kind for hit in hits} == {kind}


def test_both_kinds_are_found_without_a_filter(shipped) -> None:
    assert {hit.kind for hit in shipped.search("tensor memory", limit=50)} == {"page", "pr"}


@pytest.mark.parametrize("repo", ["cutlass", "NVIDIA/cutlass", "CUTLASS", ["cutlass"], ("cutlass", "DeepGEMM")])
def test_every_hit_is_of_a_repository_asked_for(shipped, repo) -> None:
    wanted = {"NVIDIA/cutlass", "deepseek-ai/DeepGEMM"} if isinstance(repo, tuple) else {"NVIDIA/cutlass"}
    assert {hit.repo for hit in shipped.search("tma gemm", repo=repo, limit=100)} == wanted


@pytest.mark.parametrize(("arch", "name"), [("sm90", "sm90"), ("sm_90a", "sm90"), ("H100", "sm90"), ("B200", "sm100"), ("SM100", "sm100")])
def test_every_hit_has_evidence_for_the_architecture(shipped, arch: str, name: str) -> None:
    hits = shipped.search("attention kernel", arch=arch, limit=100)
    assert hits
    assert all(name in hit.archs for hit in hits)


def test_several_architectures_mean_any_of_them(shipped) -> None:
    one, both = shipped.answer("gemm", arch="sm120", limit=0), shipped.answer("gemm", arch=["sm120", "sm90"], limit=5000)
    assert both.total > one.total
    assert all({"sm120", "sm90"} & set(hit.archs) for hit in both.hits)


@pytest.mark.parametrize("since", ["2026", "2026-01", "2026-01-01"])
def test_every_hit_was_merged_on_or_after_the_date(shipped, since: str) -> None:
    hits = shipped.search("fix hang", kind="pr", since=since, limit=100)
    assert hits
    assert all(hit.merged_at >= "2026-01-01" for hit in hits)


def test_a_tag_keeps_documents_of_that_term_and_two_tags_those_of_both(shipped) -> None:
    everything, one, both = (shipped.answer("kernel", kind="pr", tag=tag, limit=0).total for tag in ((), "tmem", ("tmem", "nvfp4")))
    assert everything > one > both > 0


def test_every_hit_carries_the_term_of_the_tag_asked_for(shipped) -> None:
    vocabulary = Vocabulary.of(shipped.terms())
    hits = shipped.search("tensor memory", kind="pr", tag="tmem", limit=100)
    assert len(hits) > 20
    assert all("tmem" in record_terms(shipped.record(hit.id), vocabulary) for hit in hits)


def test_filters_work_together(shipped) -> None:
    hits = shipped.search("attention", kind="pr", repo="vllm", arch="sm100", since="2026", limit=50)
    assert hits
    for hit in hits:
        assert hit.repo == "vllm-project/vllm"
        assert "sm100" in hit.archs
        assert hit.merged_at >= "2026"


def test_pages_of_results_join_to_the_long_list(shipped) -> None:
    query = "split kv decode attention"
    whole = [hit.id for hit in shipped.search(query, limit=60)]
    joined = [hit.id for offset in range(0, 60, 7) for hit in shipped.search(query, limit=7, offset=offset)]
    assert joined[:60] == whole
    assert len(set(whole)) == 60


def test_the_total_does_not_depend_on_the_page_of_results(shipped) -> None:
    totals = {shipped.answer("tma multicast", limit=limit, offset=offset).total for limit, offset in ((0, 0), (8, 0), (8, 40), (5, 5000))}
    assert len(totals) == 1


def test_nothing_is_found_twice_and_the_last_page_ends_the_list(shipped) -> None:
    answer = shipped.answer("cluster launch control", tag="cluster-launch-control", limit=5000)
    ids = [hit.id for hit in answer.hits]
    assert len(ids) == len(set(ids)) == answer.total
    assert shipped.answer("cluster launch control", tag="cluster-launch-control", offset=answer.total).hits == ()


def test_scores_do_not_rise_down_the_list(shipped) -> None:
    scores = [hit.score for hit in shipped.search("persistent tile scheduler", limit=50)]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("query", ["tcgen05 fence", "spills to local memory", "nvfp4 moe"])
def test_the_same_query_gives_the_same_answer(shipped, query: str) -> None:
    assert shipped.answer(query) == shipped.answer(query)


def test_letter_case_and_spaces_around_a_query_do_not_matter(shipped) -> None:
    first = [hit.id for hit in shipped.search("persistent kernel tail effect")]
    assert [hit.id for hit in shipped.search("  persistent kernel tail effect \n")] == first


def test_threads_share_one_wiki(shipped) -> None:
    queries = ["tma", "tail effect", "nvfp4", "paged attention", "hang", "register spill"] * 4
    alone = {query: [hit.id for hit in shipped.search(query)] for query in set(queries)}
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda query: [hit.id for hit in shipped.search(query)], queries))
    assert together == [alone[query] for query in queries]


@pytest.mark.parametrize(
    "query",
    [
        RECORD,
        "CUTLASS#2472",
        "NVIDIA/cutlass#2472",
        "https://github.com/NVIDIA/cutlass/pull/2472",
        "https://github.com/NVIDIA/cutlass/pull/2472/files",
        f"what does {RECORD} change?",
        f"paged attention as in {RECORD}",
    ],
)
def test_a_query_that_names_a_pull_request_finds_it_first(shipped, query: str) -> None:
    assert shipped.search(query)[0].id == RECORD


def test_a_query_that_names_two_pull_requests_finds_both_first(shipped) -> None:
    assert [hit.id for hit in shipped.search(f"compare vllm#23696 with {RECORD}", limit=2)] == ["vllm#23696", RECORD]


def test_a_named_pull_request_obeys_the_filters(shipped) -> None:
    assert all(hit.repo == "vllm-project/vllm" for hit in shipped.search(RECORD, repo="vllm"))


@pytest.mark.parametrize(
    "wanted", [RECORD, "CUTLASS#2472", "NVIDIA/cutlass#2472", " cutlass#2472 ", "https://github.com/NVIDIA/cutlass/pull/2472"]
)
def test_a_record_is_found_by_every_spelling_of_its_id(shipped, shipped_records, wanted: str) -> None:
    assert shipped.record(wanted) == shipped_records[RECORD]


@pytest.mark.parametrize("wanted", ["hardware/tcgen05", "HARDWARE/TCGEN05", "hardware/tcgen05#pitfalls", " hardware/tcgen05 "])
def test_a_page_is_found_by_every_spelling_of_its_id(shipped, wanted: str) -> None:
    assert shipped.page(wanted).id == "hardware/tcgen05"


@pytest.mark.parametrize(
    ("wanted", "nearest"),
    [("hardware/tcgen5", "hardware/tcgen05"), ("technique/warp-specialisation", "technique/warp-specialization")],
)
def test_an_unknown_page_names_the_nearest(shipped, wanted: str, nearest: str) -> None:
    with pytest.raises(NotFound) as missing:
        shipped.page(wanted)
    assert any(name.startswith(nearest) for name in missing.value.nearest)
    assert nearest in str(missing.value)


def test_an_unknown_pull_request_names_near_ones_of_the_same_repository(shipped) -> None:
    with pytest.raises(NotFound) as missing:
        shipped.record("cutlass#247299")
    assert missing.value.nearest
    assert all(name.startswith("cutlass#") for name in missing.value.nearest)


@pytest.mark.parametrize(
    "wanted", ["", "#", "/", "a/b/c", "../x", "hardware/../hardware/tcgen05", "hardware/", "x" * 5000, "a/" + "x" * 400, "a/\x00", "💥#1"]
)
def test_no_id_breaks_a_look_up(shipped, wanted: str) -> None:
    for look_up in (shipped.page, shipped.record):
        with pytest.raises(NotFound):
            look_up(wanted)


def test_a_search_without_any_match_suggests_near_terms(small_corpus) -> None:
    answer = Wiki.open(store="exact").answer("spil")
    assert answer.total == 0
    assert any("spill" in word for word in answer.suggestions)


def test_an_answer_with_hits_suggests_nothing(shipped) -> None:
    assert shipped.answer("tmem").suggestions == ()


def test_an_answer_says_which_terms_the_query_named(shipped) -> None:
    assert "tcgen05" in shipped.answer("UMMA on B200").terms
    assert "sm100" in shipped.answer("UMMA on B200").terms


def test_the_words_of_a_record_lead_back_to_it(shipped, shipped_records) -> None:
    for record_id in (RECORD, "vllm#23696", "flashinfer#1681"):
        assert record_id in [hit.id for hit in shipped.search(shipped_records[record_id].title, kind="pr", limit=3)]


def test_records_pages_and_terms_are_counted_by_the_index(shipped, shipped_records) -> None:
    assert shipped.info.records == len(shipped_records) == sum(1 for _ in shipped.records())
    assert shipped.info.pages == len(shipped.page_ids())
    assert len({term.id for term in shipped.terms()}) == len(shipped.terms())


def test_a_changed_corpus_is_indexed_again_when_opened(small_corpus) -> None:
    before = Wiki.open(store="exact")
    small_corpus.edit(small_corpus.page, "Tensor Memory Accelerator", "Quokka Engine")
    after = Wiki.open(store="exact")
    assert before.info.version != after.info.version
    assert after.search("quokka")[0].id == "hardware/tma"


def test_an_unknown_store_is_refused(small_corpus) -> None:
    with pytest.raises(BadQuery, match="auto, exact, chroma"):
        Wiki.open(store="cloud")


def test_a_corpus_setting_that_names_no_corpus_is_refused(small_corpus, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("KWIKI_CORPUS", str(tmp_path / "nowhere"))
    with pytest.raises(CorpusUnreadable, match="KWIKI_CORPUS"):
        Wiki.open()


@pytest.mark.parametrize("error", [BadQuery, CorpusUnreadable, IndexUnusable, NotFound])
def test_every_error_is_ours_with_an_exit_code(error: type[KernelWikiError]) -> None:
    assert issubclass(error, KernelWikiError)
    assert error.exit_code in (2, 3, 4, 5)
