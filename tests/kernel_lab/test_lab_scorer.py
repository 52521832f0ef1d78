"""The adapter to flashinfer-bench: one code for release 0.1.2 and for main, whichever is installed."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from lab_parts import document, needs_torch

from kernel_lab import fib
from kernel_lab.contract import EVALUATION
from kernel_lab.errors import MissingBackend

pytestmark = needs_torch


@pytest.mark.parametrize(("rtol", "ratio"), [(1e-2, 1.0), (0, 0.9)])
def test_the_runners_configuration_says_what_the_contract_says(rtol: float, ratio: float) -> None:
    evaluation = {**EVALUATION, "rtol": rtol, "matched_ratio": ratio, "official_trials": 4, "timeout_s": 77}
    made = fib.benchmark_config({"evaluation": evaluation, "definition": "d"})
    assert made.use_isolated_runner and made.timeout_seconds == 77 and made.num_trials == 4 and list(made.definitions) == ["d"]
    assert made.rtol == pytest.approx(rtol, abs=1e-20) and made.atol == 1e-2
    assert made.required_matched_ratio == (0.9 if ratio < 1 else None)


def test_the_scorer_takes_what_we_pack_and_says_what_it_does_not() -> None:
    assert fib.validate(document("k", "d", "x = 1\n")) == ""
    assert "name" in fib.validate({"spec": {}})


def test_a_scorer_that_needs_flashinfer_is_refused_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """main's timing module imports flashinfer; a folder with one line of such text stands in for it."""
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "timing.py").write_text("from flashinfer.testing import bench_gpu_time_with_cupti\n", encoding="utf-8")
    real = importlib.util.find_spec
    real, there = importlib.util.find_spec, ModuleSpec("flashinfer_bench", None, is_package=True)
    there.submodule_search_locations = [str(tmp_path)]
    stand_ins = {"flashinfer": None, "flashinfer_bench": there}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: stand_ins[name] if name in stand_ins else real(name))
    with pytest.raises(MissingBackend, match="imports flashinfer, which is not installed: pip install --no-deps flashinfer-python"):
        fib.require()
