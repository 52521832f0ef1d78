"""Ranking: what a search must get right on the shipped corpus, and what the parts promise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kernelwiki import Wiki
from kernelwiki.indexing.embed import VectorCache, text_key
from kernelwiki.searching.rank import FEATURES, default_ranking, weighted

# Questions of our own with a pull request that any engineer would expect among the first ten.
EXPECTED = [
    ("issue_clc_query multicast", "cutlass#3021"),
    ("mxfp4 fused MoE with CUTLASS on B200", "vllm#23696"),
    ("programmatic dependent launch for the CuTe DSL MLA decode kernel", "flashinfer#2901"),
    ("exp2 FMA emulation in the hd256 forward kernel", "flash-attention#2488"),
    ("multi-CTA radix top-k stream hangs on SM120", "flashinfer#3615"),
]


@pytest.mark.parametrize(("query", "expected"), EXPECTED)
def test_a_question_about_a_known_pull_request_finds_it_among_the_first_ten(shipped: Wiki, query: str, expected: str) -> None:
    assert expected in [hit.id for hit in shipped.search(query, kind="pr", limit=10)]


def test_the_main_job_leads_to_the_pages_of_its_subject(shipped: Wiki) -> None:
    assert {"hardware/tcgen05", "hardware/tmem"} <= {hit.id for hit in shipped.search("tcgen05 TMEM accumulation")}


def test_a_profiler_word_leads_to_the_page_of_its_pattern(shipped: Wiki) -> None:
    assert "pattern/tail-effect" in [
        hit.id for hit in shipped.search("last wave of thread blocks leaves most SMs idle", kind="page", limit=3)
    ]


def test_label_is_stronger_for_a_named_subject_than_for_a_stranger(shipped: Wiki) -> None:
    order = {"strong": 2, "fair": 1, "weak": 0}
    known = order[shipped.search("CUTLASS blockwise scaled FP8 GEMM on Blackwell", kind="pr", limit=1)[0].match]
    stranger = order[shipped.search("recipe for sourdough bread with olives", kind="pr", limit=1)[0].match]
    assert known > stranger


def test_scores_never_rise_down_the_list(shipped: Wiki) -> None:
    scores = [hit.score for hit in shipped.search("paged attention decode kernel", limit=50)]
    assert scores == sorted(scores, reverse=True)


def test_every_weight_belongs_to_a_feature_that_search_computes(shipped: Wiki) -> None:
    ranking = default_ranking()
    named = {*ranking.first, *ranking.final, *ranking.lexical, *(set(ranking.certainty) - {"bias"})}
    assert named <= set(FEATURES)
    searcher = shipped._searcher
    query = searcher.understand("swizzled shared memory")
    assert query.vector is not None
    ranked = searcher.rank(query, __import__("kernelwiki.indexing.filters", fromlist=["Filters"]).Filters(), 5)
    assert set(ranked.features) == set(FEATURES)


def test_weighted_sum_ignores_features_without_a_weight() -> None:
    features = {"a": np.array([1.0, 2.0], dtype=np.float32), "b": np.array([5.0, 5.0], dtype=np.float32)}
    assert weighted({"a": 2.0}, features).tolist() == [2.0, 4.0]


def test_chance_grows_with_coverage_and_stays_a_probability() -> None:
    ranking = default_ranking()
    low, high = ranking.chance({"coverage": 0.1}), ranking.chance({"coverage": 1.0, "feedback": 0.9, "dense": 5.0})
    assert 0.0 < low < high < 1.0
    assert 0.0 <= ranking.chance({"coverage": -1e9}) < ranking.chance({"coverage": 1e9}) <= 1.0


def test_every_text_of_the_shipped_corpus_has_its_precomputed_vector(shipped: Wiki) -> None:
    from kernelwiki.indexing.embed import OnnxEmbedder
    from kernelwiki.reading.questions import read_questions

    model = OnnxEmbedder(shipped.places.model).id
    cache = VectorCache(shipped.places.vectors)
    questions = [text for found in read_questions(shipped.places.questions).values() for text in found]
    keys = np.array([text_key(model, text) for text in questions], dtype=np.uint64)
    assert len(questions) > 10_000
    assert cache.find(keys)[0].all()
    assert shipped.info.built_seconds < 120, "an index that embeds the shipped corpus again takes minutes"


def test_vector_cache_keeps_direction_to_one_percent(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).normal(size=(50, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    keys = np.arange(50, dtype=np.uint64)[::-1].copy()
    VectorCache.save(tmp_path / "v.npz", keys, vectors)
    cache = VectorCache(tmp_path / "v.npz")
    found, rows = cache.find(keys)
    assert found.all()
    assert (cache.vectors(rows) * vectors).sum(axis=1).min() > 0.99
    assert not cache.find(np.array([999], dtype=np.uint64))[0].any()


def test_model_file_is_the_one_that_its_description_names(shipped: Wiki) -> None:
    import hashlib

    info = json.loads((shipped.places.model / "model.json").read_text(encoding="utf-8"))
    assert hashlib.sha256((shipped.places.model / "model.onnx").read_bytes()).hexdigest() == info["sha256"]
    assert (shipped.places.model / "model.onnx").stat().st_size < 25_000_000
    assert info["licence"] == "Apache-2.0"
