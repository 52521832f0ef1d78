"""How text is cut into tokens and words."""

from __future__ import annotations

import pytest

from kernelwiki.tokens import STOP_WORDS, query_tokens, stem, tokenize, words


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("cp.async.bulk.tensor", {"cp.async.bulk.tensor", "cp", "async", "bulk", "tensor"}),
        ("setmaxnreg", {"setmaxnreg"}),
        ("sm_100a", {"sm.100a", "sm", "100a"}),
        ("sm100a", {"sm100a", "sm100"}),
        ("kBlockM", {"kblockm", "block"}),
        ("FP8", {"fp8"}),
        ("HTTPServer", {"httpserver", "http", "server"}),
        ("cute::copy", {"cute.copy", "cute", "copi"}),
        ("128x64", {"128x64", "128", "64"}),
        ("csrc/flash_attn/fwd_sm90.cu", {"csrc", "flash.attn", "flash", "attn", "fwd.sm90.cu", "fwd", "sm90", "cu"}),
    ],
)
def test_an_identifier_gives_its_whole_name_and_its_parts(text: str, tokens: set[str]) -> None:
    assert set(tokenize(text)) == tokens


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("spills", "spilling"),
        ("spilled", "spill"),
        ("kernels", "kernel"),
        ("schedule", "scheduling"),
        ("scheduler", "scheduled"),
        ("quantisation", "quantization"),
        ("fusing", "fused"),
        ("warps", "warp"),
        ("tiles", "tile"),
        ("waves", "wave"),
        ("queries", "query"),
        ("latencies", "latency"),
        ("buffers", "buffer"),
        ("quantize", "quantization"),
        ("gpus", "gpu"),
        ("gemms", "gemm"),
    ],
)
def test_forms_of_one_word_share_a_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize("word", ["bypass", "tcgen05", "tma", "mla", "cp", "fp8", "loss"])
def test_short_words_code_names_and_double_s_are_not_stemmed(word: str) -> None:
    assert stem(word) == word


def test_two_different_words_keep_two_stems() -> None:
    assert len({stem(word) for word in ("spill", "split", "splice", "speed", "cute", "cut")}) == 6


@pytest.mark.parametrize(("plural", "acronym"), [("CTAs", "cta"), ("SMs", "sm"), ("GPUs", "gpu"), ("GEMMs", "gemm")])
def test_the_plural_of_an_acronym_is_the_acronym(plural: str, acronym: str) -> None:
    assert tokenize(plural) == words(plural) == [acronym]


def test_tokens_keep_order_and_repeats() -> None:
    assert tokenize("warp spill warp") == ["warp", "spill", "warp"]


@pytest.mark.parametrize("text", ["", "   ", "!?*()[]", "\x00\x1b", "🔥", "«»"])
def test_text_without_letters_or_digits_has_no_tokens(text: str) -> None:
    assert tokenize(text) == []
    assert query_tokens(text) == []
    assert words(text) == []


def test_stop_words_leave_a_query_but_not_a_document() -> None:
    assert query_tokens("How do I use the TMEM") == ["tmem"]
    assert "the" in tokenize("the TMEM")
    assert {"the", "how", "with"} <= STOP_WORDS


def test_a_stop_word_inside_an_identifier_stays() -> None:
    assert "to" in query_tokens("copy_to_smem")


def test_query_tokens_are_distinct_and_in_order() -> None:
    assert query_tokens("tma TMA wgmma tma") == ["tma", "wgmma"]


@pytest.mark.parametrize("limit", [1, 5, 64])
def test_a_long_query_keeps_only_the_first_tokens(limit: int) -> None:
    text = " ".join(f"word{chr(97 + number % 26)}{chr(97 + number // 26)}" for number in range(500))
    assert len(query_tokens(text, limit)) == limit
    assert query_tokens(text, limit) == query_tokens(text, 64)[:limit]


@pytest.mark.parametrize("text", ["2CTA", "2-CTA", "2 cta", "2_CTA", "2CTA.", "2 CTAs"])
def test_spellings_of_two_cta_are_the_same_words(text: str) -> None:
    assert words(text) == ["2", "cta"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("split-KV", ["split", "kv"]),
        ("FP8", ["fp", "8"]),
        ("warpSpecialized", ["warp", "specialized"]),
        ("bank conflicts", ["bank", "conflict"]),
        ("across bus", ["across", "bus"]),
    ],
)
def test_words_cut_at_case_and_digits_and_fold_plurals(text: str, expected: list[str]) -> None:
    assert words(text) == expected
