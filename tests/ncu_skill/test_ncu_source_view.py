"""Source view: every sample has a place, lines carry interval, producers and traffic, SASS carries its PTX, functions their heat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from ncu_skill import hotspots, open_report
from ncu_skill.cli import cli
from ncu_skill.samples import Samples
from ncu_skill.source_view import SourceView, short_name

Craft = Callable[[Path, Path, dict[str, str]], Path]


def view(path: Path, launch: int = 0, root: Path | None = None) -> SourceView:
    kernel = open_report(path).kernel(launch)
    return SourceView(kernel, Samples(kernel), source_root=root)


def test_every_sample_has_exactly_one_place(shared: Path, pair_set: Path) -> None:
    for path in [*sorted(shared.glob("*.ncu-rep")), pair_set / "python.ncu-rep"]:
        for kernel in open_report(path):
            found = SourceView(kernel, Samples(kernel)).placement
            assert found["attributed"] + found["in_cubin_without_source"] + found["out_of_cubin"] == found["total"]
            assert found["total"] == kernel.value("smsp__pcsamp_sample_count")


def test_samples_without_a_line_and_outside_of_the_code_are_counted_apart(shared: Path) -> None:
    found = view(shared / "tail.ncu-rep")
    code = sorted(found.samples.code)
    found.kernel.lines.pop(code[0])
    found.samples.__dict__["by_stall"] = {"wait": {code[0]: 5.0, code[1]: 7.0, 12345: 11.0}}
    assert found.placement == {"total": 23, "attributed": 7, "in_cubin_without_source": 5, "out_of_cubin": 11}
    assert 0 in {row["line"] for row in found.rows(5)}


def test_a_line_says_what_it_waits_for_and_what_it_moves_in_excess(shared: Path) -> None:
    row = hotspots(shared / "copy_strided.ncu-rep", limit=1)["lines"][0]
    assert (row["line"], row["stall"]) == (20, "long_scoreboard")
    assert row["share_low_pct"] < row["share_pct"] < row["share_high_pct"]
    assert row["producers"][0]["opcode"] == "LDG"
    assert row["excess_sectors"] == 117439488
    assert row["sectors"] == 134216704
    assert row["executed"] == 31457280


def test_the_lines_of_a_function_add_up(shared: Path) -> None:
    found = view(shared / "triton_softmax.ncu-rep")
    assert sum(heat.samples for heat in found.lines.values()) == found.samples.total
    executed = sum(heat.counts["executed"] for heat in found.lines.values())
    assert executed == sum(found.kernel.per_pc("inst_executed").values())


def test_inlined_functions_are_named_with_their_share(first_set: Path) -> None:
    launch = (first_set / "cases.txt").read_text(encoding="utf-8").split().index("starved")
    functions = hotspots(first_set / "cuda.ncu-rep", launch=launch)["functions"]
    names = {row["name"] for row in functions if row["inlined"]}
    assert "nvcuda::wmma::mma_sync" in names
    assert sum(row["share_pct"] for row in functions) == pytest.approx(100, abs=0.5)


def test_sass_stands_beside_the_ptx_that_it_was_made_from(shared: Path) -> None:
    rows = view(shared / "copy_vec4.ncu-rep").sass()
    by_opcode = {row["text"].split()[-4:][0] if row["text"].startswith("@") else row["text"].split()[0]: row["ptx"] for row in rows}
    loads = [row["ptx"] for row in rows if "LDG" in row["text"]]
    stores = [row["ptx"] for row in rows if "STG" in row["text"]]
    assert loads
    assert all("ld.global" in text and "v4" in text for text in loads)
    assert all("st.global" in text for text in stores)
    assert by_opcode
    assert [row["offset"] for row in rows] == list(range(0, 16 * len(rows), 16))


def test_source_is_taken_from_a_folder_when_the_report_has_none(first_set: Path, tmp_path: Path) -> None:
    launch = (first_set / "cases.txt").read_text(encoding="utf-8").split().index("aos")
    bare = view(first_set / "cuda.ncu-rep", launch)
    line = next(iter(bare.lines))
    assert bare.text(line) == ""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "kernels.cu").write_text("\n".join(f"row {number}" for number in range(1, 900)), encoding="utf-8")
    assert view(first_set / "cuda.ncu-rep", launch, tmp_path).text(line) == f"row {line[1]}"


def test_a_link_that_leads_out_of_the_source_folder_is_not_followed(first_set: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret\n" * 900, encoding="utf-8")
    root = tmp_path / "root"
    root.mkdir()
    (root / "kernels.cu").symlink_to(secret)
    launch = (first_set / "cases.txt").read_text(encoding="utf-8").split().index("aos")
    found = view(first_set / "cuda.ncu-rep", launch, root)
    assert found.text(next(iter(found.lines))) == ""


@pytest.mark.parametrize(
    ("mangled", "name"),
    [
        ("_ZN41_INTERNAL_0ac1e913_10_kernels_cu_03e364576nvcuda4wmma8mma_syncERNS1_8fragmentE", "nvcuda::wmma::mma_sync"),
        ("_Z3sinf", "sin"),
        ("_ZNK3foo3barEv", "foo::bar"),
        ("plain", "plain"),
        ("_Z", "_Z"),
        ("_ZN99x", "x"),
    ],
)
def test_mangled_names_are_shown_short(mangled: str, name: str) -> None:
    assert short_name(mangled) == name


def test_hostile_source_is_one_printable_line_in_the_terminal(shared: Path, tmp_path: Path, crafted: Craft) -> None:
    path = crafted(
        shared / "tail.ncu-rep", tmp_path / "h.ncu-rep", {"for(int i=0;i<iters;i++){": "\x1b]0;owned\x07\x1b[31m\r\r\r\x00\x9b"[:24]}
    )
    text = CliRunner().invoke(cli, ["hotspots", str(path), "--sass"]).output
    assert "owned" in text
    assert not any(char in text for char in "\x1b\x07\r\x00\x9b")


def test_counts_that_cannot_be_are_left_out(shared: Path) -> None:
    found = view(shared / "tail.ncu-rep")
    code = sorted(found.samples.code)
    found.samples.__dict__["by_stall"] = {"wait": {code[0]: float("nan"), code[1]: float("inf"), code[2]: -3.0, code[3]: 5.0}}
    assert found.placement["total"] == 5
    assert list(found.rows(3))
