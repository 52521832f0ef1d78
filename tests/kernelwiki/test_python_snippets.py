"""Python snippets: a fence compiles without a GPU to what it promises, in a process with an end; what cannot be compiled is named.

The tests that need Triton run in `./run lab`; the others everywhere.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kernelwiki.errors import BadQuery
from kernelwiki.grounding import python_snippets
from kernelwiki.grounding.check import check_pages
from kernelwiki.grounding.python_snippets import Interpreter, Outcome, compile_python, compile_unit, listings, probe
from kernelwiki.grounding.snippets import Snippet, bare_python, check_compiled, check_form, find_cuobjdump, snippets_of
from kernelwiki.home import corpus_folder
from kernelwiki.model import Page, Section, Source
from kernelwiki.reading.pages import read_pages

ROOT = Path(__file__).parents[2]
CASES = ROOT / "benchmarks" / "snippets" / "python_cases.py"
CORPUS = corpus_folder()
PAGES = read_pages(CORPUS / "pages")
UNITS = [unit for page in PAGES for unit in snippets_of(page) if unit.dialect]
COPY = """import triton
import triton.language as tl


@triton.jit
def copy_kernel(a, b, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(b + at, tl.load(a + at, mask=at < n), mask=at < n)


def copy(a, b):
    copy_kernel[(triton.cdiv(a.numel(), 1024),)](a, b, a.numel(), 1024)
"""


def installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


needs_triton = pytest.mark.skipif(
    not installed("triton") or not installed("torch"), reason="triton or torch is not here (./run lab has them)"
)


def fence(
    code: str = COPY, info: str = "triton arch=sm_90a call=copy(f32[4096],f32[4096]) expect=LDG.E.128,ptx:ld.global.v4.b32"
) -> Snippet:
    return Snippet("language/thing", 0, "python", info, code)


def page(unit: Snippet, facts: tuple[str, ...] = ()) -> Page:
    section = Section("code", "Code", f"```python {unit.info}\n{unit.code}```")
    source = Source("snip", "snippet", facts=facts)
    return Page("language/thing", "Thing", "language", ("sm90",), ("triton",), ("s",), (source,), "sourced", "compiled", (section,))


def outcome(unit: Snippet, cache: Path) -> Outcome:
    return compile_unit(unit, [probe(sys.executable)], cache)


def told(unit: Snippet, cache: Path) -> str:
    return "\n".join(problem.message for problem in outcome(unit, cache).problems)


def cases() -> ModuleType:
    spec = importlib.util.spec_from_file_location("python_cases", CASES)
    assert spec is not None and spec.loader is not None
    module = sys.modules["python_cases"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unit_of(case: Any) -> Snippet:
    """The shipped fence that a case runs."""
    return next(unit for unit in UNITS if (unit.page, unit.dialect, name_of(unit)) == (case.page, case.dialect, case.name))


def name_of(unit: Snippet) -> str:
    return unit.settings.get("call", "").split("(")[0]


# --- everywhere


def test_every_shipped_python_fence_names_targets_and_what_it_compiles_to() -> None:
    assert {unit.dialect for unit in UNITS if unit.archs} == {"triton", "cutedsl", "tilelang"}
    assert [problem for unit in UNITS for problem in check_form(unit)] == []


def test_a_missing_package_is_named_and_is_no_silent_pass(tmp_path: Path) -> None:
    for unit, package in (
        (fence(), "triton and torch are"),
        (fence(info="cutedsl arch=sm_90a call=f() expect=LDG"), "nvidia-cutlass-dsl is"),
        (fence(info="tilelang arch=sm_90a call=f() expect=LDG"), "tilelang is"),
    ):
        found = compile_unit(unit, [Interpreter("python3", {})], tmp_path)
        assert found.done.startswith(f"not compiled: {package} not installed") and "--python PATH" in found.done
        assert found.problems == () and found.sass is None
    only = compile_unit(fence(), [Interpreter("python3", {"triton": "3.7.1"})], tmp_path)
    assert only.done.startswith("not compiled: torch is not installed")


def test_the_command_says_what_was_not_compiled(small_corpus) -> None:
    code = "```python tilelang arch=sm_90a call=f() expect=LDG\ndef f():\n    pass\n```\n"
    small_corpus.page.write_text(re.sub(r"```cuda.*?^```\n", code, small_corpus.page.read_text(), flags=re.S | re.M))
    if installed("tilelang"):
        pytest.skip("tilelang is installed here")
    done = small_corpus.run("check", "--snippets", "hardware/tma")
    assert done.code == 0 and "hardware/tma-0 (tilelang): not compiled: tilelang is not installed" in done.out
    answer = small_corpus.run("check", "--snippets", "--json", "hardware/tma").json
    assert answer["ok"] and "byte-compiled only" in answer["python_snippets"][0]


def test_a_path_that_is_no_python_is_a_usage_error(small_corpus, tmp_path: Path) -> None:
    small_corpus.edit(small_corpus.page, "```cuda arch=sm_90a expect=UTMALDG", "```python triton arch=sm_90a call=f() expect=LDG")
    small_corpus.edit(small_corpus.page, "int copy() { return 1; }", "f = 1")
    done = small_corpus.run("check", "--snippets", "--python", str(tmp_path / "gone"), "hardware/tma")
    assert done.code == 2 and "no Python interpreter that starts" in done.err
    with pytest.raises(BadQuery):
        probe(shutil.which("true") or "true")


def test_opcodes_of_a_page_whose_python_was_not_compiled_are_not_judged(tmp_path: Path) -> None:
    unit = fence()
    facts = page(unit, ("the load is LDG.E.128 and the copy UTMALDG",))
    skipped = listings([compile_unit(unit, [Interpreter("python3", {})], tmp_path)])
    assert skipped == {"language/thing": None} and check_compiled([facts], tmp_path, python=skipped) == []
    (problem,) = check_compiled([facts], tmp_path, python=listings([Outcome(unit, "", (), " LDG.E.128 R0 ;")]))
    assert "names UTMALDG" in problem.message


def test_what_is_promised_for_one_target_is_asked_of_that_one_only() -> None:
    unit = fence(info="triton arch=sm_90a,sm_100a call=f() expect=LDG,sm_90a:ptx:wgmma.mma_async,sm_100a:UTCHMMA")
    assert unit.expected_for("sm_90a") == ("LDG", "ptx:wgmma.mma_async")
    assert unit.expected_for("sm_100a") == ("LDG", "UTCHMMA")


def test_the_digest_of_python_keeps_indentation_and_integer_division_and_drops_comments() -> None:
    code = "for i in range(4 // 2):  # twice\n    print('# kept')\n\n# all of it\nprint(i)\n"
    assert bare_python(code) == "for i in range(4 // 2):\n    print('# kept')\nprint(i)"
    assert fence(code).digest == fence(code.replace("  # twice", "")).digest
    assert fence(code).digest != fence(code.replace("\nprint(i)", "\n    print(i)")).digest
    assert fence(code).digest != fence(code.replace("4 // 2", "4 // 1")).digest
    assert bare_python("def f(:\n'") == "def f(:\n'"


def test_every_python_fence_for_sm_90a_has_a_case_that_runs_it_and_every_case_a_fence() -> None:
    runs = {f"{unit.page}:{unit.dialect}:{name_of(unit)}" for unit in UNITS if unit.runs_on_hopper}
    assert runs == {case.key for case in cases().CASES}


def test_a_page_says_ran_only_when_each_of_its_python_fences_for_sm_90a_ran(small_corpus) -> None:
    first, second = "f = 1\n", "g = 1\n"
    info = "triton arch=sm_90a call=f() expect=LDG"
    fences = f"```python {info}\n{first}```\n\n```python {info}\n{second}```\n"
    text = re.sub(r"```cuda.*?^```\n", fences, small_corpus.page.read_text(), flags=re.S | re.M)
    small_corpus.page.write_text(text.replace("snippets: compiled", "snippets: ran"))
    runs = small_corpus.folder.parent / "benchmarks" / "snippets" / "h200.yaml"
    runs.parent.mkdir(parents=True)

    def problems(*codes: str) -> list[str]:
        rows = "".join(f"    - {{page: hardware/tma, sha256: '{fence(code, info).digest}'}}\n" for code in codes)
        runs.write_text(f"runs: {{}}\npython:\n  runs:\n{rows}" if rows else "runs: {}\n", encoding="utf-8")
        return [problem.message for problem in check_pages(small_corpus.places, ["hardware/tma"]) if problem.rule == "snippet"]

    assert "no run is recorded" in problems()[0]
    assert "has changed since" in problems(first)[0]
    assert "has changed since" in problems(first, second, "h = 1\n")[0]
    assert problems(first, second) == []


def test_a_recorded_run_writes_its_part_of_the_record_and_marks_the_pages(tmp_path: Path) -> None:
    shutil.copytree(CASES.parent, tmp_path / "benchmarks" / "snippets", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(CORPUS / "pages", tmp_path / "corpus" / "pages")
    record, results = tmp_path / "benchmarks" / "snippets" / "h200.yaml", []
    before = record.read_text(encoding="utf-8").partition("python:\n")[0]
    wrong = "language/tilelang"
    for case in cases().CASES:
        unit = unit_of(case)
        folder = case.folder(tmp_path / "ran")
        folder.mkdir(parents=True)
        (folder / "fence.py").write_text(unit.code, encoding="utf-8")
        (folder / "case.json").write_text(json.dumps({"compiler": "" if unit.dialect == "triton" else "compiler 1.2"}), encoding="utf-8")
        results.append({"case": case.key, "ok": case.page != wrong, "worst": 1e-4, "limit": case.limit})
    head = {"gpu": "NVIDIA H200", "driver": "1", "date": "2026-01-01", "torch": "2.11.0", "triton": "3.6.0"}
    (tmp_path / "ran" / "python.json").write_text(json.dumps({**head, "results": results}), encoding="utf-8")
    command = [sys.executable, str(tmp_path / "benchmarks" / "snippets" / CASES.name), "record", str(tmp_path / "ran")]
    for _ in range(2):  # a second record replaces the first
        subprocess.run(command, check=True, capture_output=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)})
    text = record.read_text(encoding="utf-8")
    assert text.partition("python:\n")[0].count("sha256") == before.count("sha256") > 50 and text.count("python:\n") == 1
    assert f"page: {wrong}," not in text and text.count('compiler: "triton 3.6.0"') == sum(
        case.dialect == "triton" for case in cases().CASES
    )
    marked = {page.id: page.snippets for page in read_pages(tmp_path / "corpus" / "pages")}
    assert marked[wrong] == "compiled"
    assert all(marked[case.page] == "ran" for case in cases().CASES if case.page != wrong)
    assert sum(mark == "ran" for mark in marked.values()) > 50, "the pages whose CUDA code ran still say so"


def ended(pid: str) -> bool:
    """Whether a process is gone, or dead and only not yet collected."""
    try:
        return (Path("/proc") / pid / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_compiler_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_snippets, "SECONDS", 2)
    note, hangs = tmp_path / "pid", tmp_path / "python"
    hangs.write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {note}\nwait\n", encoding="utf-8")
    hangs.chmod(0o755)
    (problem,) = compile_unit(fence(), [Interpreter(str(hangs), {"triton": "1", "torch": "1"})], tmp_path).problems
    assert "no end after 2 s" in problem.message
    pid, end = note.read_text().strip(), time.monotonic() + 60  # a killed process dies when the machine gets to it
    while not ended(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert ended(pid)


# --- where Triton is


@needs_triton
def test_every_shipped_triton_fence_compiles_to_what_it_promises(pytestconfig: pytest.Config) -> None:
    found = compile_python(PAGES, Path(pytestconfig.cache.mkdir("python-snippets")), workers=1)
    made = [item for item in found if item.unit.dialect == "triton"]
    assert len(made) >= 3 and [problem for item in made for problem in item.problems] == []
    wanted = "to PTX and SASS" if find_cuobjdump() else "to PTX"
    assert all(item.done.count(wanted) == len(item.unit.archs) and "triton" in item.done for item in made)
    assert (
        check_compiled(
            [page for page in PAGES if page.kind == "language"], Path(pytestconfig.cache.mkdir("snippets")), python=listings(found)
        )
        == []
    )


@needs_triton
@pytest.mark.parametrize("case", [case.key for case in cases().CASES if case.dialect == "triton"])
def test_a_shipped_triton_fence_computes_what_torch_computes(case: str, tmp_path: Path) -> None:
    """Under Triton's interpreter on the CPU, whose bf16 rounds towards zero: twice the error of the GPU."""
    chosen = next(item for item in cases().CASES if item.key == case)
    folder = chosen.folder(tmp_path)
    folder.mkdir(parents=True)
    unit = unit_of(chosen)
    (folder / "fence.py").write_text(unit.code, encoding="utf-8")
    command = [sys.executable, str(CASES), "one", str(tmp_path), "--case", case]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env={**os.environ, "TRITON_INTERPRET": "1"})
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) <= 2 * chosen.limit


