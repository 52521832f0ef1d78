"""How far an output is from the expected one: tolerances for floats, none by ratio for integers, limits by declared type."""

from __future__ import annotations

import pytest
from lab_parts import needs_torch

pytestmark = needs_torch
EVALUATION = {"rtol": 1e-2, "atol": 1e-2, "matched_ratio": 1.0, "norm_limit": 0.05}


def test_a_neighbouring_index_is_a_wrong_one() -> None:
    """255 is within one percent of 254; as the number of an expert it is another expert."""
    import torch

    from kernel_lab.numbers import distance

    right = torch.full((8,), 255, dtype=torch.int32)
    assert distance(right, right, EVALUATION).ok
    assert not distance(right - 1, right, EVALUATION).ok
    assert distance(right - 1, right, {**EVALUATION, "atol": 1.0}).ok


def test_a_float_has_to_miss_both_tolerances() -> None:
    import torch

    from kernel_lab.numbers import distance

    right = torch.full((8,), 255.0)
    assert distance(right - 1, right, EVALUATION).ok
    assert not distance(right - 4, right, EVALUATION).ok
    assert not distance(torch.full((8,), float("nan")), right, EVALUATION).ok


@pytest.mark.parametrize(("declared", "inside"), [("float16", "bfloat16"), ("float32", "float16"), ("bfloat16", "float8_e4m3fn")])
def test_a_coarser_type_inside_is_beyond_the_limit_and_the_declared_one_below(declared: str, inside: str) -> None:
    import torch

    from kernel_lab.numbers import type_limit

    torch.manual_seed(3)

    def error(name: str) -> float:
        kind, held = getattr(torch, name), getattr(torch, declared)
        a, b = torch.randn(64, 512).to(held), torch.randn(512, 64).to(held)
        best = a.double() @ b.double()
        made = (a.to(kind).double() @ b.to(kind).double()).to(held) if kind != held else (a.float() @ b.float()).to(held)
        return float((made.double() - best).norm() / best.norm())

    assert error(declared) < type_limit([declared]) / 2
    assert error(inside) > type_limit([declared])
