"""The lexical index: the same scores as a well-kept BM25 library, and an index that grew finds what one built at once finds."""

from __future__ import annotations

from pathlib import Path

import bm25s
import numpy as np
import pytest

from kernelwiki.indexing.lexical import K1, B, LexicalIndex, LexicalWriter

TEXTS = [
    "tma multicast loads a tile for the whole cluster",
    "tma tma store",
    "",
    "a softmax kernel without tma",
    "persistent kernel with a tile scheduler and a tile queue",
    "warp specialised softmax",
]
WORDS = sorted({word for text in TEXTS for word in text.split()})


def write(folder: Path, texts: list[str], base: Path | None = None) -> LexicalIndex:
    folder.mkdir()
    writer = LexicalWriter(folder, ["text", "path"], base)
    for text in texts:
        writer.add({"text": text.split(), "path": text.split()[:1]})
    writer.finish()
    return LexicalIndex(folder, ["text", "path"], len(texts) + (len(TEXTS) - len(texts) if base else 0))


def scores(index: LexicalIndex, word: str) -> np.ndarray:
    return index.scores("text", index.columns([word]))


@pytest.mark.parametrize("word", WORDS)
def test_scores_are_those_of_bm25s(tmp_path: Path, word: str) -> None:
    index = write(tmp_path / "index", TEXTS)
    scorer = bm25s.BM25(k1=K1, b=B)
    scorer.index([text.split() for text in TEXTS], show_progress=False)
    expected = scorer.get_scores([word])
    assert expected.max() > 0
    np.testing.assert_allclose(scores(index, word), expected, rtol=1e-5)


@pytest.mark.parametrize("split", range(len(TEXTS) + 1))
def test_an_index_that_grew_finds_every_word_where_one_built_at_once_does(tmp_path: Path, split: int) -> None:
    whole = write(tmp_path / "whole", TEXTS)
    write(tmp_path / "base", TEXTS[:split])
    grown = write(tmp_path / "grown", TEXTS[split:], tmp_path / "base")
    for word in WORDS:
        assert list(np.flatnonzero(scores(grown, word))) == list(np.flatnonzero(scores(whole, word))), word
        np.testing.assert_allclose(scores(grown, word)[split:], scores(whole, word)[split:], rtol=1e-5)
        np.testing.assert_allclose(grown.coverage(grown.columns([word])), whole.coverage(whole.columns([word])), rtol=1e-6)
    assert (tmp_path / "grown" / "tokens.txt").read_bytes() == (tmp_path / "whole" / "tokens.txt").read_bytes()


def test_an_index_of_nothing_answers_with_nothing(tmp_path: Path) -> None:
    index = write(tmp_path / "index", [])
    assert index.columns(["tma"]) == []
    assert len(index.scores("text", [])) == 0
