"""Describe: turns one merged pull request, as git or GitHub gives it, into a record of facts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from ingest.claims import claims
from ingest.diffs import hunks
from ingest.evidence import Extractor, first_hunks, path_archs, title_archs
from ingest.redact import cut, redact
from ingest.select import Policy, Selection
from kernelwiki.model import ChangedFile, Evidence, Hunk, Record
from kernelwiki.reading.vocabulary import Vocabulary

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

# Characters that a user's own record keeps at most: of the description, one comment, all comments, one hunk, all hunks.
_READ_TEXT = 200_000
_KEPT_BODY = 64_000
_KEPT_COMMENT = 4_000
_KEPT_DISCUSSION = 64_000
_KEPT_HUNK = 4_000
_KEPT_HUNKS = 64_000


def short_repo(repo: str) -> str:
    """`cutlass` of `NVIDIA/cutlass`."""
    return repo.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Describer:
    """What turns pull requests into records: the policy, the extractor and the vocabulary."""

    policy: Policy
    extractor: Extractor
    vocabulary: Vocabulary

    def facts(self, raw: Mapping[str, Any]) -> Record | None:
        """The record that may ship: facts and names only. None when the policy leaves the pull request out."""
        return describe(raw, str(raw.get("patch") or ""), self.policy, self.extractor, self.vocabulary)

    def own(self, raw: Mapping[str, Any]) -> Record:
        """The record that a user keeps: facts, text without secrets, hunks and reported claims. The policy's word is in `select`."""
        patch = str(raw.get("patch") or "")
        record = self.identity(raw)
        record = replace(
            record,
            body=cut(redact(str(raw.get("body") or "")[:_READ_TEXT]), _KEPT_BODY).strip(),
            labels=tuple(dict.fromkeys(_clean(str(label))[:100] for label in raw.get("labels") or ())),
            discussion=_discussion(raw.get("discussion") or ()),
            hunks=self._hunks(patch, {file.path for file in record.files}),
            sources=_sources(str(raw.get("source") or "")),
            evidence=tuple(located(patch, record, self.extractor, self.vocabulary)),
        )
        return self.told(record)

    def identity(self, raw: Mapping[str, Any]) -> Record:
        """Who a pull request is and which files it changes, as much as the policy needs."""
        return replace(_identity(raw), diff_sha=str(raw.get("diff_sha") or ""))

    def told(self, record: Record) -> Record:
        """`record` with everything that follows from its title, text, paths and hunks worked out again."""
        body = plain_body(record.body)
        selection = self.select(record)
        return replace(
            record,
            evidence=_with_title(record),
            mentions=tuple(sorted(self.vocabulary.in_text(body))),
            identifiers=tuple(identifiers(body, "\n".join(hunk.text for hunk in record.hunks))),
            claims=claims(record.title, record.body, record.discussion),
            selection=selection.reasons,
            score=selection.score,
        )

    def select(self, record: Record) -> Selection:
        """What the policy decides about `record`."""
        return self.policy.select(record.repo, record.title, [file.path for file in record.files])

    def _hunks(self, patch: str, changed: Set[str]) -> tuple[Hunk, ...]:
        """Hunks of changed files, kernel files first, as long as there is room."""
        found = [hunk for hunk in hunks(patch, _KEPT_HUNK) if hunk.path in changed]
        weight = {path: self.policy.path_points(path) for path in {hunk.path for hunk in found}}
        kept, room = [], _KEPT_HUNKS
        for hunk in sorted(found, key=lambda hunk: -weight[hunk.path]):
            if len(hunk.text) <= room:
                room -= len(hunk.text)
                kept.append(Hunk(hunk.path, hunk.line, redact(hunk.text)))
        return tuple(kept)


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
    record = _identity(raw)
    selection = policy.select(record.repo, record.title, [file.path for file in record.files])
    if selection.decision != "include":
        return None
    body = plain_body(str(raw.get("body") or ""))
    record = replace(record, evidence=tuple(located(patch, record, extractor, vocabulary)))
    return replace(
        record,
        evidence=_with_title(record),
        mentions=tuple(sorted(vocabulary.in_text(body))),
        identifiers=tuple(identifiers(body, patch)),
        selection=selection.reasons,
        score=selection.score,
    )


def _identity(raw: Mapping[str, Any]) -> Record:
    """Who a pull request is and which files it changes."""
    repo, number = str(raw["repo"]), int(raw["number"])
    return Record(
        id=f"{short_repo(repo)}#{number}",
        repo=repo,
        number=number,
        title=_clean(str(raw["title"])[:_MAX_TITLE]),
        url=str(raw["url"]),
        merged_at=str(raw["merged_at"]),
        merge_sha=str(raw["merge_sha"]),
        files=tuple(
            ChangedFile(_visible(str(file["path"])), file.get("additions"), file.get("deletions")) for file in raw.get("files") or ()
        ),
    )


def located(patch: str, record: Record, extractor: Extractor, vocabulary: Vocabulary) -> list[Evidence]:
    """Evidence of the diff and the paths of `record`: all but what its title says."""
    paths = [file.path for file in record.files]
    changed = set(paths)
    evidence = [item for item in extractor.extract(patch) if item.path in changed]
    known = {item.name for item in evidence if item.kind == "arch"}
    evidence += [item for item in path_archs(paths) if item.name not in known]
    places = [item for item in first_hunks(patch, _MAX_HUNKS) if item.path in changed]
    evidence += families(evidence, paths, places, vocabulary)
    named = {item.path for item in evidence if item.line}
    return evidence + [item for item in places if item.path not in named]


def _with_title(record: Record) -> tuple[Evidence, ...]:
    """The evidence of `record` with the architectures that its title, as it is now, adds: after names and paths, before families."""
    rest = [item for item in record.evidence if item.path]
    known = {item.name for item in rest if item.kind == "arch"}
    place = next((at for at, item in enumerate(rest) if item.kind in ("family", "hunk")), len(rest))
    return (*rest[:place], *(item for item in title_archs(record.title) if item.name not in known), *rest[place:])


def _sources(source: str) -> tuple[str, ...]:
    """Where a pull request comes from: `git`, `github`, both (`github+git`), or a record file, whatever that was made from."""
    names = tuple(sorted(source.split("+")))
    return names if set(names) <= {"git", "github"} else ("records",)


def _discussion(comments: Sequence[Any]) -> tuple[str, ...]:
    """Comments as they may be kept: no author, no secret, none empty, as long as there is room."""
    kept, room = [], _KEPT_DISCUSSION
    for comment in comments:
        text = cut(redact(str(comment)[:_KEPT_COMMENT]), _KEPT_COMMENT).strip()
        if text and len(text) <= room:
            room -= len(text)
            kept.append(text)
    return tuple(kept)


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
