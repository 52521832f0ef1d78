"""Case: one workload of a judgement: its rounds of calls on inputs that change, and the checks of every call. Needs torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from kernel_lab import closing
from kernel_lab.child import Reply
from kernel_lab.dataset import FLOATS, Workload
from kernel_lab.evidence import Finding, Player
from kernel_lab.numbers import distance, finite_problem, trivial_outputs
from kernel_lab.tensors import Source, places, same_bytes

if TYPE_CHECKING:
    from kernel_lab.judge import Judge

Outputs = Callable[[list[Any]], list[torch.Tensor]]
Official = Callable[[Workload, Outputs], str]
ENOUGH = 3  # wrong calls of one workload after which it is left
_BENT = "a tensor that was handed over has another shape, other strides or another gradient flag after the call"


class Case:
    """One workload: the rounds, and what each of them showed."""

    def __init__(self, judge: Judge, players: list[Player], workload: Workload) -> None:
        self.judge, self.players, self.workload = judge, players, workload
        self.contract, self.evidence = judge.contract, judge.evidence
        self.evaluation = self.contract.evaluation
        self.definition = self.contract.definition
        self.source = Source(self.definition, workload, self.contract.dataset, judge.generator)
        self.mutable = set(self.contract.lock["mutable_inputs"])
        self.calls = 0
        self.reference_ms = 0.0
        self.official = ""
        self.wrong = 0
        self.masks: list[tuple[int, torch.Tensor]] = []
        self.worst = {"max_abs": 0.0, "max_rel": 0.0, "norm": 0.0, "missed": 0.0}
        self.last: list[torch.Tensor] = []
        self.kinds: list[str] = []
        self.bitwise = True

    def run(self) -> None:
        values = self.source.first()
        begin = time.perf_counter()
        expected = self.judge.reference(values)
        self.reference_ms = (time.perf_counter() - begin) * 1e3
        problem = finite_problem(expected)
        if problem:
            self.evidence.add(Finding("finite-reference", self.workload.uuid, problem))
            return
        inputs, outputs, _ = places(self.definition, self.workload)
        for player in self.players:
            player.lay_out(inputs, outputs, values)
        if not self.workload.hidden:
            self._probe(values, expected)
        self._rounds(values, expected)
        if self.wrong < ENOUGH:
            self._after(values)
        self._report()

    def _probe(self, values: list[Any], expected: list[torch.Tensor]) -> None:
        """Outputs that take no work must fail, else this workload tells honest from dishonest no more."""
        passing = [
            name for name, outputs in trivial_outputs(expected, values).items()
            if all(distance(left, right, self.evaluation).ok for left, right in zip(outputs, expected, strict=True))
        ]  # fmt: skip
        self.evidence.trivial.append({"workload": self.workload.uuid, "passing": passing})

    def _rounds(self, values: list[Any], expected: list[torch.Tensor]) -> None:
        history = [(values, expected)]
        for turn in range(max(1, int(self.evaluation["warmup"]))):
            history = [*history[-2:], self._next("fresh", history)] if turn else history
            self._round("warm-up", *history[-1])
        kinds = self._plan()
        for player in self.players:
            player.times, player.events = [], []
        for kind in kinds:
            if self.wrong >= ENOUGH:
                return
            history = [*history[-2:], self._next(kind, history)]
            self._round(kind, *history[-1])

    def _plan(self) -> list[str]:
        """Kinds of change before each round. The order is drawn anew each time, so that no candidate can count on it."""
        if self.workload.hidden:
            return ["sparse", "fresh"]
        slowest = max(player.times[-1] for player in self.players)
        affordable = int(self.evaluation["seconds_per_workload"] / max(1e-6, slowest * len(self.players)))
        count = max(6, min(int(self.evaluation["rounds"]), affordable))
        kinds = ["sparse", "permute", "single", "repeat", "revert", "fresh"] + ["sparse", "fresh"] * count
        kinds = kinds[: max(6, count)]
        self.judge.random.shuffle(kinds)
        return kinds

    def _next(self, kind: str, history: list[tuple[list[Any], list[torch.Tensor]]]) -> tuple[list[Any], list[torch.Tensor]]:
        if kind == "repeat" or (kind == "revert" and len(history) < 2):
            return history[-1]
        if kind == "revert":
            return history[-2]
        values = self.source.next(kind, history[-1][0])
        if kind == "fresh":
            values = self._scaled(values)
        return values, self.judge.reference(values)

    def _scaled(self, values: list[Any]) -> list[Any]:
        """One random float input times 0.5 or 1.5, now and then: no answer may lean on the spread of the test data."""
        kinds = {name: spec.get("type", "random") for name, spec in self.workload.inputs.items()}
        chosen = [
            index for index, tensor in enumerate(self.definition.inputs)
            if tensor.dtype in FLOATS and self.source.free(tensor) and kinds.get(tensor.name, "random") == "random"
        ]  # fmt: skip
        if not chosen or (self.definition.op_type == "sampling"):
            return values
        index = self.judge.random.choice(chosen)
        factor = self.judge.random.choice((0.5, 0.75, 1.5))
        return [(value.float() * factor).to(value.dtype) if at == index else value for at, value in enumerate(values)]

    def _round(self, kind: str, values: list[Any], expected: list[torch.Tensor]) -> None:
        """All players on the same inputs; the order turns from round to round (A B, B A)."""
        order = self.players if len(self.kinds) % 2 == 0 else self.players[::-1]
        for player in order:
            reply = player.run(values, self.judge.turn())
            player.times.append(reply.wall_s)
            player.events.append(float(reply.said.get("event_ms") or 0.0))
            if player is self.players[0]:
                self._check(player, reply, kind, values, expected)
            elif not self.kinds:
                self._check_other(player, expected)
        self.kinds.append(kind)

    def _check(self, player: Player, reply: Reply, kind: str, values: list[Any], expected: list[torch.Tensor]) -> None:
        self.calls += 1
        self.evidence.calls += 1
        problems = [*self._forms(reply), *self._mutations(player, values), *self._values(player, expected, kind)]
        for gate, detail in problems:
            told = "hidden-workloads" if self.workload.hidden and gate in ("fresh-inputs", "poisoned-outputs") else gate
            self.evidence.add(Finding(told, self.workload.uuid, detail, self.calls, kind))
        self.wrong += bool(problems)
        outputs = [output.clone() for output in player.outputs]
        if kind == "repeat" and self.last:
            self.bitwise &= all(same_bytes(left, right) for left, right in zip(outputs, self.last, strict=True))
        self.last = outputs

    def _forms(self, reply: Reply) -> list[tuple[str, str]]:
        """What the child says of returned tensors. It can only speak against the candidate."""
        bent = [("mutation", _BENT)] if reply.said.get("bent") else []
        told = reply.said.get("outputs")
        if self.judge.candidate.passes_outputs or not isinstance(told, list):
            return bent
        if len(told) != len(self.definition.outputs):
            return [("aliasing", f"{len(told)} values were returned; the definition names {len(self.definition.outputs)} outputs")]
        found = bent
        for item, tensor in zip(told, self.definition.outputs, strict=True):
            shape = list(self.definition.shape(tensor, self.workload.axes))
            if item.get("plain") is not True:
                found.append(
                    (
                        "aliasing",
                        f"{tensor.name} is a {str(item.get('type'))[:60]}, not a plain tensor: work may be put off until it is looked at",
                    )
                )
            elif item.get("overlaps"):
                found.append(("aliasing", f"{tensor.name} shares storage with an input or a buffer of the judge"))
            elif item["type"] == "Tensor" and (item.get("shape") != shape or item.get("dtype") != tensor.dtype):
                found.append(
                    ("aliasing", f"{tensor.name} is {item.get('dtype')} {item.get('shape')}; the definition says {tensor.dtype} {shape}")
                )
        return found

    def _mutations(self, player: Player, values: list[Any]) -> list[tuple[str, str]]:
        found = []
        for tensor, place, value in zip(self.definition.inputs, player.inputs, values, strict=True):
            if place is not None and tensor.name not in self.mutable and not same_bytes(place, value):
                found.append(("mutation", f"the input {tensor.name} was written to"))
        return found

    def _values(self, player: Player, expected: list[torch.Tensor], kind: str) -> list[tuple[str, str]]:
        found = []
        for index, (tensor, output, right) in enumerate(zip(self.definition.outputs, player.outputs, expected, strict=True)):
            gap = distance(output.to(self.judge.device), right.to(self.judge.device), self.evaluation)
            for key in self.worst:
                self.worst[key] = max(self.worst[key], getattr(gap, key))
            if gap.mask is not None and gap.missed:
                self.masks.append((index, gap.mask))
            if not gap.ok:
                unwritten = "never written" in gap.problem
                found.append(("poisoned-outputs" if unwritten else "fresh-inputs", f"{tensor.name}: {gap.problem}"))
        return found

    def _check_other(self, player: Player, expected: list[torch.Tensor]) -> None:
        for tensor, output, right in zip(self.definition.outputs, player.outputs, expected, strict=True):
            gap = distance(output, right, self.evaluation)
            if not gap.ok:
                self.evidence.add(
                    Finding("baseline", self.workload.uuid, f"the {player.name}'s {tensor.name}: {gap.problem}", tier="review")
                )

    def _after(self, values: list[Any]) -> None:
        """What is asked of a workload once its rounds are over and nearly all calls were right."""
        if not self.judge.candidate.passes_outputs:
            closing.retained(self)
        closing.stable_misses(self)
        if self.workload.hidden:
            return
        closing.precision(self, values)
        closing.value_cache(self)
        if self.judge.official is not None:
            self.official = self.judge.official(self.workload, self._outputs_of)
        if self.players[0].on_gpu:
            closing.gpu_evidence(self)

    def _outputs_of(self, values: list[Any]) -> list[torch.Tensor]:
        """The candidate as a plain function, for the scorer: it sees outputs, never the candidate's process."""
        self.players[0].run(values, self.judge.turn())
        self.evidence.calls += 1
        return [output.clone() for output in self.players[0].outputs]

    def _report(self) -> None:
        row = closing.row_of(self)
        if self.workload.hidden:
            self.evidence.hidden.append(row)
            return
        self.evidence.workloads.append(row)
        if self.judge.on_row is not None:
            self.judge.on_row(row)
