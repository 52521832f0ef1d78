"""Judge: runs a candidate beside the baseline on inputs that only the judge knows, checks every call, and returns evidence. Needs torch.

There is no untimed phase and no unchecked one. Each call gets inputs that changed in place, outputs that hold poison, and is checked
against the reference, which lives here and nowhere else. A CPU candidate is stopped between calls, so that it can do nothing in secret.
"""

from __future__ import annotations

import math
import secrets
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from kernel_lab.child import Child, Reply, Rules
from kernel_lab.contract import Contract
from kernel_lab.dataset import FLOATS, Definition, Workload
from kernel_lab.errors import CandidateFailed
from kernel_lab.numbers import distance, finite_problem, trivial_outputs, type_limit
from kernel_lab.reference import Reference
from kernel_lab.solution import Solution
from kernel_lab.tensors import Generator, Place, Source, places, poison, same_bytes
from kernel_lab.timing import noise_band, paired_ratio

Progress = Callable[[str, int, int], None]
Outputs = Callable[[list[Any]], list[torch.Tensor]]
Official = Callable[[Workload, Outputs], str]
MAX_FINDINGS = 40
ENOUGH = 3  # wrong calls of one workload after which it is left
_CACHE_RATIO, _CACHE_PAIRS, _CACHE_MIN_S = 0.65, 4, 4e-4


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


