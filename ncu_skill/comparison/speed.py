"""Verdict: whether a candidate is faster, slower or the same, with the interval in which a repetition would land."""

from __future__ import annotations

import math
import statistics

from ncu_skill.comparison.model import Interval, Side, Verdict
from ncu_skill.comparison.noise import duration_noise

SAME_WITHIN = 0.03  # speedups of less do not matter enough to call launches different
MIN_EFFECT = 0.01  # and an interval must clear 1 by this much to be called a change

# Two-sided 95 % quantiles of Student's t by degrees of freedom (any table of the distribution); 1.96 is the normal limit.
_T95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 10: 2.23, 12: 2.18, 15: 2.13, 20: 2.09, 30: 2.04}


def t95(degrees: float) -> float:
    """Two-sided 95 % quantile of Student's t, from the next smaller tabled number of degrees."""
    known = [limit for number, limit in _T95.items() if number <= degrees]
    return 1.96 if degrees > 60 else known[-1] if known else _T95[1]


def interval(base: Side, candidate: Side) -> Interval | None:
    """Speedup of the median durations with its 95 % prediction interval; None where a side has no duration."""
    return of_durations(base.durations_ns, candidate.durations_ns)


def of_durations(base_ns: list[float], candidate_ns: list[float]) -> Interval | None:
    """Speedup of the medians with a 95 % prediction interval: where measuring both again would land.

    The deviation of the logarithm has the scatter between launches of a run (once for these, once for the repetition) and that
    between runs.
    """
    if not base_ns or not candidate_ns:
        return None
    variance, degrees = 0.0, 1e9
    for durations in (base_ns, candidate_ns):
        noise = duration_noise(statistics.median(durations), [durations])
        variance += 2 * (noise.within**2 / len(durations) + noise.between**2)
        degrees = min(degrees, noise.degrees)
    half = t95(degrees) * math.sqrt(variance)
    ratio = statistics.median(base_ns) / statistics.median(candidate_ns)
    return Interval(ratio, ratio * math.exp(-half), ratio * math.exp(half))


def verdict(found: Interval | None) -> Verdict:
    """faster or slower when the interval excludes 1 with 1 % to spare, same when all of it is within 3 % of 1, else inconclusive."""
    if found is None:
        return "inconclusive"
    if found.low > 1 + MIN_EFFECT:
        return "faster"
    if found.high < 1 / (1 + MIN_EFFECT):
        return "slower"
    if found.low >= 1 / (1 + SAME_WITHIN) and found.high <= 1 + SAME_WITHIN:
        return "same"
    return "inconclusive"
