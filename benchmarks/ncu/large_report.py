"""Kernels of PyTorch and cuBLAS, for one large report of many kernels (about 60 MB; too large to ship).

ncu --set full -k 'regex:^(?!.*(distribution|fill|copy|vectorized)).*' --launch-count 14 -o large python3 benchmarks/ncu/large_report.py
"""

from __future__ import annotations

import torch


def product(kind: torch.dtype, size: int) -> None:
    """One square matrix product: cuBLAS chooses another kernel for each type and size."""
    left, right = (torch.randn(size, size, device="cuda").to(kind) for _ in range(2))
    left @ right


def main() -> None:
    sizes = [
        (torch.bfloat16, 4096),
        (torch.float16, 2048),
        (torch.float32, 2048),
        (torch.float64, 1024),
        (torch.bfloat16, 512),
        (torch.float16, 300),
    ]
    for kind, size in sizes:
        product(kind, size)
    x = torch.randn(4096, 4096, device="cuda")
    torch.softmax(x, -1)
    torch.sort(x[:256], -1)
    torch.layer_norm(x, (4096,))
    torch.cumsum(x, -1)
    torch.topk(x, 64)
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