class Judge:
    """One verification of one candidate."""

    def __init__(  # noqa: PLR0917
        self, contract: Contract, candidate: Solution, rules: Rules, libraries: dict[str, bytes] | None = None,
        incumbent: Solution | None = None, progress: Progress | None = None, official: Official | None = None,
    ) -> None:  # fmt: skip
        self.contract, self.candidate, self.rules, self.incumbent = contract, candidate, rules, incumbent
        self.libraries, self.official = libraries or {}, official
        self.generator = Generator()
        self.evidence = Evidence(seed=self.generator.seed)
        self.reference = Reference(contract.definition, "cpu" if rules.device == "cpu" else rules.device)
        self.device = rules.device
        self.on_row: Callable[[dict[str, Any]], None] | None = None
        self._random = secrets.SystemRandom()
        self._progress = progress or (lambda step, done, total: None)
        self._turn = 0

    def run(self, only: list[str] | None = None, timing_only: bool = False) -> Evidence:
        """Judge all workloads of the contract, then the hidden ones. `only` resumes: the workloads still to be done."""
        shown = [item for item in self.contract.workloads if only is None or item.uuid in only]
        hidden = [] if timing_only else self._hidden_workloads()
        with ExitStack() as stack:
            try:
                players = self._players(stack, [*shown, *hidden])
            except CandidateFailed as error:
                self.evidence.add(Finding("run" if error.role == "candidate" else "baseline", "", str(error)))
                return self.evidence
            total = len(shown) + len(hidden)
            for index, workload in enumerate([*shown, *hidden]):
                self._progress("hidden workload" if workload.hidden else "workload", index, total)
                used = players[:1] if workload.hidden else players
                if not self._guarded(used, workload):
                    break
            self._progress("workload", total, total)
            started = players[0].child.processes()
            if started:
                self.evidence.add(Finding("sandbox", "", f"the candidate started {started} process(es) of its own"))
        return self.evidence

    def _players(self, stack: ExitStack, workloads: list[Workload]) -> list[Player]:
        need = max(places(self.contract.definition, item)[2] for item in workloads)
        named = [("candidate", self.candidate), ("baseline", self.contract.baseline)]
        if self.incumbent is not None and self.incumbent.id not in (self.candidate.id, self.contract.baseline.id):
            named.append(("incumbent", self.incumbent))
        players = []
        for name, solution in named:
            child = stack.enter_context(Child(solution, self.rules, need, self.libraries.get(solution.id, b""), role=name))
            players.append(Player(name, child))
        for player in players:
            player.child.wait_until_ready()
        first = players[0].child
        self.evidence.sandbox = {"level": first.level, "filter": first.filtered}
        return players

    def _guarded(self, players: list[Player], workload: Workload) -> bool:
        """Judge one workload; False when the candidate's process is gone and nothing more can be run."""
        try:
            _Case(self, players, workload).run()
            return True
        except CandidateFailed as error:
            gate = "baseline" if error.role != "candidate" else "hidden-workloads" if workload.hidden else "run"
            self.evidence.add(Finding(gate, workload.uuid, str(error)))
            return False
        finally:
            for player in players:
                player.release()

    def _hidden_workloads(self) -> list[Workload]:
        settings = self.contract.lock["hidden"]
        bases = [item for item in self.contract.workloads if all(spec["type"] != "safetensors" for spec in item.inputs.values())]
        found: list[Workload] = []
        while bases and self.contract.definition.var_axes and len(found) < int(settings["count"]):
            base = bases[self._random.randrange(len(bases))]
            axes = self._jittered(base, settings)
            found.append(replace(base, uuid=f"hidden-{len(found) + 1}", axes=axes, hidden=True))
        return found

    def _jittered(self, base: Workload, settings: dict[str, Any]) -> dict[str, int]:
        ranges = settings.get("axes", {})
        for _ in range(60):
            axes = {}
            for name, value in base.axes.items():
                rule = ranges.get(name, {})
                step = int(rule.get("multiple", 1))
                low, high = int(rule.get("min", max(1, value * settings["low"]))), int(rule.get("max", max(2, value * settings["high"])))
                axes[name] = max(step, self._random.randint(low, max(low, high)) // step * step)
            if axes != base.axes and _holds(self.contract.definition, axes):
                return axes
        return dict(base.axes)

    def turn(self) -> int:
        self._turn += 1
        return self._turn


def _holds(definition: Definition, axes: dict[str, int]) -> bool:
    """True when the axes satisfy the definition's constraints, which are part of the frozen contract."""
    names = {**definition.const_axes, **axes}
    try:
        return all(eval(text, {"__builtins__": {}}, names) for text in definition.constraints)
    except (NameError, TypeError, ZeroDivisionError):
        return True  # a constraint on values, not on axes


class _Case:
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
        self.judge._random.shuffle(kinds)
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
        tensors = self.definition.inputs
        chosen = [
            index for index, tensor in enumerate(tensors)
            if tensor.dtype in FLOATS and self.source.free(tensor) and self.workload.inputs.get(tensor.name, {}).get("type", "random") == "random"  # noqa: E501
        ]  # fmt: skip
        if not chosen or (self.definition.op_type == "sampling"):
            return values
        index = self.judge._random.choice(chosen)
        factor = self.judge._random.choice((0.5, 0.75, 1.5))
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
        told = reply.said.get("outputs")
        if self.judge.candidate.passes_outputs or not isinstance(told, list):
            return []
        if len(told) != len(self.definition.outputs):
            return [("aliasing", f"{len(told)} values were returned; the definition names {len(self.definition.outputs)} outputs")]
        found = []
        for item, tensor in zip(told, self.definition.outputs, strict=True):
            shape = list(self.definition.shape(tensor, self.workload.axes))
            if item.get("type") not in ("Tensor", "int", "float", "bool"):
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
        if not self.judge.candidate.passes_outputs:
            self._retained()
        self._stable_misses()
        if self.workload.hidden:
            return
        self._precision(values)
        self._value_cache()
        if self.judge.official is not None:
            self.official = self.judge.official(self.workload, self._outputs_of)
        if self.players[0].on_gpu:
            self._gpu_evidence()

    def _outputs_of(self, values: list[Any]) -> list[torch.Tensor]:
        """The candidate as a plain function, for the scorer: it sees outputs, never the candidate's process."""
        self.players[0].run(values, self.judge.turn())
        self.evidence.calls += 1
        return [output.clone() for output in self.players[0].outputs]

    def _retained(self) -> None:
        """Outputs of an earlier call must not change when a later call is made."""
        player = self.players[0]
        first, second = self.source.first(), self.source.first()
        player.run(first, self.judge.turn())
        kept = [output.clone() for output in player.outputs]
        player.run(second, self.judge.turn())
        for output in player.outputs:
            poison(output, self.judge.turn())
        player.child.resume()
        player.child.request("again")
        if not player.on_gpu:
            player.child.pause()
        self.evidence.calls += 2
        if not all(same_bytes(left, right) for left, right in zip(kept, player.outputs, strict=True)):
            self.evidence.add(
                Finding(
                    "aliasing", self.workload.uuid, "an output that was returned earlier changed with the next call: it is a reused buffer"
                )
            )

    def _stable_misses(self) -> None:
        """Honest rounding misses move with the data; elements that are skipped stay where they are."""
        for index in range(len(self.definition.outputs)):
            masks = [mask for at, mask in self.masks if at == index]
            if len(masks) < 4 or len(masks) < self.calls * 0.7:
                continue
            shares = torch.stack(masks).double().mean(0)
            always, usual = float((shares > 0.8).double().mean()), float(torch.stack(masks).double().mean())
            if always > 0.5 * usual and usual > 0:
                name = self.definition.outputs[index].name
                self.evidence.add(
                    Finding(
                        "fresh-inputs",
                        self.workload.uuid,
                        f"the same {always:.2%} of {name} miss the tolerance in every call: they are not computed",
                    )
                )

    def _precision(self, values: list[Any]) -> None:
        """Error against float64, held against what the declared types explain."""
        wide, player = self.judge.reference.wide(values), self.players[0]
        expected = self.judge.reference(values)
        if wide is None or len(wide) != len(expected):
            return
        player.run(values, self.judge.turn())
        self.evidence.calls += 1
        free = {**self.evaluation, "rtol": float("inf"), "atol": float("inf"), "matched_ratio": 0.0, "norm_limit": float("inf")}
        kinds = [tensor.dtype for tensor in self.definition.inputs if tensor.dtype in FLOATS and tensor.shape is not None]
        for tensor, output, right, best in zip(self.definition.outputs, player.outputs, expected, wide, strict=True):
            if tensor.dtype not in FLOATS or best.shape != right.shape or not right.numel():
                continue
            limit = max(type_limit([*kinds, tensor.dtype]), 4 * distance(right, best, free).norm)
            norm = distance(output, best, free).norm
            self.worst["error_against_float64"] = max(self.worst.get("error_against_float64", 0.0), norm)
            if norm > limit:
                detail = f"{tensor.name}: relative error {norm:.2g} against float64; arithmetic in {tensor.dtype} stays under {limit:.2g}: a coarser type was used, or work was left out"  # noqa: E501
                self.evidence.add(Finding("precision", self.workload.uuid, detail, tier="review"))

    def _value_cache(self) -> None:
        """The same inputs again must take as long as new ones."""
        candidate, base = self.players[0], self.players[1]
        times = {player.name: _split(player.times, self.kinds) for player in (candidate, base)}
        again, new = times["candidate"]
        if not again or not new or statistics.median(new) < _CACHE_MIN_S or min(again) > _CACHE_RATIO * statistics.median(new):
            return
        ratios = []
        for _ in range(_CACHE_PAIRS):
            values = self.source.first()
            pair = [player.run(values, self.judge.turn()).wall_s for player in (base, candidate, candidate, base)]
            ratios.append((pair[2] / pair[1]) / max(0.5, min(1.0, pair[3] / pair[0])))
        self.evidence.calls += 2 * _CACHE_PAIRS
        if max(ratios) < 0.8 and statistics.median(ratios) < _CACHE_RATIO:
            detail = f"inputs that were seen before take {statistics.median(ratios):.0%} of the time of new ones: results are kept by value"
            self.evidence.add(Finding("value-cache", self.workload.uuid, detail))

    def _gpu_evidence(self) -> None:
        """Wall time of many calls without a pause, against the events' time; names of the kernels that ran."""
        player, calls = self.players[0], 20
        empty = min(player.child.call_awake("batch", calls=0).wall_s for _ in range(3))
        full = player.child.call_awake("batch", calls=calls)
        each_ms = max(0.0, (full.wall_s - empty) / calls * 1e3)
        event_ms = statistics.median(player.events)
        said = player.child.request("kernels").get("kernels", [])
        self.evidence.kernels.append({
            "workload": self.workload.uuid, "kernels": said, "kernel_us": round(sum(float(row["us"]) for row in said), 2),
            "event_ms": round(event_ms, 5), "batch_wall_ms": round(each_ms, 5), "batch_event_ms": round(float(full.said["event_ms"]) / calls, 5),  # noqa: E501
            "wall_ms": round(statistics.median(player.times) * 1e3, 5),
        })  # fmt: skip

    def _report(self) -> None:
        row: dict[str, Any] = {"uuid": self.workload.uuid, "axes": self.workload.axes, "calls": self.calls, "wrong_calls": self.wrong}
        row["status"] = "FAILED" if self.wrong else "PASSED"
        row["official"] = self.official or "not run"
        row["errors"] = {key: _plain(value) for key, value in self.worst.items()}
        row["bitwise_repeatable"] = self.bitwise
        if self.workload.hidden:
            self.evidence.hidden.append(row)
            return
        for player in self.players:
            row[f"{player.name}_runs_ms"] = [round(value, 6) for value in self._latencies(player)]
        row["timer"] = "event" if self.players[0].on_gpu else "wall"
        self.evidence.workloads.append({**row, **self._compared(row)})
        if self.judge.on_row is not None:
            self.judge.on_row(self.evidence.workloads[-1])

    def _latencies(self, player: Player) -> list[float]:
        return player.events if player.on_gpu else [value * 1e3 for value in player.times]

    def _compared(self, row: dict[str, Any]) -> dict[str, Any]:
        mine, base = row["candidate_runs_ms"], row["baseline_runs_ms"]
        found: dict[str, Any] = {
            "latency_ms": round(statistics.median(mine), 6), "baseline_ms": round(statistics.median(base), 6),
            "reference_ms": round(self.reference_ms, 6), "vs_reference": round(self.reference_ms / max(1e-9, statistics.median(mine)), 4),
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
