"""Merge: two halves of one pull request as one record. Text comes best from GitHub, files and lines best from git.

The order in which the halves arrive does not matter, and nothing that we wrote ourselves is ever lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ingest.describe import Describer
from kernelwiki.model import Record

_TEXT_RANK = {"github": 2}
_DIFF_RANK = {"git": 3, "github": 2}


def merge(old: Record, new: Record, describer: Describer) -> Record:
    """The record of both: each half from the better source, of equal ones from `new`. Ours (summary …) stays."""
    text = new if _text_rank(new) >= _text_rank(old) else old
    diff = new if _diff_rank(new) >= _diff_rank(old) else old
    merged = replace(
        text,
        id=old.id,
        files=diff.files,
        evidence=diff.evidence,
        hunks=diff.hunks,
        merge_sha=diff.merge_sha,
        diff_sha=diff.diff_sha,
        discussion=text.discussion or old.discussion or new.discussion,
        sources=tuple(sorted({*old.sources, *new.sources})),
    )
    return keep_ours(old, merged if merged == new else describer.told(merged))


def keep_ours(old: Record, new: Record) -> Record:
    """`new` with what we or the user wrote about `old`: a re-ingest never overwrites it."""
    return replace(
        new,
        summary=old.summary or new.summary,
        symptoms=old.symptoms or new.symptoms,
        techniques=old.techniques or new.techniques,
    )


def _text_rank(record: Record) -> int:
    return _best(record.sources, _TEXT_RANK)


def _diff_rank(record: Record) -> int:
    """Without files there is no half to take."""
    return _best(record.sources, _DIFF_RANK) if record.files else -1


def _best(sources: Sequence[str], rank: dict[str, int]) -> int:
    return max((rank.get(source, 1) for source in sources), default=0)
