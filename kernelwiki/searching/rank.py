"""Rank: the features that say how well a document answers a query, and their weighted sum."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

# Names of the features, in the order of `ranking.json`.
FEATURES = (
    "title",  # BM25 of each field, divided by the query's total idf
    "path",
    "names",
    "text",
    "questions",
    "coverage",  # share of the query's idf that the document covers in any field
    "dense",  # cosine similarity, standardised over the corpus
    "asked",  # cosine similarity of the nearest question that the document answers, 0 without one
    "terms",  # vocabulary terms that the query names
    "soft_terms",  # vocabulary terms whose phrases are near to the query
    "feedback",  # cosine similarity to the centre of the best documents of the first pass, 0 beyond the candidates
)


@dataclass(frozen=True)
class Ranking:
    """Weights of the features and the thresholds of the match labels (`ranking.json`, written by training/tune_ranker.py).

    `first` ranks the documents whose centre gives the feedback feature, `final` all of them, `lexical` everything without vectors.
    `strong` and `fair` are probabilities. A page gets `page_bonus` and, once more, `page_asked` times its `asked`: the symptoms that head
    a page are written by hand for it, while questions of pull requests are many and loose.
    """

    first: Mapping[str, float]
    final: Mapping[str, float]
    lexical: Mapping[str, float]
    certainty: Mapping[str, float]
    strong: float
    fair: float
    page_bonus: float
    page_asked: float

    def chance(self, features: Mapping[str, float]) -> float:
        """Estimated probability that a document with these features answers the query: logistic in the `certainty` weights.

        Calibrated on the first ten answers to our own graded questions; documents that nobody graded count as wrong, so it errs low.
        """
        total = self.certainty["bias"] + sum(weight * features.get(name, 0.0) for name, weight in self.certainty.items() if name != "bias")
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))

    def likely(self, features: Mapping[str, Array], rows: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Which of `rows` share a word or term with the query and have at least the chance that is labelled fair."""
        chosen = {name: values[rows] for name, values in features.items()}
        total = weighted(self.certainty, chosen) + np.float32(self.certainty["bias"])
        shared: npt.NDArray[np.bool_] = (chosen["coverage"] > 0) | (chosen["terms"] > 0)
        return shared & (total >= math.log(self.fair / (1.0 - self.fair)))


def weighted(weights: Mapping[str, float], features: Mapping[str, Array]) -> Array:
    """Weighted sum of those `features` that have a weight."""
    total = np.zeros(len(next(iter(features.values()))), dtype=np.float32)
    for name, values in features.items():
        weight = weights.get(name, 0.0)
        if weight:
            total += np.float32(weight) * values
    return total


@cache
def default_ranking() -> Ranking:
    """The shipped ranking."""
    data: dict[str, Any] = json.loads(resources.files("kernelwiki.searching").joinpath("ranking.json").read_text(encoding="utf-8"))
    return Ranking(**data)
