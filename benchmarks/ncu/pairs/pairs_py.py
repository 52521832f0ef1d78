"""Triton and library cases of the pair corpus: `python3 pairs_py.py list|time|profile [CASE...]`; twins are profiled three times."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

import torch
import triton
import triton.language as tl

Launch = Callable[[], object]
SM = 132


@triton.jit
def scale_shift(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, mask=i < n) * 1.5 + tl.load(y + i, mask=i < n), mask=i < n)


@triton.jit
def softmax_rows(x, out, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    v = tl.load(x + row * cols + i, mask=i < cols, other=-float("inf"))
    v = tl.exp(v - tl.max(v))
    tl.store(out + row * cols + i, v / tl.sum(v), mask=i < cols)


@triton.jit
def norm_by_feature(x, out, rows, cols, BLOCK: tl.constexpr):
    c = tl.program_id(0)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, rows, BLOCK):
        r = start + tl.arange(0, BLOCK)
        v = tl.load(x + r.to(tl.int64) * cols + c)  # PLANT p_feature
        total += v * v
    tl.store(out + c, tl.sqrt(tl.sum(total)))


@triton.jit
def norm_by_feature_tile(x, out, rows, cols, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    c = tl.program_id(0) * WIDE + tl.arange(0, WIDE)
    total = tl.zeros((BLOCK, WIDE), tl.float32)
    for start in range(0, rows, BLOCK):
        r = start + tl.arange(0, BLOCK)
        v = tl.load(x + r[:, None].to(tl.int64) * cols + c[None, :])
        total += v * v
    tl.store(out + c, tl.sqrt(tl.sum(total, 0)))


@triton.jit
def add_bytes(x, y, out, n, BLOCK: tl.constexpr):
    start = tl.program_id(0).to(tl.int64) * BLOCK
    i = start + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, mask=i < n) + tl.load(y + i, mask=i < n), mask=i < n)  # PLANT p_bytes


@triton.jit
def mandel_like(out, ROUNDS: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a = i * 1e-6
    b = a * 0.5
    for _ in range(ROUNDS):
        a = a * a - b * b + 0.1
        b = 2.0 * a * b + 0.05
    tl.store(out + i, a + b)


@triton.jit
def logsumexp_hot(x, out, ROUNDS: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + i)
    s = v
    for _ in range(ROUNDS):
        s = tl.log(tl.exp(s) + tl.exp(v)) * 0.5  # PLANT p_logsum
    tl.store(out + i, s)


@triton.jit
def product_ieee(a, b, c, n, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rn = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, n, BK):
        rk = k + tl.arange(0, BK)
        x = tl.load(a + rm[:, None] * n + rk[None, :])
        y = tl.load(b + rk[:, None] * n + rn[None, :])
        acc = tl.dot(x, y, acc, input_precision="ieee")  # PLANT p_ieee
    tl.store(c + rm[:, None] * n + rn[None, :], acc)


@triton.jit
def product_half(a, b, c, n, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rn = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, n, BK):
        rk = k + tl.arange(0, BK)
        x = tl.load(a + rm[:, None] * n + rk[None, :])  # PLANT p_shallow
        y = tl.load(b + rk[:, None] * n + rn[None, :])  # PLANT p_shallow
        acc = tl.dot(x, y, acc)  # PLANT p_shallow
    tl.store(c + rm[:, None] * n + rn[None, :], acc.to(tl.float16))


@triton.jit
def bucket_sum(key, value, out, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(out + tl.load(key + i), tl.load(value + i))  # PLANT p_buckets


@triton.jit
def ragged_mean(x, start, out, BLOCK: tl.constexpr):
    p = tl.program_id(0)
    first = tl.load(start + p)
    last = tl.load(start + p + 1)
    total = tl.zeros((BLOCK,), tl.float32)
    for k in range(first, last, BLOCK):  # PLANT p_ragged
        i = k + tl.arange(0, BLOCK)
        total += tl.load(x + i, mask=i < last, other=0.0)  # PLANT p_ragged
    tl.store(out + p, tl.sum(total))


@triton.jit
def one_row_each(x, out, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, cols, BLOCK):
        total += tl.load(x + row * cols + start + tl.arange(0, BLOCK))
    tl.store(out + row, tl.sum(total))


@triton.jit
def wide_registers(x, out, ROUNDS: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    v = tl.load(x + i)
    for r in range(ROUNDS):
        w = tl.load(x + r * BLOCK + i)
        v = v * 0.5 + tl.cumsum(w, 0)  # PLANT p_wide
    tl.store(out + tl.program_id(0) * BLOCK + i, v)


@triton.jit
def divide_index(x, out, n, width, BLOCK: tl.constexpr, ROUNDS: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    s = tl.zeros((BLOCK,), tl.int32)
    for r in range(ROUNDS):
        s += (i + r * 7) // width + (i + s) % (width + r)  # PLANT p_divide
    tl.store(out + i, s)


@triton.jit
def double_mean(x, out, ROUNDS: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + i).to(tl.float64)
    s = v
    for _ in range(ROUNDS):
        s = s * 0.999 + v * 0.001  # PLANT p_double
    tl.store(out + i, s.to(tl.float32))


@triton.jit
def chase(follow, out, steps, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    at = i
    for _ in range(steps):
        at = tl.load(follow + at)  # PLANT p_chase
    tl.store(out + i, at)


def floats(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(*shape, device="cuda").to(dtype)


def feature(tile: bool) -> Launch:
    x, out = floats(16384, 4096), floats(4096)
    if tile:
        return lambda: norm_by_feature_tile[(128,)](x, out, 16384, 4096, BLOCK=64, WIDE=32)
    return lambda: norm_by_feature[(4096,)](x, out, 16384, 4096, BLOCK=256)


def bytes_sum(block: int) -> Launch:
    n = 1 << 28
    x, y, out = (torch.zeros(n, device="cuda", dtype=torch.int8) for _ in range(3))
    return lambda: add_bytes[(n // block,)](x, y, out, n, BLOCK=block, num_warps=4)


def product(kernel: object, dtype: torch.dtype, size: int, tile: tuple[int, int, int], stages: int, warps: int) -> Launch:
    a, b = floats(size, size, dtype=dtype), floats(size, size, dtype=dtype)
    c = torch.empty(size, size, device="cuda", dtype=dtype)
    bm, bn, bk = tile
    return lambda: kernel[(size // bm, size // bn)](a, b, c, size, BM=bm, BN=bn, BK=bk, num_stages=stages, num_warps=warps)  # type: ignore[index]


def buckets(count: int) -> Launch:
    n = 1 << 22
    key, value, out = torch.randint(0, count, (n,), device="cuda", dtype=torch.int32), floats(n), torch.zeros(max(count, 16), device="cuda")
    return lambda: bucket_sum[(n // 1024,)](key, value, out, BLOCK=1024)


def ragged(even: bool) -> Launch:
    total, parts = 96 << 20, SM * 8
    weight = torch.ones(parts, dtype=torch.float64)
    if not even:
        weight[::97] = 60.0
    edges = torch.cat([torch.zeros(1, dtype=torch.float64), torch.cumsum(weight, 0)]) / weight.sum() * total
    start, x, out = edges.to(torch.int32).cuda(), floats(total), floats(parts)
    return lambda: ragged_mean[(parts,)](x, start, out, BLOCK=2048)


def few(rows: int) -> Launch:
    x, out = floats(rows, (96 << 20) // rows), floats(rows)
    return lambda: one_row_each[(rows,)](x, out, (96 << 20) // rows, BLOCK=2048)


def wide(warps: int) -> Launch:
    x, out = floats(64 * 8192), floats(SM * 4 * 8192)
    return lambda: wide_registers[(SM * 4,)](x, out, ROUNDS=16, BLOCK=8192, num_warps=warps)


def simple(name: str) -> Launch:
    if name == "scale":
        x, y, out = floats(1 << 26), floats(1 << 26), floats(1 << 26)
        return lambda: scale_shift[((1 << 26) // 1024,)](x, y, out, 1 << 26, BLOCK=1024)
    if name == "softmax":
        x, out = floats(16384, 4096), floats(16384, 4096)
        return lambda: softmax_rows[(16384,)](x, out, 4096, BLOCK=4096, num_warps=8)
    if name == "mandel":
        out = floats(1 << 22)
        return lambda: mandel_like[((1 << 22) // 1024,)](out, ROUNDS=400, BLOCK=1024)
    if name == "logsum":
        x, out = floats(1 << 21), floats(1 << 21)
        return lambda: logsumexp_hot[((1 << 21) // 1024,)](x, out, ROUNDS=80, BLOCK=1024)
    if name == "divide":
        out = torch.empty(1 << 21, device="cuda", dtype=torch.int32)
        return lambda: divide_index[((1 << 21) // 512,)](out, out, 1 << 21, 1003, BLOCK=512, ROUNDS=40)
    if name == "double":
        x, out = floats(1 << 22), floats(1 << 22)
        return lambda: double_mean[((1 << 22) // 512,)](x, out, ROUNDS=100, BLOCK=512)
    follow = torch.randperm(1 << 25, device="cuda").to(torch.int32)
    out = torch.empty(SM * 256, device="cuda", dtype=torch.int32)
    return lambda: chase[(SM * 2,)](follow, out, 150, BLOCK=128)


def library(name: str) -> Launch:
    if name == "mm_bf16":
        a, b = floats(4096, 4096, dtype=torch.bfloat16), floats(4096, 4096, dtype=torch.bfloat16)
        return lambda: torch.mm(a, b)
    if name == "mm_fp32":
        a, b = floats(2048, 2048), floats(2048, 2048)
        return lambda: torch.mm(a, b)
    if name == "scatter":
        index, value, out = torch.randint(0, 8, (1 << 20,), device="cuda"), floats(1 << 20), torch.zeros(8, device="cuda")
        return lambda: out.scatter_add_(0, index, value)
    if name == "relayout":
        x = floats(8192, 8192)
        out = torch.empty(8192, 8192, device="cuda")
        return lambda: out.copy_(x.t())
    if name == "rand":
        out = torch.empty(1 << 26, device="cuda")
        return out.uniform_
    x = floats(1 << 26)
    return lambda: torch.nn.functional.gelu(x, approximate="tanh")


CASES: dict[str, Callable[[], Launch]] = {
    "p_scale": lambda: simple("scale"),
    "p_softmax": lambda: simple("softmax"),
    "p_feature": lambda: feature(tile=False),
    "p_feature_fixed": lambda: feature(tile=True),
    "p_bytes": lambda: bytes_sum(128),
    "p_bytes_fixed": lambda: bytes_sum(4096),
    "p_mandel": lambda: simple("mandel"),
    "p_logsum": lambda: simple("logsum"),
    "p_ieee": lambda: product(product_ieee, torch.float32, 2048, (64, 64, 16), 2, 4),
    "p_shallow": lambda: product(product_half, torch.float16, 4096, (64, 64, 64), 1, 4),
    "p_shallow_fixed": lambda: product(product_half, torch.float16, 4096, (128, 128, 64), 4, 8),
    "p_buckets": lambda: buckets(8),
    "p_buckets_fixed": lambda: buckets(1 << 20),
    "p_ragged": lambda: ragged(even=False),
    "p_ragged_fixed": lambda: ragged(even=True),
    "p_fewrows": lambda: few(16),
    "p_fewrows_fixed": lambda: few(2112),
    "p_wide": lambda: wide(1),
    "p_wide_fixed": lambda: wide(16),
    "p_divide": lambda: simple("divide"),
    "p_double": lambda: simple("double"),
    "p_chase": lambda: simple("chase"),
    "q_mm_bf16": lambda: library("mm_bf16"),
    "q_mm_fp32": lambda: library("mm_fp32"),
    "q_scatter": lambda: library("scatter"),
    "q_relayout": lambda: library("relayout"),
    "q_rand": lambda: library("rand"),
    "q_gelu": lambda: library("gelu"),
}


def timed(name: str, launch: Launch) -> None:
    times = []
    for _ in range(12):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        launch()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e6)
    times = sorted(times[3:])
    print(f"{name} {statistics.median(times):.0f} {times[0]:.0f} {times[-1]:.0f}")


def main(mode: str, names: list[str]) -> None:
    torch.manual_seed(7)
    end = time.monotonic() + float(os.environ.get("BUDGET_S", "inf"))
    for name in names or CASES:
        if time.monotonic() > end:
            print(f"stopped before {name}", file=sys.stderr)
            break
        if mode == "list":
            print(name)
            continue
        try:
            launch = CASES[name]()
            launch()
            torch.cuda.synchronize()
        except Exception as error:  # noqa: BLE001 - a case that this Triton cannot build must not cost the others
            print(f"failed {name}: {error}", file=sys.stderr)
            continue
        if mode == "time":
            timed(name, launch)
            continue
        print(f"ran {name}", file=sys.stderr)
        torch.cuda.profiler.start()
        torch.cuda.nvtx.range_push(name)
        for _ in range(int(os.environ.get("REPEAT", "3")) if name.endswith("_fixed") or f"{name}_fixed" in CASES else 1):
            launch()
            torch.cuda.synchronize()
        torch.cuda.nvtx.range_pop()
        torch.cuda.profiler.stop()
        del launch
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
# ruff: noqa: PLR0917, PLR0911
