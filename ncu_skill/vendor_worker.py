"""Vendor worker: the child process that holds NVIDIA's reader and answers one JSON line per JSON line."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

MAX_MEMORY_BYTES = 16 << 30


def open_actions(path: str) -> list[tuple[Any, Any]]:
    """Every (range, action) of the file; ranges are kept referenced because the library frees them otherwise."""
    import ncu_report

    with Path(path).open("rb") as file:
        packed = file.read(4) == b"\x28\xb5\x2f\xfd"
    wanted = ".ncu-repz" if packed else ".ncu-rep"
    link = None
    if not path.endswith(wanted):
        link = Path(tempfile.mkdtemp()) / f"report{wanted}"
        link.symlink_to(path)
        path = str(link)
    context = ncu_report.load_report(path)
    if link is not None:
        link.unlink()
        link.parent.rmdir()
    ranges = [context.range_by_idx(index) for index in range(context.num_ranges())]
    return [(context, (group, group.action_by_idx(index))) for group in ranges for index in range(group.num_actions())]


def nvtx(action: Any) -> list[str]:
    state = action.nvtx_state()
    if state is None:
        return []
    names: list[str] = []
    for domain_id in state.domains():
        domain = state.domain_by_id(domain_id)
        names.extend(domain.push_pop_ranges())
        names.extend(domain.start_end_ranges())
    return names


def answer(action: Any, request: dict[str, Any]) -> Any:
    """The answer to one request about one action."""
    kind = request["op"]
    if kind == "units":  # in the order of the library's own names: its unit() depends on which metric was asked before
        return {name: action.metric_by_name(name).unit() for name in action.metric_names()}
    if kind == "sass":
        return [action.sass_by_pc(pc) for pc in request["pcs"]]
    if kind == "sources":
        places = [action.source_info(pc) for pc in request["pcs"]]
        return [[place.file_name(), place.line()] if place is not None else None for place in places]
    return nvtx(action)


def main() -> None:
    """Serve until stdin ends. The library's own prints go to stderr so that stdout holds answers only."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    actions = open_actions(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "prepare":  # no answer is awaited: the library keeps what it disassembled
            if request["launch"] < len(actions):
                answer(actions[request["launch"]][1][1], {**request, "op": "sass"})
            continue
        if request["launch"] >= len(actions):
            reply = {"error": f"it sees {len(actions)} launches, not launch {request['launch']}"}
        else:
            reply = {"ok": answer(actions[request["launch"]][1][1], request)}
        out.write(json.dumps(reply) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
