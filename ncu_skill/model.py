"""Values of a report: metrics with unit and instances, source places, producer facts, and the three answers for a missing value."""

from __future__ import annotations

from typing import Literal, NamedTuple

Value = float | int | str
State = Literal["collected", "not-collected", "not-on-this-chip"]
Workload = Literal["kernel", "range", "cmdlist", "graph"]
Confidence = Literal["high", "medium", "low"]


LIBRARY_PATHS = (
    "/cuda/",
    "/cuda-",
    "/nvidia/",
    "/targets/x86_64-linux/",
    "/targets/sbsa-linux/",
    "/site-packages/",
    "/dist-packages/",
    "triton/language/",
)


class Metric(NamedTuple):
    """One metric of one launch. `value` reads 0 or None without an aggregate, as in the vendor's reader; `has_value` tells.

    `correlation_ids` key the instances: an absolute PC, a nanosecond timestamp, an opcode or an index.
    """

    name: str
    value: Value | None
    unit: str = ""
    instances: tuple[Value, ...] = ()
    correlation_ids: tuple[Value, ...] = ()
    has_value: bool = True


class Answer(NamedTuple):
    """A metric asked for: its value, or why there is none and what would collect it."""

    name: str
    state: State
    metric: Metric | None = None
    hint: str = ""


class Place(NamedTuple):
    """A source line; `caller` is the line that an inlined function was called from, `function` the mangled name of that function."""

    file: str
    line: int
    caller: Place | None = None
    function: str = ""

    @property
    def in_library(self) -> bool:
        """Whether the line lies in a header or module that comes with a toolkit, not in the user's own code."""
        return any(part in self.file for part in LIBRARY_PATHS)

    @property
    def own(self) -> Place:
        """The innermost line outside toolkits: where the user's code calls the inlined library function."""
        place = self
        while place.in_library and place.caller is not None:
            place = place.caller
        return self if place.in_library else place


class Device(NamedTuple):
    """The GPU a launch ran on."""

    name: str
    compute_capability: str
    chip: str
    sm_count: int


class Producer(NamedTuple):
    """How the report was made: the facts that the vendor's reader hides. Host facts are empty unless asked for."""

    host: dict[str, str]
    ncu_version: str = ""
    cuda_version: str = ""
    driver_version: str = ""
    created_unix: int = 0
    command_line: str = ""
    clock_control: str = ""
    cache_control: str = ""
    replay_mode: str = ""
    sets: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()


class Instruction(NamedTuple):
    """One decoded SASS instruction. Registers are numbers (255 is RZ); barriers are scoreboard slots 0-5.

    `offset` is that of a memory access in bytes; of DEPBAR it is how many later groups may still be in flight.
    Predicates are numbers (7 is PT): `guard` in front of the instruction, `picks_by` of a select, `sets_predicate` of a comparison.
    `sets_barrier` is freed when the result arrives, `frees_barrier` when the operands were read; `waits_on` must be free before it issues.
    """

    pc: int
    opcode: str
    kind: str = "other"
    destination: int = 255
    address: int = 255
    sources: tuple[int, ...] = ()
    offset: int = 0
    sets_barrier: int | None = None
    frees_barrier: int | None = None
    waits_on: tuple[int, ...] = ()
    width_bits: int = 0
    target: int | None = None
    predicated: bool = False
    guard: int = 7
    picks_by: int = 7
    sets_predicate: int = 7
