"""Dataset: reads definitions, workloads and solutions in flashinfer-bench's trace layout, without importing it."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernel_lab.errors import BadInput, NotFound, Unreadable
from kernel_lab.files import read_json

ITEM_BITS = {
    "float64": 64, "float32": 32, "float16": 16, "bfloat16": 16, "float8_e4m3fn": 8, "float8_e5m2": 8,
    "int64": 64, "int32": 32, "int16": 16, "int8": 8, "uint8": 8, "bool": 8,
}  # fmt: skip
FLOATS = frozenset({"float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"})


@dataclass(frozen=True)
class Tensor:
    """One input or output: axis names, or None for a scalar."""

    name: str
    shape: tuple[str, ...] | None
    dtype: str


@dataclass(frozen=True)
class Definition:
    """What is to be computed: axes, tensors and the reference's source with a top-level `run`."""

    name: str
    op_type: str
    const_axes: dict[str, int]
    var_axes: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    reference: str
    constraints: tuple[str, ...] = ()

    def shape(self, tensor: Tensor, axes: dict[str, int]) -> tuple[int, ...]:
        """Concrete shape; empty for a scalar."""
        known = {**self.const_axes, **axes}
        return tuple(known[name] for name in tensor.shape or ())


@dataclass(frozen=True)
class Workload:
    """One case: values of the variable axes and how each input is made (random, scalar, safetensors)."""

    uuid: str
    axes: dict[str, int]
    inputs: dict[str, dict[str, Any]]
    hidden: bool = False
    raw: dict[str, Any] = field(default_factory=dict, compare=False)


def parse_definition(data: Any, where: str) -> Definition:
    """The definition in `data`. Raises BadInput that names the field."""
    if not isinstance(data, dict):
        raise BadInput(f"{where}: a definition is a JSON object")
    try:
        axes = data["axes"]
        found = Definition(
            name=str(data["name"]),
            op_type=str(data.get("op_type", "")),
            const_axes={name: int(axis["value"]) for name, axis in axes.items() if axis["type"] == "const"},
            var_axes=tuple(name for name, axis in axes.items() if axis["type"] == "var"),
            inputs=_tensors(data["inputs"], where),
            outputs=_tensors(data["outputs"], where),
            reference=str(data["reference"]),
            constraints=tuple(data.get("constraints") or ()),
        )
        names = {node.name for node in ast.parse(found.reference).body if isinstance(node, ast.FunctionDef)}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(f"{where}: field {error} is missing or has another type") from error
    except SyntaxError as error:
        raise BadInput(f"{where}: field reference is not Python: {error}") from error
    if "run" not in names:
        raise BadInput(f"{where}: field reference has no top-level function `run`")
    for tensor in (*found.inputs, *found.outputs):
        for axis in tensor.shape or ():
            if axis not in axes:
                raise BadInput(f"{where}: {tensor.name}.shape names the axis {axis!r}; known axes: {', '.join(axes)}")
    return found


def _tensors(data: dict[str, Any], where: str) -> tuple[Tensor, ...]:
    found = []
    for name, spec in data.items():
        if spec["dtype"] not in ITEM_BITS:
            raise BadInput(f"{where}: {name}.dtype is {spec['dtype']!r}; the judge knows {', '.join(ITEM_BITS)}")
        shape = spec["shape"]
        found.append(Tensor(name, None if shape is None else tuple(shape), spec["dtype"]))
    return tuple(found)


def parse_workload(row: Any, definition: Definition, where: str) -> Workload:
    """One line of a workloads file: a trace without a solution, or a bare workload."""
    try:
        data = row.get("workload", row)
        found = Workload(str(data["uuid"]), {str(k): int(v) for k, v in data["axes"].items()}, dict(data["inputs"]), raw=row)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(f"{where}: field {error} is missing or has another type") from error
    missing = [axis for axis in definition.var_axes if axis not in found.axes]
    if missing:
        raise BadInput(f"{where}: workload {found.uuid} gives no value for axis {', '.join(missing)}")
    for name, spec in found.inputs.items():
        if not isinstance(spec, dict) or spec.get("type") not in ("random", "scalar", "safetensors"):
            raise BadInput(f"{where}: workload {found.uuid}: inputs.{name}.type is not one of random, scalar, safetensors")
    return found


def read_jsonl(path: Path) -> list[Any]:
    """The documents of a JSON-lines file."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} is not JSON lines: {error}") from error


class Dataset:
    """A folder with definitions/, workloads/, solutions/ and blob/."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        if not (self.root / "definitions").is_dir():
            raise NotFound(
                f"{root} is no dataset: it has no folder definitions/ (layout: definitions/<op>/<name>.json, workloads/<op>/<name>.jsonl)"
            )

    def definition_path(self, name: str) -> Path:
        return self._named("definitions", name)

    def solution_path(self, name: str) -> Path:
        return self._named("solutions", name)

    def _named(self, folder: str, name: str) -> Path:
        paths = sorted((self.root / folder).rglob("*.json"))
        names = []
        for path in sorted(paths, key=lambda item: item.stem != name):
            found = read_json(path)
            names.append(str(found.get("name")) if isinstance(found, dict) else "?")
            if names[-1] == name:
                return path
        raise NotFound(f"{self.root} has no {folder[:-1]} {name!r}; it has: {', '.join(sorted(names)[:20]) or 'none'}")

    def workloads_path(self, name: str) -> Path:
        for path in sorted((self.root / "workloads").rglob("*.jsonl"), key=lambda item: item.stem != name):
            rows = read_jsonl(path)
            if rows and isinstance(rows[0], dict) and rows[0].get("definition", path.stem) == name:
                return path
        raise NotFound(f"{self.root} has no workloads for {name!r}: expected workloads/<op>/{name}.jsonl")
