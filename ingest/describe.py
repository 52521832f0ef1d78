"""Describe: turns one merged pull request, as git or GitHub gives it, into a record of facts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ingest.evidence import Extractor, first_hunks, path_archs, title_archs
from ingest.select import Policy
from kernelwiki.model import ChangedFile, Evidence, Record
from kernelwiki.vocabulary import Vocabulary

_IDENTIFIER = re.compile(r"(?<![\w/@#])(?:--)?([A-Za-z_]\w*(?:(?:::|\.|-)\w+)*)(?![\w@/])")
_HUNK_CONTEXT = re.compile(r"^@@ [^@]+ @@ (.+)$", re.M)
_CONTEXT_NAME = re.compile(r"\b([A-Za-z_]\w{5,})\s*[(<:{]|\bclass (\w{6,})|\bstruct (\w{6,})")
_MARKUP = re.compile(r"<!--.*?-->|```.*?```|https?://\S+|\S+@\S+|<[^>\s][^>]*>|(?<!\w)@[\w-]+", re.S)
_BOILERPLATE = re.compile(
    r"^#+ [^\n]*(?:checklist|reviewer notes|related issues|pre-commit|tests)[^\n]*$.*?(?=^#+ |\Z)|^[ \t]*- \[[ xX]\][^\n]*$",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_MAX_IDENTIFIERS = 40
_MAX_FAMILIES = 8
_MAX_HUNKS = 40
_MAX_BODY = 20_000
_MAX_TITLE = 500


def short_repo(repo: str) -> str:
    """`cutlass` of `NVIDIA/cutlass`."""
    return repo.rsplit("/", 1)[-1]


def describe(
    raw: Mapping[str, Any],
    patch: str,
    policy: Policy,
    extractor: Extractor,
    vocabulary: Vocabulary,
) -> Record | None:
    """The record of `raw` (the shape of `shared/prs`), or None when the policy leaves it out.

    `patch` is its diff, possibly empty. Only names leave title-foreign text: no sentence of the body, no line of the diff.
    """
    repo, number, title = str(raw["repo"]), int(raw["number"]), _clean(str(raw["title"])[:_MAX_TITLE])
    files = tuple(ChangedFile(_visible(str(file["path"])), file.get("additions"), file.get("deletions")) for file in raw.get("files") or ())
    paths = [file.path for file in files]
    selection = policy.select(repo, title, paths)
    if selection.decision != "include":
        return None
    body = plain_body(str(raw.get("body") or ""))
    changed = set(paths)
    evidence = [item for item in extractor.extract(patch) if item.path in changed]
    known = {item.name for item in evidence if item.kind == "arch"}
    for item in (*path_archs(paths), *title_archs(title)):
        if item.name not in known:
            known.add(item.name)
            evidence.append(item)
    hunks = [item for item in first_hunks(patch, _MAX_HUNKS) if item.path in changed]
    evidence += families(evidence, paths, hunks, vocabulary)
    named = {item.path for item in evidence if item.line}
    evidence += [item for item in hunks if item.path not in named]
    return Record(
        id=f"{short_repo(repo)}#{number}",
        repo=repo,
        number=number,
        title=title,
        url=str(raw["url"]),
        merged_at=str(raw["merged_at"]),
        merge_sha=str(raw["merge_sha"]),
        files=files,
        evidence=tuple(evidence),
        mentions=tuple(sorted(vocabulary.in_text(body))),
        identifiers=tuple(identifiers(body, patch)),
        selection=selection.reasons,
        score=selection.score,
    )


def families(evidence: Sequence[Evidence], paths: Sequence[str], hunks: Sequence[Evidence], vocabulary: Vocabulary) -> list[Evidence]:
    """Kernel families (vocabulary terms of kind kernel) that a name in the diff or a changed path belongs to, names first.

    The line is that of the name, or where the file of that path begins to change; a file without a hunk in `hunks` gives none.
    """
    found: dict[str, Evidence] = {}
    for item in evidence:
        for term_id in vocabulary.of_name(item.name) if item.line else ():
            found.setdefault(term_id, Evidence("family", term_id, item.path, item.line))
    first = {item.path: item.line for item in hunks}
    for path in paths:
        for term_id in vocabulary.of_path(path):
            found.setdefault(term_id, Evidence("family", term_id, path, first.get(path)))
    kernels = [item for term_id, item in found.items() if vocabulary.terms[term_id].kind == "kernel"]
    return kernels[:_MAX_FAMILIES]


def plain_body(body: str) -> str:
    """The description without comments, code blocks, addresses, check lists and template headings."""
    return _BOILERPLATE.sub(" ", _MARKUP.sub(" ", body[:_MAX_BODY]))


def identifiers(body: str, patch: str) -> Sequence[str]:
    """Code names of the description and of the functions that the diff touches, most frequent first."""
    names: Counter[str] = Counter()
    for name in _IDENTIFIER.findall(body):
        if _is_code_name(name):
            names[name] += 1
    for context in _HUNK_CONTEXT.findall(patch):
        for groups in _CONTEXT_NAME.findall(context):
            name = next(filter(None, groups))
            if _is_code_name(name):
                names[name] += 1
    return [name for name, _ in names.most_common(_MAX_IDENTIFIERS)]


def _is_code_name(name: str) -> bool:
    inner = name.strip("_-.:")
    if not 3 < len(inner) <= 60 or inner.lower() in ("e.g", "i.e", "https", "coderabbit.ai"):
        return False
    return bool(re.search(r"[a-zA-Z]", inner)) and bool(re.search(r"_|::|\w\.\w|[a-z][A-Z]|[A-Za-z]\d|^[A-Z]{3,}$", inner))


def _clean(title: str) -> str:
    return re.sub(r"\s+", " ", "".join(char if char.isprintable() else " " for char in title)).strip()


def _visible(path: str) -> str:
    """`path` with a mark for each character that no terminal should get (control characters, lone surrogates)."""
    return "".join(char if char.isprintable() else "\ufffd" for char in path)
