"""kernel_lab: compiles, scores and judges candidate kernels against a frozen contract, and keeps a ledger of it all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernel_lab.lab import Lab

__all__ = ["Lab"]


def __getattr__(name: str) -> Any:
    if name == "Lab":
        from kernel_lab.lab import Lab

        return Lab
    raise AttributeError(name)
