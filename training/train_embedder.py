"""Fine-tune the sentence encoder contrastively on kernel pull requests. Needs a GPU, torch and sentence-transformers.

    python training/train_embedder.py --base MODEL_FOLDER --bundle bundle.json.gz --out OUT
        [--without single|twins|topics|weak|titles]... [--fold 0|1]

Loss: InfoNCE over the batch and hard negatives with all documents that are right for a question masked out of its negatives.
`--fold k` leaves out the topics whose number is k modulo 2, so that a ranker can be tuned on vectors that never saw its questions.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

SEED = 7
BATCH = 512
EPOCHS = 5
RATE = 6e-5
TEMPERATURE = 0.05
HARD = 96
WEAK_SHARE = 0.25
MAX_TOKENS = 128


def document_text(parts: list[str], rng: random.Random, hide_title: bool = False) -> str:
    """A document's text; in training some parts are dropped so that no part alone carries the match."""
    kept = [part for index, part in enumerate(parts) if (index == 0 and not hide_title) or (index and rng.random() > 0.25)]
    return " | ".join(kept) or " | ".join(parts)


def encode(model: SentenceTransformer, texts: list[str]) -> torch.Tensor:
    features = {key: value.to(model.device) for key, value in model.preprocess(texts).items() if hasattr(value, "to")}
    return torch.nn.functional.normalize(model(features)["sentence_embedding"], dim=-1)


def pair_list(bundle: dict[str, Any], without: set[str], fold: int | None) -> list[list[Any]]:
    """Pairs [query, document, group, right documents, hide title] of one epoch's pool; a twin's "document" is a question (hide is None)."""
    pairs: list[list[Any]] = []
    if "single" not in without:
        pairs += [[query, document, group, (document,), False] for query, document, group in bundle["single"]]
    if "twins" not in without:
        pairs += [[query, twin, group, (), None] for query, twin, group in bundle["twins"]]
    if "topics" not in without:
        for row in topics_of(bundle, fold, held_out=False):
            right = tuple(d for d in row["grades"] if d in bundle["documents"])
            for document in right:
                pairs += [[row["query"], document, row["topic"], right, False]] * int(row["grades"][document])
    return pairs


def weak_list(bundle: dict[str, Any], without: set[str]) -> list[list[Any]]:
    pairs: list[list[Any]] = []
    if "weak" not in without:
        pairs += [[query, document, group, (document,), False] for query, document, group in bundle["weak"]]
    if "titles" not in without:
        pairs += [[query, document, group, (document,), True] for query, document, group in bundle["titles"]]
    return pairs


def topics_of(bundle: dict[str, Any], fold: int | None, held_out: bool) -> list[dict[str, Any]]:
    names = sorted({row["topic"] for row in bundle["topics"]})
    number = {name: index for index, name in enumerate(names)}
    if fold is None:
        return [] if held_out else list(bundle["topics"])
    return [row for row in bundle["topics"] if (number[row["topic"]] % 2 == fold) == held_out]


