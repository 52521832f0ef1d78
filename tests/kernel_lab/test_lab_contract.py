"""Contract attacks: whatever is edited, set or replaced after the contract was frozen is detected and named."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab_parts import document, make_lab, needs_torch, write_json

from kernel_lab import environment
from kernel_lab.errors import BadInput, ContractBroken, LedgerBroken, NotFound
from kernel_lab.files import canonical, sha256

PLAIN = "import torch\n\ndef run(hidden, weight, out):\n    out.copy_(hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + 1e-6) * weight)\n"  # noqa: E501


@pytest.fixture
def lab(tmp_path: Path) -> Any:
    return make_lab(tmp_path)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def looser(lab: Any) -> None:
    path = lab.workspace.contract_folder / "lock.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["evaluation"]["rtol"] = 0.9
    path.write_text(json.dumps(data), encoding="utf-8")


def dataset_file(lab: Any, key: str) -> Path:
    return lab.workspace.contract.dataset / str(lab.workspace.contract.lock[key]["path"])


ATTACKS: list[tuple[str, Callable[[Any], None]]] = [
    ("lock", looser),
    ("baseline", lambda lab: edit(lab.workspace.contract_folder / "baseline.json", "float64", "float16")),
    ("baseline", lambda lab: edit(Path(lab.workspace.contract.lock["baseline"]["path"]), "float64", "float16")),
    ("definition", lambda lab: edit(lab.workspace.contract_folder / "definition.json", "1e-6", "1e-1")),
    ("definition", lambda lab: edit(dataset_file(lab, "definition"), "1e-6", "1e-1")),
    ("workloads", lambda lab: edit(lab.workspace.contract_folder / "workloads.jsonl", '"batch": 64', '"batch": 1')),
    ("workloads", lambda lab: edit(dataset_file(lab, "workloads"), '"batch": 64', '"batch": 1')),
    ("workloads", lambda lab: (lab.workspace.contract_folder / "workloads.jsonl").unlink()),
]


@pytest.mark.parametrize(("name", "attack"), ATTACKS, ids=[f"{name}-{index}" for index, (name, _) in enumerate(ATTACKS)])
def test_an_edited_part_of_the_contract_is_named_before_anything_runs(
    name: str, attack: Callable[[Any], None], lab: Any, tmp_path: Path
) -> None:
    attack(lab)
    fresh = type(lab).open(lab.workspace.root)
    with pytest.raises(ContractBroken) as caught:
        fresh.verify(str(write_json(tmp_path / "s.json", document("plain", "rmsnorm_h1024", PLAIN))))
    assert caught.value.exit_code == 3 and name in caught.value.names
    found = fresh.audit()
    assert not found["ok"] and found["broken"]["what"] == name


def recorded_lab(folder: Path) -> Any:
    """A workspace whose workload takes one input from a real safetensors file."""
    from lab_parts import NAMES, QUICK, small_dataset

    from kernel_lab import Lab

    torch, save_file = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch").save_file
    data, name, baseline = small_dataset(folder / "data", "rmsnorm")
    blob = data / "blob" / "workloads" / "op" / "hidden.safetensors"
    blob.parent.mkdir(parents=True)
    save_file({"hidden": torch.randn(64, 1024), "other": torch.zeros(4)}, str(blob))
    path = data / "workloads" / "op" / f"{NAMES['rmsnorm'][1]}.jsonl"
    row = json.loads(path.read_text(encoding="utf-8"))
    place = {"type": "safetensors", "path": blob.relative_to(data).as_posix(), "tensor_key": "hidden"}
    row["workload"]["inputs"]["hidden"] = place
    write_json(path, row)
    return Lab.init(folder / "work", data, name, baseline, "cpu", evaluation=QUICK)


def blob_of(lab: Any) -> Path:
    (path,) = lab.workspace.contract.lock["blobs"]
    return lab.workspace.contract.dataset / str(path)


def another_tensor(path: Path) -> None:
    torch, save_file = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch").save_file
    save_file({"hidden": torch.zeros(64, 1024), "other": torch.zeros(4)}, str(path))


def one_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@needs_torch
@pytest.mark.parametrize("attack", [another_tensor, one_byte, Path.unlink], ids=["replaced", "one byte", "removed"])
def test_an_edited_blob_is_named_before_anything_runs(attack: Callable[[Path], None], tmp_path: Path) -> None:
    lab = recorded_lab(tmp_path)
    attack(blob_of(lab))
    fresh = type(lab).open(lab.workspace.root)
    with pytest.raises(ContractBroken, match=r"blob: blob/workloads/op/hidden\.safetensors (was edited|is missing)") as caught:
        fresh.verify(str(write_json(tmp_path / "s.json", document("plain", "rmsnorm_h1024", PLAIN))))
    assert caught.value.names == ("blob",)
    assert fresh.audit()["broken"]["what"] == "blob"


@needs_torch
def test_a_recorded_input_is_what_the_candidate_is_given(tmp_path: Path) -> None:
    """An untouched blob: the verdict passes, and an answer that leans on random inputs does not."""
    lab = recorded_lab(tmp_path)
    assert lab.audit()["ok"]
    found = lab.verify(str(write_json(tmp_path / "s.json", document("plain", "rmsnorm_h1024", PLAIN))))
    assert found["verdict"] == "pass", [gate for gate in found["gates"] if not gate["ok"]]


@pytest.mark.parametrize(
    "variable", ["FIB_DATASET_PATH", "FIB_CACHE_PATH", "LD_PRELOAD", "TVM_FFI_CUDA_ARCH_LIST", "PYTHONPATH", "TORCH_LOGS"]
)
def test_a_variable_that_was_set_since_is_named(variable: str, lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "/elsewhere")
    with pytest.raises(ContractBroken, match=f"environment: the variable {variable} was"):
        lab.workspace.checked()


def test_another_scorer_is_named(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        environment, "scorer", lambda: {"version": lab.workspace.contract.lock["flashinfer_bench"]["version"], "digest": "other"}
    )
    with pytest.raises(ContractBroken, match=r"flashinfer-bench: the installed files"):
        lab.workspace.checked()


@needs_torch
def test_an_edited_file_of_the_installed_scorer_is_named(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed package, one comparison of it edited, found before the real one."""
    spec = importlib.util.find_spec("flashinfer_bench")
    assert spec is not None and spec.submodule_search_locations
    copy = tmp_path / "site" / "flashinfer_bench"
    shutil.copytree(next(iter(spec.submodule_search_locations)), copy)
    monkeypatch.delitem(sys.modules, "flashinfer_bench", raising=False)
    monkeypatch.syspath_prepend(str(copy.parent))
    lab.workspace.checked()
    edit(copy / "bench" / "utils.py", "abs_error > cfg.atol", "abs_error > 9")
    with pytest.raises(ContractBroken, match=r"flashinfer-bench: the installed files are not those") as caught:
        lab.workspace.checked()
    assert caught.value.names == ("flashinfer-bench",)
    assert lab.audit()["broken"]["what"] == "flashinfer-bench"


