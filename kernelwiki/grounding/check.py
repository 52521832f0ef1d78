"""Check: every rule that the corpus must keep, and every place where it does not. Returns all problems, not the first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelwiki.errors import CorpusUnreadable, NotFound
from kernelwiki.grounding.page_check import ARCH, check_page, uncited_claims
from kernelwiki.grounding.problems import Problem
from kernelwiki.grounding.sources import Library
from kernelwiki.grounding.summary_check import check_summaries, check_summary_file
from kernelwiki.home import Places
from kernelwiki.model import Record, Term
from kernelwiki.reading.pages import page_files, page_id, read_pages
from kernelwiki.reading.sheets import read_sheet, sheet_files
from kernelwiki.reading.summaries import read_summaries, summary_files

__all__ = ["Problem", "check_corpus", "check_page", "check_pages", "check_record", "uncited_claims"]


def check_corpus(places: Places) -> list[Problem]:
    """Every problem of the corpus at `places`, in the order records, vocabulary, questions, pages."""
    problems: list[Problem] = []
    records: dict[str, Record] = {}
    problems += _check_records(places, records)
    terms, vocabulary_problems = _read_vocabulary(places.vocabulary)
    problems += vocabulary_problems
    problems += _check_questions(places, records)
    problems += _check_sheets(places.sources)
    library = Library(places.corpus, records, {term.id: term for term in terms})
    known_pages = {page_id(path) for path in page_files(places.pages)}
    for path in page_files(places.pages):
        problems += check_page(path, library, known_pages)
    return [*problems, *check_summaries(places.summaries, library)]


def check_pages(places: Places, names: Sequence[str]) -> list[Problem]:
    """Problems of what `names` names only: pages (ids or files) and summary files; raises NotFound for a name that is neither."""
    files = {page_id(path): path for path in page_files(places.pages)}
    summaries = {path.name: path for path in summary_files(places.summaries)}
    wanted, wanted_summaries = [], []
    for name in names:
        path = Path(name)
        found = files.get(page_id(path) if path.suffix == ".md" else name.strip().lower())
        if found:
            wanted.append(found)
        elif path.name in summaries:
            wanted_summaries.append(summaries[path.name])
        else:
            raise NotFound(
                f"{name}: no such page or summary file. Valid: an id such as hardware/tma, its file below {places.pages}, "
                "or a file such as vllm.jsonl of corpus/summaries. See `kwiki list`."
            )
    records: dict[str, Record] = {}
    problems = list(_check_records(places, records))
    terms, vocabulary_problems = _read_vocabulary(places.vocabulary)
    library = Library(places.corpus, records, {term.id: term for term in terms})
    for path in wanted:
        problems += check_page(path, library, set(files))
    for path in wanted_summaries:
        problems += check_summary_file(path, library)
    return [*problems, *vocabulary_problems]


def check_snippets(places: Places, names: Sequence[str] = (), pythons: Sequence[str] = ()) -> tuple[list[Problem], list[str]]:
    """Problems of the compiled code of all pages, or of the pages `names`, and a line on what was done with each Python fence.

    Python fences are compiled by the first of this interpreter and `pythons` that has their packages, and not at all where none has.
    Raises MissingDependency without nvcc where there is CUDA code.
    """
    from kernelwiki.grounding.python_snippets import compile_python, listings
    from kernelwiki.grounding.snippets import check_compiled

    wanted = {page_id(Path(name)) if name.endswith(".md") else name for name in names}
    pages = [page for page in read_pages(places.pages) if not wanted or page.id in wanted]
    outcomes = compile_python(pages, places.home / "snippets", pythons)
    problems = check_compiled(pages, places.home / "snippets", python=listings(outcomes))
    return [*problems, *(problem for outcome in outcomes for problem in outcome.problems)], [outcome.line for outcome in outcomes]


def check_facts(places: Places, upstream: Path) -> list[Problem]:
    """Facts of pages and summaries that the pull requests below `upstream` (the form of `kwiki ingest records`) do not hold."""
    from kernelwiki.grounding.upstream import check_upstream
    from kernelwiki.reading.records import read_records

    records = {record.id: record for record in read_records(places.records)}
    return list(check_upstream(read_pages(places.pages), read_summaries(places.summaries).values(), records, upstream))


def _check_sheets(folder: Path) -> Iterator[Problem]:
    for path in sheet_files(folder):
        try:
            read_sheet(path)
        except CorpusUnreadable as error:
            yield Problem("sheet", f"{path.parent.name}/{path.stem}", str(error))


def _check_records(places: Places, records: dict[str, Record]) -> Iterator[Problem]:
    from kernelwiki.reading.records import read_manifest, read_record_file

    try:
        files: Mapping[str, Any] = read_manifest(places.records)["files"]
    except CorpusUnreadable as error:
        yield Problem("records", str(places.records), str(error))
        return
    for name, entry in files.items():
        count = 0
        if "/" in name or "\\" in name:
            yield Problem("records", name, "a record file stands in the records folder itself")
            continue
        try:
            for record in read_record_file(places.records / name, entry["sha256"]):
                count += 1
                records[record.id] = record
                yield from check_record(record)
        except CorpusUnreadable as error:
            yield Problem("records", name, str(error))
            continue
        if count != entry.get("records"):
            yield Problem("records", name, f"the manifest says {entry.get('records')} records, the file has {count}")


def check_record(record: Record) -> Iterator[Problem]:
    """Problems of one record: identity, and evidence that no reader could find."""
    if record.id != f"{record.repo.rsplit('/', 1)[-1]}#{record.number}" and record.id != f"{record.repo}#{record.number}":
        yield Problem("schema", record.id, f"the id does not belong to {record.repo} #{record.number}")
    if not re.fullmatch(r"[0-9a-f]{40}", record.merge_sha):
        yield Problem("schema", record.id, f"merge_sha {record.merge_sha!r} is not a 40-digit SHA")
    if not re.match(r"^\d{4}-\d{2}-\d{2}T", record.merged_at):
        yield Problem("schema", record.id, f"merged_at {record.merged_at!r} is not an ISO date")
    changed = {file.path for file in record.files}
    for item in record.evidence:
        if item.kind == "family" and not item.path:
            yield Problem("evidence", record.id, f"family {item.name!r} has no file")
        if item.kind not in ("arch", "family") and (not item.path or not item.line):
            yield Problem("evidence", record.id, f"{item.kind} {item.name!r} has no file and line")
        elif item.path and item.path not in changed:
            yield Problem("evidence", record.id, f"{item.kind} {item.name!r} points to {item.path}, which the pull request does not change")
        if item.kind == "arch" and not ARCH.match(item.name):
            yield Problem("evidence", record.id, f"architecture {item.name!r} is no sm or gfx name")


def _read_vocabulary(folder: Path) -> tuple[list[Term], list[Problem]]:
    from kernelwiki.reading.vocabulary import read_terms

    try:
        terms = read_terms(folder)
    except CorpusUnreadable as error:
        return [], [Problem("vocabulary", str(folder), str(error))]
    problems, seen = [], set()
    ids = {term.id for term in terms}
    for term in terms:
        if term.id in seen:
            problems.append(Problem("vocabulary", term.id, "the id is used twice"))
        seen.add(term.id)
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", term.id):
            problems.append(Problem("vocabulary", term.id, "an id is lower-case words joined by hyphens"))
        for name in ("techniques", "broader", "related", "archs"):
            missing = [value for value in getattr(term, name) if value not in ids]
            if missing:
                problems.append(Problem("vocabulary", term.id, f"{name} names unknown terms: {', '.join(missing)}"))
    return terms, problems


def _check_questions(places: Places, records: Mapping[str, Record]) -> Iterator[Problem]:
    from kernelwiki.reading.questions import read_questions

    try:
        questions = read_questions(places.questions)
    except CorpusUnreadable as error:
        yield Problem("questions", str(places.questions), str(error))
        return
    for record_id in questions:
        if record_id not in records:
            yield Problem("questions", record_id, "a question belongs to a pull request that has no record")
