"""Reference: the definition's own Python, run in the judge's process only. Needs torch."""

from __future__ import annotations

import types
from typing import Any

import torch

from kernel_lab.dataset import Definition
from kernel_lab.errors import Unreadable
from kernel_lab.tensors import dtype_of


class Reference:
    """Computes expected outputs. The source is part of the frozen contract: it is trusted, candidates are not."""

    def __init__(self, definition: Definition, device: str = "cpu") -> None:
        self.definition, self.device = definition, device
        module = types.ModuleType(f"reference_{definition.name}")
        exec(compile(definition.reference, f"<reference of {definition.name}>", "exec"), module.__dict__)
        self._run = module.run

    def __call__(self, inputs: list[Any]) -> list[torch.Tensor]:
        """Outputs on the CPU, in the definition's dtypes and order."""
        with torch.no_grad():
            given = [value.clone().to(self.device) if isinstance(value, torch.Tensor) else value for value in inputs]
            result = self._run(*given)
        return self._ordered(result)

    def wide(self, inputs: list[Any]) -> list[torch.Tensor] | None:
        """The same in float64, None where the reference's own code does not take it."""
        widened = [value.double() if isinstance(value, torch.Tensor) and value.dtype.is_floating_point else value for value in inputs]
        try:
            with torch.no_grad():
                result = self._run(*[value.to(self.device) if isinstance(value, torch.Tensor) else value for value in widened])
            return self._values(result)
        except (RuntimeError, TypeError, ValueError, AssertionError, NotImplementedError):
            return None

    def _values(self, result: Any) -> list[torch.Tensor]:
        if isinstance(result, dict):
            result = [result[tensor.name] for tensor in self.definition.outputs]
        values = list(result) if isinstance(result, tuple | list) else [result]
        return [value.detach().cpu() if isinstance(value, torch.Tensor) else torch.tensor(value) for value in values]

    def _ordered(self, result: Any) -> list[torch.Tensor]:
        values = self._values(result)
        if len(values) != len(self.definition.outputs):
            raise Unreadable(
                f"the reference of {self.definition.name} gives {len(values)} outputs; the definition names {len(self.definition.outputs)}"
            )
        return [value.to(dtype_of(tensor.dtype)).contiguous() for value, tensor in zip(values, self.definition.outputs, strict=True)]
