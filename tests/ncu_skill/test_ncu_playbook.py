"""The playbook's words and pages exist, its expressions use facts that exist, and the names of metrics.yaml fit real reports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ncu_skill import analyses, expressions, grammar, names, open_report
from ncu_skill.analyses.launch import prepares
from ncu_skill.diagnosis import playbook
from ncu_skill.errors import NcuSkillError
from ncu_skill.facts import Facts, ask, catalog

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "corpus" / "pages"
CONTRACT = (
    "dram-bandwidth-bound", "l2-bandwidth-bound", "l1-bandwidth-bound", "uncoalesced-global",
    "narrow-memory-access", "shared-bank-conflict", "register-spill", "memory-latency", "atomic-contention",
    "async-copy-wait", "occupancy-registers", "occupancy-shared-memory", "occupancy-block-size", "small-grid",
    "launch-bound", "tail-effect", "load-imbalance", "thread-divergence", "barrier-stall", "sfu-bound",
    "fp64-bound", "integer-bound", "fma-bound", "tensor-core-unused", "tensor-core-starved", "tensor-bound",
    "legacy-tensor-path", "instruction-fetch", "wrong-kernel-profiled",
)  # fmt: skip


def test_every_finding_of_the_contract_is_in_the_playbook() -> None:
    assert set(CONTRACT) <= set(playbook())


def test_every_fix_names_wiki_pages_that_exist() -> None:
    named = {page for play in playbook().values() for fix in play.fixes for page in fix.wiki}
    assert all(fix.wiki for play in playbook().values() for fix in play.fixes)
    assert [page for page in sorted(named) if not (PAGES / f"{page}.md").is_file()] == []


def test_every_symptom_is_a_word_of_the_vocabulary() -> None:
    words: set[str] = set()
    for path in (ROOT / "corpus" / "vocabulary").glob("*.yaml"):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
            found = [entry["id"], entry["name"], *entry.get("aliases", []), *entry.get("identifiers", [])]
            words |= {str(word).lower() for word in found}
    unknown = {play.id: [word for word in play.symptoms if word.lower() not in words] for play in playbook().values()}
    assert {key: value for key, value in unknown.items() if value} == {}
    assert [play.id for play in playbook().values() if not play.symptoms and play.id != "wrong-kernel-profiled"] == []


def test_every_fact_of_an_expression_is_given_by_the_catalog_or_an_analysis(first_set: Path, pair_set: Path) -> None:
    given = set(catalog())
    for path in (first_set / "cuda.ncu-rep", pair_set / "python.ncu-rep", pair_set / "second.ncu-rep"):
        for launch, kernel in enumerate(open_report(path)):
            if launch % 6 == 0:
                given |= {key for key, _ in analyses.run(kernel)[0].items()}
    used = set()
    for play in playbook().values():
        for text in (*play.when, play.share, play.claim, play.level, play.otherwise, *play.keeps.values()):
            used |= set(expressions.names(text))
        used |= set(play.evidence) | set(play.needs) | set(play.keeps) | set(play.relieves)
    waits = {key for key in used if key.startswith(("wait_", "stall_", "mix_", "tensor_ops_"))}
    assert used - given - waits == set()


@pytest.mark.parametrize("text", ["__import__('os')", "a.b", "a[0]", "lambda: 1", "a if b else c", "f(1)", "'x'", "a == b"])
def test_an_expression_that_is_no_arithmetic_is_refused(text: str) -> None:
    with pytest.raises(NcuSkillError, match="not allowed"):
        grammar.compiled(text)


def test_missing_facts_and_divisions_by_zero_count_as_zero() -> None:
    facts = Facts()
    assert expressions.evaluate("missing / other + max(2, missing)", facts) == 2
    assert not expressions.holds("missing >= 1 and 1 > 0", facts)


def test_no_name_of_a_real_sm_90_report_is_said_not_to_exist_there(pair_set: Path) -> None:
    kernel = open_report(pair_set / "second.ncu-rep").kernel(0)
    assert [name for name in kernel.metric_names if names.exists_on(name, "sm_90") is False] == []
    known = [name for name in kernel.metric_names if names.find(name)]
    assert len(known) >= 0.75 * len(kernel.metric_names)


@pytest.mark.parametrize(
    ("name", "chip", "exists"),
    [
        ("sm__pipe_tc_cycles_active.avg.pct_of_peak_sustained_active", "sm_90", False),
        ("sm__pipe_tc_cycles_active.avg.pct_of_peak_sustained_active", "sm_100", True),
        ("smsp__pcsamp_warps_issue_stalled_gmma", "sm_100", False),
        ("FBSP.TriageCompute.dramc__read_throughput.avg.pct_of_peak_sustained_elapsed", "sm_90", True),
        ("pmsampling:dram__read_throughput.avg.pct_of_peak_sustained_elapsed", "sm_103", True),
        ("pmsampling:dramc__read_throughput.avg.pct_of_peak_sustained_elapsed", "sm_100", False),
        ("lts__t_sectors_srcunit_tex_aperture_peer.sum", "sm_103", False),
        ("gpu__time_duration.sum", "sm_120", True),
        ("sm__ops_path_tensor_src_int4.sum.per_second", "sm_89", True),
        ("sm__ops_path_tensor_src_int4.sum.per_second", "sm_90", False),
        ("smsp__sass_inst_executed_op_utcmma.sum", "sm_100", True),
        ("smsp__sass_inst_executed_op_tmem_ldt.sum", "sm_90", False),
        ("gr__workids_requested.sum", "sm_120", True),
        ("nothing__of.the.kind", "sm_90", None),
        ("gpu__time_duration.sum", "sm_35", None),
    ],
)
def test_names_are_known_per_chip_and_by_base_name(name: str, chip: str, exists: bool | None) -> None:
    assert names.exists_on(name, chip) is exists


def test_zero_not_collected_and_not_on_this_chip_are_three_answers(pair_set: Path) -> None:
    kernel = open_report(pair_set / "again.ncu-rep").kernel(0)
    zero = ask(kernel, "smsp__inst_executed_op_tma_ld.sum")
    assert (zero.state, zero.metric.value if zero.metric else None) == ("collected", 0)
    absent = ask(kernel, "sm__mem_tensor_bytes_allocated.sum")
    assert absent.state == "not-on-this-chip"
    assert "sm_100" in absent.hint
    kernel._metrics.pop("launch__registers_per_thread")
    kernel._sections = []
    missing = ask(kernel, "launch__registers_per_thread")
    assert missing.state == "not-collected"
    assert re.search(r"--section LaunchStats", missing.hint)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("init_kernel", True),
        ("fill_random(float *, int)", True),
        ("void ns::fill_kernel<float>(float *, float, int)", True),
        ("InitMatrix(float *)", True),
        ("setup_kernel(curandStateXORWOW *)", True),
        ("fill_f32", True),
        ("warm_up(float *)", True),
        ("void at::native::<unnamed>::distribution_elementwise_grid_stride_kernel<float, (int)4>(long)", True),
        ("softmax_init(float *)", False),
        ("random_walk(int *)", False),
        ("zero_copy(float *)", False),
        ("generate_kernel", False),
        ("initial_scan(int *)", False),
        ("matrix_kernel", False),
        ("", False),
    ],
)
def test_a_name_that_is_a_verb_of_making_data_and_words_for_data_tells_a_preparation(name: str, expected: bool) -> None:
    assert prepares(name) is expected
