"""Contract: what a workspace's candidates are judged against, frozen as hashes in contract/lock.json.

task.toml is the human's text; `freeze` turns it into the lock. The judge reads tolerances, baseline, workloads and timer from the lock only.
"""  # noqa: E501

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kernel_lab import environment
from kernel_lab.dataset import Dataset, Definition, Workload, parse_definition, parse_workload, read_jsonl
from kernel_lab.errors import BadInput, ContractBroken, NotFound, Unreadable
from kernel_lab.files import canonical, read_json, sha256, sha256_file, write_whole
from kernel_lab.solution import Solution, read_solution

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

ARCHS = ("sm_100a", "sm_103a", "sm_90a", "sm_120a", "cpu")
POLICIES = ("leaderboard", "production")
BACKENDS = ("cpu", "cuda", "http", "command")
EVALUATION: dict[str, Any] = {
    "rtol": 1e-2, "atol": 1e-2, "matched_ratio": 1.0, "norm_limit": 0.05,
    "warmup": 2, "rounds": 8, "official_warmup": 10, "official_iterations": 50, "official_trials": 3,
    "seconds_per_workload": 4.0, "timeout_s": 300,
}  # fmt: skip
LIMITS: dict[str, Any] = {"memory_gib": 24, "call_s": 60, "start_s": 120}
HIDDEN: dict[str, Any] = {"count": 3, "low": 0.3, "high": 1.25}


@dataclass(frozen=True)
class Contract:
    """A frozen contract. `lock` is the document, `sha256` its identity, `folder` where the frozen copies lie."""

    folder: Path
    lock: dict[str, Any]
    sha256: str

    @cached_property
    def definition(self) -> Definition:
        return parse_definition(read_json(self.folder / "definition.json"), "contract/definition.json")

    @cached_property
    def workloads(self) -> tuple[Workload, ...]:
        rows = read_jsonl(self.folder / "workloads.jsonl")
        return tuple(parse_workload(row, self.definition, f"contract/workloads.jsonl:{index + 1}") for index, row in enumerate(rows))

    @cached_property
    def baseline(self) -> Solution:
        return read_solution(self.folder / "baseline.json")

    @property
    def dataset(self) -> Path:
        return Path(self.lock["dataset"]["root"])

    @property
    def evaluation(self) -> dict[str, Any]:
        return dict(self.lock["evaluation"])

    @property
    def arch(self) -> str:
        return str(self.lock["arch"])

    @property
    def backend(self) -> str:
        return str(self.lock["backend"]["kind"])

    @property
    def policy(self) -> str:
        return str(self.lock["policy"])

    def summary(self) -> dict[str, Any]:
        keys = ("arch", "policy", "evaluation", "timer", "flashinfer_bench")
        return {"sha256": self.sha256, "workloads": len(self.lock["workloads"]["uuids"]), **{key: self.lock[key] for key in keys}}


def task_text(dataset: Path, definition: str, baseline: str, arch: str, policy: str, backend: str) -> str:  # noqa: PLR0917
    """The task.toml that `init` writes; a person edits it, `kernel-lab freeze` freezes it."""
    rows = [f"{key} = {json.dumps(value)}" for key, value in EVALUATION.items()]
    return "\n".join([
        "# The task, edited by people. `kernel-lab freeze` freezes it into contract/lock.json; candidates are judged against the lock alone.",  # noqa: E501
        f"dataset = {json.dumps(str(dataset))}", f"definition = {json.dumps(definition)}", f"baseline = {json.dumps(baseline)}",
        f"arch = {json.dumps(arch)}          # {' | '.join(ARCHS)}", f"policy = {json.dumps(policy)}  # {' | '.join(POLICIES)}",
        "mutable_inputs = []     # inputs that the operation updates in place", 'flops = ""               # such as "2*M*N*K": arithmetic of one call, for the physics floor',  # noqa: E501
        "", "[backend]", f"kind = {json.dumps(backend)}        # {' | '.join(BACKENDS)}; http: url = \"…\"; command: argv = [\"…\", \"{{job}}\", \"{{result}}\"]",  # noqa: E501
        "", "[evaluation]            # an element fails when it misses both rtol and atol; norm_limit bounds the relative L2 error",
        *rows, "", "[hidden]                # workloads drawn anew at each verify: axes times a factor between low and high",
        *(f"{key} = {json.dumps(value)}" for key, value in HIDDEN.items()),
        "# axes.M = {min = 1, max = 4096, multiple = 16}", "", "[limits]", *(f"{key} = {json.dumps(value)}" for key, value in LIMITS.items()), "",  # noqa: E501
    ])  # fmt: skip


