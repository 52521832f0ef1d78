"""ncu_skill: Nsight Compute reports in, facts with units and ranked findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ncu_skill.comparison.facade import compare
    from ncu_skill.facade import analyse, diagnose, hotspots, metrics, summary
    from ncu_skill.report import open_report

__all__ = ["analyse", "compare", "diagnose", "hotspots", "metrics", "open_report", "summary"]

_HOMES = {"compare": "ncu_skill.comparison.facade", "open_report": "ncu_skill.report"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'ncu_skill' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "ncu_skill.facade")), name)
