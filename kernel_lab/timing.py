"""Timing: what a list of measured times may be said to show: medians of all runs, paired ratios, a noise band."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ratio:
    """base time over candidate time of paired runs (above 1: the candidate is faster), with a 95 % interval of the median."""

    value: float
    low: float
    high: float
    pairs: int

    @property
    def verdict(self) -> str:
        return "faster" if self.low > 1.0 else "slower" if self.high < 1.0 else "same within noise"

    def data(self) -> dict[str, Any]:
        return {
            "value": round(self.value, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "pairs": self.pairs,
            "verdict": self.verdict,
        }


def paired_ratio(base: list[float], candidate: list[float]) -> Ratio:
    """Median of base/candidate over the rounds, and the order-statistic (sign test) interval around it.

    With fewer than six pairs no 95 % interval exists: the whole range is given. Source: binomial order statistics of the median.
    """
    ratios = sorted(left / right for left, right in zip(base, candidate, strict=False) if right > 0)
    count = len(ratios)
    if not count:
        return Ratio(1.0, 0.0, math.inf, 0)
    drop = 0
    while count >= 6 and 2 * _binomial_below(count, drop + 1) <= 0.05:
        drop += 1
    return Ratio(statistics.median(ratios), ratios[max(0, drop - 1) if drop else 0], ratios[count - max(1, drop)], count)


def _binomial_below(count: int, limit: int) -> float:
    """P(fewer than `limit` heads in `count` tosses)"""
    return float(sum(math.comb(count, index) for index in range(limit))) / 2.0**count


def cache_seen(seen: list[float], unseen: list[float]) -> bool | None:
    """True when calls on inputs that were seen before are clearly shorter than calls on new ones, False when not, None: time more.

    `clear` is the share of pairs (one of each list) in which the seen one takes less than 0.8 of the new one: Mann-Whitney's statistic with
    a margin. With nothing kept it is at most one half on the average however the machine swings; ten against ten reach 0.9 by chance less
    than once in a thousand, as do twenty against twenty 0.8.
    """
    clear = statistics.fmean(left < 0.8 * right for left in seen for right in unseen)
    if clear < (0.45 if len(seen) < 10 else 0.6):
        return False
    if len(seen) < 10:
        return None
    needed = 0.9 if len(seen) < 20 else 0.8
    return True if clear >= needed and statistics.median(seen) < 0.65 * statistics.median(unseen) else None


def noise_band(times: list[float]) -> float:
    """Relative half width of the middle half of the times."""
    if len(times) < 4:
        return 0.0
    low, _, high = statistics.quantiles(times, n=4)
    middle = statistics.median(times)
    return (high - low) / 2 / middle if middle else 0.0


def geometric_mean(values: list[float]) -> float:
    return math.exp(statistics.fmean(math.log(value) for value in values)) if values and min(values) > 0 else 0.0
