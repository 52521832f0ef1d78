"""Physics: the least time that a chip needs for a workload's bytes and arithmetic; a shorter measurement measured something else."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kernel_lab.dataset import ITEM_BITS, Definition, Workload
from kernel_lab.errors import BadInput

SLACK = 2.0  # a floor is taken at twice the table's rates: caches, better parts and rounding stay on the honest side
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Pow: operator.pow,  # noqa: E501
}  # fmt: skip


@cache
def chips() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("chips.yaml").read_text(encoding="utf-8"))
    return found


def arithmetic(text: str, axes: dict[str, int]) -> float:
    """The value of an expression of axes, such as 2*M*N*K. Raises BadInput for anything else."""
    try:
        return _value(ast.parse(text, mode="eval").body, axes)
    except (SyntaxError, KeyError, TypeError, ZeroDivisionError) as error:
        raise BadInput(f"flops = {text!r}: arithmetic over the axes {', '.join(axes)} is valid ({error})") from error


def _value(node: ast.expr, axes: dict[str, int]) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name):
        return float(axes[node.id])
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left, axes), _value(node.right, axes))
    raise TypeError(f"{ast.unparse(node)} is no arithmetic")


def floor_ms(definition: Definition, workload: Workload, arch: str, flops: str) -> dict[str, float]:
    """{bytes_ms, flops_ms, floor_ms}: every input is read once and every output written once, at SLACK times the chip's rates.

    Bytes that fit into the L2 cache have no floor from memory: an input need not be read whole to be used (a table, a page list).
    """
    chip = chips()[arch]
    tensors = [*definition.outputs] if chip["l2_mib"] == 0 else [*definition.inputs, *definition.outputs]
    sizes = []
    for tensor in tensors:
        count = 1
        for extent in definition.shape(tensor, workload.axes):
            count *= extent
        sizes.append(count * ITEM_BITS[tensor.dtype] / 8)
    written = sum(sizes[-len(definition.outputs) :])
    beyond_cache = max(0.0, written - chip["l2_mib"] * 2**20)
    bytes_ms = beyond_cache / (chip["dram_gb_s"] * 1e9) * 1e3 / SLACK
    flops_ms = 0.0
    if flops:
        widest = max((tensor.dtype for tensor in definition.inputs), key=lambda name: ITEM_BITS[name] if "float" in name else 0)
        rate = chip["dense_tflops"]["float8" if widest.startswith("float8") else widest]
        flops_ms = arithmetic(flops, {**definition.const_axes, **workload.axes}) / (rate * 1e12) * 1e3 / SLACK
    return {"bytes_ms": bytes_ms, "flops_ms": flops_ms, "floor_ms": max(bytes_ms, flops_ms)}
