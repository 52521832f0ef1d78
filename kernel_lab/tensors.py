"""Tensors: the judge's inputs, their places in shared memory, fresh values between calls, and poison for outputs. Needs torch."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any

import torch

from kernel_lab.dataset import FLOATS, ITEM_BITS, Definition, Tensor, Workload
from kernel_lab.errors import BadInput, Unreadable

ALIGN = 256
_INTEGERS = {"int8": (-128, 128), "uint8": (0, 256), "int16": (-1024, 1024), "int32": (-1024, 1024), "int64": (-1024, 1024)}
KINDS = ("fresh", "sparse", "single", "permute", "repeat", "revert")


@dataclass(frozen=True)
class Place:
    """Where one tensor lies in shared memory: offset in bytes, concrete shape, dtype name."""

    name: str
    offset: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def items(self) -> int:
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    def view(self, memory: mmap) -> torch.Tensor:
        if not self.items:
            return torch.empty(self.shape, dtype=dtype_of(self.dtype))
        return torch.frombuffer(memory, dtype=dtype_of(self.dtype), count=self.items, offset=self.offset).view(self.shape)


def dtype_of(name: str) -> torch.dtype:
    found: torch.dtype = getattr(torch, name)
    return found


def places(definition: Definition, workload: Workload) -> tuple[list[Place | None], list[Place], int]:
    """(inputs, None for a scalar; outputs; bytes needed in all)."""
    at = 0
    found: list[Place | None] = []
    for tensor in (*definition.inputs, *definition.outputs):
        if tensor.shape is None and tensor in definition.inputs:
            found.append(None)
            continue
        place = Place(tensor.name, at, definition.shape(tensor, workload.axes), tensor.dtype)
        found.append(place)
        at += -(-max(1, place.items * ITEM_BITS[tensor.dtype] // 8) // ALIGN) * ALIGN
    count = len(definition.inputs)
    return found[:count], [place for place in found[count:] if place], at


class Generator:
    """Random numbers from a seed that only this process knows."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = secrets.randbits(62) if seed is None else seed
        self.torch = torch.Generator().manual_seed(self.seed)

    def random(self, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        """Values as flashinfer-bench draws them: normal floats, small integers, coin tosses."""
        if dtype in _INTEGERS:
            low, high = _INTEGERS[dtype]
            return torch.randint(low, high, shape, generator=self.torch, dtype=dtype_of(dtype))
        if dtype == "bool":
            return torch.randint(0, 2, shape, generator=self.torch, dtype=torch.bool)
        values = torch.randn(shape, generator=self.torch)
        return (values.clamp(-2, 2) if dtype.startswith("float8") else values).to(dtype_of(dtype))

    def integer(self, low: int, high: int) -> int:
        """low <= n < high"""
        return int(torch.randint(low, max(low + 1, high), (), generator=self.torch))

    def choose(self, count: int, total: int) -> torch.Tensor:
        return torch.randint(0, max(1, total), (max(1, count),), generator=self.torch)

    def order(self, count: int) -> torch.Tensor:
        return torch.randperm(count, generator=self.torch)


class Source:
    """Makes the inputs of one workload, and new ones from old ones."""

    def __init__(self, definition: Definition, workload: Workload, dataset: Path, generator: Generator) -> None:
        self.definition, self.workload, self.generator = definition, workload, generator
        self._recorded = {
            name: _recorded(dataset, spec, name, definition, workload)
            for name, spec in workload.inputs.items()
            if spec["type"] == "safetensors"
        }

    def first(self) -> list[Any]:
        return [self._new(tensor) for tensor in self.definition.inputs]

    def _new(self, tensor: Tensor) -> Any:
        spec = self.workload.inputs.get(tensor.name, {"type": "random"})
        if spec["type"] == "scalar":
            return spec["value"]
        if tensor.name in self._recorded:
            return self._recorded[tensor.name].clone()
        values = self.generator.random(self.definition.shape(tensor, self.workload.axes), tensor.dtype)
        if self.definition.op_type == "sampling" and tensor.name == "probs":
            values = torch.softmax(values.float(), -1).to(values.dtype)
        return values.item() if tensor.shape is None else values

    def free(self, tensor: Tensor) -> bool:
        """True for an input whose values may be changed without breaking a promise (indices and lengths may not)."""
        if tensor.shape is None or self.workload.inputs.get(tensor.name, {}).get("type") == "scalar":
            return False
        return tensor.dtype in FLOATS or tensor.name not in self._recorded

    def next(self, kind: str, old: list[Any]) -> list[Any]:
        """New inputs of one kind of KINDS from the old ones; the old ones stay as they are."""
        if kind == "fresh":
            return [
                self._shuffled(value) if tensor.name in self._recorded and self.free(tensor) else value if tensor.name in self._recorded else self._new(tensor)  # noqa: E501
                for tensor, value in zip(self.definition.inputs, old, strict=True)
            ]  # fmt: skip
        chosen = [index for index, tensor in enumerate(self.definition.inputs) if self.free(tensor) and old[index].numel()]
        if kind in ("single", "permute") and chosen:
            chosen = [chosen[self.generator.integer(0, len(chosen))]]
        found = list(old)
        for index in chosen:
            found[index] = self._changed(kind, old[index], self.definition.inputs[index])
        return found

    def _shuffled(self, value: torch.Tensor) -> torch.Tensor:
        return value.flatten()[self.generator.order(value.numel())].view(value.shape)

    def _changed(self, kind: str, value: torch.Tensor, tensor: Tensor) -> torch.Tensor:
        new = value.clone()
        flat = new.view(-1)
        if kind == "permute":
            return self._shuffled(value)
        count = 1 if kind == "single" else value.numel() // 50
        where = self.generator.choose(count, value.numel())
        if tensor.name in self._recorded:
            flat[where] = flat[where.flip(0)] if kind == "sparse" else -flat[where]
        elif kind == "single" and tensor.dtype in FLOATS:
            # Beyond what normal data hold, so that no answer may lean on their range; float8 has no room for it.
            sign, reach = 2 * self.generator.integer(0, 2) - 1, 2 if tensor.dtype.startswith("float8") else 8 + self.generator.integer(0, 4)
            flat[where] = float(sign * reach)
        else:
            flat[where] = self.generator.random((len(where),), tensor.dtype)
        return new


def _recorded(dataset: Path, spec: dict[str, Any], name: str, definition: Definition, workload: Workload) -> torch.Tensor:
    from safetensors import SafetensorError, safe_open  # type: ignore[import-not-found, unused-ignore]

    path, key = dataset / str(spec["path"]), str(spec.get("tensor_key"))
    try:
        with safe_open(str(path), framework="pt") as stream:
            found: torch.Tensor = stream.get_tensor(key)
    except (SafetensorError, OSError) as error:
        raise Unreadable(f"workload {workload.uuid}: {path} has no tensor {key!r}: {error}") from error
    tensor = next(item for item in definition.inputs if item.name == name)
    if tuple(found.shape) != definition.shape(tensor, workload.axes) or found.dtype != dtype_of(tensor.dtype):
        raise BadInput(f"workload {workload.uuid}: {name} is {found.dtype} {tuple(found.shape)}; the definition says otherwise")
    return found.contiguous()


def poison(place: torch.Tensor, turn: int) -> None:
    """Fill an output with values that no right answer has: NaN for floats, a pattern that changes each time for the rest."""
    if place.dtype.is_floating_point:
        place.view(torch.uint8).fill_(0x7F) if place.element_size() == 1 else place.fill_(float("nan"))
    elif place.dtype is torch.bool:
        place.fill_(bool(turn % 2))
    else:
        place.fill_(torch.iinfo(place.dtype).min + 1 + turn % 7)


def same_bytes(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Equal bit by bit: NaN equals NaN, -0 differs from 0."""
    return (
        torch.equal(left.contiguous().view(-1).view(torch.uint8), right.contiguous().view(-1).view(torch.uint8)) if left.numel() else True
    )