@needs_triton
def test_a_fence_that_keeps_its_promise_is_no_problem_and_says_what_was_done(tmp_path: Path) -> None:
    found = outcome(fence(), tmp_path)
    assert found.problems == ()
    assert found.done.startswith("sm_90a to PTX") and f"triton {version('triton')}" in found.done


@needs_triton
@pytest.mark.parametrize(
    ("unit", "words"),
    [
        (
            fence(COPY.replace("mask=at < n), mask", "mask=at < nothing), mask")),
            ["fence 0, line 8", "does not compile for sm_90a", "nothing"],
        ),
        (fence(COPY.replace("import triton\n", "import triton\nimport no_such_package\n")), ["line 2", "no_such_package"]),
        (fence(COPY.replace("b, a.numel(), 1024)", "b, a.numel())")), ["line 12", "BLOCK"]),
        (fence(COPY.replace("copy_kernel[", "print or copy_kernel[")), ["launches no kernel"]),
        (fence(info="triton arch=sm_90a call=copy(f32[4096],f32[4096]) expect=ptx:tcgen05.mma"), ["tcgen05.mma is not in its PTX"]),
        (fence(info="triton arch=sm_90a call=copy(f9[4096],f32[4096]) expect=LDG"), ["f9 is no type", "bf16"]),
        (fence(info="triton arch=sm_100f call=copy(f32[4096],f32[4096]) expect=LDG"), ["its PTX is not for sm_100f"]),
        (fence("import os\nos._exit(3)\n"), ["ended with exit code 3"]),
    ],
    ids=["name", "import", "argument", "no-launch", "instruction", "type", "target", "exit"],
)
def test_a_fence_that_does_not_compile_or_lacks_the_instruction_is_found_with_line_and_reason(
    unit: Snippet, words: list[str], tmp_path: Path
) -> None:
    found = told(unit, tmp_path)
    assert all(word in found for word in words), found


