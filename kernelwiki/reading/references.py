"""References: how people write the name of a pull request, and which record they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_REFERENCE = re.compile(
    r"github\.com/(?P<url_owner>[\w.-]+)/(?P<url_repo>[\w.-]+)/pull/(?P<url_number>\d{1,9})"
    r"|(?<![\w/.-])(?:(?P<owner>[\w.-]+)/)?(?P<repo>[\w.-]+)(?:\s?#\s?|/pull/)(?P<number>\d{1,9})\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Reference:
    """A pull request as somebody named it, lower case. `owner` is empty when it was left out."""

    owner: str
    repo: str
    number: str

    @property
    def short(self) -> str:
        """`cutlass#2472`."""
        return f"{self.repo}#{self.number}"

    @property
    def full(self) -> str:
        """`nvidia/cutlass#2472`."""
        return f"{self.owner}/{self.short}"


def references(text: str) -> Iterator[Reference]:
    """Every reference in `text`: `cutlass#2472`, `NVIDIA/cutlass#2472`, `NVIDIA/cutlass/pull/2472` or an address."""
    for match in _REFERENCE.finditer(text[:2_000]):
        owner, repo, number = (
            match["url_owner"] or match["owner"] or "",
            match["url_repo"] or match["repo"],
            match["url_number"] or match["number"],
        )
        yield Reference(owner.lower(), repo.lower(), str(int(number)))
