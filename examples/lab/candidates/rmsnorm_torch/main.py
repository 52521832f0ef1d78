import torch


def run(hidden, weight, out):
    scale = torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + 1e-6)
    torch.mul(hidden, scale, out=out)
    out.mul_(weight)