@needs_triton
def test_a_fence_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_snippets, "SECONDS", 20)
    assert "no end after 20 s" in told(fence("while True:\n    pass\n"), tmp_path)


@needs_triton
def test_a_fence_sees_no_environment_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KWIKI_TEST_TOKEN", "secret")
    code = "import os\nraise ValueError(sorted(os.environ))\n"
    found = told(fence(code), tmp_path)
    assert "HOME" in found and "TOKEN" not in found


@needs_triton
def test_the_same_fence_is_compiled_once_and_a_failure_of_time_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = outcome(fence(), tmp_path)
    monkeypatch.setattr(python_snippets, "_compile", lambda *_: python_snippets.Target(error="no end after 1 s: it hangs"))
    assert outcome(fence(), tmp_path) == first
    other = fence(COPY + "# other\n")
    assert "no end" in told(other, tmp_path)
    monkeypatch.undo()
    assert told(other, tmp_path) == ""


@needs_triton
def test_the_command_compiles_with_the_interpreter_that_it_is_given(small_corpus) -> None:
    code = f"```python triton arch=sm_90a call=copy(f32[4096],f32[4096]) expect=ptx:tcgen05.mma\n{COPY}```\n"
    small_corpus.page.write_text(re.sub(r"```cuda.*?^```\n", code, small_corpus.page.read_text(), flags=re.S | re.M))
    done = small_corpus.run("check", "--snippets", "--python", os.path.relpath(sys.executable), "hardware/tma")
    assert done.code == 1 and "hardware/tma-0 (triton): sm_90a to PTX" in done.out and "tcgen05.mma is not in its PTX" in done.out
