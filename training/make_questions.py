"""Make `corpus/questions`: the plain and symptom questions of `training/queries`, by pull request, one compressed file.

    python training/make_questions.py
"""

from __future__ import annotations

import json
from pathlib import Path

from kernelwiki.home import corpus_folder
from kernelwiki.records import compress, read_records, write_atomically


def main() -> None:
    corpus = corpus_folder()
    known = {record.id for record in read_records(corpus / "records")}
    rows: dict[tuple[str, str], dict[str, str]] = {}
    folder = Path(__file__).parent / "queries"
    for path in [folder / "single_pr.jsonl", *sorted(folder.glob("more_*.jsonl"))]:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["id"] in known and row["kind"] in ("plain", "symptom"):
                rows.setdefault((row["id"], row["query"]), {"id": row["id"], "kind": row["kind"], "query": " ".join(row["query"].split())})
    ordered = sorted(rows.values(), key=lambda row: (row["id"].split("#")[0], int(row["id"].split("#")[1]), row["kind"], row["query"]))
    (corpus / "questions").mkdir(exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ordered)
    write_atomically(corpus / "questions" / "questions.jsonl.gz", compress(text))
    print(f"{len(ordered)} questions for {len({row['id'] for row in ordered})} pull requests")


if __name__ == "__main__":
    main()
