"""Which pull request first used a name: the filter on names of added lines and the order of merges, against a scan of every record."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from kernelwiki import Wiki
from kernelwiki.errors import BadQuery
from kernelwiki.model import Evidence, Record
from kernelwiki.searching.uses import CodeName

NAMES = ["tcgen05.mma", "tcgen05.ld", "griddepcontrol.wait", "cp.reduce.async.bulk", "multimem.ld_reduce", "cute::TMA", "__syncthreads"]


def located(record: Record) -> list[str]:
    return [item.name for item in record.evidence if item.line is not None and item.kind not in ("family", "hunk")]


def in_order(records: list[Record]) -> list[tuple[str, str]]:
    return sorted((record.merged_at, record.id) for record in records)


def asked(wiki: Wiki, name: str) -> list[tuple[str, str]]:
    """Every pull request that the search gives, once checked to come in order of merge."""
    found = wiki.search("", uses=name, sort="oldest", limit=5000)
    assert [hit.merged_at for hit in found] == sorted(str(hit.merged_at) for hit in found)
    return sorted((str(hit.merged_at), hit.id) for hit in found)


def test_a_name_finds_every_pull_request_that_adds_it_and_no_other(shipped: Wiki, shipped_records: dict[str, Record]) -> None:
    users: dict[str, list[Record]] = {}
    for record in shipped_records.values():
        for name in set(located(record)):
            users.setdefault(name, []).append(record)
    words = sorted(name for name in users if any(map(str.isalnum, name)) and "*" not in name)
    for name in [*NAMES, *random.Random(7).sample(words, 15)]:
        meant = CodeName(name)
        expected = {record.id: record for other, records in users.items() if meant.matches(other) for record in records}
        assert asked(shipped, name) == in_order(list(expected.values())), name


def test_pages_of_hits_by_merge_have_no_gap(shipped: Wiki) -> None:
    for sort in ("oldest", "newest"):
        whole = [hit.id for hit in shipped.search("", uses="griddepcontrol.wait", sort=sort, limit=5000)]
        parts = [shipped.search("", uses="griddepcontrol.wait", sort=sort, limit=7, offset=start) for start in range(0, len(whole), 7)]
        assert [hit.id for part in parts for hit in part] == whole


def test_a_wildcard_finds_what_a_scan_finds(shipped: Wiki, shipped_records: dict[str, Record]) -> None:
    for name, expected in (
        ("tcgen05.*", lambda other: other.lower().startswith("tcgen05.")),
        ("*_sm103_*", lambda other: "_sm103_" in other.lower()),
        ("MBARRIER_*", lambda other: other.lower().startswith("mbarrier_")),
    ):
        found = [record for record in shipped_records.values() if any(map(expected, located(record)))]
        assert found and asked(shipped, name) == in_order(found)


def test_the_first_use_is_shown_with_its_line(shipped: Wiki) -> None:
    hit = shipped.search("", uses="tcgen05.mma", repo="sglang", arch="sm100", sort="oldest")[0]
    assert (hit.id, hit.match) == ("sglang#26626", "strong")
    assert hit.evidence[0].text == "tcgen05.mma" and hit.evidence[0].line
    newest = shipped.search("", uses="griddepcontrol.wait", sort="newest", limit=50)
    assert [hit.merged_at for hit in newest] == sorted((str(hit.merged_at) for hit in newest), reverse=True)
    assert all("griddepcontrol.wait" in str(hit.evidence[0].text).lower() for hit in newest)


def test_filters_hold_beside_the_name(shipped: Wiki) -> None:
    found = shipped.search("attention", uses="griddepcontrol.wait", repo="flashinfer", since="2025-06", limit=100)
    assert found and {hit.repo for hit in found} == {"flashinfer-ai/flashinfer"} and min(str(hit.merged_at) for hit in found) >= "2025-06"
    assert not shipped.search("", uses="tcgen05.mma", kind="page")


def test_sorting_by_merge_gives_pull_requests_that_are_no_weak_matches(shipped: Wiki) -> None:
    answer = shipped.answer("attention backward", sort="newest", limit=100)
    assert answer.hits and {hit.kind for hit in answer.hits} == {"pr"} and "weak" not in {hit.match for hit in answer.hits}
    times = [str(hit.merged_at) for hit in answer.hits]
    assert times == sorted(times, reverse=True)
    relevant = [hit for hit in shipped.search("attention backward", kind="pr", limit=300) if hit.match != "weak"]
    assert {hit.id for hit in answer.hits} >= {hit.id for hit in relevant} or answer.total > 100


def test_merges_of_one_day_are_put_in_order_by_their_time(small_corpus: Any, new_record: Callable[..., Record]) -> None:
    hours = {1: 9, 2: 23, 3: 4, 4: 15}
    records = [new_record("acme/kernels", number, "TMA load", merged_at=f"2025-03-15T{hour:02}:00:00Z") for number, hour in hours.items()]
    small_corpus.write(*records, new_record("acme/kernels", 5, "TMA load", merged_at="2025-03-14T23:59:59Z"))
    wiki = Wiki.open()
    assert [hit.number for hit in wiki.search("", uses="cp.async.bulk", sort="oldest")] == [5, 3, 1, 4, 2]
    assert [hit.number for hit in wiki.search("", uses="cp.async.bulk", sort="newest", limit=2, offset=1)] == [4, 1]
    assert [hit.number for hit in wiki.search("", uses="cp.async.bulk", sort="oldest", limit=2, offset=1)] == [3, 1]


def test_a_path_a_title_or_a_longer_word_is_no_use(small_corpus: Any, new_record: Callable[..., Record]) -> None:
    evidence = (Evidence("symbol", "tma_load_2d", "a.cu", 3), Evidence("symbol", "tma_load", "tma_load.cu"), Evidence("symbol", "tma_load"))
    small_corpus.write(new_record("acme/kernels", 1, "tma_load", evidence=evidence), new_record("acme/kernels", 2, "Another"))
    wiki = Wiki.open()
    assert not wiki.search("", uses="tma_load")
    assert [hit.number for hit in wiki.search("", uses="tma_load*")] == [1]


def test_a_name_that_nobody_uses_is_said_with_what_to_try(shipped: Wiki) -> None:
    answer = shipped.answer("", uses="no.such.instruction")
    assert answer.total == 0 and answer.query == "no.such.instruction"
    assert any("*no.such.instruction*" in note for note in answer.notes)


@pytest.mark.parametrize("name", ["***", "__", "x" * 300])
def test_what_is_no_name_is_refused(shipped: Wiki, name: str) -> None:
    with pytest.raises(BadQuery, match="--uses"):
        shipped.search("", uses=name)


@pytest.mark.parametrize("name", ["(a+)+$*", "[x]", 'a"b', "back\\slash", "emoji 🔥 1", "a*b*c*d*e*f*g*h", "\x00\x1b1"])
def test_a_hostile_name_is_text_and_not_a_pattern(shipped: Wiki, name: str) -> None:
    assert shipped.answer("", uses=name).total >= 0


def test_an_order_that_is_not_one_is_refused(shipped: Wiki) -> None:
    with pytest.raises(BadQuery, match="relevance, oldest, newest"):
        shipped.search("tma", sort="best")  # type: ignore[arg-type]


def test_the_command_takes_a_name_without_a_query(kwiki: Any) -> None:
    found = kwiki("search", "--uses", "tcgen05.mma", "--repo", "cutlass", "--sort", "oldest", "--json").json
    assert found["results"][0]["id"] == "cutlass#2881" and found["results"][0]["evidence"][0]["text"] == "tcgen05.mma"
    assert kwiki("search").code == 2 and "--uses" in kwiki("search").err
