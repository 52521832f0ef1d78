"""Shapes instead of tensors: what a Triton solution's host code asks of torch before it launches, for compiling without importing torch.

Loaded by path into the compile worker, so it imports nothing of ours. Anything that it does not know raises NeedsTorch, which no
`except Exception` of a solution catches; the solution is then compiled beside the real torch.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

_BYTES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1,
}  # fmt: skip
_ALIASES = {"half": "float16", "float": "float32", "double": "float64", "long": "int64", "int": "int32", "short": "int16"}


class NeedsTorch(BaseException):
    """The solution's host code does more than launch kernels."""


class Dtype:
    """A torch.dtype by its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.itemsize = _BYTES[name]
        self.is_floating_point = "float" in name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


class Device:
    """torch.device("cuda", 0): where a compiled kernel would run."""

    def __init__(self, type: str = "cuda", index: int | None = 0) -> None:
        self.type, _, number = str(type).partition(":")
        self.index = int(number) if number else index

    def __repr__(self) -> str:
        return f"device(type={self.type!r}, index={self.index})"

    def __eq__(self, other: object) -> bool:
        return repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


class Tensor:
    """Shape, strides, type and an address that is a multiple of 256; no memory, no arithmetic."""

    _next = 1 << 20
    requires_grad = False
    is_cuda = True
    device = Device()

    def __init__(self, shape: Sequence[int], dtype: Dtype, strides: Sequence[int] | None = None) -> None:
        self.shape = tuple(int(extent) for extent in shape)
        self.dtype = dtype
        self._strides = tuple(strides) if strides is not None else _strides(self.shape)
        Tensor._next += 1 << 12
        self._address = Tensor._next

    def __getattr__(self, name: str) -> Any:
        raise NeedsTorch(f"Tensor.{name}")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def T(self) -> Tensor:
        return Tensor(self.shape[::-1], self.dtype, self._strides[::-1])

    def data_ptr(self) -> int:
        return self._address

    def stride(self, dim: int | None = None) -> Any:
        return self._strides if dim is None else self._strides[dim]

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        return len(self.shape)

    def numel(self) -> int:
        return _count(self.shape)

    nelement = numel

    def element_size(self) -> int:
        return self.dtype.itemsize

    def is_contiguous(self) -> bool:
        return self._strides == _strides(self.shape)

    def contiguous(self) -> Tensor:
        return self if self.is_contiguous() else Tensor(self.shape, self.dtype)

    def t(self) -> Tensor:
        return self.T

    def transpose(self, left: int, right: int) -> Tensor:
        order = list(range(self.ndim))
        order[left], order[right] = order[right], order[left]
        return Tensor([self.shape[at] for at in order], self.dtype, [self._strides[at] for at in order])

    def view(self, *shape: Any) -> Tensor:
        wanted = list(shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape)
        if not self.is_contiguous() or not all(isinstance(extent, int) for extent in wanted):
            raise NeedsTorch("Tensor.view")
        if -1 in wanted:
            wanted[wanted.index(-1)] = self.numel() // max(1, -_count(wanted))
        return Tensor(wanted, self.dtype)

    reshape = view

    def zero_(self) -> Tensor:
        return self

    def fill_(self, value: float) -> Tensor:
        return self

    def new_empty(self, *shape: Any, dtype: Dtype | None = None, **_: Any) -> Tensor:
        return Tensor(_shape(shape), dtype or self.dtype)

    new_zeros = new_empty


def _count(shape: Sequence[int]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    found: list[int] = []
    step = 1
    for extent in reversed(shape):
        found.insert(0, step)
        step *= max(1, extent)
    return tuple(found)


def _shape(shape: Sequence[Any]) -> Sequence[int]:
    return shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape


def _empty(*shape: Any, dtype: Dtype | None = None, size: Any = None, **_: Any) -> Tensor:
    return Tensor(_shape(shape) if size is None else size, dtype or Dtype("float32"))


def _like(other: Tensor, dtype: Dtype | None = None, **_: Any) -> Tensor:
    return Tensor(other.shape, dtype or other.dtype)


class _Module(types.ModuleType):
    """A module that says what it lacks."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NeedsTorch(f"{self.__name__}.{name}")


def module() -> types.ModuleType:
    """A module named torch that knows types, shapes and how to make empty tensors."""
    found = _Module("torch")
    known: dict[str, Any] = {name: Dtype(name) for name in _BYTES}
    known |= {alias: known[name] for alias, name in _ALIASES.items()}
    known |= {"Tensor": Tensor, "dtype": Dtype, "device": Device, "Size": tuple}
    known |= dict.fromkeys(("empty", "zeros", "ones"), _empty)
    known |= dict.fromkeys(("empty_like", "zeros_like", "ones_like"), _like)
    vars(found).update(known)
    return found