def read_task(path: Path) -> dict[str, Any]:
    """task.toml with defaults filled in. Raises BadInput that names the field."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist: `kernel-lab init` writes one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise Unreadable(f"{path}: {error}") from error
    task = {"policy": "leaderboard", "mutable_inputs": [], "flops": "", **data}
    for key, defaults in (("evaluation", EVALUATION), ("hidden", HIDDEN), ("limits", LIMITS)):
        task[key] = {**defaults, **data.get(key, {})}
    for key, valid in (("arch", ARCHS), ("policy", POLICIES)):
        if task.get(key) not in valid:
            raise BadInput(f"{path}: {key} is {task.get(key)!r}; valid: {', '.join(valid)}")
    task["backend"] = {"kind": "cpu" if task["arch"] == "cpu" else "cuda", **data.get("backend", {})}
    if task["backend"]["kind"] not in BACKENDS:
        raise BadInput(f"{path}: backend.kind is {task['backend']['kind']!r}; valid: {', '.join(BACKENDS)}")
    for key, value in task["evaluation"].items():
        if key not in EVALUATION or isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise BadInput(f"{path}: evaluation.{key} = {value!r}; valid keys: {', '.join(EVALUATION)}, numbers of at least 0")
    return task


def freeze(task: dict[str, Any], folder: Path, near: Path) -> Contract:
    """Write the frozen copies and the lock, and return the contract. `near` resolves relative paths."""
    dataset = Dataset((near / task["dataset"]).resolve())
    definition_path = dataset.definition_path(task["definition"])
    definition = parse_definition(read_json(definition_path), str(definition_path))
    workloads_path = dataset.workloads_path(definition.name)
    rows = read_jsonl(workloads_path)
    workloads = [parse_workload(row, definition, f"{workloads_path}:{index + 1}") for index, row in enumerate(rows)]
    baseline_path = _baseline_path(str(task["baseline"]), dataset, near)
    baseline = read_solution(baseline_path)
    if baseline.definition != definition.name:
        raise BadInput(f"{baseline_path}: solves {baseline.definition!r}; the contract is for {definition.name!r}")
    uuids = [workload.uuid for workload in workloads]
    if not uuids or len(set(uuids)) != len(uuids):
        raise BadInput(f"{workloads_path}: {len(uuids)} workloads; at least one is needed and no uuid may appear twice")
    lock = {
        "schema_version": 1, "arch": task["arch"], "policy": task["policy"], "backend": task["backend"], "evaluation": task["evaluation"],
        "hidden": task["hidden"], "limits": task["limits"], "mutable_inputs": task["mutable_inputs"], "flops": task["flops"],
        "timer": "parent wall clock, pause to pause" if task["arch"] == "cpu" else "CUDA events in the child, bounded by the parent's wall clock",  # noqa: E501
        "dataset": {"root": str(dataset.root)},
        "definition": {"name": definition.name, "sha256": sha256_file(definition_path), "path": _below(definition_path, dataset.root)},
        "workloads": {"sha256": sha256_file(workloads_path), "path": _below(workloads_path, dataset.root), "uuids": uuids},
        "blobs": _blobs(workloads, dataset.root),
        "baseline": {"id": baseline.id, "sha256": sha256_file(baseline_path), "path": str(baseline_path)},
        "flashinfer_bench": environment.scorer(), "variables": environment.sensitive_variables(), "versions": environment.versions(),
    }  # fmt: skip
    for name, path in (("definition.json", definition_path), ("workloads.jsonl", workloads_path), ("baseline.json", baseline_path)):
        write_whole(folder / name, path.read_bytes())
    write_whole(folder / "lock.json", json.dumps(lock, indent=2, sort_keys=True).encode() + b"\n")
    return Contract(folder, lock, sha256(canonical(lock)))


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _baseline_path(text: str, dataset: Dataset, near: Path) -> Path:
    path = (near / text).resolve()
    if path.is_file():
        return path
    if text.endswith(".json") or "/" in text:
        raise NotFound(f"the baseline {text} does not exist; give a solution.json or the name of a solution of the dataset")
    return dataset.solution_path(text)


def _blobs(workloads: list[Workload], root: Path) -> dict[str, str]:
    found = {}
    for workload in workloads:
        for name, spec in workload.inputs.items():
            if spec["type"] == "safetensors":
                path = (root / str(spec["path"])).resolve()
                if not path.is_relative_to(root) or not path.is_file():
                    raise NotFound(f"workload {workload.uuid}: inputs.{name}.path {spec['path']!r} is no file below the dataset {root}")
                found[str(spec["path"])] = sha256_file(path)
    return found


def load(folder: Path) -> Contract:
    """The contract in `folder`, unchecked. Raises ContractBroken when there is none or it has another form."""
    try:
        lock = read_json(folder / "lock.json")
        return Contract(folder, {**lock, "workloads": dict(lock["workloads"])}, sha256(canonical(lock)))
    except (NotFound, Unreadable, KeyError, TypeError, ValueError) as error:
        raise ContractBroken(f"contract/lock.json cannot be read ({error}); a person can run `kernel-lab freeze`", ("lock",)) from error


def differences(contract: Contract, bound: str | None) -> list[tuple[str, str]]:
    """(name, why) of everything that no longer matches the lock. `bound` is the lock's hash in the ledger."""
    lock, found = contract.lock, []
    if bound != contract.sha256:
        found.append(("lock", "contract/lock.json is not the one that the ledger binds"))
    copies = {"definition": "definition.json", "workloads": "workloads.jsonl", "baseline": "baseline.json"}
    for name, file in copies.items():
        found += _changed(name, contract.folder / file, lock[name]["sha256"], f"the frozen copy contract/{file}", required=True)
    root = contract.dataset
    for name in ("definition", "workloads"):
        found += _changed(name, root / lock[name]["path"], lock[name]["sha256"], f"{lock[name]['path']} of the dataset", required=False)
    found += _changed("baseline", Path(lock["baseline"]["path"]), lock["baseline"]["sha256"], "the baseline's own file", required=False)
    for path, digest in lock["blobs"].items():
        found += _changed("blob", root / path, digest, path, required=True)
    return found + _machine(lock)


