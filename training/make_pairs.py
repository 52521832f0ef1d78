"""Make the training bundle of the embedder: documents in parts, pairs of (query, document), graded topics.

    python training/make_pairs.py --prs ../shared/prs --out .lab/carry/bundle.json.gz

Sources: our own questions (`training/queries`), the vocabulary, the records, and (used on this machine only, never shipped) the
descriptions in `--prs`. Nothing of an evaluation set is read.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from pathlib import Path
from typing import Any

from kernelwiki.home import corpus_folder
from kernelwiki.indexing.documents import record_embedding_text, record_terms
from kernelwiki.model import Record
from kernelwiki.reading.questions import read_questions
from kernelwiki.reading.records import read_records
from kernelwiki.reading.vocabulary import Vocabulary, read_terms

SEED = 7
PER_TERM = 60
SENTENCES = 3


def topic_questions(folder: Path) -> list[dict[str, Any]]:
    """Graded questions of `topics_*.jsonl`, topic names made unique by file."""
    rows = []
    for path in sorted(folder.glob("topics_*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            row["topic"] = f"{path.stem}:{row['topic']}"
            rows.append(row)
    return rows


def sentences(body: str) -> list[str]:
    """The first plain sentences of a description."""
    text = re.sub(r"<!--.*?-->|```.*?```|https?://\S+|<[^>]+>|^#+ .*$|^\s*- \[.\].*$", " ", body, flags=re.S | re.M)
    parts = re.split(r"(?<=[.!?])\s+|\n\s*[-*]\s+|\n\n", text)
    clean = [re.sub(r"[\s*`]+", " ", part).strip() for part in parts]
    return [part[:300] for part in clean if len(part) > 30 and "checklist" not in part.lower()][:SENTENCES]


def vocabulary_pairs(documents: dict[str, Record], vocabulary: Vocabulary, rng: random.Random) -> list[list[str]]:
    """(phrase of a term, document that carries the term in title or evidence, term) for every term."""
    carriers: dict[str, list[str]] = {}
    for record_id, record in documents.items():
        for term_id, weight in record_terms(record, vocabulary).items():
            if weight >= 0.5:
                carriers.setdefault(term_id, []).append(record_id)
    pairs = []
    for term_id, ids in carriers.items():
        term = vocabulary.terms[term_id]
        phrases = [term.name, *term.aliases, *term.symptoms, *term.symptoms, term.description]
        for record_id in rng.sample(ids, min(PER_TERM, len(ids))):
            pairs.append([rng.choice(phrases), record_id, f"term:{term_id}"])
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rng = random.Random(SEED)
    corpus = corpus_folder()
    vocabulary = Vocabulary.of(read_terms(corpus / "vocabulary"))
    documents = {record.id: record for record in read_records(corpus / "records")}
    queries = Path(__file__).parent / "queries"
    parts = {
        record_id: record_embedding_text(record, record_terms(record, vocabulary), vocabulary).split(" | ")
        for record_id, record in documents.items()
    }
    api = [json.loads(line) for line in (queries / "single_pr.jsonl").read_text(encoding="utf-8").splitlines()]
    single = [[row["query"], row["id"], row["id"]] for row in api if row["kind"] == "api" and row["id"] in parts]
    questions = {record_id: found for record_id, found in read_questions(corpus / "questions").items() if record_id in parts}
    single += [[question, record_id, record_id] for record_id, found in questions.items() for question in found]
    # Two questions of one pull request should lie close together: a search compares queries with questions, too.
    twins = [[found[0], found[1], record_id] for record_id, found in questions.items() if len(found) > 1]
    weak = vocabulary_pairs(documents, vocabulary, rng)
    if arguments.prs:
        for path in sorted(arguments.prs.glob("*.prs.jsonl.gz")):
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for line in file:
                    raw = json.loads(line)
                    record_id = f"{raw['repo'].rsplit('/', 1)[-1]}#{raw['number']}"
                    if record_id in parts:
                        weak += [[sentence, record_id, record_id] for sentence in sentences(raw["body"])]
    titles = [[record.title, record.id, record.id] for record in documents.values()]
    topics = topic_questions(queries)
    known = [row for row in topics if any(record_id in parts for record_id in row["grades"])]
    bundle = {
        "documents": parts,
        "single": single,
        "twins": twins,
        "questions": [question for found in questions.values() for question in found],
        "question_owner": [record_id for record_id, found in questions.items() for _ in found],
        "weak": weak,
        "titles": titles,
        "topics": known,
        "term_texts": [text for term in vocabulary.terms.values() for text in (f"{term.name}. {term.description}", *term.symptoms)],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(arguments.out, "wt", encoding="utf-8") as file:
        json.dump(bundle, file)
    print({name: len(value) for name, value in bundle.items()})


if __name__ == "__main__":
    main()
