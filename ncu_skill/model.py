"""Values of a report: metrics with unit and instances, source places, producer facts, and the three answers for a missing value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

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


@dataclass(frozen=True)
class Metric:
    """One metric of one launch. `value` reads 0 or None without an aggregate, as in the vendor's reader; `has_value` tells.

    `correlation_ids` key the instances: an absolute PC, a nanosecond timestamp, an opcode or an index.
    """

    name: str
    value: Value | None
    unit: str = ""
    instances: tuple[Value, ...] = ()
    correlation_ids: tuple[Value, ...] = ()
    has_value: bool = True


@dataclass(frozen=True)
class Answer:
    """A metric asked for: its value, or why there is none and what would collect it."""

    name: str
    state: State
    metric: Metric | None = None
    hint: str = ""


@dataclass(frozen=True)
class Place:
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


@dataclass(frozen=True)
class Device:
    """The GPU a launch ran on."""

    name: str
    compute_capability: str
    chip: str
    sm_count: int


@dataclass(frozen=True)
class Producer:
    """How the report was made: the facts that the vendor's reader hides. Host facts are empty unless asked for."""

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
    host: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One decoded SASS instruction. Registers are numbers (255 is RZ); barriers are scoreboard slots 0-5.

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
