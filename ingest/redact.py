"""Redact: text that a user keeps, without secrets, e-mail addresses, signatures and characters that no terminal should get."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

# Everything below a space but tab and line feed, delete, C1 controls, direction marks, lone surrogates.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


@dataclass(frozen=True)
class Removal:
    """One line of `redact.yaml`."""

    pattern: re.Pattern[str]
    put: str
    hint: str

    def apply(self, text: str, lower: str) -> str:
        if self.hint not in lower:
            return text
        if "drop" not in self.pattern.groupindex:
            return self.pattern.sub(self.put, text)
        return self.pattern.sub(self._without, text)

    def _without(self, match: re.Match[str]) -> str:
        start, end = match.span("drop")
        whole, offset = match.group(0), match.start()
        return whole[: start - offset] + self.put + whole[end - offset :]


@cache
def removals() -> tuple[Removal, ...]:
    """The patterns of `redact.yaml`, secrets first."""
    data = yaml.safe_load(resources.files("ingest").joinpath("redact.yaml").read_text(encoding="utf-8"))
    rows = [*data["secrets"], *data["people"]]
    return tuple(Removal(re.compile(row["pattern"]), row["with"], row.get("hint", "")) for row in rows)


def redact(text: str) -> str:
    """`text` as it may be kept: line ends as `\\n`, control characters as spaces, secrets and addresses replaced."""
    clean = _HIDDEN.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
    lower = clean.lower()
    for removal in removals():
        clean = removal.apply(clean, lower)
    return clean


def cut(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, with a mark where it was cut."""
    return text if len(text) <= limit else text[: limit - 2].rstrip() + " …"
