"""Backends: where a candidate runs: this CPU, this GPU, a flashinfer-bench server, or any command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from kernel_lab.contract import Contract
from kernel_lab.gates import Gate
from kernel_lab.solution import Solution

if TYPE_CHECKING:
    from kernel_lab.child import Rules

Progress = Callable[[str, int, int], None]
Keep = Callable[[dict[str, Any]], None]


@dataclass
class Ran:
    """What a backend brings back: gates, one row per workload, and extra evidence."""

    gates: list[Gate] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


class Backend(Protocol):
    """A place to run a candidate."""

    def require(self) -> None:
        """Raise MissingBackend where it cannot run."""

    def judge(self, candidate: Solution, incumbent: Solution | None, progress: Progress) -> Ran:
        """Everything that the gates need."""

    def score(self, candidate: Solution, incumbent: Solution | None, progress: Progress, only: list[str], keep: Keep) -> Ran:
        """Times of the named workloads; `keep` is called with each finished row."""


def backend_for(contract: Contract) -> Backend:
    """The backend that the lock names."""
    if contract.backend in ("http", "command"):
        from kernel_lab.remote import Remote

        return Remote(contract)
    from kernel_lab.local import Local

    return Local(contract)


def rules_for(contract: Contract) -> Rules:
    """How this contract confines a child."""
    from kernel_lab.child import Rules
    from kernel_lab.workspace import state_home

    limits = contract.lock["limits"]
    on_gpu = contract.backend == "cuda"
    hide = (contract.folder.parent, contract.dataset, state_home())
    variables = (
        {"TRITON_CACHE_DIR": "/tmp/triton", "TORCHINDUCTOR_CACHE_DIR": "/tmp/inductor", "CUDA_CACHE_PATH": "/tmp/cuda"} if on_gpu else {}
    )
    return Rules(
        hide=hide, device="cuda:0" if on_gpu else "cpu", memory_gib=float(limits["memory_gib"]), call_s=float(limits["call_s"]),
        start_s=float(limits["start_s"]), variables=variables,
    )  # fmt: skip
