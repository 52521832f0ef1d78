"""The policy: what is kept, deferred, left out, and why."""

from __future__ import annotations

import random

import pytest

from ingest.select import default_policy

VLLM, CUTLASS = "vllm-project/vllm", "NVIDIA/cutlass"
EXAMPLES = [
    ("a kernel", VLLM, "Speed up the paged attention kernel", ["csrc/attention/paged.cu"], "include"),
    ("integration", VLLM, "Integrate FlashInfer MLA backend", ["vllm/v1/attention/backends/mla/flashinfer.py"], "include"),
    ("back-end choice", VLLM, "Prefer the CUTLASS back end on Blackwell", ["vllm/platforms/cuda.py"], "include"),
    ("tuning", VLLM, "Add tuned fused MoE configs for H200", ["vllm/model_executor/layers/fused_moe/configs/E=8.json"], "include"),
    ("hang fix", VLLM, "Fix hang in custom all-reduce", ["vllm/distributed/device_communicators/custom_all_reduce.py"], "include"),
    ("capture", VLLM, "Capture full CUDA graph for decode", ["vllm/v1/worker/gpu_model_runner.py"], "include"),
    ("any change of a kernel repository", CUTLASS, "Check the host workspace", ["tools/util/check.py"], "include"),
    ("a typo in a kernel repository", CUTLASS, "Fix a typo in a host check", ["tools/util/check.py"], "exclude"),
    ("speed word only", VLLM, "Reduce scheduler overhead", ["vllm/model_executor/models/llama.py"], "defer"),
    ("a model without kernels", VLLM, "Support one more vision model", ["vllm/model_executor/models/vision.py"], "exclude"),
    ("front end", VLLM, "Return usage in the chat stream", ["vllm/entrypoints/serve.py"], "exclude"),
    ("docs only", CUTLASS, "Explain the TMA kernel", ["media/docs/tma.md", "README.md"], "exclude"),
    ("CI only", CUTLASS, "Run the GEMM kernel tests on Hopper", [".github/workflows/test.yml"], "exclude"),
    ("docker only", VLLM, "Install FlashInfer kernels", ["docker/Dockerfile"], "exclude"),
    ("nothing changed", VLLM, "Release", [], "exclude"),
]


@pytest.mark.parametrize(("repo", "title", "paths", "decision"), [row[1:] for row in EXAMPLES], ids=[row[0] for row in EXAMPLES])
def test_a_pull_request_is_kept_when_it_helps_to_optimise_a_kernel(repo: str, title: str, paths: list[str], decision: str) -> None:
    selection = default_policy().select(repo, title, paths)
    assert selection.decision == decision, selection


def test_documents_beside_a_kernel_do_not_exclude_it() -> None:
    assert default_policy().select(CUTLASS, "Explain", ["README.md", "include/cutlass/arch.h"]).decision == "include"


def test_every_rule_that_counted_is_named_with_its_points_and_they_add_up() -> None:
    title = "[Revert] Fused FP8 attention kernel for Hopper is slow: performance regression"
    selection = default_policy().select(CUTLASS, title, ["include/cutlass/fmha.hpp"])
    assert selection.reasons[0] == "kernel-repository +3"
    assert "path:kernel-header +4" in selection.reasons
    assert {"title:kernel-word +2", "title:hardware-word +2", "title:format-word +2", "title:speed-word +1", "title:revert -1"} < set(
        selection.reasons
    )
    assert sum(int(reason.rsplit(" ", 1)[1]) for reason in selection.reasons) == selection.score


@pytest.mark.parametrize(("paths", "reason"), [(["a.md"], "only documentation"), ([".github/x.yml"], "only automation")])
def test_an_excluded_pull_request_says_which_rule_excluded_it(paths: list[str], reason: str) -> None:
    assert default_policy().select(CUTLASS, "TMA kernel", paths).reasons == (reason,)


@pytest.mark.parametrize(("repo", "title", "paths", "decision"), [row[1:] for row in EXAMPLES], ids=[row[0] for row in EXAMPLES])
def test_the_order_of_paths_does_not_matter(repo: str, title: str, paths: list[str], decision: str) -> None:
    many = [*paths, "csrc/a.cu", "vllm/compilation/pass.py", "x/jit/build.py", "README.md"]
    expected = default_policy().select(repo, title, many)
    for seed in range(5):
        random.Random(seed).shuffle(many)
        assert default_policy().select(repo, title, many) == expected


def test_every_rule_can_match_a_title_or_path_that_it_is_for() -> None:
    policy = default_policy()
    ids = [rule.id for rule in (*policy.paths, *policy.title, *policy.never_alone)]
    assert len(ids) == len(set(ids))
    assert all(rule.points for rule in (*policy.paths, *policy.title))
    assert policy.defer_at < policy.include_at


def test_hostile_titles_and_paths_are_scored_in_time() -> None:
    hostile = ["a" * 100_000, "fp8 " * 30_000, "\x00\x1b[31m\u202e" * 10_000, "cuda_" * 20_000, "/" * 100_000]
    for text in hostile:
        assert default_policy().select(VLLM, text, [text]).decision in ("include", "defer", "exclude")
