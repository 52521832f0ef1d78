"""Judge: runs a candidate beside the baseline on inputs that only the judge knows, checks every call, and returns evidence. Needs torch.

There is no untimed phase and no unchecked one. Each call gets inputs that changed in place, outputs that hold poison, and is checked
against the reference, which lives here and nowhere else. A CPU candidate is stopped between calls, so that it can do nothing in secret.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from kernel_lab.case import Case, Official
from kernel_lab.child import Child, Rules
from kernel_lab.contract import Contract
from kernel_lab.dataset import Definition, Workload
from kernel_lab.errors import CandidateFailed
from kernel_lab.evidence import Evidence, Finding, Player
from kernel_lab.reference import Reference
from kernel_lab.solution import Solution
from kernel_lab.tensors import Generator, places

Progress = Callable[[str, int, int], None]


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
        self.random = secrets.SystemRandom()
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
            Case(self, players, workload).run()
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
            base = bases[self.random.randrange(len(bases))]
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
                axes[name] = max(step, self.random.randint(low, max(low, high)) // step * step)
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