def test_a_clock_set_back_is_named(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time()
    monkeypatch.setattr("kernel_lab.ledger.time.time", lambda: real - 3600)
    with pytest.raises(ContractBroken, match="clock") as caught:
        lab.workspace.checked()
    assert caught.value.names == ("clock",)
    assert lab.audit()["broken"]["what"] == "clock"


def test_clocks_that_disagree_are_named() -> None:
    assert environment.clocks_disagree({"perf_s": 1.0, "raw_s": 1.0, "wall_s": 1.01}) == ""
    assert "perf 1.00 s" in environment.clocks_disagree({"perf_s": 1.0, "raw_s": 5.0, "wall_s": 5.0})


def test_an_edited_ledger_line_stops_every_verb_that_relies_on_it(lab: Any, tmp_path: Path) -> None:
    edit(lab.workspace.ledger.path, '"kind":"contract"', '"kind":"kontract"')
    with pytest.raises(LedgerBroken):
        lab.verify(str(write_json(tmp_path / "s.json", document("plain", "rmsnorm_h1024", PLAIN))))
    assert lab.audit()["broken"] == {"seq": 0, "what": "hash", "why": "the entry or the one before it was altered"}
    assert lab.status()["next"] == "kernel-lab audit"


def test_an_edited_verdict_file_is_named_by_the_audit(lab: Any, tmp_path: Path) -> None:
    solution = lab.pack(write_candidate(tmp_path / "c"))["candidate"]
    path, digest = lab.workspace.keep_run("verdict", {"candidate": solution, "verdict": "fail"})
    body = {
        "candidate": solution,
        "verdict": "fail",
        "contract": lab.workspace.contract.sha256,
        "failed": [],
        "evidence": path,
        "evidence_sha256": digest,
    }
    lab.workspace.ledger.append("verdict", body)
    assert lab.audit()["ok"]
    edit(lab.workspace.root / path, "fail", "pass")
    assert lab.audit()["broken"]["what"] == "verdict file"
    (lab.workspace.root / path).unlink()
    assert "missing" in lab.audit()["broken"]["why"]


def write_candidate(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(PLAIN, encoding="utf-8")
    text = '[solution]\nname = "plain"\ndefinition = "rmsnorm_h1024"\nauthor = "tests"\n[build]\nlanguage = "python"\nentry_point = "main.py::run"\n'  # noqa: E501
    (folder / "solution.toml").write_text(text, encoding="utf-8")
    return folder


def test_an_edited_candidate_is_named_and_not_used(lab: Any, tmp_path: Path) -> None:
    solution = lab.pack(write_candidate(tmp_path / "c"))["candidate"]
    lab.record(solution, note="first")
    edit(lab.workspace.candidates / f"{solution}.json", "1e-6", "1e-5")
    assert lab.audit()["broken"]["what"] == "candidate"
    with pytest.raises(Exception, match="was edited"):
        lab.compile(solution[:12])


def test_an_edited_kept_compile_result_is_named_and_not_used(lab: Any, tmp_path: Path) -> None:
    solution = lab.pack(write_candidate(tmp_path / "c"))["candidate"]
    first = lab.compile(solution)
    assert lab.compile(solution)["cached"]
    path = lab.workspace.cache / f"{first['cache_key']}.json"
    kept = json.loads(path.read_bytes())
    kept["result"]["registers"] = 1
    kept["sha256"] = sha256(canonical(kept["result"]))
    path.write_bytes(canonical(kept))
    assert lab.audit()["broken"]["what"] == "cache"
    again = lab.compile(solution)
    assert not again["cached"] and again["registers"] == 0
    assert lab.audit()["ok"]


def test_freezing_anew_voids_earlier_verdicts(lab: Any, tmp_path: Path) -> None:
    solution = lab.pack(write_candidate(tmp_path / "c"))["candidate"]
    old = lab.workspace.contract.sha256
    edit(lab.workspace.root / "task.toml", "rtol = 0.01", "rtol = 0.02")
    assert lab.status()["contract"]["evaluation"]["rtol"] == 0.01
    lab.freeze()
    assert lab.workspace.contract.sha256 != old and lab.status()["contract"]["evaluation"]["rtol"] == 0.02
    assert lab.audit()["notes"] == ["the contract was frozen 2 times; verdicts under earlier ones do not count"]
    assert solution in lab.workspace.resolve(solution[:10]).id


def test_promotion_needs_a_verdict(lab: Any, tmp_path: Path) -> None:
    solution = lab.pack(write_candidate(tmp_path / "c"))["candidate"]
    with pytest.raises(Exception, match="no verdict for these bytes") as caught:
        lab.promote(solution)
    assert getattr(caught.value, "exit_code", None) == 1


def test_a_promotion_cannot_rest_on_another_contract_or_another_judge(lab: Any, tmp_path: Path) -> None:
    solution = lab.pack(write_candidate(tmp_path / "c"))["candidate"]
    path, digest = lab.workspace.keep_run("verdict", {"candidate": solution})
    body = {
        "candidate": solution, "verdict": "pass", "contract": "other", "failed": [], "evidence": path, "evidence_sha256": digest,
        "judge": environment.judge_digest(), "backend": "cpu", "vs_baseline": {"value": 2.0, "low": 2.0, "high": 2.0},
    }  # fmt: skip
    for change, why in (
        ({}, "earlier contract"),
        ({"contract": lab.workspace.contract.sha256, "judge": "other"}, "another version of the judge"),
    ):
        lab.workspace.ledger.append("verdict", {**body, **change})
        with pytest.raises(Exception, match=why):
            lab.promote(solution)
    lab.workspace.ledger.append("verdict", {**body, "contract": lab.workspace.contract.sha256})
    assert lab.promote(solution)["vs_baseline"] == 2.0
    with pytest.raises(Exception, match="incumbent already"):
        lab.promote(solution)


@pytest.mark.parametrize(("failed", "stands"), [(["fresh-inputs"], True), (["hidden-workloads", "timer"], True), (["value-cache"], False)])
def test_verifying_until_it_passes_is_no_way_into_a_promotion(lab: Any, tmp_path: Path, failed: list[str], stands: bool) -> None:
    solution = lab.pack(write_candidate(tmp_path / "c"))["candidate"]
    path, digest = lab.workspace.keep_run("verdict", {"candidate": solution})
    body = {
        "candidate": solution, "verdict": "pass", "contract": lab.workspace.contract.sha256, "failed": [], "evidence": path,
        "evidence_sha256": digest, "judge": environment.judge_digest(), "backend": "cpu",
        "vs_baseline": {"value": 2.0, "low": 2.0, "high": 2.0},
    }  # fmt: skip
    lab.workspace.ledger.append("verdict", {**body, "verdict": "fail", "failed": failed})
    lab.workspace.ledger.append("verdict", body)
    if stands:
        with pytest.raises(Exception, match=f"failed {failed[0]} before .* change the sources"):
            lab.promote(solution)
    else:
        assert lab.promote(solution)["vs_baseline"] == 2.0


def test_an_unknown_definition_or_baseline_is_named(tmp_path: Path) -> None:
    from lab_parts import small_dataset

    from kernel_lab import Lab

    data, name, baseline = small_dataset(tmp_path / "data", "rmsnorm")
    with pytest.raises(NotFound, match="has no definition 'nothing'"):
        Lab.init(tmp_path / "a", data, "nothing", baseline, "cpu")
    with pytest.raises(NotFound, match="has no solution 'nobody'"):
        Lab.init(tmp_path / "a", data, name, "nobody", "cpu")
    assert not (tmp_path / "a").exists()
    Lab.init(tmp_path / "a", data, name, baseline, "cpu")
    with pytest.raises(BadInput, match="is a workspace already"):
        Lab.init(tmp_path / "a", data, name, baseline, "cpu")