def train(model: SentenceTransformer, bundle: dict[str, Any], without: set[str], fold: int | None, negatives: dict[str, list[str]]) -> None:
    rng = random.Random(SEED)
    torch.manual_seed(SEED)
    strong, weak = pair_list(bundle, without, fold), weak_list(bundle, without)
    documents = bundle["documents"]
    per_epoch = len(strong) + int(len(strong) * WEAK_SHARE / (1 - WEAK_SHARE)) if strong else len(weak)
    steps = max(1, EPOCHS * per_epoch // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1, pct_start=0.1)
    model.train()
    started, running = time.time(), 0.0
    for step in range(steps):
        size = int(BATCH * (1 - WEAK_SHARE)) if strong and weak else BATCH
        batch = (rng.sample(strong, min(size, len(strong))) if strong else []) + (
            rng.sample(weak, BATCH - (size if strong else 0)) if weak else []
        )
        pool = [name for row in batch for name in rng.sample(negatives.get(row[0], []), min(2, len(negatives.get(row[0], []))))]
        extra = rng.sample(pool, min(HARD, len(pool)))
        names = [row[1] for row in batch] + extra
        texts = [row[1] if row[4] is None else document_text(documents[row[1]], rng, row[4]) for row in batch] + [
            document_text(documents[name], rng) for name in extra
        ]
        groups = [row[2] for row in batch] + [None] * len(extra)
        mask = torch.zeros(len(batch), len(names), dtype=torch.bool)
        for i, row in enumerate(batch):
            right = set(row[3])
            for j, name in enumerate(names):
                if j != i and (name in right or (groups[j] == row[2])):
                    mask[i, j] = True
        with torch.autocast("cuda", dtype=torch.bfloat16):
            scores = encode(model, [row[0] for row in batch]).float() @ encode(model, texts).float().T / TEMPERATURE
        scores = scores.masked_fill(mask.to(scores.device), float("-inf"))
        loss = torch.nn.functional.cross_entropy(scores, torch.arange(len(batch), device=scores.device))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        running = loss.item() if not step else 0.95 * running + 0.05 * loss.item()
    print(
        f"  {steps} steps, {len(strong)} strong and {len(weak)} weak pairs, loss {running:.3f}, {time.time() - started:.0f} s", flush=True
    )


def vectors(model: SentenceTransformer, texts: list[str]) -> np.ndarray[Any, Any]:
    model.eval()
    return np.asarray(model.encode(texts, batch_size=512, normalize_embeddings=True, show_progress_bar=False), dtype=np.float32)


def hard_negatives(
    bundle: dict[str, Any], matrix: np.ndarray[Any, Any], queries: np.ndarray[Any, Any], rows: list[dict[str, Any]]
) -> dict[str, list[str]]:
    """Per topic question: near documents that are not graded for its topic (the pools they were judged from are made of such)."""
    names = list(bundle["documents"])
    found = {}
    for row, vector in zip(rows, queries, strict=True):
        near = np.argsort(-(matrix @ vector))[:60]
        found[row["query"]] = [names[i] for i in near if names[i] not in row["grades"]][:40]
    return found


def ndcg(bundle: dict[str, Any], matrix: np.ndarray[Any, Any], queries: np.ndarray[Any, Any], rows: list[dict[str, Any]]) -> float:
    """Mean nDCG@10 over all documents, gain 2^grade - 1."""
    names, values = list(bundle["documents"]), []
    for row, vector in zip(rows, queries, strict=True):
        gains = {d: 2.0**g - 1 for d, g in row["grades"].items() if d in bundle["documents"]}
        top = np.argsort(-(matrix @ vector))[:10]
        dcg = sum(gains.get(names[i], 0.0) / np.log2(rank + 2) for rank, i in enumerate(top))
        ideal = sum(g / np.log2(rank + 2) for rank, g in enumerate(sorted(gains.values(), reverse=True)[:10]))
        values.append(dcg / ideal)
    return float(np.mean(values)) if values else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--fold", type=int)
    parser.add_argument("--save-model", action="store_true")
    parser.add_argument("--save-vectors", action="store_true")
    arguments = parser.parse_args()
    with gzip.open(arguments.bundle, "rt", encoding="utf-8") as file:
        bundle = json.load(file)
    model = SentenceTransformer(arguments.base, device="cuda").float()
    model.max_seq_length = MAX_TOKENS
    texts = [" | ".join(parts) for parts in bundle["documents"].values()]
    rows = bundle["topics"]
    held = topics_of(bundle, arguments.fold, held_out=True)
    before, queries = vectors(model, texts), vectors(model, [row["query"] for row in rows])
    of = {row["query"]: index for index, row in enumerate(rows)}
    pick = [of[row["query"]] for row in held]
    print(f"fold {arguments.fold} without {arguments.without}: base nDCG@10 {ndcg(bundle, before, queries[pick], held):.3f}", flush=True)
    train(model, bundle, set(arguments.without), arguments.fold, hard_negatives(bundle, before, queries, rows))
    after, queries = vectors(model, texts), vectors(model, [row["query"] for row in rows])
    kinds = {kind: [row for row in held if row["kind"] == kind] for kind in ("api", "plain", "symptom")}
    detail = {kind: round(ndcg(bundle, after, queries[[of[row["query"]] for row in part]], part), 3) for kind, part in kinds.items()}
    print(f"  trained nDCG@10 {ndcg(bundle, after, queries[pick], held):.3f} {detail}", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.save_vectors:
        terms, questions = vectors(model, bundle["term_texts"]), vectors(model, bundle["questions"])
        packed = {
            name: np.rint(value * 363).clip(-127, 127).astype(np.int8)
            for name, value in (("d", after), ("q", queries), ("t", terms), ("a", questions))
        }
        np.savez_compressed(arguments.out / f"fold{arguments.fold}.npz", **packed)
    if arguments.save_model:
        from safetensors.torch import save

        data = save({key: value.half().contiguous() for key, value in model[0].auto_model.state_dict().items()})
        for index in range(0, len(data), 15_000_000):
            (arguments.out / f"model.{index // 15_000_000}.bin").write_bytes(data[index : index + 15_000_000])


if __name__ == "__main__":
    main()
