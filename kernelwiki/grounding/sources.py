"""Sources: what a page or summary may cite, each as lines of facts that the grounding check compares with the sentence."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

from kernelwiki.grounding.facts import FactLine, fact_lines
from kernelwiki.model import Record, Sheet, Source, Term
from kernelwiki.reading.reverts import Revert, revert_of, reverted_by
from kernelwiki.reading.sheets import find_sheet

NEAR_LINES = 3
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def ncu_file(name: str) -> Path | None:
    """A data file of `ncu_skill` (beside us in a checkout or installed), found without importing it."""
    beside = Path(__file__).resolve().parents[2] / "ncu_skill" / name
    if beside.is_file():
        return beside
    spec = importlib.util.find_spec("ncu_skill")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    return None


@lru_cache(maxsize=4)
def _ncu_data(name: str) -> Mapping[str, Any]:
    path = ncu_file(name)
    data = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER) if path else {}
    return data if isinstance(data, dict) else {}


def finding_ids() -> list[str]:
    """Ids of the findings that the Nsight Compute side can name, from its playbook."""
    return list(_ncu_data("playbook.yaml"))


def playbook_lines(entry: str) -> list[str]:
    """Lines of a finding (or of the whole metric catalogue for `catalog`); empty when there is none."""
    if entry == "catalog":
        return [
            " ".join([fact, *_texts(row)])
            for group in _ncu_data("catalog.yaml").values()
            if isinstance(group, dict)
            for fact, row in group.items()
        ]
    row = _ncu_data("playbook.yaml").get(entry)
    if not isinstance(row, dict):
        return []
    lines = [f"{entry} {row.get('title', '')}"]
    for key, value in row.items():
        lines += [f"{key} {text}" for text in _texts(value)]
    return lines + _facts_of(row, lines)


def _facts_of(row: Mapping[str, Any], lines: Iterable[str]) -> list[str]:
    """The catalogue's lines of the facts that a finding's expressions use, so that a page may name their metrics."""
    used = set(re.findall(r"[a-z][a-z0-9_]+", " ".join(lines)))
    found = []
    for group in _ncu_data("catalog.yaml").values():
        if isinstance(group, dict):
            found += [" ".join([fact, *_texts(entry)]) for fact, entry in group.items() if fact in used]
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [" ".join(_texts(item) if not isinstance(item, str) else [item]) for item in value.values()]
    if isinstance(value, list):
        return [text for item in value for text in (_texts(item) if isinstance(item, (list, Mapping)) else [str(item)])]
    return [str(value)]


class Library:
    """Every citable source of a corpus, read once: `lines` gives the fact lines of one."""

    def __init__(self, corpus: Path, records: Mapping[str, Record], terms: Mapping[str, Term]) -> None:
        self.corpus = corpus
        self.records = records
        self.terms = terms
        self._sheets: dict[str, Sheet | None] = {}
        self._lines: dict[tuple[Source, str], list[FactLine]] = {}

    def sheet(self, name: str) -> Sheet | None:
        """The document sheet `name`, None when there is no such file; raises CorpusUnreadable for a broken one."""
        if name not in self._sheets:
            self._sheets[name] = find_sheet(self.corpus / "sources", name)
        return self._sheets[name]

    def run_file(self, name: str) -> Path | None:
        """The recorded result `name` in the repository's `benchmarks`; None when it is not there."""
        if not re.fullmatch(r"[\w-]+(/[\w.-]+)*", name):
            return None
        base = self.corpus.parent / "benchmarks" / name
        return next((path for suffix in (".yaml", ".json", ".md") if (path := base.with_name(base.name + suffix)).is_file()), None)

    @cached_property
    def ran(self) -> dict[str, frozenset[str]] | None:
        """{page: digests of its fences that ran on a GPU and were right}; None where no runs are recorded, as in an installed copy."""
        path = self.run_file("snippets/h200")
        if path is None:
            return None
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
        rows = [*found["runs"].items(), *((row["page"], row) for row in found.get("python", {}).get("runs", ()))]
        return {str(page): frozenset(str(row["sha256"]) for other, row in rows if other == page) for page, _ in rows}

    @cached_property
    def _reverts(self) -> list[Revert]:
        return [revert for record in self.records.values() if (revert := revert_of(record))]

    def reverted_by(self, record: Record) -> tuple[str, ...]:
        """Ids of the pull requests that took `record` back."""
        return reverted_by(record, self._reverts)

    def lines(self, source: Source, code: str = "") -> list[FactLine]:
        """Fact lines of a source; `code` is the text of the citing page's snippets. Empty when the source is not there."""
        wanted = (source, code if source.kind == "snippet" else "")
        if wanted not in self._lines:
            self._lines[wanted] = self._read_lines(*wanted)
        return self._lines[wanted]

    @cached_property
    def repositories(self) -> frozenset[str]:
        """Short names of the repositories that have records, lower case."""
        return frozenset(name.split("#", 1)[0].rsplit("/", 1)[-1].lower() for name in self.records)

    @cached_property
    def known(self) -> frozenset[str]:
        """Ids of the records, lower case."""
        return frozenset(name.lower() for name in self.records)

    def _read_lines(self, source: Source, code: str) -> list[FactLine]:
        upstream = source.kind in ("pr", "evidence")
        loose = upstream or source.kind in ("vocabulary", "snippet")
        sheet = self.sheet(source.id) if source.kind == "doc" and source.id else None
        subject = sheet.title if sheet else ""
        told = fact_lines(source.key, self._texts(source, code), loose=loose, rival=not loose, subject=subject)
        if sheet:
            told[0] = replace(
                told[0], rival=False, names_arch=False
            )  # the name of the document says what its facts are about, not what they say
        if source.kind == "playbook" and source.id != "catalog":
            told[:1] = [replace(line, rival=False, loose=True) for line in told[:1]]  # the finding's own name and title
        if upstream:
            record = self.records.get(source.id)
            one = source.kind == "evidence" or (record is not None and len(record.archs) < 2)
            told = [*told[:1], *(replace(line, numbered=False, names_arch=one and len(line.archs) < 2) for line in told[1:])]
        return [
            *told,
            *fact_lines(source.key, source.facts, rival=not upstream),
        ]

    def _texts(self, source: Source, code: str) -> Iterator[str]:
        if source.kind == "doc":
            sheet = self.sheet(source.id) if source.id else None
            if sheet:
                yield sheet.label
                yield from sheet.facts
            elif source.title:
                yield source.title
        elif source.kind in ("pr", "evidence"):
            record = self.records.get(source.id)
            yield from _record_texts(record, source) if record else ()
        elif source.kind == "snippet":
            yield from [source.title, *code.splitlines()]
        elif source.kind == "vocabulary":
            term = self.terms.get(source.id)
            yield from term_texts(term) if term else ()
        elif source.kind == "playbook":
            yield from playbook_lines(source.id)
        elif source.kind == "run":
            path = self.run_file(source.id)
            yield from path.read_text(encoding="utf-8").splitlines() if path else ()


def term_texts(term: Term) -> list[str]:
    """Lines of a vocabulary entry."""
    return [f"{term.name} {term.description}", " ".join([term.id, *term.aliases]), " ".join(term.identifiers), *term.symptoms]


def _record_texts(record: Record, source: Source) -> Iterator[str]:
    """Lines of a pull request: title, date and paths; of evidence what stands near its line, else everything found."""
    yield f"{record.id} {record.repo} {record.title} merged {record.merged_at[:10]} {record.merged_at[:7]} {record.merged_at[:4]}"
    if source.kind == "evidence":
        near = [item for item in record.evidence if item.path == source.path and _is_near(item.line, source.line)]
        yield " ".join([source.path, *(item.name for item in near)])
        return
    yield from (file.path for file in record.files)
    yield from (" ".join(filter(None, (item.name, item.path))) for item in record.evidence)
    yield " ".join([*record.identifiers, *record.mentions])


def _is_near(line: int | None, wanted: int | None) -> bool:
    return line is None or wanted is None or abs(line - wanted) <= NEAR_LINES
