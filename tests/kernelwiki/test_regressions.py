"""Regressions: behaviour that was once wrong, kept right: broken corpora, spellings of ids, filters, evidence and labels."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from kernelwiki import Hit, Wiki
from kernelwiki.errors import BadQuery, NotFound
from kernelwiki.model import ChangedFile, Evidence, Record
from kernelwiki.show import RecordItem, show_item
from kernelwiki.trace import trace

RECORD = "cutlass#2472"
QUERIES = ("tma", "tcgen05", "nvfp4", "spill")
SHA = "1" * 40
OTHER_SHA = "b" * 40
BLOB = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+/blob/(?P<sha>[0-9a-f]{40})/[^\s#]+#L(?P<line>\d+)")


def namesake(record: Record) -> Record:
    """The same number in a repository of the same name that somebody else owns."""
    url = f"https://github.com/other/kernels/pull/{record.number}"
    return replace(record, id=f"other/kernels#{record.number}", repo="other/kernels", url=url, merge_sha=OTHER_SHA)


def add_namesake(corpus) -> None:
    corpus.write(*corpus.records, namesake(corpus.records[0]))


def rename_file(corpus, path: str) -> None:
    """Let the first record, and the page that cites it, name the file `path`."""
    first, *others = corpus.records
    evidence = tuple(replace(item, path=path) if item.path else item for item in first.evidence)
    corpus.write(replace(first, files=(ChangedFile(path, 40, 2),), evidence=evidence), *others)
    corpus.edit(corpus.page, "csrc/tma_load.cuh", path)


def found_section(kind: str = "page") -> Hit:
    """The best hit for words of the one section of the small corpus that cites a line."""
    return Wiki.open(store="exact").search("make a descriptor on the host and issue the copy", kind=kind)[0]


# -- broken corpora -----------------------------------------------------------------------------------------------------


@pytest.fixture
def without_sections(small_corpus):
    """The small corpus with a page that has no second-level heading."""
    for heading in ("What", "How"):
        small_corpus.edit(small_corpus.page, f"## {heading}", heading)
    return small_corpus


def test_a_page_without_sections_is_found(without_sections) -> None:
    assert ("schema", "hardware/tma") in [(problem.rule, problem.where) for problem in without_sections.problems()]


def test_a_page_without_sections_does_not_stop_a_search(without_sections) -> None:
    run = without_sections.run("search", "tma", "--json")
    assert run.code == 0, run.err
    assert run.json["results"]


@pytest.mark.parametrize(
    "row",
    [
        "- {id: 5, name: A, kind: k, description: d}",
        "- {id: a, name: 7, kind: k, description: d}",
        "- {id: yes, name: A, kind: k, description: d}",
        "- {id: a, name: A, kind: k, description: d, aliases: one}",
    ],
)
def test_a_term_with_a_value_of_the_wrong_type_is_found(small_corpus, row: str) -> None:
    (small_corpus.folder / "vocabulary" / "wrong.yaml").write_text(row + "\n", encoding="utf-8")
    problem = small_corpus.problems()[0]
    assert problem.rule == "vocabulary"
    assert "wrong.yaml" in problem.message


@pytest.mark.parametrize(
    "files",
    ["[]", '{"a.jsonl.gz": {}}', '{"a.jsonl.gz": 3}', '{"../../x": {"sha256": "", "records": 1}}'],
    ids=["a list", "an empty entry", "a number", "a path out of the folder"],
)
def test_a_manifest_of_the_wrong_form_is_found_and_stops_a_search_with_exit_4(small_corpus, files: str) -> None:
    manifest = small_corpus.folder / "records" / "manifest.json"
    manifest.write_text(f'{{"schema_version": 1, "files": {files}}}', encoding="utf-8")
    assert small_corpus.problems()[0].rule == "records"
    run = small_corpus.run("search", "tma")
    assert (run.code, run.out) == (4, "")
    assert "Traceback" not in run.err


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("../technique/split-kv.md", "../technique/split-kv.md#nope", "link"),
        ("../technique/split-kv.md", "../nowhere/else/technique/split-kv.md", "link"),
        ("../technique/split-kv.md", "../technique/split-kv.txt", "link"),
        ("../technique/split-kv.md", "#nope", "link"),
        ("as kernels#1 does", "as acme/kernels#99 does", "link"),
        ("as kernels#1 does", "as https://github.com/acme/kernels/pull/99 does", "link"),
        ("line: 12, ", "line: -3, ", "schema"),
        ("line: 12, ", "line: 99999, ", "source"),
    ],
)
def test_a_link_or_line_that_leads_nowhere_is_the_one_problem_found(small_corpus, old: str, new: str, rule: str) -> None:
    small_corpus.edit(small_corpus.page, old, new)
    problems = small_corpus.problems()
    # A pull request that is not there grounds nothing either.
    assert {problem.rule for problem in problems} in ({rule}, {rule, "grounding"} if "#99" in new or "/99" in new else {rule})


def test_brackets_in_code_are_no_link(small_corpus) -> None:
    small_corpus.edit(small_corpus.page, "return 1;", "return [&](x);")
    assert small_corpus.problems() == []


# -- repositories of one name -------------------------------------------------------------------------------------------


def test_two_owners_of_one_repository_name_are_no_problem(small_corpus) -> None:
    add_namesake(small_corpus)
    assert small_corpus.problems() == []


def test_an_owner_leads_to_the_record_of_its_own(small_corpus) -> None:
    add_namesake(small_corpus)
    wiki = Wiki.open(store="exact")
    for wanted, repo in (("other/kernels#1", "other/kernels"), ("acme/kernels#1", "acme/kernels"), ("kernels#1", "acme/kernels")):
        assert wiki.record(wanted).repo == repo
        assert wiki.search(wanted)[0].repo == repo


def test_show_and_trace_lead_to_the_owner_asked_for(small_corpus) -> None:
    add_namesake(small_corpus)
    assert small_corpus.run("show", "other/kernels#1", "--json").json["repo"] == "other/kernels"
    assert small_corpus.run("trace", "other/kernels#1", "--json").json["links"][0]["url"] == "https://github.com/other/kernels/pull/1"


def test_an_owner_without_the_repository_is_not_found(shipped: Wiki) -> None:
    with pytest.raises(NotFound):
        shipped.record("foo/cutlass#2472")


# -- spellings of an id -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [
        "http://github.com/NVIDIA/cutlass/pull/2472",
        "github.com/NVIDIA/cutlass/pull/2472",
        "https://www.github.com/NVIDIA/cutlass/pull/2472/",
        "https://GitHub.com/NVIDIA/cutlass/pull/2472",
        "https://github.com/NVIDIA/cutlass/pull/2472#discussion_r1",
        "NVIDIA/cutlass/pull/2472",
        "cutlass #2472",
        "cutlass# 2472",
    ],
)
def test_an_address_in_any_form_shows_its_pull_request(shipped: Wiki, wanted: str) -> None:
    item = show_item(shipped, wanted)
    assert isinstance(item, RecordItem)
    assert item.record.id == RECORD


@pytest.mark.parametrize(
    "query", ["https://GitHub.com/NVIDIA/cutlass/pull/2472", "see cutlass#2472.", "(cutlass#2472)", "cutlass#2472,vllm#23696"]
)
def test_a_pull_request_between_punctuation_is_found_first(shipped: Wiki, query: str) -> None:
    assert shipped.search(query)[0].id == RECORD


def test_a_section_that_a_page_lacks_has_no_chain(shipped: Wiki) -> None:
    with pytest.raises(NotFound, match="pitfalls"):
        trace(shipped, "hardware/tcgen05#nonsense")


# -- filters and options ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("since", ["NaT", "today", "now", "99999999999", "-1", "1", "2025-06-30T12:00Z", 2025])
def test_only_a_year_a_month_or_a_day_is_a_date(shipped: Wiki, since) -> None:
    with pytest.raises(BadQuery, match="2025-06-30"):
        shipped.search("gemm", since=since)


def test_a_blank_repository_is_refused(shipped: Wiki) -> None:
    with pytest.raises(BadQuery, match="cutlass"):
        shipped.search("gemm", repo=[""])


def test_a_query_that_is_no_text_is_a_type_error(shipped: Wiki) -> None:
    with pytest.raises(TypeError):
        shipped.search(None)  # type: ignore[arg-type]


def test_every_hit_shows_the_tag_asked_for(shipped: Wiki) -> None:
    hits = shipped.search("tensor memory", kind="pr", tag="tmem", limit=100)
    assert len(hits) > 20
    assert all("tmem" in hit.tags for hit in hits)


@pytest.mark.parametrize("options", [["--limit", "0"], ["--offset", "1000000"]], ids=" ".join)
def test_matches_that_are_not_shown_are_still_counted(kwiki, options: list[str]) -> None:
    run = kwiki("search", "tcgen05", *options)
    assert run.code == 0
    assert re.match(r"0 of [1-9]\d* shown", run.out)


def test_a_pull_request_has_no_sections_to_choose(kwiki) -> None:
    run = kwiki("show", RECORD, "--section", "pitfalls")
    assert (run.code, run.out) == (2, "")
    assert "only pages have sections" in run.err


def test_terms_and_a_repository_are_not_listed_together(kwiki) -> None:
    run = kwiki("list", "--terms", "--repo", "cutlass")
    assert (run.code, run.out) == (2, "")
    assert "--repo" in run.err


def test_the_index_folder_is_printed_as_json(kwiki, shipped_home) -> None:
    run = kwiki("index", "path", "--json")
    assert (run.code, run.json["path"]) == (0, str(shipped_home / "index"))


# -- evidence and labels ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", QUERIES)
def test_a_hit_never_lists_a_line_twice(shipped: Wiki, query: str) -> None:
    for hit in shipped.search(query, kind="pr", limit=50):
        places = [(item.path, item.line) for item in hit.evidence]
        assert len(places) == len(set(places)), hit.id


def test_two_names_on_one_line_are_one_place_of_a_hit(small_corpus) -> None:
    first, *others = small_corpus.records
    names = ("tma_load", "tma_load_multicast", "tma_store")
    here = tuple(Evidence("api", name, "csrc/tma_load.cuh", 12) for name in names)
    small_corpus.write(replace(first, evidence=here), *others)
    (hit,) = Wiki.open(store="exact").search("tma_load tma_store multicast", kind="pr", limit=1)
    assert [(item.path, item.line) for item in hit.evidence] == [("csrc/tma_load.cuh", 12)]


@pytest.mark.parametrize("kind", ["page", "pr"])
def test_evidence_has_an_address_with_owner_sha_and_line(shipped: Wiki, kind: str) -> None:
    located = [item for query in QUERIES for hit in shipped.search(query, kind=kind, limit=50) for item in hit.evidence if item.line]
    assert located
    for item in located:
        address = BLOB.fullmatch(item.url)
        assert address, item.url
        assert (address["sha"], int(address["line"])) == (item.sha, item.line)


@pytest.mark.parametrize("kind", ["page", "pr"])
def test_a_space_in_a_path_is_percent_encoded_in_its_address(small_corpus, kind: str) -> None:
    rename_file(small_corpus, "csrc/tma load.cuh")
    (item,) = found_section(kind).evidence
    assert item.path == "csrc/tma load.cuh"
    assert item.url == f"https://github.com/acme/kernels/blob/{SHA}/csrc/tma%20load.cuh#L12"


def test_evidence_of_a_page_leads_to_the_owner_that_it_cites(small_corpus) -> None:
    add_namesake(small_corpus)
    small_corpus.edit(small_corpus.page, 'id: "kernels#1"', 'id: "other/kernels#1"')
    small_corpus.edit(small_corpus.page, SHA, OTHER_SHA)
    assert small_corpus.problems() == []
    (item,) = found_section().evidence
    assert item.url == f"https://github.com/other/kernels/blob/{OTHER_SHA}/csrc/tma_load.cuh#L12"


@pytest.mark.parametrize("query", ["qqqqxxzz", "zzzzqq"])
def test_gibberish_has_no_hit_that_is_sure(shipped: Wiki, query: str) -> None:
    assert {hit.match for hit in shipped.search(query)} <= {"weak"}


def test_nearly_every_symptom_of_a_page_leads_to_it(shipped: Wiki) -> None:
    """Pages share symptoms (a hang belongs to barriers, clusters and pipelines), so a few may lead to a neighbour first."""
    asked = [(page_id, symptom) for page_id in shipped.page_ids() for symptom in shipped.page(page_id).symptoms]
    lost = [(page_id, text) for page_id, text in asked if page_id not in [hit.id for hit in shipped.search(text, kind="page", limit=3)]]
    assert len(asked) > 400
    assert len(lost) <= 0.03 * len(asked), lost
