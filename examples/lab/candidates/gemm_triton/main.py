import triton
import triton.language as tl


@triton.jit
def multiply(a, b, out, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):  # noqa: PLR0917
    tile = tl.program_id(0)
    columns = tl.cdiv(N, BN)
    row = (tile // columns) * BM + tl.arange(0, BM)
    column = (tile % columns) * BN + tl.arange(0, BN)
    depth = tl.arange(0, BK)
    total = tl.zeros([BM, BN], tl.float32)
    for start in range(0, K, BK):
        left = tl.load(a + row[:, None] * K + (start + depth)[None, :], mask=row[:, None] < M, other=0.0)
        right = tl.load(b + column[None, :] * K + (start + depth)[:, None], mask=column[None, :] < N, other=0.0)
        total = tl.dot(left, right, total)
    inside = (row[:, None] < M) & (column[None, :] < N)
    tl.store(out + row[:, None] * N + column[None, :], total.to(tl.bfloat16), mask=inside)


def run(a, b, out):
    M, K = a.shape
    N = b.shape[0]
    BM = 64 if M <= 512 else 128
    multiply[(triton.cdiv(M, BM) * triton.cdiv(N, 128),)](a, b, out, M, N, K, BM=BM, BN=128, BK=64, num_warps=8, num_stages=4)
