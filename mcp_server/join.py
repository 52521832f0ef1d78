"""Join: profiler findings and the knowledge base meet in the words of the vocabulary: a finding names terms, terms name techniques."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kernelwiki.model import Hit, Page, Term
from kernelwiki.searching.hits import PAGE_URL
from mcp_server.fence import line

if TYPE_CHECKING:
    from kernelwiki.wiki import Wiki

TECHNIQUES = 4
BROAD_FILES = 100  # a release that changes more says nothing about one symptom
# A chip without evidence of its own is read as its family's first.
FAMILIES = {"sm103": "sm100", "sm101": "sm100", "sm110": "sm100", "sm121": "sm120", "sm86": "sm80", "sm87": "sm80"}


def terms_of(wiki: Wiki, finding: str) -> list[Term]:
    """Vocabulary terms that name the finding, its own term first; empty for a word that is no finding id."""
    wanted = finding.strip().lower()
    found = [term for term in wiki.terms() if wanted in term.findings]
    return sorted(found, key=lambda term: (term.id != wanted, term.kind != "symptom"))


def finding_query(wiki: Wiki, finding: str, symptoms: Sequence[str] = ()) -> str:
    """The words to search for when somebody asks about a finding: its name, how engineers say it, and what helps."""
    terms = terms_of(wiki, finding)
    if not terms and not symptoms:
        return ""
    names = {term.id: term.name for term in wiki.terms()}
    first = terms[:1]
    words = [finding.replace("-", " "), *(term.name for term in first), *list(symptoms)[:2]]
    words += [names[technique] for term in first for technique in term.techniques[:TECHNIQUES] if technique in names]
    return ", ".join(dict.fromkeys(words))


def arch_of(wiki: Wiki, compute_capability: str) -> str:
    """`9.0` as the architecture that records carry (`sm90`), else its family's; empty when there is none."""
    arch = f"sm{compute_capability.replace('.', '')}" if compute_capability else ""
    known = wiki.info.archs
    return next((name for name in (arch, FAMILIES.get(arch, "")) if name in known), "")


def related(wiki: Wiki, finding: dict[str, Any], arch: str, pages: int = 3, prs: int = 3) -> dict[str, Any]:
    """`pages` (the finding's own, then the playbook's that exist here) and `prs` of a finding (`id`, `symptoms`, `fixes`).

    A key without rows is left out.
    """
    query = finding_query(wiki, finding["id"], finding.get("symptoms", ()))
    if not query:
        return {}
    named = dict.fromkeys([f"pattern/{finding['id']}"])
    named |= dict.fromkeys(page for fix in finding.get("fixes", ()) for page in fix["wiki"])
    known = set(wiki.page_ids())
    rows = [_page_row(wiki.page(name)) for name in named if name in known]
    searched = wiki.search(query, kind="page", limit=pages + len(rows))
    rows += [_hit_row(hit) for hit in searched if hit.match != "weak" and hit.id not in named]
    found = {"pages": rows[:pages], "prs": [_hit_row(hit) for hit in _pull_requests(wiki, query, arch, prs)]}
    return {key: hits for key, hits in found.items() if hits}


def _page_row(page: Page) -> dict[str, Any]:
    return {"id": page.id, "title": line(page.title), "url": PAGE_URL.format(id=page.id)}


def _hit_row(hit: Hit) -> dict[str, Any]:
    url = hit.url.partition("#")[0] if hit.kind == "page" else hit.url
    return {"id": hit.id, "title": line(hit.title), "url": url, "match": hit.match}


def _pull_requests(wiki: Wiki, query: str, arch: str, count: int) -> list[Hit]:
    """Pull requests with evidence for the chip first, then strong matches that say nothing about a chip; never another chip's."""
    found = [hit for hit in wiki.search(query, kind="pr", arch=arch, limit=count * 4) if hit.match != "weak"] if arch else []
    if len(found) < count:
        more = wiki.search(query, kind="pr", limit=count * 6)
        found += [hit for hit in more if hit.match == "strong" and (not arch or not hit.archs) and hit not in found]
    return [hit for hit in found if len(wiki.record(hit.id).files) <= BROAD_FILES][:count]
