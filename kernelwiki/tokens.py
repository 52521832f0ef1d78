"""Tokens: how text, identifiers and paths are cut into the words that the lexical index and the vocabulary compare."""

from __future__ import annotations

import re
from functools import lru_cache

_CHUNK = re.compile(r"[A-Za-z0-9]+(?:(?:::|[._])[A-Za-z0-9]+)*")
_PART = re.compile(r"[A-Za-z0-9]+")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NUMBERED = re.compile(r"^[a-z]{1,4}\d{1,4}[a-z]?$|^\d+[a-z]{1,4}$|^[a-z]\d+[a-z]\d+$")

_STOP_TEXT = """
a an and are as at be been before but by can do does for from has have how i if in into is it its more my no not of on only or our so
than that the their them then there these they this to too up use used uses using via was we what when where which while why will with
without would you your want need make makes get gets like instead each one two per
"""
STOP_WORDS = frozenset(_STOP_TEXT.split())


_KEPT = ("ss", "us", "is")
_WHOLE = frozenset({"cute"})  # names that must not meet a word
# Endings, longest first, each with the letters that must remain before it.
_ENDINGS = tuple(
    (ending, keep)
    for keep, endings in (
        (4, "izations isations ization isation izing ized izes ize ations ation ates ated ating ate"),
        (3, "ings ing ies ed es"),
        (5, "ers er"),
        (3, "s"),
    )
    for ending in endings.split()
)


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """A light English stem, so that `spills` meets `spilling`, `tiles` meets `tile`, `queries` meets `query`.

    Words with digits and words of up to three letters stay as they are; what remains never has fewer than three letters.
    """
    if not word.isalpha() or len(word) < 4 or word in _WHOLE:
        return word
    root = word
    for ending, keep in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= keep and not word.endswith(_KEPT if len(word) > 4 else "ss"):
            root = word[: -len(ending)] + ("y" if ending == "ies" else "")
            break
    if (
        root != word
        and word.endswith(("ing", "ings", "ed", "er", "ers"))
        and len(root) > 3
        and root[-1] == root[-2]
        and root[-1] not in "lsz"
    ):
        root = root[:-1]
    if root.endswith("y") and len(root) > 3:
        return root[:-1] + "i"
    return root[:-1] if root.endswith("e") and not root.endswith("ee") and len(root) > 3 else root


def _singular(word: str) -> str:
    """`CTA` of `CTAs`: the plural of an acronym."""
    return word[:-1] if len(word) > 2 and word[-1] == "s" and word[:-1].isupper() and word[:-1].isalpha() else word


@lru_cache(maxsize=200_000)
def _chunk_tokens(chunk: str) -> tuple[str, ...]:
    parts = _PART.findall(chunk)
    tokens: list[str] = []
    if len(parts) > 1:
        tokens.append(".".join(parts).lower())
    for raw in parts:
        part = _singular(raw)
        low = part.lower()
        pieces = [piece.lower() for piece in _CAMEL.findall(part)]
        if len(pieces) > 1:
            tokens.append(low)
            if _NUMBERED.match(low):
                if low[-1:].isalpha() and low[:2] == "sm":
                    tokens.append(low[:-1])
                continue
            tokens.extend(stem(piece) for piece in pieces if len(piece) > 1 or piece.isdigit())
        else:
            tokens.append(stem(low))
    return tuple(tokens)


def tokenize(text: str) -> list[str]:
    """Tokens for the lexical index, in order, duplicates kept.

    `cp.async.bulk.tensor` gives the whole name and its parts, `kBlockM` gives `kblockm`, `block`; `sm_100a` the name,
    `sm`, `100a`; `FP8` stays one token. Words of letters are stemmed.
    """
    tokens: list[str] = []
    for chunk in _CHUNK.findall(text):
        tokens.extend(_chunk_tokens(chunk))
    return tokens


def query_tokens(text: str, limit: int = 64) -> list[str]:
    """Distinct tokens of a query without stop words; the first `limit` (a query may be 10,000 characters)."""
    seen: dict[str, None] = {}
    for chunk in _CHUNK.findall(text):
        if chunk.lower() in STOP_WORDS:
            continue
        for token in _chunk_tokens(chunk):
            seen.setdefault(token)
        if len(seen) >= limit:
            break
    return list(seen)[:limit]


_WORD = re.compile(r"[A-Z]{2,}s(?![a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def words(text: str) -> list[str]:
    """Words for vocabulary phrases: cut at every change between letters and digits, so `2CTA`, `2-CTA` and `2 cta` are equal."""
    return [_fold(_singular(word)) for word in _WORD.findall(text)]


@lru_cache(maxsize=200_000)
def _fold(word: str) -> str:
    low = word.lower()
    return low[:-1] if len(low) > 3 and low.endswith("s") and low[-2] not in "sui" else low
