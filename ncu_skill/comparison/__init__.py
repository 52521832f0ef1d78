"""Comparison of reports: pairing, comparability, noise, verdict, causes, lines and opcodes, each in its own module."""

from __future__ import annotations

from ncu_skill.comparison.facade import compare, compare_series, regressions

__all__ = ["compare", "compare_series", "regressions"]
