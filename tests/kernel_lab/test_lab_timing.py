"""What measured times may be said to show: a cache by value is seen through noise, and noise is not called a cache."""

from __future__ import annotations

import random

import pytest

from kernel_lab.timing import cache_seen, paired_ratio


def _noisy(source: random.Random, base: float, count: int) -> list[float]:
    """Times that swing by tens of percent, with a spike of three to twenty times now and then: a machine that others use."""
    return [base * source.lognormvariate(0, 0.4) * (source.uniform(3, 20) if source.random() < 0.15 else 1) for _ in range(count)]


def _judged(source: random.Random, again: float, new: float) -> bool:
    seen: list[float] = []
    unseen: list[float] = []
    for _ in range(4):
        seen += _noisy(source, again, 5)
        unseen += _noisy(source, new, 5)
        said = cache_seen(seen, unseen)
        if said is not None:
            return said
    return False


def test_a_machine_that_swings_is_hardly_ever_called_a_cache() -> None:
    source = random.Random(20)
    called = sum(_judged(source, 1.0, 1.0) for _ in range(4000))
    assert called <= 6


def test_a_cache_is_seen_on_the_same_machine() -> None:
    source = random.Random(21)
    assert sum(_judged(source, 0.1, 1.0) for _ in range(400)) >= 388
    assert sum(_judged(source, 0.25, 1.0) for _ in range(400)) >= 320


@pytest.mark.parametrize(("seen", "said"), [([0.2] * 5, None), ([0.2] * 10, True), ([0.9] * 5, False)])
def test_five_pairs_acquit_but_never_convict(seen: list[float], said: bool | None) -> None:
    assert cache_seen(seen, [1.0] * len(seen)) is said


def test_a_ratio_of_six_pairs_has_an_interval_and_one_of_five_has_the_whole_range() -> None:
    six = paired_ratio([2.0, 2.1, 1.9, 2.0, 2.2, 1.8], [1.0] * 6)
    assert six.verdict == "faster" and six.low >= 1.8
    assert paired_ratio([2.0, 0.5, 2.0, 2.0, 2.0], [1.0] * 5).verdict == "same within noise"
