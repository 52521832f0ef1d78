"""Snippets: every shipped CUDA unit compiles to the instructions it promises; one that does not is found; Python fences are Python."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kernelwiki.errors import MissingDependency
from kernelwiki.grounding import snippets
from kernelwiki.grounding.python_snippets import compile_python, listings
from kernelwiki.grounding.snippets import Snippet, build, check_compiled, check_form, find_tools, holds, snippets_of
from kernelwiki.home import corpus_folder
from kernelwiki.model import Page, Section, Source
from kernelwiki.reading.pages import read_pages

PAGES = read_pages(corpus_folder() / "pages")
KERNEL = """__global__ void copy(const float4* __restrict__ a, float4* b) {
  b[threadIdx.x] = a[threadIdx.x];
}
"""
needs_compiler = pytest.mark.skipif(not shutil.which("nvcc"), reason="nvcc is not on PATH")


def page(code: str = KERNEL, info: str = "arch=sm_90a expect=LDG.E.128", facts: tuple[str, ...] = ()) -> Page:
    """A page with one CUDA fence and a snippet source that names `facts`."""
    section = Section("code", "Code", f"```cuda {info}\n{code}```")
    source = Source("snip", "snippet", facts=facts)
    return Page("hardware/thing", "Thing", "hardware", ("sm90",), ("tma",), ("s",), (source,), "sourced", "compiled", (section,))


def messages(found: Page, cache: Path) -> str:
    return "\n".join(problem.message for problem in check_compiled([found], cache))


@needs_compiler
def test_every_shipped_unit_compiles_to_what_it_promises(pytestconfig: pytest.Config) -> None:
    cache = Path(pytestconfig.cache.mkdir("snippets"))
    assert check_compiled(PAGES, cache, python=listings(compile_python(PAGES, cache))) == []


def test_every_shipped_fence_is_well_formed() -> None:
    units = [unit for page in PAGES for unit in snippets_of(page)]
    assert sum(unit.language == "cuda" for unit in units) >= 12
    assert [problem for unit in units for problem in check_form(unit)] == []


def test_a_page_that_says_compiled_has_a_unit_and_one_without_says_none() -> None:
    for page in PAGES:
        assert (page.snippets != "none") == any(unit.is_unit for unit in snippets_of(page)), page.id


@needs_compiler
def test_a_unit_that_keeps_its_promise_is_no_problem(tmp_path: Path) -> None:
    assert messages(page(facts=("the load is LDG.E.128 in SASS",)), tmp_path) == ""
    assert messages(page(info="arch=sm_90a expect=LDG,ptx:ld.global.nc"), tmp_path) == ""
    assert messages(page(info="arch=sm_90a expect=LDG.E.128<STG.E.128,ptx:ld.global.nc<st.global"), tmp_path) == ""


@needs_compiler
@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (page(code="__global__ void f() { this is not code; }\n"), ["does not compile for sm_90a", "error"]),
        (page(info="arch=sm_90a expect=UTCHMMA"), ["UTCHMMA is not in its SASS"]),
        (page(info="arch=sm_90a expect=LDG.E.64"), ["LDG.E.64 is not in its SASS"]),
        (page(info="arch=sm_90a expect=ptx:tcgen05.mma"), ["tcgen05.mma is not in its PTX"]),
        (page(info="arch=sm_90a expect=STG<LDG"), ["in its SASS LDG does not stand behind every STG"]),
        (page(info="arch=sm_90a expect=LDG<BAR.SYNC"), ["BAR.SYNC is not in its SASS"]),
        (page(facts=("the load is LDG.E.128 and the copy UTMALDG",)), ["source snip names UTMALDG"]),
        (page(code='__global__ void f() { asm("tcgen05.fence::after_thread_sync;"); }\n'), ["does not compile for sm_90a"]),
    ],
)
def test_a_unit_that_does_not_compile_or_lacks_the_instruction_is_found(tmp_path: Path, broken: Page, words: list[str]) -> None:
    told = messages(broken, tmp_path)
    assert all(word in told for word in words), told


@needs_compiler
def test_the_same_text_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (unit,) = snippets_of(page())
    first = build(unit, find_tools(), tmp_path)
    monkeypatch.setattr(snippets, "_compile", lambda *_: pytest.fail("compiled again"))
    assert build(unit, find_tools(), tmp_path) == first
    with pytest.raises(pytest.fail.Exception):
        build(replace(unit, code=unit.code + "// other\n"), find_tools(), tmp_path)


def test_without_a_compiler_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependency, match="nvcc"):
        find_tools()


@pytest.mark.parametrize(
    ("language", "info", "code", "word"),
    [
        ("cuda", "expect=LDG", KERNEL, "target"),
        ("cuda", "arch=hopper expect=LDG", KERNEL, "target"),
        ("cuda", "arch=sm_90a", KERNEL, "expect"),
        ("python", "triton", "def f(:\n", "does not compile"),
        ("python", "arch=sm_90a call=f() expect=LDG", "", "names no language"),
        ("python", "triton call=f() expect=LDG", "", "names no target"),
        ("python", "triton arch=hopper call=f() expect=LDG", "", "names no target"),
        ("python", "triton arch=sm_90a,sm_100a call=f() expect=sm_90a:HGMMA", "", "compiles to for sm_100a"),
        ("python", "triton arch=sm_90a call=f() expect=LDG,sm_100a:UTCHMMA", "", "arch= does not name"),
        ("python", "triton arch=sm_90a expect=LDG", "", "says no call"),
        ("python", "triton arch=sm_90a call=() expect=LDG", "", "says no call"),
        ("python", "triton arch=sm_90a call=f(bf16[4] expect=LDG", "", "says no call"),
    ],
)
def test_a_fence_without_target_promise_or_syntax_is_found(language: str, info: str, code: str, word: str) -> None:
    (problem,) = check_form(Snippet("hardware/thing", 0, language, info, code))
    assert word in problem.message


@pytest.mark.parametrize(
    ("name", "listing", "found"),
    [
        ("UTCHMMA", " UTCHMMA.2CTA gdesc ;", True),
        ("LDG.E", " LDG.E.128 R4 ;", True),
        ("LDG.E.12", " LDG.E.128 R4 ;", False),
        ("TCHMMA", " UTCHMMA ;", False),
    ],
)
def test_an_instruction_is_found_whole_or_with_modifiers(name: str, listing: str, found: bool) -> None:
    assert holds(name, listing) is found
