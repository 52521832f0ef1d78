"""Make `corpus/questions`: the questions of `training/queries` that belong to one pull request, in one compressed file.

python training/make_questions.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from kernelwiki.home import corpus_folder
from kernelwiki.model import Record
from kernelwiki.reading.records import compress, read_records, write_atomically
from kernelwiki.tokens import tokenize


def record_words(record: Record) -> set[str]:
    """Every token that the record itself holds."""
    texts = [record.title, *(file.path for file in record.files), *(item.name for item in record.evidence), *record.identifiers]
    return {token for text in texts for token in tokenize(text)}


def grounded(question: str, words: set[str]) -> bool:
    """Whether every code name of a question in API wording occurs in the record: none is taken from memory."""
    names = [name for name in re.findall(r"[A-Za-z_][\w.:]*", question) if re.search(r"_|::|\w\.\w|[a-z][A-Z]", name)]
    return all(set(tokenize(name)[:1]) <= words or (set(tokenize(name)[1:]) <= words and len(tokenize(name)) > 1) for name in names)


def main() -> None:
    corpus = corpus_folder()
    known = {record.id: record_words(record) for record in read_records(corpus / "records")}
    rows: dict[tuple[str, str], dict[str, str]] = {}
    folder = Path(__file__).parent / "queries"
    for path in [folder / "single_pr.jsonl", *sorted(folder.glob("more_*.jsonl")), *sorted(folder.glob("broad_*.jsonl"))]:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["id"] in known and (row["kind"] != "api" or grounded(row["query"], known[row["id"]])):
                rows.setdefault((row["id"], row["query"]), {"id": row["id"], "kind": row["kind"], "query": " ".join(row["query"].split())})
    ordered = sorted(rows.values(), key=lambda row: (row["id"].split("#")[0], int(row["id"].split("#")[1]), row["kind"], row["query"]))
    (corpus / "questions").mkdir(exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ordered)
    write_atomically(corpus / "questions" / "questions.jsonl.gz", compress(text))
    print(f"{len(ordered)} questions for {len({row['id'] for row in ordered})} pull requests")


if __name__ == "__main__":
    main()
