"""Grounding: a sentence may say what its cited facts say, and nothing else; single-fact corruptions of the shipped corpus are found."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import mutations
import pytest

from kernelwiki.grounding.facts import FactLine, archs_in, fact_lines, items_of, tokens_of
from kernelwiki.grounding.page_check import check_page_text
from kernelwiki.grounding.sources import Library, finding_ids, playbook_lines
from kernelwiki.grounding.statements import statements_of
from kernelwiki.grounding.summary_check import check_summary
from kernelwiki.grounding.support import ungrounded
from kernelwiki.home import Places, corpus_folder
from kernelwiki.model import Source
from kernelwiki.reading.pages import page_files, page_id
from kernelwiki.reading.records import read_records
from kernelwiki.reading.summaries import parse_summary, read_summary_file, summary_files
from kernelwiki.reading.vocabulary import read_terms

DOCUMENT = [
    "kind::f16 one CTA dense: M 64 or 128, N 8 to 256 in steps of 8, K 16",
    "kind::tf32 one CTA dense: M 64 or 128, N 8 to 256 in steps of 8, K 8",
    "tcgen05.ld loads from Tensor Memory into registers and is asynchronous",
    "tcgen05.st stores registers to Tensor Memory",
    "multicast is optimised for sm_90a and sm_100a; scatter4 needs sm_103a",
    "smsp__warps_issue_stalled_<reason>.ratio is warps per issue",
    "a warp reaches lanes 0-31 (warp 0), lanes 32-63 (warp 1), lanes 64-95 (warp 2)",
    "ptxas takes kind::i8 for sm_100a and sm_110a and refuses it for sm_120a",
    "the tutorial tile has BLOCK_M 64, BLOCK_N 96 and 4 stages; swap_ab is measured by gpu__time_duration.sum on sm_90",
]
MUTATIONS = 200
CAUGHT = 0.95


def wrong(sentence: str, facts: list[str] | None = None, requests: tuple[str, ...] = ()) -> list[str]:
    """Tokens of a sentence that the facts do not support."""
    lines = fact_lines("doc", facts or DOCUMENT, rival=True, subject="tcgen05 shapes")
    return [item.token for item in ungrounded(sentence, lines, requests)]


@pytest.mark.parametrize(
    "sentence",
    [
        "A dense `kind::f16` of one CTA has K 16.",
        "`tcgen05.ld` loads registers from Tensor Memory asynchronously.",
        "`tcgen05.st` stores registers to Tensor Memory.",
        "Multicast is optimised for `sm_90a` and SM100a.",
        "`smsp__warps_issue_stalled_barrier.ratio` is warps per issue.",
        "Warp 1 reaches lanes 32-63.",
        "Words alone need no fact.",
        "One CTA of a dense kind::tf32 has N from 8 to 256 in steps of 8.",
        "ptxas takes kind::i8 for `sm_110a` and refuses it for `sm_120a`.",
        "The tutorial tile has BLOCK_N 96 and four stages.",
        "`swap_ab` is measured by `gpu__time_duration.sum` on sm_90.",
    ],
)
def test_what_a_cited_fact_says_is_grounded(sentence: str) -> None:
    assert wrong(sentence) == []


@pytest.mark.parametrize(
    ("sentence", "token"),
    [
        ("A dense `kind::f16` of one CTA has K 32.", "32"),
        ("`tcgen05.cp` loads from Tensor Memory into registers.", "tcgen05.cp"),
        ("`tcgen05.st` loads from Tensor Memory into registers and is asynchronous.", "tcgen05.st"),
        ("Multicast is optimised for `sm_120a`.", "sm_120a"),
        ("Multicast is optimised for `sm_90a` and `sm_90a`.", "sm_90a"),
        ("UTCFAKE is the instruction.", "UTCFAKE"),
        ("The `made_up_function` does it.", "made_up_function"),
        ("cutlass#12 does it.", "cutlass#12"),
        ("The tutorial tile has BLOCK_M 96.", "96"),
        ("ptxas takes kind::i8 for `sm_120a`.", "sm_120a"),
        ("ptxas takes kind::i8 for `sm_100a` and `sm_120a`.", "sm_120a"),
        ("kind::f16 one CTA dense has M 128 or 128.", "128"),
        ("`SWAP_AB` is measured by `gpu__time_duration.sum`.", "SWAP_AB"),
        ("`swap_ab` is measured by `gpu__time_duration`.", "gpu__time_duration"),
        ("`swap_ab` is measured on `sm_90f`.", "sm_90f"),
    ],
)
def test_what_no_cited_fact_says_is_found(sentence: str, token: str) -> None:
    assert token in wrong(sentence)


def test_a_pull_request_is_grounded_only_where_it_is_cited() -> None:
    assert wrong("cutlass#12 does it.", requests=("cutlass#12",)) == []
    assert wrong("cutlass#12 does it.", requests=("cutlass#13",)) == ["cutlass#12"]


def test_a_reason_names_sentence_token_and_mend() -> None:
    (item,) = ungrounded("A dense `kind::f16` of one CTA has K 77.", fact_lines("ptx", DOCUMENT, rival=True))
    assert item.token == "77"
    assert "no fact of the cited sources (ptx)" in item.message
    assert "mend:" in item.message
    assert "has K 77" in item.message


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sm_100a and SM90", {"sm100", "sm90"}),
        ("on B200, H200", {"sm100", "sm90"}),
        ("compute_120f", {"sm120"}),
        ("SM12x and sm_10x, never sm90x", {"sm120", "sm100"}),
        ("gfx950 or MI300X", {"gfx950", "gfx942"}),
        ("small 100", set()),
    ],
)
def test_architectures_are_known_by_name_and_by_chip(text: str, found: set[str]) -> None:
    assert archs_in(text) == found


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("`cp.async.bulk` of 128 bytes", ["cp.async.bulk", "128"]),
        ("64x128x32 tiles", ["64x128x32"] * 3),
        ("a gain of +26.0%", ["+26.0%"]),
        ("2,048 tokens in FP8", ["2,048", "FP8"]),
        ("CUTLASS and FlashInfer use TMA", []),
        ("vllm#23696 and NVIDIA/cutlass#7", ["vllm#23696", "NVIDIA/cutlass#7"]),
        ("`.16x64b` and `.x32`", [".16x64b", ".x32"]),
        ("e.g. the tile", []),
        ("64xNxK", ["64xNxK"]),
    ],
)
def test_names_numbers_and_pull_requests_are_tokens_and_words_are_not(text: str, tokens: list[str]) -> None:
    assert [item.text for item in tokens_of(text)] == tokens


def test_numbers_are_compared_without_separators_and_zeros() -> None:
    (fact,) = fact_lines("f", ["a limit of 2048 and 26 percent in the table"])
    assert all(fact.holds(item) for item in items_of("2,048 26.0") if item.kind == "number")


def test_a_number_of_a_path_or_code_name_supports_no_number() -> None:
    path = FactLine("pr", "csrc/gemm_128/tile_64.cuh", loose=True, numbered=False)
    assert not any(path.holds(item) for item in items_of("128 64"))


def test_a_table_cell_is_about_its_row_and_column() -> None:
    table = "| shape | lanes |\n| --- | --- |\n| `.32x32b` | 32 [^ld] |\n"
    header, row, cell = statements_of(table)
    assert (header.kind, row.text, cell.text, cell.context, cell.keys) == ("header", "`.32x32b`", "32", "`.32x32b` lanes", ("ld",))


def test_sentences_before_a_citation_stand_alone() -> None:
    statements = statements_of("It has `a_b`. It has 16 lanes.[^x]{inferred} More.[^y][^z]\n")
    assert [(item.text, item.keys, item.confidence) for item in statements] == [
        ("It has `a_b`.", (), ""),
        ("It has 16 lanes.", ("x",), "inferred"),
        ("More.", ("y", "z"), ""),
    ]


def test_every_finding_of_the_playbook_has_lines() -> None:
    assert len(finding_ids()) >= 29
    assert all(playbook_lines(name) for name in [*finding_ids(), "catalog"])
    assert playbook_lines("no-such-finding") == []


@pytest.fixture(scope="module")
def library() -> Library:
    corpus = corpus_folder()
    records = {record.id: record for record in read_records(corpus / "records")}
    return Library(corpus, records, {term.id: term for term in read_terms(corpus / "vocabulary")})


def test_evidence_supports_only_what_stands_near_its_line(library: Library) -> None:
    record = next(record for record in library.records.values() if sum(item.line is not None for item in record.evidence) > 20)
    item = next(item for item in record.evidence if item.path and item.line)
    source = Source("e", "evidence", id=record.id, path=item.path or "", line=item.line, sha=record.merge_sha)
    near = {name for line in library.lines(source) for name in line.text.split()}
    far = [other.name for other in record.evidence if other.path == item.path and other.line and abs(other.line - (item.line or 0)) > 200]
    assert item.name.split()[0] in near
    assert not set(far) & near - {item.name}


def test_single_fact_corruptions_of_pages_and_summaries_are_found(library: Library, capsys: pytest.CaptureFixture[str]) -> None:
    """Corruptions of an instruction, a number, a pull request or an architecture."""
    corpus = Places(corpus_folder(), Path())
    files = page_files(corpus.pages)
    pages, ids = {path: path.read_text(encoding="utf-8") for path in files}, {page_id(path) for path in files}
    summaries = {path: [line for line in path.read_text(encoding="utf-8").split("\n") if line] for path in summary_files(corpus.summaries)}
    before = {path: set(check_page_text(path, text, library, ids)) for path, text in pages.items()}
    clean = {path: text for path, text in pages.items() if not before[path]}
    drawn = mutations.draw(clean, summaries, library.records, MUTATIONS, seed=7)
    tried, caught = Counter(mutation.kind for mutation in drawn), Counter[str]()
    for mutation in drawn:
        if mutation.path.suffix == ".md":
            found = bool(check_page_text(mutation.path, mutation.text, library, ids))
        else:
            found = _summary_fails(mutation.text, mutation.path, library)
        caught[mutation.kind] += found
    with capsys.disabled():
        print("\nmutations caught:", ", ".join(f"{kind} {caught[kind]}/{tried[kind]}" for kind in sorted(tried)))
    assert min(tried.values()) >= MUTATIONS // 10
    assert sum(caught.values()) / MUTATIONS >= CAUGHT, {kind: (caught[kind], tried[kind]) for kind in tried}


def _summary_fails(line: str, path: Path, library: Library) -> bool:
    """Whether a changed summary line breaks a rule: its own, or that a file has one line a pull request."""
    summary = parse_summary(json.loads(line), path.name)
    held = {other.id: other for other in read_summary_file(path)}
    twice = summary.id in held and held[summary.id].summary != summary.summary and summary.summary in {o.summary for o in held.values()}
    return twice or bool(list(check_summary(summary, library)))
