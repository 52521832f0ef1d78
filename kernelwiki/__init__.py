"""KernelWiki: a traceable knowledge base of GPU kernel pull requests and pages, searched offline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelwiki.model import Hit
    from kernelwiki.wiki import Wiki

__all__ = ["Hit", "Wiki"]


def __getattr__(name: str) -> Any:
    """Load the public names when first asked for: a command that only prints help must not import numpy."""
    if name == "Wiki":
        from kernelwiki.wiki import Wiki

        return Wiki
    if name == "Hit":
        from kernelwiki.model import Hit

        return Hit
    raise AttributeError(f"module 'kernelwiki' has no attribute {name!r}")
