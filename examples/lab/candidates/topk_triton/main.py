import triton
import triton.language as tl


@triton.jit
def route(logits, weight, expert, EXPERTS: tl.constexpr, TOP: tl.constexpr):
    row = tl.program_id(0)
    column = tl.arange(0, EXPERTS)
    place = tl.arange(0, TOP)
    value = tl.load(logits + row * EXPERTS + column)
    share = tl.exp(value - tl.max(value, 0))
    best = tl.zeros([TOP], tl.float32)
    index = tl.zeros([TOP], tl.int32)
    for turn in tl.static_range(TOP):
        top = tl.max(share, 0)
        at = tl.argmax(share, 0)
        best = tl.where(place == turn, top, best)
        index = tl.where(place == turn, at.to(tl.int32), index)
        share = tl.where(column == at, -1.0, share)
    tl.store(weight + row * TOP + place, best / tl.sum(best, 0))
    tl.store(expert + row * TOP + place, index)


def run(logits, weight, expert):
    tokens, experts = logits.shape
    route[(tokens,)](logits, weight, expert, EXPERTS=experts, TOP=weight.shape[1], num_warps=1)
