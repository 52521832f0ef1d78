"""Spelling: whether a name is written as the facts that hold it write it: case, leading dot, the `a` of a target, the whole name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kernelwiki.grounding.facts import FactLine, Item, is_arch, patterns

_COMPOUND = re.compile(r"\w[_.:]+\w|^\.\w")  # prose may write fp8 as FP8, but not swap_ab as SWAP_AB
_TARGET = re.compile(r"(?:sm|compute)(\d+)([af])")


def spelled_otherwise(item: Item, holding: Sequence[FactLine]) -> tuple[str, str] | None:
    """Why the facts mean another name than the sentence, although its parts are theirs; None when one of them writes it so."""
    if item.kind != "name" or not holding:
        return None
    found = _other_target(item, holding) if is_arch(item) else _other_name(item, holding)
    return (found, "write the name as the source has it") if found else None


def _other_target(item: Item, holding: Sequence[FactLine]) -> str:
    """`sm_90a` is one target, and a fact of `sm_90` does not speak of it."""
    target = _TARGET.fullmatch(item.form)
    if target is None or any(line.loose for line in holding):
        return ""
    spelled = re.compile(rf"(?:sm|compute)_?{target[1]}{target[2]}", re.IGNORECASE)
    return "" if any(spelled.search(line.text) for line in holding) else f"is no target of the fact {holding[0].text[:120]!r}"


def _other_name(item: Item, holding: Sequence[FactLine]) -> str:
    text = item.text.rstrip(".:").removesuffix("()")
    if not _COMPOUND.search(text) or "*" in text:
        return ""
    seen = [line.text for line in holding if text.lower() in line.text.lower()]
    if seen and not any(text in other for other in seen):
        return f"is written otherwise in the fact {seen[0][:120]!r}"
    if text.startswith(".") and not seen and all(line.loose for line in holding):
        return f"stands nowhere with its dot; nearest is {holding[0].text[:120]!r}"
    return _only_head(item, holding)


def _only_head(item: Item, holding: Sequence[FactLine]) -> str:
    """`gpu__time_duration` is no metric where the fact has `gpu__time_duration.sum`."""
    if any(line.loose or any(gapped.fullmatch(item.form) for gapped in patterns(line.text)) for line in holding):
        return ""
    names = [max(forms, key=len) for line in holding for forms in line.items if item.form in forms]
    longer = [name for name in names if name.startswith(item.form) and name != item.form]
    return f"is the head of {longer[0]!r} there" if names and len(longer) == len(names) else ""
