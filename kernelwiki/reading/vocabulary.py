"""The controlled vocabulary: canonical terms, their aliases and code names, and how free text is matched against them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from kernelwiki.errors import CorpusUnreadable
from kernelwiki.model import Term
from kernelwiki.tokens import words

_LIST_FIELDS = ("aliases", "identifiers", "symptoms", "archs", "techniques", "findings", "broader", "related")
_MAX_PHRASE = 7
_LONGEST_NAME = 200
_BUCKET = 3  # wildcard patterns are looked up by the first letters of their longest literal piece


def term_from_yaml(row: Mapping[str, Any]) -> Term:
    """One YAML entry as a Term; raises KeyError or TypeError for a form that is not one."""
    unknown = set(row) - {item.name for item in fields(Term)}
    if unknown:
        raise TypeError(f"unknown keys {sorted(unknown)}")
    for name in ("id", "name", "kind", "description"):
        if not isinstance(row[name], str):
            raise TypeError(f"{name} {row[name]!r} must be text (quote it)")
    for name in _LIST_FIELDS:
        if not isinstance(row.get(name) or [], list):
            raise TypeError(f"{row['id']}: {name} must be a list")
    lists = {name: tuple(str(value) for value in row.get(name) or ()) for name in _LIST_FIELDS}
    return Term(id=row["id"], name=row["name"], kind=row["kind"], description=" ".join(row["description"].split()), **lists)


def read_terms(folder: Path) -> list[Term]:
    """Every term of `folder/*.yaml`, by file and place; raises CorpusUnreadable naming the file."""
    terms: list[Term] = []
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for path in sorted(folder.glob("*.yaml")):
        try:
            rows = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
            terms += [term_from_yaml(row) for row in rows]
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise CorpusUnreadable(f"{path}: not a vocabulary file ({error!r}). See AGENTS.md for the entry format.") from error
    return terms


@dataclass(frozen=True)
class Vocabulary:
    """Terms by id with their matchers. Build it with `Vocabulary.of(terms)`."""

    terms: Mapping[str, Term]
    phrases: Mapping[tuple[str, ...], tuple[str, ...]] = field(repr=False)
    names: Mapping[str, tuple[str, ...]] = field(repr=False)
    wildcards: Mapping[str, tuple[tuple[tuple[str, ...], str], ...]] = field(repr=False)
    path_patterns: tuple[tuple[str, tuple[str, ...], str], ...] = field(repr=False)
    _known_names: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    _known_paths: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, terms: Iterable[Term]) -> Vocabulary:
        by_id = {term.id: term for term in terms}
        phrases: dict[tuple[str, ...], list[str]] = {}
        names: dict[str, list[str]] = {}
        wildcards: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        paths: list[tuple[str, tuple[str, ...], str]] = []
        for term in by_id.values():
            for phrase in (term.name, term.id.replace("-", " "), *term.aliases, *_bracketed(term.name)):
                key = tuple(words(phrase))
                if key and len(key) <= _MAX_PHRASE and term.id not in phrases.setdefault(key, []):
                    phrases[key].append(term.id)
            for identifier in term.identifiers:
                if "/" in identifier:
                    pieces = tuple(identifier.split("*"))
                    paths.append((max(pieces, key=len), pieces, term.id))
                elif "*" in identifier:
                    pieces = tuple(identifier.lower().split("*"))
                    wildcards.setdefault(max(pieces, key=len)[:_BUCKET], []).append((pieces, term.id))
                else:
                    names.setdefault(identifier.lower(), []).append(term.id)
        return cls(
            terms=by_id,
            phrases={key: tuple(ids) for key, ids in phrases.items()},
            names={key: tuple(dict.fromkeys(ids)) for key, ids in names.items()},
            wildcards={key: tuple(entries) for key, entries in wildcards.items()},
            path_patterns=tuple(paths),
        )

    def in_text(self, text: str) -> dict[str, int]:
        """Ids of the terms whose name or alias occurs in free `text`, with the length in words of the longest phrase found.

        A longer phrase hides shorter ones inside it: "split KV" is not also "KV".
        """
        tokens = words(text)
        found: dict[str, int] = {}
        position = 0
        while position < len(tokens):
            for length in range(min(_MAX_PHRASE, len(tokens) - position), 0, -1):
                ids = self.phrases.get(tuple(tokens[position : position + length]))
                if ids:
                    for term_id in ids:
                        found[term_id] = max(found.get(term_id, 0), length)
                    position += length - 1
                    break
            position += 1
        for name in (found_name for found_name in _CODE.findall(text) if len(found_name) <= _LONGEST_NAME):
            for term_id in self.of_name(name):
                found.setdefault(term_id, 1)
        return found

    def of_name(self, name: str) -> tuple[str, ...]:
        """Ids of the terms that a code name (instruction, interface, function) belongs to."""
        low = name.lower()
        if low not in self._known_names:
            found = dict.fromkeys(self.names.get(low, ()))
            for key in {low[start : start + size] for size in range(1, _BUCKET + 1) for start in range(len(low) - size + 1)}:
                for pieces, term_id in self.wildcards.get(key, ()):
                    if _wildcard_matches(pieces, low):
                        found.setdefault(term_id)
            self._known_names[low] = tuple(sorted(found))
        return self._known_names[low]

    def of_path(self, path: str) -> tuple[str, ...]:
        """Ids of the terms whose path pattern matches."""
        if path not in self._known_paths:
            found = dict.fromkeys(
                term_id for part, pieces, term_id in self.path_patterns if part in path and _wildcard_matches(pieces, path)
            )
            self._known_paths[path] = tuple(found)
        return self._known_paths[path]


_CODE = re.compile(r"[A-Za-z_][\w.:]*[\w]")


def _bracketed(name: str) -> list[str]:
    """`Cluster launch control (CLC)` also names itself `Cluster launch control` and `CLC`."""
    match = re.match(r"^(.*\S)\s*\(([^)]+)\)\s*$", name)
    return [match.group(1), match.group(2)] if match else []


def _wildcard_matches(pieces: tuple[str, ...], text: str) -> bool:
    """Whether `text` is the literal `pieces` in order with anything between them (`*` of a pattern)."""
    if len(pieces) == 1:
        return text == pieces[0]
    first, *middle, last = pieces
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    position, end = len(first), len(text) - len(last)
    for piece in middle:
        position = text.find(piece, position, end)
        if position < 0:
            return False
        position += len(piece)
    return True
