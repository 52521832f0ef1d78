"""Closing: what a workload is asked after its rounds (kept outputs, precision, value caches, device times), and its row of figures."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

import torch

from kernel_lab.dataset import FLOATS
from kernel_lab.evidence import Finding, Player
from kernel_lab.numbers import distance, type_limit
from kernel_lab.tensors import poison, same_bytes
from kernel_lab.timing import cache_seen, noise_band, paired_ratio

if TYPE_CHECKING:
    from kernel_lab.case import Case

_CACHE_RATIO, _CACHE_MIN_S = 0.65, 4e-4
_CACHE_PAIRS, _CACHE_ROUNDS = 5, 4


def retained(case: Case) -> None:
    """Outputs of an earlier call must not change when a later call is made."""
    player = case.players[0]
    first, second = case.source.first(), case.source.first()
    player.run(first, case.judge.turn())
    kept = [output.clone() for output in player.outputs]
    player.run(second, case.judge.turn())
    for output in player.outputs:
        poison(output, case.judge.turn())
    player.child.resume()
    player.child.request("again")
    if not player.on_gpu:
        player.child.pause()
    case.evidence.calls += 2
    if not all(same_bytes(left, right) for left, right in zip(kept, player.outputs, strict=True)):
        case.evidence.add(
            Finding("aliasing", case.workload.uuid, "an output that was returned earlier changed with the next call: it is a reused buffer")
        )


def stable_misses(case: Case) -> None:
    """Honest rounding misses move with the data; elements that are skipped stay where they are."""
    for index in range(len(case.definition.outputs)):
        masks = [mask for at, mask in case.masks if at == index]
        if len(masks) < 4 or len(masks) < case.calls * 0.7:
            continue
        shares = torch.stack(masks).double().mean(0)
        always, usual = float((shares > 0.8).double().mean()), float(torch.stack(masks).double().mean())
        if always > 0.5 * usual and usual > 0:
            name = case.definition.outputs[index].name
            case.evidence.add(
                Finding(
                    "fresh-inputs",
                    case.workload.uuid,
                    f"the same {always:.2%} of {name} miss the tolerance in every call: they are not computed",
                )
            )


def precision(case: Case, values: list[Any]) -> None:
    """Error against float64, held against what the declared types explain."""
    wide, player = case.judge.reference.wide(values), case.players[0]
    expected = case.judge.reference(values)
    if wide is None or len(wide) != len(expected):
        return
    player.run(values, case.judge.turn())
    case.evidence.calls += 1
    free = {**case.evaluation, "rtol": float("inf"), "atol": float("inf"), "matched_ratio": 0.0, "norm_limit": float("inf")}
    kinds = [tensor.dtype for tensor in case.definition.inputs if tensor.dtype in FLOATS and tensor.shape is not None]
    for tensor, output, right, best in zip(case.definition.outputs, player.outputs, expected, wide, strict=True):
        if tensor.dtype not in FLOATS or best.shape != right.shape or not right.numel():
            continue
        limit = max(type_limit([*kinds, tensor.dtype]), 4 * distance(right, best, free).norm)
        norm = distance(output, best, free).norm
        case.worst["error_against_float64"] = max(case.worst.get("error_against_float64", 0.0), norm)
        if norm > limit:
            said = f"{tensor.name}: relative error {norm:.2g} against float64; arithmetic in {tensor.dtype} stays under {limit:.2g}"
            detail = f"{said}: a coarser type was used, or work was left out"
            case.evidence.add(Finding("precision", case.workload.uuid, detail, tier="review"))


def value_cache(case: Case) -> None:
    """The same inputs again must take as long as new ones.

    Both are timed in the same place, right after another call of the candidate, in an order drawn anew, and in rounds:
    one spell of noise on the machine cannot look like a cache, and a cache cannot hide behind one.
    """
    player = case.players[0]
    again, new = _split(player.times, case.kinds)
    if not again or not new or statistics.median(new) < _CACHE_MIN_S or min(again) > _CACHE_RATIO * statistics.median(new):
        return
    seen: list[float] = []
    unseen: list[float] = []
    for _ in range(_CACHE_ROUNDS):
        order = [True, False] * _CACHE_PAIRS
        case.judge.random.shuffle(order)
        for known in order:
            first, other = case.source.first(), case.source.first()
            player.run(first, case.judge.turn())
            (seen if known else unseen).append(player.run(first if known else other, case.judge.turn()).wall_s)
        case.evidence.calls += 4 * _CACHE_PAIRS
        if (said := cache_seen(seen, unseen)) is not None:
            break
    if said:
        ratio = statistics.median(seen) / statistics.median(unseen)
        detail = f"inputs that were seen before take {ratio:.0%} of the time of new ones: results are kept by value"
        case.evidence.add(Finding("value-cache", case.workload.uuid, detail))


def gpu_evidence(case: Case) -> None:
    """Wall time of many calls without a pause, against the events' time; names of the kernels that ran."""
    player, calls = case.players[0], 20
    empty = min(player.child.call_awake("batch", calls=0).wall_s for _ in range(3))
    full = player.child.call_awake("batch", calls=calls)
    each_ms = max(0.0, (full.wall_s - empty) / calls * 1e3)
    event_ms = statistics.median(player.events)
    said = player.child.request("kernels").get("kernels", [])
    case.evidence.kernels.append({
        "workload": case.workload.uuid, "kernels": said, "kernel_us": round(sum(float(row["us"]) for row in said), 2),
        "event_ms": round(event_ms, 5), "batch_wall_ms": round(each_ms, 5),
        "batch_event_ms": round(float(full.said["event_ms"]) / calls, 5),
        "wall_ms": round(statistics.median(player.times) * 1e3, 5),
    })  # fmt: skip