def _changed(name: str, path: Path, digest: str, what: str, required: bool) -> list[tuple[str, str]]:
    """A file of the dataset may be gone (the frozen copy serves), but not another."""
    if not path.is_file():
        return [(name, f"{what} is missing")] if required else []
    return [] if sha256_file(path) == digest else [(name, f"{what} was edited since the contract was frozen")]


def _machine(lock: dict[str, Any]) -> list[tuple[str, str]]:
    found, scorer, frozen = [], environment.scorer(), lock["flashinfer_bench"]
    if scorer["version"] != frozen["version"]:
        found.append(
            ("flashinfer-bench", f"version {scorer['version'] or 'none'} is installed, the contract names {frozen['version'] or 'none'}")
        )
    elif scorer["digest"] != frozen["digest"]:
        found.append(("flashinfer-bench", "the installed files are not those of the day the contract was frozen"))
    now, then = environment.sensitive_variables(), lock["variables"]
    for variable in sorted({*now, *then}):
        if now.get(variable) != then.get(variable):
            how = "set" if variable not in then else "unset" if variable not in now else "changed"
            found.append(("environment", f"the variable {variable} was {how} since the contract was frozen"))
    return found


def check(contract: Contract, bound: str | None) -> None:
    """Raise ContractBroken naming every part that differs."""
    found = differences(contract, bound)
    if found:
        lines = "\n  ".join(f"{name}: {why}" for name, why in found)
        raise ContractBroken(
            f"the contract is broken:\n  {lines}\nPut it back, or let a person run `kernel-lab freeze` (earlier verdicts then count no more).",  # noqa: E501
            tuple(dict.fromkeys(name for name, _ in found)),
        )
