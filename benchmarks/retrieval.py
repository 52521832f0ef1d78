"""Retrieval quality: one table of what each part earns, on the development questions and on our own graded topics.

    ./run bench retrieval        (needs ../shared/eval; writes benchmarks/RETRIEVAL.md)

The development questions are scored by the scorer that comes with them (`--universe` our records, `--condense judged_universe.txt`).
Our own topics trained the shipped encoder, so only the lexical rows are fair on them; training/tune_ranker.py prints their
cross-validated quality with encoders that never saw the topic.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kernelwiki import Wiki
from kernelwiki.indexing.filters import Filters
from kernelwiki.searching.rank import Ranking, default_ranking
from kernelwiki.searching.search import Searcher

ROOT = Path(__file__).parent.parent
EVAL = ROOT.parent / "shared" / "eval"
DEPTH = 2_000


def lexical(weights: dict[str, float]) -> Callable[[Searcher], Searcher]:
    """A searcher without vectors and with these weights."""

    def change(searcher: Searcher) -> Searcher:
        searcher.__dict__["_embedder"] = None
        searcher._ranking = replace(default_ranking(), lexical=weights)
        return searcher

    return change


def dense(first: dict[str, float], final: dict[str, float]) -> Callable[[Searcher], Searcher]:
    """A searcher with these weights."""

    def change(searcher: Searcher) -> Searcher:
        searcher._ranking = replace(default_ranking(), first=first, final=final)
        return searcher

    return change


def without(ranking: Ranking, *names: str) -> Callable[[Searcher], Searcher]:
    """The shipped weights without some features."""
    keep = [{name: weight for name, weight in part.items() if name not in names} for part in (ranking.first, ranking.final)]
    return dense(*keep)


def rows(ranking: Ranking) -> dict[str, Callable[[Searcher], Searcher]]:
    full = dense(dict(ranking.first), dict(ranking.final))
    return {
        "BM25, title x 3 + paths + names + text": lexical({"title": 3, "path": 1, "names": 1, "text": 1}),
        "BM25, the same + questions": lexical({"title": 3, "path": 1, "names": 1, "text": 1, "questions": 1}),
        "lexical part, tuned weights": lexical(dict(ranking.lexical)),
        "dense only, documents": dense({"dense": 1}, {"dense": 1}),
        "dense only, documents + questions": dense({"dense": 1, "asked": 4}, {"dense": 1, "asked": 4}),
        "soft terms only": dense({"soft_terms": 1}, {"soft_terms": 1}),
        "lexical + dense, no vocabulary, questions or feedback": without(ranking, "terms", "soft_terms", "questions", "asked", "feedback"),
        "all but questions": without(ranking, "questions", "asked"),
        "all but vocabulary terms": without(ranking, "terms", "soft_terms"),
        "all but feedback": dense(dict(ranking.first), dict(ranking.first)),
        "all (shipped)": full,
    }


def run_file(searcher: Searcher, questions: list[dict[str, Any]], target: Path) -> None:
    with target.open("w", encoding="utf-8") as file:
        for question in questions:
            ranked = searcher.rank(searcher.understand(question["query"]), Filters("pr"), DEPTH)
            file.write(json.dumps({"query": question["query"], "ranked": [searcher.ids[row] for row in ranked.rows]}) + "\n")


def scored(run: Path, questions: Path, universe: Path) -> dict[str, float]:
    """nDCG@10 of a run by the scorer, for all questions and each kind."""
    command = [sys.executable, str(EVAL / "score_retrieval.py"), str(run), "--eval", str(questions), "--universe", str(universe)]
    command += ["--condense", str(EVAL / "judged_universe.txt"), "--by", "kind"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = output.splitlines()
    values = {"all": float(lines[1].split("nDCG@10")[1].split()[0])}
    for line in lines[2:]:
        values[line.split("[")[1].split("]")[0]] = float(line.split("nDCG@10")[1].split()[0])
    return values


def own_topics(searcher: Searcher, questions: list[dict[str, Any]]) -> float:
    values = []
    for question in questions:
        gains = {record_id: 2.0**grade - 1 for record_id, grade in question["grades"].items() if record_id.lower() in searcher.row_of}
        ranked = searcher.rank(searcher.understand(question["query"]), Filters("pr"), 10)
        found = [gains.get(searcher.ids[row], 0.0) for row in ranked.rows]
        ideal = sorted(gains.values(), reverse=True)[:10]
        discount = 1 / np.log2(np.arange(2, 12))
        values.append(np.dot(found, discount[: len(found)]) / np.dot(ideal, discount[: len(ideal)]))
    return float(np.mean(values))


def main() -> None:
    topics = sorted((ROOT / "training" / "queries").glob("topics_*.jsonl"))
    own = [json.loads(line) for path in topics for line in path.open(encoding="utf-8")]
    lines = ["| ranking | pooled | api | plain | symptom | cited | own topics |", "| --- | --- | --- | --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        wiki = Wiki.open(store="exact")
        universe = Path(folder) / "universe.txt"
        universe.write_text("\n".join(wiki._searcher.ids[: wiki.info.records]), encoding="utf-8")
        for name, change in rows(default_ranking()).items():
            searcher = change(Searcher(wiki._searcher.folder, wiki.info, wiki.places))
            values = {}
            for half in ("pooled", "cited"):
                questions = EVAL / f"{half}_dev.jsonl"
                run_file(searcher, [json.loads(line) for line in questions.open(encoding="utf-8")], Path(folder) / "run.jsonl")
                values[half] = scored(Path(folder) / "run.jsonl", questions, universe)
            pooled = values["pooled"]
            numbers = [pooled["all"], pooled["api"], pooled["plain"], pooled["symptom"], values["cited"]["all"], own_topics(searcher, own)]
            lines.append(f"| {name} | " + " | ".join(f"{number:.3f}" for number in numbers) + " |")
            print(lines[-1], flush=True)
    first, rest = (__doc__ or "").split("    ./run")
    rest = rest.split("RETRIEVAL.md)")[1]
    head = f"# Retrieval quality (nDCG@10)\n\n{first.strip()}\n\nCommand: `./run bench retrieval`. {rest.strip()}\n\n"
    (Path(__file__).parent / "RETRIEVAL.md").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
