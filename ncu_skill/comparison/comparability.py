"""Comparability: what of device, versions and settings forbids to compare the times of two reports, and what only asks for care."""

from __future__ import annotations

from ncu_skill.comparison.model import Comparability
from ncu_skill.report import Kernel, Report

CLOCK_DRIFT = 0.03
CLOCKS = (
    ("SM", "smsp__cycles_elapsed.avg.per_second"),
    ("SM", "sm__cycles_elapsed.avg.per_second"),
    ("memory", "dram__cycles_elapsed.avg.per_second"),
)
_SETTINGS = (
    ("clock control", "clock_control", "--clock-control"),
    ("cache control", "cache_control", "--cache-control"),
    ("replay mode", "replay_mode", "--replay-mode"),
)


def comparability(base: Report, candidate: Report) -> Comparability:
    """Reasons (no verdict on speed) and cautions, from the producer facts and the devices of both reports."""
    found = Comparability()
    _devices(found, base.kernel(0), candidate.kernel(0))
    a, b = base.producer, candidate.producer
    if _version(a.ncu_version) != _version(b.ncu_version):
        found.reasons.append(f"other ncu versions: {_word(a.ncu_version)} and {_word(b.ncu_version)} count and time differently")
    for label, field, option in _SETTINGS:
        first, second = getattr(a, field), getattr(b, field)
        if first != second:
            found.reasons.append(f"other {label}: {first} and {second}; collect both with the same {option}")
    for label, first, second in (("CUDA", a.cuda_version, b.cuda_version), ("driver", a.driver_version, b.driver_version)):
        if first != second:
            found.cautions.append(f"other {label} versions: {first or 'unknown'} and {second or 'unknown'}")
    _sections(found, base.kernel(0), candidate.kernel(0))
    if a.clock_control == b.clock_control == "base":
        found.cautions.append("clocks were locked to base: ratios hold for locked clocks, production boosts higher")
    return found


def _devices(found: Comparability, a: Kernel, b: Kernel) -> None:
    first, second = a.device, b.device
    if first.name != second.name:
        found.reasons.append(f"other GPUs: {first.name or 'unknown'} and {second.name or 'unknown'}")
    elif first.compute_capability != second.compute_capability:
        found.reasons.append(f"other compute capabilities: {first.compute_capability} and {second.compute_capability}")
    elif first.sm_count != second.sm_count:
        found.reasons.append(f"other numbers of SMs: {first.sm_count} and {second.sm_count} (MIG or a cut-down device?)")
    if a.workload != b.workload:
        found.reasons.append(f"other kinds of result: {a.workload} and {b.workload}")


def _sections(found: Comparability, a: Kernel, b: Kernel) -> None:
    first, second = set(a.section_ids), set(b.section_ids)
    for label, missing in (("base", second - first), ("candidate", first - second)):
        if missing:
            found.cautions.append(f"{label} lacks sections: {', '.join(sorted(missing)[:6])}; their metrics cannot be compared")


def clock_cautions(base: Kernel, candidate: Kernel) -> list[str]:
    """Clock rates of the two launches that differ by more than 3 %: part of the change may be the clock's."""
    found: list[str] = []
    for label, name in CLOCKS:
        a, b = base.number(name), candidate.number(name)
        if a and b and abs(b / a - 1) > CLOCK_DRIFT and not any(text.startswith(label) for text in found):
            found.append(f"{label} clock {a / 1e9:.2f} GHz in base and {b / 1e9:.2f} GHz in candidate: compare cycles, too")
    return found


def _version(text: str) -> str:
    return text.split(" ", maxsplit=1)[0]


def _word(text: str) -> str:
    return _version(text) or "unknown"
