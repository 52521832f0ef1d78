"""Embedders: text to unit vectors. The shipped one is a fine-tuned MiniLM in ONNX that runs on the CPU without torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kernelwiki.errors import IndexUnusable, MissingDependency

Vectors = npt.NDArray[np.float32]
MAX_TOKENS = 128
MAX_CHARACTERS = 4_000


class Embedder(Protocol):
    """Anything that turns texts into unit vectors of one dimension; `id` changes whenever its vectors would."""

    id: str

    def embed(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Vectors:
        """Unit vectors, shape (len(texts), dimension), float32. `progress` is called with the number of texts done."""
        ...


class OnnxEmbedder:
    """A sentence encoder in a folder with `model.onnx` (inputs input_ids, attention_mask; output unit vectors) and `tokenizer.json`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        info = folder / "model.json"
        try:
            self.id = str(json.loads(info.read_text(encoding="utf-8"))["id"])
        except (OSError, ValueError, KeyError) as error:
            raise IndexUnusable(f"{folder}: no usable embedding model ({error}). Reinstall kernel-skills.") from error
        self._session: Any = None
        self._tokenizer: Any = None

    def _load(self) -> None:
        try:
            import onnxruntime
            from tokenizers import Tokenizer

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = min(4, os.cpu_count() or 1)
            options.log_severity_level = 3
            # Threads that spin after a run would steal the cores from the matrix products that follow it.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self._session = onnxruntime.InferenceSession(str(self._folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
            self._tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        except ImportError as error:
            raise MissingDependency(f"{error}. Run `pip install kernel-skills` again: onnxruntime and tokenizers belong to it.") from error
        except (OSError, RuntimeError, ValueError) as error:
            raise IndexUnusable(f"{self._folder}: the embedding model does not load ({error}). Reinstall kernel-skills.") from error
        except Exception as error:
            # tokenizers and onnxruntime raise bare Exception subclasses of their own for broken files.
            if type(error).__module__.split(".")[0] in ("onnxruntime", "builtins", "tokenizers"):
                raise IndexUnusable(f"{self._folder}: the embedding model does not load ({error}). Reinstall kernel-skills.") from error
            raise
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()

    def embed(self, texts: Sequence[str], progress: Callable[[int], None] | None = None, batch: int = 64) -> Vectors:
        if self._session is None:
            self._load()
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        parts: list[Vectors] = []
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            encodings = self._tokenizer.encode_batch([texts[index][:MAX_CHARACTERS] for index in chosen])
            feed = {
                "input_ids": np.array([encoding.ids for encoding in encodings], dtype=np.int64),
                "attention_mask": np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64),
            }
            parts.append(self._session.run(None, feed)[0].astype(np.float32))
            if progress:
                progress(len(chosen))
        dimension = parts[0].shape[1] if parts else 0
        vectors = np.zeros((len(texts), dimension), dtype=np.float32)
        if parts:
            vectors[order] = np.concatenate(parts)
        return vectors


class SentenceTransformersEmbedder:
    """Any sentence-transformers model, by name or folder (extra `embed`; needs torch)."""

    def __init__(self, name: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingDependency(
                f"--embedder {name} needs sentence-transformers. Run `pip install 'kernel-skills[embed]'` (installs torch)."
            ) from error
        self.id = f"sentence-transformers:{name}"
        try:
            self._model = SentenceTransformer(name, device="cpu")
        except (OSError, ValueError) as error:
            raise IndexUnusable(f"--embedder {name}: no such sentence-transformers model here ({error}).") from error

    def embed(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Vectors:
        vectors = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        if progress:
            progress(len(texts))
        return np.asarray(vectors, dtype=np.float32)


def make_embedder(model: Path, name: str) -> Embedder:
    """The shipped embedder in the folder `model`, or a sentence-transformers model when `name` is given."""
    return SentenceTransformersEmbedder(name) if name else OnnxEmbedder(model)


def text_key(model_id: str, text: str) -> int:
    """64-bit key under which a precomputed vector of `text` ships; changes with the model."""
    digest = hashlib.blake2b(f"{model_id}\0{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class VectorCache:
    """Precomputed vectors by `text_key`, int8 with one scale for all (a unit vector's components lie within [-1, 1])."""

    SCALE = 127.0 / 0.35

    def __init__(self, path: Path | None) -> None:
        self.keys: npt.NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        self.values: npt.NDArray[np.int8] = np.zeros((0, 0), dtype=np.int8)
        if path and path.is_file():
            try:
                with np.load(path, allow_pickle=False) as data:
                    self.keys, self.values = data["keys"], data["values"]
            except (OSError, ValueError, KeyError, EOFError) as error:
                raise IndexUnusable(f"{path}: precomputed vectors cannot be read ({error}). Reinstall kernel-skills.") from error

    def find(self, keys: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
        """Which of `keys` are here, and their rows (meaningless where not found)."""
        if not len(self.keys):
            return np.zeros(len(keys), dtype=bool), np.zeros(len(keys), dtype=np.intp)
        rows = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return self.keys[rows] == keys, rows

    def vectors(self, rows: npt.NDArray[np.intp]) -> Vectors:
        """Unit float32 vectors of `rows`."""
        vectors = self.values[rows].astype(np.float32)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return vectors

    @classmethod
    def save(cls, path: Path, keys: npt.NDArray[np.uint64], vectors: Vectors) -> None:
        """Write keys (sorted) and int8 vectors to `path`."""
        order = np.argsort(keys)
        values = np.clip(np.rint(vectors[order] * cls.SCALE), -127, 127).astype(np.int8)
        beside = path.with_name(f".{path.name}.tmp.npz")
        np.savez_compressed(beside, keys=keys[order], values=values)
        beside.replace(path)


def embed_cached(embedder: Embedder, cache: VectorCache, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Vectors:
    """Vectors of `texts`: shipped ones where the cache has them, computed ones elsewhere."""
    keys = np.array([text_key(embedder.id, text) for text in texts], dtype=np.uint64)
    found, rows = cache.find(keys)
    missing = [index for index in range(len(texts)) if not found[index]]
    if progress:
        progress(len(texts) - len(missing))
    computed = embedder.embed([texts[index] for index in missing], progress) if missing else None
    dimension = computed.shape[1] if computed is not None else cache.values.shape[1]
    vectors = np.zeros((len(texts), dimension), dtype=np.float32)
    if found.any():
        vectors[found] = cache.vectors(rows[found])
    if computed is not None:
        vectors[missing] = computed
    return vectors
