"""Evidence: what a judgement saw, finding by finding, and the players in it: solutions in their processes, with views of their memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from kernel_lab.child import Child, Reply
from kernel_lab.tensors import Place, poison

MAX_FINDINGS = 40


@dataclass(frozen=True)
class Finding:
    """One thing that a gate will hold against the candidate. `call` counts the candidate's calls of the workload."""

    gate: str
    workload: str
    detail: str
    call: int = 0
    kind: str = ""
    tier: str = "fail"

    def data(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if value not in ("", 0) or key == "gate"}


@dataclass
class Evidence:
    """What the judge saw. Latencies in ms, all runs kept."""

    findings: list[Finding] = field(default_factory=list)
    workloads: list[dict[str, Any]] = field(default_factory=list)
    hidden: list[dict[str, Any]] = field(default_factory=list)
    trivial: list[dict[str, Any]] = field(default_factory=list)
    sandbox: dict[str, Any] = field(default_factory=dict)
    kernels: list[dict[str, Any]] = field(default_factory=list)
    calls: int = 0
    seed: int = 0

    def add(self, finding: Finding) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)


class Player:
    """One solution in its child process, and the judge's views of that child's shared memory."""

    def __init__(self, name: str, child: Child) -> None:
        self.name, self.child = name, child
        self.inputs: list[torch.Tensor | None] = []
        self.outputs: list[torch.Tensor] = []
        self.times: list[float] = []
        self.events: list[float] = []

    @property
    def on_gpu(self) -> bool:
        return self.child.rules.device != "cpu"

    def lay_out(self, inputs: list[Place | None], outputs: list[Place], scalars: list[Any]) -> None:
        self.inputs = [place.view(self.child.memory) if place else None for place in inputs]
        self.outputs = [place.view(self.child.memory) for place in outputs]
        self.times, self.events = [], []
        told = [_told(place) if place else {"value": value} for place, value in zip(inputs, scalars, strict=True)]
        self.child.resume()
        self.child.request("layout", inputs=told, outputs=[_told(place) for place in outputs])
        if not self.on_gpu:
            self.child.pause()

    def run(self, values: list[Any], turn: int) -> Reply:
        """Lay the inputs and the poison, call, and leave the outputs to be read."""
        for place, value in zip(self.inputs, values, strict=True):
            if place is not None:
                place.copy_(value)
        for output in self.outputs:
            poison(output, turn)
        if not self.on_gpu:
            return self.child.call()
        self.child.request("stage")
        reply = self.child.call_awake()
        self.child.request("fetch")
        return reply

    def release(self) -> None:
        self.inputs, self.outputs = [], []


def _told(place: Place) -> dict[str, Any]:
    return {"dtype": place.dtype, "shape": list(place.shape), "offset": place.offset}
