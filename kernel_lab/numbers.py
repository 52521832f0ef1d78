"""Numbers: how far an output is from the expected one, under the contract's tolerances and beyond them. Needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

# Relative L2 error that honest arithmetic of a type stays under; above it the work was done in a coarser type.
PRECISION = {"float64": 1e-8, "float32": 1e-4, "float16": 1.5e-3, "bfloat16": 7.5e-3, "float8_e4m3fn": 0.15, "float8_e5m2": 0.3}


@dataclass(frozen=True)
class Distance:
    """`missed` is the share of elements outside of both tolerances; `norm` the relative L2 error (0 for integers)."""

    max_abs: float
    max_rel: float
    missed: float
    norm: float
    problem: str
    mask: torch.Tensor | None = None

    @property
    def ok(self) -> bool:
        return not self.problem


def distance(out: torch.Tensor, expected: torch.Tensor, evaluation: dict[str, Any]) -> Distance:
    """Judge one output. A NaN never passes; an infinity only where the expected output has the same one."""
    if not expected.numel():
        return Distance(0.0, 0.0, 0.0, 0.0, "")
    left, right = out.to(torch.float64).reshape(-1), expected.to(torch.float64).reshape(-1)
    infinite = torch.isinf(right)
    bad = torch.isnan(left) | (torch.isinf(left) & ~infinite) | (infinite & (left != right))
    if bool(bad.any()):
        count = int(bad.sum())
        what = "NaN or infinity, or were never written" if out.dtype.is_floating_point else "wrong"
        return Distance(float("inf"), float("inf"), count / len(left), float("inf"), f"{count} of {len(left)} elements are {what}")
    left, right = torch.where(infinite, 0.0, left), torch.where(infinite, 0.0, right)
    gap = (left - right).abs()
    relative = gap / (right.abs() + 1e-8)
    exact = not out.dtype.is_floating_point
    # A relative tolerance says nothing about integers: index 255 is not "nearly" index 254.
    mask = gap > evaluation["atol"] if exact else (gap > evaluation["atol"]) & (relative > evaluation["rtol"])
    missed = float(mask.double().mean())
    size = float(right.norm())
    norm = 0.0 if exact else float((left - right).norm()) / size if size else float(bool(gap.any()))
    problem = ""
    if missed > 1.0 - evaluation["matched_ratio"] + 1e-12:
        worst, allowed = float(gap.max()), 1 - evaluation["matched_ratio"]
        problem = f"{missed:.2%} of {len(left)} elements miss both tolerances (worst {worst:.3g}; allowed {allowed:.2%})"
    elif norm > evaluation["norm_limit"]:
        problem = f"the relative L2 error is {norm:.3g}; the contract allows {evaluation['norm_limit']:.3g}"
    return Distance(float(gap.max()), float(relative.max()), missed, norm, problem, mask)


def type_limit(dtypes: list[str]) -> float:
    """The error that the coarsest of the float types explains."""
    return max((PRECISION[name] for name in dtypes if name in PRECISION), default=float("inf"))


def trivial_outputs(expected: list[torch.Tensor], inputs: list[Any]) -> dict[str, list[torch.Tensor]]:
    """Outputs that take no work: zeros, ones, the mean, an input, the expected output's first row everywhere."""
    found = {"zeros": [torch.zeros_like(item) for item in expected], "ones": [torch.ones_like(item) for item in expected]}
    if all(item.dtype.is_floating_point for item in expected):
        found["mean"] = [torch.full_like(item, float(item.double().mean()) if item.numel() else 0.0) for item in expected]
    for index, value in enumerate(inputs):
        if isinstance(value, torch.Tensor) and all(value.shape == item.shape for item in expected):
            found[f"input {index}"] = [value.to(item.dtype) for item in expected]
    return found


def finite_problem(expected: list[torch.Tensor]) -> str:
    """Why an expected output cannot judge anything, empty when it can."""
    for index, item in enumerate(expected):
        if not item.dtype.is_floating_point or not item.numel():
            continue
        values = item.float()
        if bool(torch.isnan(values).any()):
            return f"the reference gives NaN in output {index}: nothing can be compared with it"
        if float(torch.isinf(values).double().mean()) > 0.5:
            return f"more than half of the reference's output {index} is infinite"
    return ""
