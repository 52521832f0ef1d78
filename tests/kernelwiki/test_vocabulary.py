"""The controlled vocabulary: what leads to which term."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelwiki.errors import CorpusUnreadable
from kernelwiki.home import corpus_folder
from kernelwiki.model import Term
from kernelwiki.reading.vocabulary import Vocabulary, read_terms, term_from_yaml

# The finding ids of ncu-skill that the public contract names.
# fmt: off
FINDINGS = [
    "dram-bandwidth-bound", "l2-bandwidth-bound", "l1-bandwidth-bound", "uncoalesced-global", "narrow-memory-access",
    "shared-bank-conflict", "register-spill", "memory-latency", "atomic-contention", "async-copy-wait", "occupancy-registers",
    "occupancy-shared-memory", "occupancy-block-size", "small-grid", "launch-bound", "tail-effect", "load-imbalance", "thread-divergence",
    "barrier-stall", "sfu-bound", "fp64-bound", "integer-bound", "fma-bound", "tensor-core-unused", "tensor-core-starved", "tensor-bound",
    "legacy-tensor-path", "instruction-fetch", "wrong-kernel-profiled",
]
# fmt: on


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.of(read_terms(corpus_folder() / "vocabulary"))


def small(*rows: Term) -> Vocabulary:
    return Vocabulary.of(rows)


def term(term_id: str, *aliases: str, identifiers: tuple[str, ...] = ()) -> Term:
    return Term(term_id, term_id, "technique", "", aliases=aliases, identifiers=identifiers)


@pytest.mark.parametrize(
    ("term_id", "spellings"),
    [
        ("tcgen05", ["UMMA", "tcgen05", "tcgen05.mma", "tcgen05 mma", "umma"]),
        ("sm100", ["B200", "sm100", "sm_100a", "GB200", "data centre Blackwell", "datacenter Blackwell"]),
        ("sm90", ["H100", "sm90", "sm_90a", "Hopper"]),
        ("cta-pair", ["2CTA", "2-CTA", "2 CTA", "2 CTAs", "cta_group::2", "two-CTA MMA"]),
        ("split-kv", ["split-KV", "splitkv", "split KV", "flash-decoding", "flash decoding", "flashdecoding"]),
        ("gated-delta-net", ["GDN", "gated delta net", "gated delta rule", "Gated DeltaNet"]),
        ("cluster-launch-control", ["CLC", "cluster launch control"]),
        ("programmatic-dependent-launch", ["PDL", "programmatic dependent launch"]),
        ("warp-specialization", ["warp specialization", "warp specialisation", "warp-specialized"]),
        ("tmem", ["TMEM", "tensor memory"]),
        ("nvfp4", ["NVFP4", "nvfp4"]),
        ("mla", ["MLA", "multi-head latent attention"]),
        ("fused-moe", ["MoE", "fused MoE"]),
    ],
)
def test_every_spelling_of_a_thing_leads_to_its_term(vocabulary: Vocabulary, term_id: str, spellings: list[str]) -> None:
    assert {spelling: term_id in vocabulary.in_text(spelling) for spelling in spellings} == dict.fromkeys(spellings, True)


@pytest.mark.parametrize(
    ("phrase", "technique"),
    [
        ("long scoreboard", "software-pipelining"),
        ("stall_long_sb", "software-pipelining"),
        ("tail effect", "persistent-kernel"),
        ("wave quantization", "stream-k"),
        ("register spill", "register-pressure-reduction"),
        ("spilling to local memory", "register-pressure-reduction"),
        ("tensor pipe idle", "tensor-core"),
    ],
)
def test_a_profilers_words_lead_to_the_techniques_that_help(vocabulary: Vocabulary, phrase: str, technique: str) -> None:
    fixes = {fix for term_id in vocabulary.in_text(f"ncu says {phrase} in my kernel") for fix in vocabulary.terms[term_id].techniques}
    assert technique in fixes


def test_bank_conflicts_name_what_the_profiler_sees_and_what_helps(vocabulary: Vocabulary) -> None:
    named = vocabulary.in_text("bank conflicts")
    assert {"profiler", "technique"} <= {vocabulary.terms[term_id].kind for term_id in named}
    assert {"shared-bank-conflict", "smem-swizzle"} <= set(named)


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_of_the_profiler_skill_has_a_term(vocabulary: Vocabulary, finding: str) -> None:
    assert any(finding in entry.findings for entry in vocabulary.terms.values())


def test_a_symptom_names_techniques_that_exist(vocabulary: Vocabulary) -> None:
    named = {fix for entry in vocabulary.terms.values() for fix in entry.techniques}
    assert named
    assert named <= set(vocabulary.terms)


def test_an_ordinary_sentence_names_no_term(vocabulary: Vocabulary) -> None:
    assert vocabulary.in_text("my dog eats breakfast on tuesday") == {}


def test_the_longest_phrase_hides_shorter_ones_inside_it() -> None:
    found = small(term("kv-cache", "KV"), term("split-kv", "split KV")).in_text("use split-KV for decode")
    assert found == {"split-kv": 2}


def test_a_shorter_phrase_counts_where_it_stands_alone() -> None:
    found = small(term("kv-cache", "KV"), term("split-kv", "split KV")).in_text("split KV, and the KV itself")
    assert found == {"split-kv": 2, "kv-cache": 1}


def test_one_phrase_may_belong_to_two_terms() -> None:
    assert set(small(term("one", "tile"), term("two", "tile")).in_text("a tile")) == {"one", "two"}


def test_a_name_in_brackets_is_a_name_too() -> None:
    entry = Term("clc", "Cluster launch control (CLC)", "hardware", "")
    assert "clc" in small(entry).in_text("cluster launch control")
    assert "clc" in small(entry).in_text("CLC")


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("tcgen05.ld*", "tcgen05.ld.sync.aligned", True),
        ("tcgen05.ld*", "tcgen05.ld", True),
        ("tcgen05.ld*", "tcgen05.st", False),
        ("SM100_MMA_*", "sm100_mma_f16bf16_ss", True),
        ("*_gmma_*", "make_gmma_desc", True),
        ("*_gmma_*", "make_wgmma", False),
        ("SM120_16x8x*_TN_VS", "SM120_16x8x32_TN_VS", True),
        ("SM120_16x8x*_TN_VS", "SM120_16x8x32_TN", False),
        ("aba*aba", "aba", False),
        ("umma", "UMMA", True),
        ("umma", "ummas", False),
    ],
)
def test_a_wildcard_stands_for_anything_in_its_place(pattern: str, name: str, matches: bool) -> None:
    assert small(term("it", identifiers=(pattern,))).of_name(name) == (("it",) if matches else ())


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*/tma_*.cuh", "csrc/tma_load.cuh", True),
        ("*/tma_*.cuh", "csrc/tma_load.cu", False),
        ("csrc/moe/*", "csrc/moe/topk.cu", True),
        ("csrc/moe/*", "old/csrc/moe/topk.cu", False),
    ],
)
def test_an_identifier_with_a_slash_is_a_path_pattern(pattern: str, path: str, matches: bool) -> None:
    entry = small(term("it", identifiers=(pattern,)))
    assert entry.of_path(path) == (("it",) if matches else ())
    assert entry.of_name(path) == ()


def test_a_code_name_in_running_text_names_its_term(vocabulary: Vocabulary) -> None:
    assert "tcgen05" in vocabulary.in_text("why does SM100_MMA_F16BF16_SS hang")


@pytest.mark.parametrize(
    "text",
    ["- id: x\n  name: [", "just text", "", "- 5", "- {id: x, name: X}", "- {id: x, name: X, kind: k, description: d, colour: red}"],
    ids=["broken yaml", "text", "empty", "number", "missing keys", "unknown key"],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "good.yaml").write_text("- {id: a, name: A, kind: k, description: d}\n", encoding="utf-8")
    (tmp_path / "wrong.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(CorpusUnreadable, match=r"wrong\.yaml"):
        read_terms(tmp_path)


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"- id: caf\xe9")
    with pytest.raises(CorpusUnreadable, match=r"latin\.yaml"):
        read_terms(tmp_path)


def test_descriptions_are_one_line() -> None:
    row = {"id": "a", "name": "A", "kind": "k", "description": "two\n  lines"}
    assert term_from_yaml(row).description == "two lines"
