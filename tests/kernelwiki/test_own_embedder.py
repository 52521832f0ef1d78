"""`--embedder`: a real sentence-transformers model, made here from nothing, answers through the same index and store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernelwiki import Wiki
from kernelwiki.errors import IndexUnusable
from kernelwiki.indexing.embed import SentenceTransformersEmbedder

pytest.importorskip("sentence_transformers", reason="the extra [embed] is not installed (./run lab has it)")
pytestmark = pytest.mark.filterwarnings("ignore")

TEXT = "tma multicast loads a tile register spill in the epilogue split kv for long decode sequences kernel load stop"
WORDS = list(dict.fromkeys(TEXT.split()))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a two-layer BERT with random weights (seed 0) and a vocabulary of a few words, mean-pooled."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]), encoding="utf-8")
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(WORDS) + 5, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    BertModel(config).save_pretrained(folder / "bert")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    words = Transformer(str(folder / "bert"), max_seq_length=64)
    SentenceTransformer(modules=[words, Pooling(words.get_word_embedding_dimension())], device="cpu").save(str(folder / "model"))
    return str(folder / "model")


def test_vectors_are_unit_length_and_equal_texts_get_equal_ones(model: str) -> None:
    vectors = SentenceTransformersEmbedder(model).embed(["tma multicast", "register spill", "tma multicast"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-6)
    assert float(vectors[0] @ vectors[1]) < 0.999


def test_an_index_of_another_embedder_answers_and_keeps_its_name(small_corpus: Any, model: str) -> None:
    wiki = Wiki.open(embedder=model, store="exact")
    assert (wiki.info.dense, wiki.info.embedder) == (True, f"sentence-transformers:{model}")
    assert wiki._searcher.matrix.shape[1] == 32
    assert "kernels#1" in [hit.id for hit in wiki.search("load the A tile with TMA multicast")]
    assert Wiki.open(store="exact").info.version != wiki.info.version


def test_a_command_with_an_embedder_prints_one_document(small_corpus: Any, model: str) -> None:
    done = small_corpus.run("search", "TMA multicast", "--embedder", model, "--json")
    assert done.code == 0, done.err
    assert done.json["results"]


def test_a_folder_that_is_no_model_is_named(small_corpus: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(IndexUnusable, match="empty"):
        Wiki.open(embedder=str(tmp_path / "empty"))
