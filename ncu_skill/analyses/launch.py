"""Launch: how the grid covers the GPU, and what the last wave wastes."""

from __future__ import annotations

import math
import re

from ncu_skill.facts import Facts
from ncu_skill.report import Kernel
from ncu_skill.samples import Samples

# Kernels that libraries launch to create inputs; profiling one of them instead of the kernel in question is a common mistake.
_PREPARATION = (
    "distribution_elementwise", "distribution_nullary", "fillfunctor", "random_from_to", "normal_kernel", "curand", "philox",
    "gen_sequenced", "arange", "elementwise_kernel_with_index", "generate_seed",
)  # fmt: skip
# Hand-written ones: the name is nothing but a verb of these and words for data.
_VERBS = frozenset({
    "init", "initialize", "initialise", "initialization", "fill", "memset", "set", "setup", "populate", "randomize", "randomise",
    "generate", "gen", "warmup", "rand", "random", "zero",
})  # fmt: skip
_NOUNS = frozenset({
    "data", "input", "inputs", "array", "arrays", "buffer", "buffers", "matrix", "matrices", "vector", "vectors", "tensor",
    "tensors", "value", "values", "memory", "mem", "rng", "state", "states", "curand", "seed", "seeds", "uniform", "normal",
    "const", "constant", "ones", "zeros", "to", "with", "up", "warm", "float", "floats", "double", "half", "int", "ints", "f", "i",
    "u", "bf", "a", "b", "c", "x", "y", "gpu", "device", "cuda",
})  # fmt: skip
_VAGUE = frozenset({"set", "gen", "generate", "zero"})  # alone they say too little


def analyse(kernel: Kernel, facts: Facts, samples: Samples) -> None:
    """Adds coverage_pct, tail_waste, lanes_in_block and prepares_data."""
    blocks, sms, waves = facts.get("grid_blocks"), facts.get("sm_count"), facts.get("waves")
    if blocks and sms:
        facts.add("coverage_pct", 100 * min(1.0, blocks / sms), "%", "launch__grid_size / launch__sm_count")
    if waves:
        whole = math.ceil(waves - 1e-9)
        facts.add("tail_waste", 1 - waves / whole if waves > 1 else 0.0, "of run time", "1 - waves / ceil(waves)")
        facts.add("whole_waves", math.floor(waves + 1e-9), "wave", "launch__waves_per_multiprocessor")
    threads = facts.get("block_threads")
    if threads:
        facts.add("lanes_in_block", threads / (math.ceil(threads / 32) * 32), "of lanes", "launch__block_size")
    facts.add("prepares_data", float(prepares(kernel.name or kernel.function)), "", "kernel name")


def prepares(name: str) -> bool:
    """Whether a kernel only makes data, by the name that a library or its author gave it."""
    if any(word in name.lower() for word in _PREPARATION):
        return True
    base = re.split(r"[<(]", name.removeprefix("void "), maxsplit=1)[0].strip().rpartition("::")[2]
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", base) if not word.isdigit()]
    words = [word for word in words if word not in {"kernel", "k"}]
    verbs = _VERBS.intersection(words) - (_VAGUE if len(words) == 1 else frozenset())
    return (bool(verbs) or words == ["warm", "up"]) and _VERBS.union(_NOUNS).issuperset(words)
