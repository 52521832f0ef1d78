"""Coverage: what the corpus does not cover yet: findings, terms and contest operators without a page, pages without pull requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kernelwiki.grounding.sources import finding_ids
from kernelwiki.home import Places
from kernelwiki.model import Page, Record, Term
from kernelwiki.reading.pages import read_pages
from kernelwiki.reading.records import read_manifest, read_records
from kernelwiki.reading.summaries import Summary, read_summaries
from kernelwiki.reading.vocabulary import read_terms

# Operators of the MLSys 2026 FlashInfer contest, and the term that a contest page about one has among its tags.
CONTEST_OPERATORS = {
    "moe": "fused-moe",
    "topk-indexer": "lightning-indexer",
    "sparse-attention": "deepseek-sparse-attention",
    "gdn-decode": "gated-delta-net",
    "gdn-prefill": "gated-delta-net",
}
UNCITED_SHOWN = 10


def coverage(places: Places) -> dict[str, Any]:
    """What is missing, by kind, and the cut-off date of each repository."""
    pages, terms = read_pages(places.pages), read_terms(places.vocabulary)
    summaries, records = read_summaries(places.summaries), list(read_records(places.records))
    cited = cited_requests(pages)
    return {
        "pages": dict(sorted(Counter(page.kind for page in pages).items())),
        "findings_without_page": [name for name in finding_ids() if f"pattern/{name}" not in {page.id for page in pages}],
        "terms_without_page": terms_without_page(pages, terms),
        "contest_operators_without_page": operators_without_page(pages),
        "pages_without_pull_requests": [page.id for page in pages if not _requests(page)],
        "repositories": repositories(read_manifest(places.records)["files"].values(), records, cited, summaries),
    }


def cited_requests(pages: Iterable[Page]) -> set[str]:
    """Ids of every pull request that a page cites."""
    return {name for page in pages for name in _requests(page)}


def _requests(page: Page) -> set[str]:
    return {source.id for source in page.sources if source.kind in ("pr", "evidence")}


def terms_without_page(pages: Sequence[Page], terms: Iterable[Term]) -> dict[str, list[str]]:
    """Vocabulary ids that no page carries as a tag, by kind of term."""
    tagged = {tag for page in pages for tag in page.tags}
    missing: dict[str, list[str]] = {}
    for term in terms:
        if term.id not in tagged:
            missing.setdefault(term.kind, []).append(term.id)
    return missing


def operators_without_page(pages: Iterable[Page]) -> list[str]:
    """Contest operators that no contest page is tagged with."""
    tags = {tag for page in pages if page.kind == "contest" for tag in page.tags}
    return [operator for operator, term in CONTEST_OPERATORS.items() if term not in tags]


def repositories(
    files: Iterable[Mapping[str, Any]], records: Iterable[Record], cited: set[str], summaries: Mapping[str, Summary]
) -> list[dict[str, Any]]:
    """For each repository its cut-off, how many pull requests are cited and summarised, and the best ones that no page cites."""
    by_repo: dict[str, list[Record]] = {}
    for record in records:
        by_repo.setdefault(record.repo, []).append(record)
    rows = []
    for entry in files:
        held = by_repo.get(entry["repo"], [])
        uncited = sorted((record for record in held if record.id not in cited), key=lambda record: (-record.score, record.id))
        rows.append(
            {
                "repo": entry["repo"],
                "cut_off": entry["cut_off"][:10],
                "records": len(held),
                "cited": len(held) - len(uncited),
                "cited_nowhere": len(uncited),
                "summaries": sum(record.id in summaries for record in held),
                "best_cited_nowhere": [record.id for record in uncited[:UNCITED_SHOWN]],
            }
        )
    return rows


def coverage_text(data: Mapping[str, Any]) -> str:
    """The same as text."""
    counts = ", ".join(f"{number} {kind}" for kind, number in data["pages"].items())
    lines = [f"pages: {sum(data['pages'].values())} ({counts})"]
    for key in ("findings_without_page", "contest_operators_without_page", "pages_without_pull_requests"):
        lines.append(f"{key.replace('_', ' ')}: {', '.join(data[key]) or 'none'}")
    for kind, names in data["terms_without_page"].items():
        lines.append(f"terms without page, {kind} ({len(names)}): {', '.join(names)}")
    lines.append(f"{'repository':34} {'records':>8} {'cited':>6} {'nowhere':>8} {'summaries':>10}  cut-off")
    for row in data["repositories"]:
        counts = f"{row['records']:>8} {row['cited']:>6} {row['cited_nowhere']:>8} {row['summaries']:>10}"
        lines.append(f"{row['repo']:34} {counts}  {row['cut_off']}")
    return "\n".join(lines)
