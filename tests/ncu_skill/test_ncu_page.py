"""The report page: self-contained, deterministic, complete, inert against hostile strings; in a real browser with `./run browser`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from ncu_skill import open_report
from ncu_skill.cli import cli
from ncu_skill.diagnosis import playbook
from ncu_skill.errors import BadArgument
from ncu_skill.page import markup
from ncu_skill.page.facade import write_report
from ncu_skill.page.markdown import cell, code
from ncu_skill.roofs import roofs

Craft = Callable[[Path, Path, dict[str, str]], Path]
VOID = {"meta", "br", "hr", "link"}


class Page(HTMLParser):
    """What a browser would see: elements with attributes, ids, links, and whether tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for key, value in attrs:
            self.attributes.append((tag, key, value))
            if key == "id":
                self.ids.append(value or "")
            if key in {"href", "xlink:href"}:
                self.links.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def text(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(shared / "copy_strided.ncu-rep", tmp_path_factory.mktemp("page") / "page.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_but_itself(text: str) -> None:
    page = Page(text)
    assert page.open == []
    assert page.tags.keys().isdisjoint({"script", "iframe", "object", "embed", "img", "form", "link", "base"})
    assert not any(key.startswith("on") for _, key, _ in page.attributes)
    assert [link for link in page.links if not link.startswith("#")] == []
    assert any((value or "").startswith("default-src 'none'") for tag, key, value in page.attributes if (tag, key) == ("meta", "content"))
    assert not re.search(r"url\((?!#)", text)
    assert len(text.encode()) < 2_000_000


def test_every_link_leads_somewhere_and_no_id_stands_twice(text: str) -> None:
    page = Page(text)
    assert [name for name, count in Counter(page.ids).items() if count > 1] == []
    assert {link[1:] for link in page.links} <= set(page.ids)


def test_the_page_has_every_section_and_all_charts(text: str) -> None:
    page = Page(text)
    assert {"findings", "charts", "timeline", "source", "sass", "next"} <= set(page.ids)
    assert page.tags["svg"] == 5
    labels = [value for tag, key, value in page.attributes if tag == "svg" and key == "aria-label"]
    assert len(labels) == 5
    seen = "".join(page.text)
    for wanted in (
        "uncoalesced-global",
        "Wrong if",
        f"kwiki show {playbook()['uncoalesced-global'].fixes[0].wiki[0]}",
        "ncu-skill hotspots",
        "b[i]=a[i]*2.f",
        "LDG.E",
    ):
        assert wanted in seen
    assert "ld.global" in seen


def test_a_finding_links_to_its_source_line(text: str) -> None:
    target = re.search(r'<a href="#(f\d+l20)"><code>src/planted.cu:20</code></a>', text)
    assert target is not None
    row = re.search(rf'<tr id="{target[1]}"[^>]*>.*?</tr>', text, flags=re.S)
    assert row is not None
    assert "PLANT" in row[0]


def test_colours_follow_the_page_and_text_in_charts_is_text(text: str) -> None:
    charts = re.findall(r"<svg.*?</svg>", text, flags=re.S)
    assert all("var(--ink)" in chart and "<text" in chart for chart in charts)
    assert not any(re.search(r"(?:fill|stroke): #(?!fff)", chart) for chart in charts)


def test_the_same_report_gives_the_same_bytes(shared: Path, tmp_path: Path) -> None:
    pages = [write_report(shared / "tail.ncu-rep", tmp_path / f"{name}.html").read_bytes() for name in "ab"]
    assert pages[0] == pages[1]


def test_reports_with_little_in_them_still_give_a_page(first_set: Path, tmp_path: Path) -> None:
    for name in ("graph", "range"):
        seen = "".join(Page(write_report(first_set / f"{name}.ncu-rep", tmp_path / f"{name}.html").read_text(encoding="utf-8")).text)
        assert "no PM samples" in seen
        assert "Not collected" in seen
        assert "no code of this kernel" in seen


def test_a_report_of_many_kernels_lists_them(pair_set: Path, tmp_path: Path) -> None:
    path = write_report(pair_set / "again.ncu-rep", tmp_path / "x.html", launch=0)
    page = Page(path.read_text(encoding="utf-8"))
    assert "kernels" in page.ids
    assert path.stat().st_size < 2_000_000


HOSTILE = {
    "tail_fma(float *, int)": '"><svg onload=x()>\x1b[2\x07',
    "for(int i=0;i<iters;i++){": "</td><script>y()</script>",
    "planted.cu": "<b>ted.cu>",
}


def test_hostile_names_source_and_paths_stay_text(shared: Path, tmp_path: Path, crafted: Craft) -> None:
    path = crafted(shared / "tail.ncu-rep", tmp_path / "h.ncu-rep", HOSTILE)
    text = write_report(path, tmp_path / "h.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert page.tags.keys().isdisjoint({"script", "i", "b"})
    assert not any(key.startswith("on") for _, key, _ in page.attributes)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)
    seen = "".join(page.text)
    assert '"><svg onload=x()>\\x1b[2\\x07' in seen
    assert "<script>y()</script>" in seen


def test_hostile_strings_stay_inside_code_spans_in_markdown(shared: Path, tmp_path: Path, crafted: Craft) -> None:
    changes = {"tail_fma(float *, int)": "`<b>|[](javascript:1)\x1b", "for(int i=0;i<iters;i++){": "`|<script>y()</script>|`["}
    text = write_report(crafted(shared / "tail.ncu-rep", tmp_path / "h.ncu-rep", changes), tmp_path / "h.md").read_text(encoding="utf-8")
    outside = re.sub(r"`[^`\n]*`", "", text)
    assert "<b>" not in outside
    assert "<script" not in outside
    assert "javascript" not in outside
    assert "\x1b" not in text
    assert all(line.count("|") - line.count("\\|") == 6 for line in text.splitlines() if line.startswith("| ") and "planted.cu" in line)


def test_a_name_of_a_million_characters_does_not_swell_the_page(shared: Path, tmp_path: Path) -> None:
    report = open_report(shared / "tail.ncu-rep")
    report.kernel(0).name = "n<&" * 333_333
    path = write_report(report, tmp_path / "long.html")
    assert path.stat().st_size < 400_000
    assert write_report(report, tmp_path / "long.md").stat().st_size < 20_000


@pytest.mark.parametrize("name", ["x.pdf", "x"])
def test_another_ending_is_refused_and_nothing_is_written(shared: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadArgument, match=r"\.html or \.md"):
        write_report(shared / "tail.ncu-rep", tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_and_a_missing_report_are_told_apart(shared: Path, tmp_path: Path) -> None:
    report, nowhere = str(shared / "tail.ncu-rep"), tmp_path / "none"
    for words, expected in (
        (["report", report, "-o", str(nowhere / "a.html")], 2),
        (["timeline", report, "--plot", str(nowhere / "a.svg")], 2),
        (["report", str(nowhere / "a.ncu-rep"), "-o", str(tmp_path / "a.html")], 4),
        (["diff", report, str(nowhere / "a.ncu-rep")], 4),
        (["track", str(nowhere)], 3),
    ):
        done = subprocess.run([sys.executable, "-m", "ncu_skill.cli", *words], capture_output=True, check=False, encoding="utf-8")
        assert done.returncode == expected, (words, done.stderr)
        assert done.stderr.count("error: ") == 1
        assert "Traceback" not in done.stderr


def test_the_commands_write_their_files(shared: Path, tmp_path: Path) -> None:
    report = str(shared / "gemm_naive.ncu-rep")
    done = CliRunner().invoke(cli, ["report", report, "-o", str(tmp_path / "a.html")])
    assert done.exit_code == 0
    assert "wrote" in done.output
    hot = CliRunner().invoke(cli, ["hotspots", report, "--html", str(tmp_path / "b.html")])
    assert hot.exit_code == 0
    page = Page((tmp_path / "b.html").read_text(encoding="utf-8"))
    assert "source" in page.ids
    assert "findings" not in page.ids


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a<b>&'\"", "a&lt;b&gt;&amp;&#x27;&quot;"),
        ("\x1b[0m", "\\x1b[0m"),
        ("\u202eabc", "\\u202eabc"),
        ("a\tb", "a   b"),
        ("x" * 9, "xxxx…"),
    ],
)
def test_text_is_escaped_visible_and_cut(text: str, shown: str) -> None:
    assert markup.escape(text, 5 if text.startswith("xxx") else 100) == shown


def test_attributes_and_children_are_escaped_and_markup_is_not() -> None:
    made = markup.tag("p", "<b>", [markup.tag("i", "x"), None, 3], title='"><script>', hidden=True, class_=None)
    assert made == '<p title="&quot;&gt;&lt;script&gt;" hidden>&lt;b&gt;<i>x</i>3</p>'


def test_markdown_cells_hold_no_markup() -> None:
    assert cell("a|b<c>[d](e)*f*_g_`h`") == "a\\|b&lt;c>\\[d](e)\\*f\\*\\_g\\_'h'"
    assert code("a`b|c") == "`a'b\\|c`"
    assert code("  ") == ""


def test_roofs_are_those_of_the_chip_at_its_clock(shared: Path) -> None:
    found = roofs(open_report(shared / "gemm_naive.ncu-rep").kernel(0))
    assert found is not None
    assert 4.5e12 < found.bandwidth < 5.1e12
    point = found.points[0]
    assert point.precision == "FP32"
    assert 6.0e13 < point.peak < 7.0e13
    flop = 2 * 2048**3
    assert point.achieved == pytest.approx(flop / 3130528e-9, rel=0.02)
    assert roofs(open_report(shared / "tail.ncu-rep").kernel(0)) is not None