def row_of(case: Case) -> dict[str, Any]:
    """The workload's row: status, errors, and of a shown workload all runs of all players with their ratios."""
    row: dict[str, Any] = {"uuid": case.workload.uuid, "axes": case.workload.axes, "calls": case.calls, "wrong_calls": case.wrong}
    row["status"] = "FAILED" if case.wrong else "PASSED"
    row["official"] = case.official or "not run"
    row["errors"] = {key: _plain(value) for key, value in case.worst.items()}
    row["bitwise_repeatable"] = case.bitwise
    if case.workload.hidden:
        return row
    for player in case.players:
        row[f"{player.name}_runs_ms"] = [round(value, 6) for value in _latencies(player)]
    row["timer"] = "event" if case.players[0].on_gpu else "wall"
    return {**row, **_compared(row, case.reference_ms)}


def _latencies(player: Player) -> list[float]:
    return player.events if player.on_gpu else [value * 1e3 for value in player.times]


def _compared(row: dict[str, Any], reference_ms: float) -> dict[str, Any]:
    mine, base = row["candidate_runs_ms"], row["baseline_runs_ms"]
    found: dict[str, Any] = {
        "latency_ms": round(statistics.median(mine), 6), "baseline_ms": round(statistics.median(base), 6),
        "reference_ms": round(reference_ms, 6), "vs_reference": round(reference_ms / max(1e-9, statistics.median(mine)), 4),
        "vs_baseline": paired_ratio(base, mine).data(), "noise": round(max(noise_band(mine), noise_band(base)), 4),
    }  # fmt: skip
    if "incumbent_runs_ms" in row:
        found["incumbent_ms"] = round(statistics.median(row["incumbent_runs_ms"]), 6)
        found["vs_incumbent"] = paired_ratio(row["incumbent_runs_ms"], mine).data()
    return found


def _split(times: list[float], kinds: list[str]) -> tuple[list[float], list[float]]:
    """(times of rounds whose inputs were seen before, times of the others)"""
    paired = list(zip(times, kinds[-len(times) :] if times else [], strict=True))
    again = [seconds for seconds, kind in paired if kind in ("repeat", "revert")]
    return again, [seconds for seconds, kind in paired if kind not in ("repeat", "revert")]


def _plain(value: float) -> float | str:
    return float(f"{value:.4g}") if math.isfinite(value) else str(value)
