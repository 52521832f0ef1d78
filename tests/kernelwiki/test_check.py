"""`kwiki check`: clean on the shipped corpus, and every class of defect is found, by rule and place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from kernelwiki.grounding.check import check_corpus, uncited_claims
from kernelwiki.grounding.snippets import snippets_of
from kernelwiki.home import Places, corpus_folder
from kernelwiki.model import ChangedFile, Evidence
from kernelwiki.reading.pages import read_pages
from kernelwiki.reading.records import compress

PAGE = "hardware/tma"
SHA = "1" * 40


def found(corpus, rule: str, where: str, *words: str) -> bool:
    """Whether there is exactly one problem, of `rule`, at `where`, and its message holds every word."""
    problems = corpus.problems()
    assert [(problem.rule, problem.where) for problem in problems] == [(rule, where)], problems
    return all(word in problems[0].message for word in words)


def test_the_shipped_corpus_is_clean(tmp_path) -> None:
    assert check_corpus(Places(corpus_folder(), tmp_path)) == []


def test_the_command_is_clean_on_the_shipped_corpus(kwiki) -> None:
    run = kwiki("check", "--json")
    assert (run.code, run.json["ok"], run.json["problems"]) == (0, True, [])


def test_the_small_corpus_is_clean(small_corpus) -> None:
    assert small_corpus.problems() == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("kind: hardware", "kind: gadget", ["kind"]),
        ("kind: hardware", "kind: technique", ["technique", "folder hardware"]),
        ("confidence: sourced\n", "", ["confidence", "required"]),
        ("snippets: compiled", "snippets: compiled\ncolour: red", ["colour"]),
        ("snippets: compiled", "snippets: maybe", ["snippets"]),
        ("confidence: sourced", "confidence: sure", ["confidence"]),
        ("archs: [sm90]", "archs: sm90", ["archs", "list"]),
        ("archs: [sm90]", "archs: [hopper]", ["hopper", "architecture"]),
        ('title: "Tensor Memory Accelerator"', "title: 12", ["title", "string"]),
        ("symptoms: [", "symptoms: []\nold: [", ["symptoms"]),
        ("tags: [tma]", "tags: []", ["tags"]),
        ("line: 12", 'line: "12"', ["line"]),
        (', url: "https://docs.nvidia.com/cuda/parallel-thread-execution/"', "", ["title and an https url"]),
        ("https://docs.nvidia.com", "ftp://docs.nvidia.com", ["https url"]),
        ('kind: pr, id: "kernels#1"', 'kind: pr, id: "kernels"', ["id like"]),
        (f', sha: "{SHA}"', "", ["40-digit sha"]),
        (f'sha: "{SHA}"', 'sha: "111111"', ["40-digit sha"]),
        ("line: 12, ", "", ["line"]),
        ("---\ntitle", "title", ["front-matter"]),
        ("tags: [tma]", "tags: [tma", ["YAML"]),
    ],
)
def test_front_matter_that_breaks_the_schema_is_found(small_corpus, old: str, new: str, words: list[str]) -> None:
    small_corpus.edit(small_corpus.page, old, new)
    problems = [problem for problem in small_corpus.problems() if (problem.rule, problem.where) == ("schema", PAGE)]
    assert problems
    assert any(all(word in problem.message for word in words) for problem in problems), problems


@pytest.mark.parametrize(
    ("edit", "rule", "where", "words"),
    [
        (("../technique/split-kv.md", "../technique/gone.md"), "link", PAGE, ["../technique/gone.md"]),
        (("as kernels#1 does", "as kernels#99 does"), "grounding", f"{PAGE}#how", ["kernels#99", "not cited"]),
        (("as kernels#1 does", "as kernels#1 currently does"), "undated", f"{PAGE}#how", ["'currently' ages"]),
        (("as kernels#1 does", "as `technique/gone` says"), "link", PAGE, ["technique/gone"]),
        (("tags: [tma]", "tags: [tma, warp-drive]"), "tag", PAGE, ["warp-drive"]),
        (("[^kernels-1][^kernels-1-line]", "[^kernels-1]"), "source", PAGE, ["kernels-1-line", "never cited"]),
        (("whole tile.[^ptx]", "whole tile.[^ptx][^lost]"), "source", f"{PAGE}#what-it-is", ["lost"]),
        (('kind: pr, id: "kernels#1"', 'kind: pr, id: "kernels#9"'), "source", PAGE, ["kernels#9", "knowledge base"]),
        ((f'sha: "{SHA}"', f'sha: "{"a" * 40}"'), "source", PAGE, ["merge SHA"]),
        (('path: "csrc/tma_load.cuh"', 'path: "csrc/other.cuh"'), "source", PAGE, ["csrc/other.cuh"]),
        (("whole tile.[^ptx]", "whole tile.[^ptx]\n\nIt is always faster."), "citation", f"{PAGE}#what-it-is", ["always faster"]),
        (("host.[^ptx]", "host."), "citation", f"{PAGE}#how", ["Make a descriptor"]),
        (("whole tile.[^ptx]", "a " * 1800 + "[^ptx]"), "size", PAGE, ["1800"]),
        (("whole tile.[^ptx]", "a tile " + "reference" * 900 + ".[^ptx]"), "size", f"{PAGE}#what-it-is", ["characters"]),
        (("{key: kernels-1,", "{key: kernels-1-line,"), "source", PAGE, ["same key"]),
    ],
)
def test_a_planted_defect_of_a_page_is_found_in_its_place(
    small_corpus, edit: tuple[str, str], rule: str, where: str, words: list[str]
) -> None:
    small_corpus.edit(small_corpus.page, *edit)
    problems = small_corpus.problems()
    matching = [problem for problem in problems if (problem.rule, problem.where) == (rule, where)]
    assert any(all(word in problem.message for word in words) for problem in matching), problems
    if "same key" not in words:
        assert len([problem for problem in problems if problem.rule in (rule, "grounding", "source", "size")]) == 1, problems


@pytest.mark.parametrize(
    "title", ["Load the A tile with TMA multicast", "Currently 2.5x faster on sm_75: `x_y`. A load with TMA (#12)", 'Revert "A (B)" | it']
)
def test_a_title_in_quotes_is_the_record_s_own_and_no_statement_of_ours(small_corpus, title: str) -> None:
    small_corpus.write(replace(small_corpus.records[0], title=title), *small_corpus.records[1:])
    small_corpus.edit(small_corpus.page, "host.[^ptx]", f'host.[^ptx]\n\n- kernels#1: "{title}"[^kernels-1]')
    assert small_corpus.problems() == []
    small_corpus.edit(small_corpus.page, title, title.replace("A ", "B ", 1))
    assert [(problem.rule, problem.where) for problem in small_corpus.problems()] == [("title", f"{PAGE}#how")]


def test_words_behind_a_title_are_ours_again(small_corpus) -> None:
    listed = f'host.[^ptx]\n\n- kernels#1: "{small_corpus.records[0].title}"[^kernels-1] It has 77 stages.[^kernels-1]'
    small_corpus.edit(small_corpus.page, "host.[^ptx]", listed)
    (problem,) = small_corpus.problems()
    assert problem.rule == "grounding" and "77" in problem.message


DOC = '{key: ptx, kind: doc, title: "PTX ISA", url: "https://docs.nvidia.com/cuda/parallel-thread-execution/"}'


@pytest.mark.parametrize(
    ("edit", "rule", "words"),
    [
        ((DOC, '{key: ptx, kind: doc, id: "ptx-isa/gone"}'), "source", ["no document sheet corpus/sources/ptx-isa/gone.yaml"]),
        ((DOC, '{key: ptx, kind: vocabulary, id: "gone"}'), "source", ["gone is not in the vocabulary"]),
        ((DOC, '{key: ptx, kind: playbook, id: "gone"}'), "source", ["no finding of ncu_skill/playbook.yaml"]),
        ((DOC, '{key: ptx, kind: run, id: "h200/gone"}'), "source", ["no recorded result benchmarks/h200/gone"]),
        ((DOC, "{key: ptx, kind: vocabulary}"), "schema", ["needs an id"]),
        (
            ('{key: kernels-1, kind: pr, id: "kernels#1"}', '{key: kernels-1, kind: pr, id: "kernels#2"}'),
            "source",
            ["key kernels-1", "kernels#2"],
        ),
        (("archs: [sm90]", "archs: [sm90, sm120]"), "arch", ["sm120 is in archs"]),
        (("archs: [sm90]", "archs: []"), "arch", ["a snippet is for sm90"]),
        (("archs: [sm90]", "archs: [sm90, sm90]"), "schema", ["stands twice"]),
        (("whole tile.[^ptx]", "whole tile.[^ptx]{verified}"), "citation", ["verified needs a snippet or run source"]),
        (("whole tile.[^ptx]", "whole tile of `made_up_name`.[^ptx]"), "grounding", ["'made_up_name'", "mend:", "whole tile"]),
        (("whole tile.[^ptx]", "whole tile in 128 bytes.[^ptx]"), "grounding", ["'128'"]),
        (('["copy a whole tile with one thread"]', '["copy 77 tiles with one thread"]'), "grounding", ["'77'"]),
        (("as kernels#1 does.[^kernels-1]", "as kernels#1 does in 5 ms.[^kernels-1]"), "performance", ["5 is a measured number"]),
        (("arch=sm_90a expect=UTMALDG", "arch=sm_90a"), "snippet", ["expect="]),
        (
            (
                "snippets: compiled",
                "snippets: compiled\nperformance:\n  - {gpu: H200, dtype: bf16, shape: m=1, metric: ms, value: 5, source: gone}",
            ),
            "performance",
            ["source gone"],
        ),
        (
            ("snippets: compiled", "snippets: compiled\nperformance:\n  - {gpu: H200, value: 5, source: ptx}"),
            "schema",
            ["performance", "dtype"],
        ),
    ],
)
def test_a_fact_without_its_source_is_found(small_corpus, edit: tuple[str, str], rule: str, words: list[str]) -> None:
    small_corpus.edit(small_corpus.page, *edit)
    problems = small_corpus.problems()
    assert any(problem.rule == rule and all(word in problem.message for word in words) for problem in problems), problems


@pytest.mark.parametrize("text", ["", "- a", 'document: "D"', 'document: "Doc"\ntitle: "T t"\nfacts: [a: b]', "document: [", "facts: []"])
def test_a_broken_document_sheet_is_found(small_corpus, text: str) -> None:
    path = small_corpus.folder / "sources" / "ptx-isa" / "tma.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    small_corpus.edit(small_corpus.page, DOC, '{key: ptx, kind: doc, id: "ptx-isa/tma"}')
    assert {problem.rule for problem in small_corpus.problems()} >= {"sheet", "source"}


def test_a_document_sheet_grounds_the_sentences_that_cite_it(small_corpus) -> None:
    path = small_corpus.folder / "sources" / "ptx-isa" / "tma.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        'document: "PTX ISA"\nversion: 9.1\ntitle: "TMA"\nfacts: ["a bulk copy moves a whole tile of 128 bytes"]\n', encoding="utf-8"
    )
    small_corpus.edit(small_corpus.page, DOC, '{key: ptx, kind: doc, id: "ptx-isa/tma"}')
    small_corpus.edit(small_corpus.page, "whole tile.[^ptx]", "whole tile of 128 bytes.[^ptx]")
    assert small_corpus.problems() == []
    small_corpus.edit(small_corpus.page, "whole tile of 128 bytes", "whole tile of 256 bytes")
    assert [problem.rule for problem in small_corpus.problems()] == ["grounding"]


def test_one_page_is_checked_by_id_or_file_and_a_name_that_is_none_is_not_found(small_corpus) -> None:
    small_corpus.edit(small_corpus.page, "tags: [tma]", "tags: [tma, warp-drive]")
    assert small_corpus.run("check", "technique/split-kv").code == 0
    for name in (PAGE, str(small_corpus.page)):
        run = small_corpus.run("check", name)
        assert (run.code, "warp-drive" in run.out) == (1, True)
    assert small_corpus.run("check", "hardware/gone").code == 3


def test_a_page_that_is_not_text_is_found(small_corpus) -> None:
    small_corpus.page.write_bytes(b"\xff\xfe\x00")
    assert found(small_corpus, "schema", PAGE)


@pytest.mark.parametrize(
    ("changes", "rule", "words"),
    [
        ({"evidence": (Evidence("api", "tma_load"),)}, "evidence", ["tma_load", "no file and line"]),
        ({"evidence": (Evidence("api", "tma_load", "csrc/tma_load.cuh"),)}, "evidence", ["no file and line"]),
        ({"evidence": (Evidence("api", "tma_load", "csrc/other.cuh", 3),)}, "evidence", ["csrc/other.cuh", "does not change"]),
        ({"evidence": (Evidence("arch", "hopper"),)}, "evidence", ["hopper"]),
        ({"merge_sha": "abc"}, "schema", ["merge_sha"]),
        ({"merged_at": "yesterday"}, "schema", ["merged_at"]),
        ({"id": "kernels#3"}, "schema", ["acme/kernels"]),
    ],
)
def test_a_planted_defect_of_a_record_is_found(small_corpus, changes: dict, rule: str, words: list[str]) -> None:
    first, second, third = small_corpus.records
    broken = replace(second, **changes)
    small_corpus.write(first, broken, third)
    assert found(small_corpus, rule, broken.id, *words)


def _flip(corpus) -> None:
    path = corpus.folder / "records" / "acme__attention.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-9] + bytes(9))


def _remove(corpus) -> None:
    (corpus.folder / "records" / "acme__attention.jsonl.gz").unlink()


@pytest.mark.parametrize(("damage", "word"), [(_flip, "altered"), (_remove, "cannot be read")])
def test_an_altered_or_missing_record_file_is_found(small_corpus, damage: Callable, word: str) -> None:
    damage(small_corpus)
    problem = small_corpus.problems()[0]
    assert (problem.rule, problem.where) == ("records", "acme__attention.jsonl.gz")
    assert word in problem.message


def test_a_manifest_with_a_wrong_count_is_found(small_corpus) -> None:
    small_corpus.edit(small_corpus.folder / "records" / "manifest.json", '"records": 2,\n   "first', '"records": 3,\n   "first')
    assert found(small_corpus, "records", "acme__kernels.jsonl.gz", "says 3", "has 2")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 99, "files": {}}'])
def test_a_broken_manifest_is_found(small_corpus, text: str) -> None:
    (small_corpus.folder / "records" / "manifest.json").write_text(text, encoding="utf-8")
    assert small_corpus.problems()[0].rule == "records"


@pytest.mark.parametrize(
    ("old", "new", "where", "words"),
    [
        ("- id: kv-cache", "- id: split-kv", "split-kv", ["twice"]),
        ("related: [split-kv]", "related: [split-kv, gone]", "tma", ["related", "gone"]),
        ("techniques: [tma]", "techniques: [gone]", "register-spill", ["techniques", "gone"]),
        ("archs: [sm90]", "archs: [sm77]", "tma", ["archs", "sm77"]),
        ("- id: kv-cache", "- id: KV_cache", "KV_cache", ["hyphens"]),
    ],
)
def test_a_planted_defect_of_the_vocabulary_is_found(small_corpus, old: str, new: str, where: str, words: list[str]) -> None:
    small_corpus.edit(small_corpus.vocabulary, old, new)
    assert found(small_corpus, "vocabulary", where, *words)


def test_an_unreadable_vocabulary_file_is_named(small_corpus) -> None:
    small_corpus.vocabulary.write_text("- id: [", encoding="utf-8")
    problem = small_corpus.problems()[0]
    assert problem.rule == "vocabulary"
    assert "terms.yaml" in problem.message


def test_a_question_of_no_record_is_found(small_corpus) -> None:
    line = '{"query": "who", "kind": "plain", "id": "kernels#404"}\n'
    (small_corpus.folder / "questions" / "questions.jsonl.gz").write_bytes(compress(line))
    assert found(small_corpus, "questions", "kernels#404")


def test_a_truncated_question_file_is_found(small_corpus) -> None:
    path = small_corpus.folder / "questions" / "questions.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-12])
    assert [problem.rule for problem in small_corpus.problems()] == ["questions"]


def test_every_problem_is_told_not_only_the_first(small_corpus) -> None:
    small_corpus.edit(small_corpus.page, "tags: [tma]", "tags: [tma, warp-drive]")
    small_corpus.edit(small_corpus.page, "../technique/split-kv.md", "../technique/gone.md")
    small_corpus.edit(small_corpus.vocabulary, "techniques: [tma]", "techniques: [gone]")
    assert [problem.rule for problem in small_corpus.problems()] == ["vocabulary", "tag", "link"]


def test_the_command_fails_and_names_the_problem(small_corpus) -> None:
    small_corpus.edit(small_corpus.page, "tags: [tma]", "tags: [tma, warp-drive]")
    text, data = small_corpus.run("check"), small_corpus.run("check", "--json")
    assert (text.code, data.code) == (1, 1)
    assert "tag: hardware/tma: tag 'warp-drive'" in text.out
    assert data.json["ok"] is False
    assert data.json["problems"] == [{"rule": "tag", "where": PAGE, "message": "tag 'warp-drive' is not in the vocabulary"}]


@pytest.mark.parametrize(
    "text",
    [
        "A claim.[^a]",
        "A claim with two.[^a][^b]",
        "A claim (with brackets [^a]).",
        "The steps are:",
        "| a | b |\n| --- | --- |",
        "```cuda\nint x;\n```",
        "### A heading",
        "",
    ],
)
def test_what_is_cited_or_no_claim_needs_no_citation(text: str) -> None:
    assert uncited_claims(text) == []


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("It is fast.", 1),
        ("It is fast.[^a] It is small.", 1),
        ("- one.[^a]\n- two.\n- three.", 2),
        ("1. one.\n2. two.[^a]", 1),
        ("First.\n\nSecond.", 2),
    ],
)
def test_claims_that_end_without_a_citation_are_counted(text: str, claims: int) -> None:
    assert len(uncited_claims(text)) == claims


def test_a_binary_file_of_a_record_is_no_problem(small_corpus) -> None:
    first = small_corpus.records[0]
    small_corpus.write(replace(first, files=(*first.files, ChangedFile("logo.png", None, None))), *small_corpus.records[1:])
    assert small_corpus.problems() == []


def test_a_page_says_ran_only_of_the_code_that_ran(small_corpus) -> None:
    runs = small_corpus.folder.parent / "benchmarks" / "snippets" / "h200.yaml"
    runs.parent.mkdir(parents=True)
    page = read_pages(small_corpus.places.pages)[0]
    assert page.id == PAGE
    small_corpus.edit(small_corpus.page, "snippets: compiled", "snippets: ran")
    runs.write_text("runs: {}\n", encoding="utf-8")
    assert found(small_corpus, "snippet", PAGE, "no run is recorded")
    runs.write_text(f"runs:\n  {PAGE}: {{sha256: 'feedfacefeedface'}}\n", encoding="utf-8")
    assert found(small_corpus, "snippet", PAGE, "has changed since")
    runs.write_text(f"runs:\n  {PAGE}: {{sha256: '{snippets_of(page)[0].digest}'}}\n", encoding="utf-8")
    assert small_corpus.problems() == []
