"""Triton and library kernels for the report corpus: one profiled launch per case after a warm-up; run with `python3 kernels_py.py CASE`."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
import triton
import triton.language as tl

Launch = Callable[[], object]


@triton.jit
def add_kernel(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, mask=i < n) + tl.load(y + i, mask=i < n), mask=i < n)


@triton.jit
def strided_kernel(x, out, rows, cols, BLOCK: tl.constexpr):
    r = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for c in range(cols):
        total += tl.load(x + r * cols + c)  # PLANT t_strided
    tl.store(out + r, total)


@triton.jit
def exp_kernel(x, out, n, ROUNDS: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + i)
    for _ in range(ROUNDS):
        v = tl.exp2(-v) + tl.rsqrt(v + 1.0)  # PLANT t_exp
    tl.store(out + i, v)


@triton.jit
def sum_kernel(x, out, n, BLOCK: tl.constexpr):
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        total += tl.load(x + tl.program_id(0) * n + i)  # PLANT t_smallgrid
    tl.store(out + tl.program_id(0), tl.sum(total))


@triton.jit
def count_kernel(x, bins, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(bins + tl.load(x + i) % 4, tl.full((BLOCK,), 1, tl.int32))  # PLANT t_count


@triton.jit
def matmul_kernel(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):  # noqa: PLR0917
    pid = tl.program_id(0)
    tiles = N // BN
    rm = pid // tiles * BM + tl.arange(0, BM)
    rn = pid % tiles * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, K, BK):
        rk = k + tl.arange(0, BK)
        acc = tl.dot(tl.load(a + rm[:, None] * K + rk[None, :]), tl.load(b + rk[:, None] * N + rn[None, :]), acc)  # PLANT t_matmul
    tl.store(c + rm[:, None] * N + rn[None, :], acc)


@triton.jit
def transpose_kernel(x, out, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + col * n + row, tl.load(x + row * n + col))  # PLANT t_transpose


@triton.jit
def product_kernel(a, b, c, N, K, BM: tl.constexpr, BN: tl.constexpr):  # noqa: PLR0917
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rn = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(K):
        acc += tl.load(a + rm * K + k)[:, None] * tl.load(b + k * N + rn)[None, :]  # PLANT t_product
    tl.store(c + rm[:, None] * N + rn[None, :], acc)


@triton.jit
def rounds_kernel(out, ROUNDS: tl.constexpr, BLOCK: tl.constexpr):
    v = tl.arange(0, BLOCK).to(tl.float32)
    for _ in range(ROUNDS):
        v = v * 1.0001 + 0.5
    tl.store(out + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), v)


def transposed() -> Launch:
    x, out = torch.zeros(8192, 8192, device="cuda"), torch.empty(8192, 8192, device="cuda")
    return lambda: transpose_kernel[(8192, 8)](x, out, 8192, BLOCK=1024)


def product() -> Launch:
    a, b, c = (torch.zeros(2048, 2048, device="cuda") for _ in range(3))
    return lambda: product_kernel[(32, 32)](a, b, c, 2048, 2048, BM=64, BN=64)


def waves() -> Launch:
    out = torch.empty(1 << 22, device="cuda")
    return lambda: rounds_kernel[(132 * 2 + 8,)](out, ROUNDS=20000, BLOCK=4096, num_warps=32)


def matmul(stages: int, warps: int, tile: tuple[int, int, int], size: int = 4096) -> Launch:
    a = torch.randn(size, size, device="cuda", dtype=torch.float16)
    b = torch.randn(size, size, device="cuda", dtype=torch.float16)
    c = torch.empty(size, size, device="cuda", dtype=torch.float32)
    bm, bn, bk = tile
    grid = (size // bm * (size // bn),)
    return lambda: matmul_kernel[grid](a, b, c, size, size, size, BM=bm, BN=bn, BK=bk, num_stages=stages, num_warps=warps)


def add() -> Launch:
    x, out = torch.zeros(1 << 27, device="cuda"), torch.empty(1 << 27, device="cuda")
    return lambda: add_kernel[((1 << 27) // 1024,)](x, x, out, 1 << 27, BLOCK=1024)


def strided() -> Launch:
    x, out = torch.zeros(1 << 16, 2048, device="cuda"), torch.empty(1 << 16, device="cuda")
    return lambda: strided_kernel[((1 << 16) // 128,)](x, out, 1 << 16, 2048, BLOCK=128)


def exponentials() -> Launch:
    x, out = torch.zeros(1 << 22, device="cuda"), torch.empty(1 << 22, device="cuda")
    return lambda: exp_kernel[((1 << 22) // 1024,)](x, out, 1 << 22, ROUNDS=100, BLOCK=1024)


def small_grid() -> Launch:
    x, out = torch.zeros(16, 1 << 20, device="cuda"), torch.empty(16, device="cuda")
    return lambda: sum_kernel[(16,)](x, out, 1 << 20, BLOCK=1024)


def count() -> Launch:
    x, bins = torch.zeros(1 << 22, device="cuda", dtype=torch.int32), torch.zeros(4, device="cuda", dtype=torch.int32)
    return lambda: count_kernel[((1 << 22) // 1024,)](x, bins, 1 << 22, BLOCK=1024)


def cublas() -> Launch:
    a, out = (torch.zeros(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return lambda: torch.mm(a, a, out=out)


def random_input() -> Launch:
    return lambda: torch.randn(1 << 26, device="cuda")


CASES = {
    "t_add": add,
    "t_strided": strided,
    "t_exp": exponentials,
    "t_smallgrid": small_grid,
    "t_count": count,
    "t_matmul": lambda: matmul(4, 8, (128, 256, 64)),
    "t_matmul_1stage": lambda: matmul(1, 4, (64, 64, 32)),
    "t_transpose": transposed,
    "t_product": product,
    "t_tail": waves,
    "l_cublas": cublas,
    "l_random": random_input,
}

if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        launch = CASES[case]()
        launch()
        torch.cuda.synchronize()
        torch.cuda.profiler.start()
        torch.cuda.nvtx.range_push(case)
        launch()
        torch.cuda.synchronize()
        torch.cuda.nvtx.range_pop()
        torch.cuda.profiler.stop()
