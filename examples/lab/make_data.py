"""Write the three example datasets (definitions, workloads, baselines) next to this file: `python examples/lab/make_data.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

RMSNORM = """import torch


def run(hidden, weight):
    wide = hidden.to(torch.float32)
    scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
    return (wide * scale * weight.to(torch.float32)).to(hidden.dtype)
"""
GEMM = """import torch


def run(a, b):
    return torch.matmul(a.to(torch.float32), b.to(torch.float32).t()).to(a.dtype)
"""
SOFTMAX_TOPK = """import torch


def run(logits):
    share = torch.softmax(logits.to(torch.float32), dim=-1)
    weight, expert = torch.topk(share, 8, dim=-1)
    return weight / weight.sum(-1, keepdim=True), expert.to(torch.int32)
"""
SLOW_RMSNORM = """import torch


def run(hidden, weight, out):
    wide = hidden.to(torch.float64)
    square = wide * wide
    scale = 1.0 / torch.sqrt(square.mean(-1, keepdim=True) + 1e-6)
    out.copy_((wide * scale * weight.to(torch.float64)).to(hidden.dtype))
"""
SLOW_GEMM = """import torch


def run(a, b, out):
    wide = b.to(torch.float64).t().contiguous()
    out.copy_(torch.matmul(a.to(torch.float64), wide).to(a.dtype))
"""
SLOW_TOPK = """import torch


def run(logits, weight, expert):
    wide = logits.to(torch.float64)
    share = torch.exp(wide - wide.max(-1, keepdim=True).values)
    share = share / share.sum(-1, keepdim=True)
    value, index = torch.sort(share, dim=-1, descending=True)
    value, index = value[:, :8], index[:, :8]
    weight.copy_((value / value.sum(-1, keepdim=True)).to(weight.dtype))
    expert.copy_(index.to(expert.dtype))
"""


def definition(name: str, op: str, axes: dict[str, Any], inputs: dict[str, Any], outputs: dict[str, Any], reference: str) -> dict[str, Any]:  # noqa: PLR0917
    kinds = {axis: {"type": "const", "value": value} if value else {"type": "var"} for axis, value in axes.items()}
    return {"name": name, "op_type": op, "axes": kinds, "inputs": inputs, "outputs": outputs, "reference": reference}


def tensor(shape: str, dtype: str) -> dict[str, Any]:
    return {"shape": shape.split(), "dtype": dtype}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def solution(name: str, made: dict[str, Any], source: str) -> dict[str, Any]:
    spec = {
        "language": "python",
        "target_hardware": ["cpu", "cuda"],
        "entry_point": "main.py::run",
        "dependencies": [],
        "destination_passing_style": True,
    }
    return {
        "name": name,
        "definition": made["name"],
        "author": "kernel-skills",
        "spec": spec,
        "sources": [{"path": "main.py", "content": source}],
    }


def dataset(folder: str, made: dict[str, Any], cases: list[dict[str, int]], baseline: str) -> None:
    root, op, name = HERE / folder, made["op_type"], made["name"]
    write(root / "definitions" / op / f"{name}.json", json.dumps(made, indent=2) + "\n")
    rows = []
    for case in cases:
        uuid = f"{name}-" + "-".join(f"{axis}{value}" for axis, value in case.items())
        rows.append(
            json.dumps(
                {
                    "definition": name,
                    "workload": {"uuid": uuid, "axes": case, "inputs": {key: {"type": "random"} for key in made["inputs"]}},
                }
            )
        )
    write(root / "workloads" / op / f"{name}.jsonl", "\n".join(rows) + "\n")
    packed = solution(f"{name}_baseline", made, baseline)
    write(root / "solutions" / "kernel-skills" / op / name / f"{name}_baseline.json", json.dumps(packed, indent=2) + "\n")


def main() -> None:
    for suffix, dtype in (("", "float32"), ("_bf16", "bfloat16")):
        width, cases = (1024, [{"batch": 64}, {"batch": 333}]) if not suffix else (4096, [{"batch": 64}, {"batch": 4096}])
        made = definition(
            f"rmsnorm_h{width}{suffix}", "rmsnorm", {"batch": 0, "hidden_size": width},
            {"hidden": tensor("batch hidden_size", dtype), "weight": tensor("hidden_size", dtype)}, {"out": tensor("batch hidden_size", dtype)}, RMSNORM,  # noqa: E501
        )  # fmt: skip
        dataset("rmsnorm", made, cases, SLOW_RMSNORM)
        size, cases = (256, [{"M": 32}, {"M": 256}]) if not suffix else (4096, [{"M": 128}, {"M": 2048}])
        made = definition(
            f"gemm_n{size}_k{size}{suffix}", "gemm", {"M": 0, "N": size, "K": size},
            {"a": tensor("M K", dtype), "b": tensor("N K", dtype)}, {"out": tensor("M N", dtype)}, GEMM,
        )  # fmt: skip
        dataset("gemm", made, cases, SLOW_GEMM)
    for experts, cases in ((64, [{"tokens": 128}, {"tokens": 1000}]), (256, [{"tokens": 512}, {"tokens": 16384}])):
        made = definition(
            f"softmax_topk8_e{experts}", "moe_routing", {"tokens": 0, "experts": experts, "top": 8},
            {"logits": tensor("tokens experts", "float32")}, {"weight": tensor("tokens top", "float32"), "expert": tensor("tokens top", "int32")}, SOFTMAX_TOPK,  # noqa: E501
        )  # fmt: skip
        dataset("softmax_topk", made, cases, SLOW_TOPK)


if __name__ == "__main__":
    main()
