"""Stall producers: from the instruction that waits back, through scoreboards and control flow, to the instruction it waits for."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from functools import cached_property

from ncu_skill.model import Instruction

MAX_VISITED = 4000
MAX_LOADS = 24
SELF_STALLS = frozenset({
    "lg_throttle", "mio_throttle", "tex_throttle", "math_pipe_throttle", "wait", "no_instruction", "imc_miss", "dispatch_stall",
    "selected", "not_selected", "branch_resolving", "sleeping", "misc", "drain", "membar",
})  # fmt: skip
LONG = frozenset({"load-global", "load-local", "load-texture", "atomic-global", "tensor-memory"})
SHORT = frozenset({"load-shared", "mufu", "convert", "shuffle", "atomic-shared", "load-constant", "store-shared"})
SHORT_LOADS = frozenset({"load-shared"})
RZ = 255
PT, PREDICATES = 7, 1000  # predicate n is register 1000 + n in the search for what an address depends on
MAX_CHAIN = 4
ASYNC = frozenset({"async-copy", "tma-load"})
_SLOTS = tuple(f"slot {slot}" for slot in range(8))
_INDEXED = frozenset({"BRX", "BRXU"})
_WRITES_NOTHING = ("store", "branch", "barrier", "exit")


class Flow:
    """Control flow of one function: who can run before an instruction."""

    def __init__(self, code: Sequence[Instruction]) -> None:
        self.code = code
        self.index = {instruction.pc: position for position, instruction in enumerate(code)}
        self._jumps: dict[int, list[int]] = defaultdict(list)
        self._chains: dict[int, int] = {}
        self._runs: list[int] = []
        for position, instruction in enumerate(code):
            if instruction.target in self.index and instruction.kind == "branch":
                self._jumps[self.index[instruction.target]].append(position)
        indexed = [position for position, instruction in enumerate(code) if instruction.opcode in _INDEXED]
        for position in range(1, len(code)) if indexed else ():  # code that nobody else leads to is a case of a switch
            if position not in self._jumps and self._ends(code[position - 1]):
                self._jumps[position] = indexed

    def before(self, position: int) -> Iterable[int]:
        if position and not self._ends(self.code[position - 1]):
            yield position - 1
        yield from self._jumps.get(position, ())

    @staticmethod
    def _ends(instruction: Instruction) -> bool:
        return not instruction.predicated and (instruction.kind in {"branch", "exit"} or instruction.opcode == "RET")

    def producers(self, pc: int, stall: str) -> list[Instruction]:
        """What the instruction at `pc` waits for, nearest first; empty when it waits for nothing but itself."""
        position = self.index.get(pc)
        if position is None or stall in SELF_STALLS:
            return []
        consumer = self.code[position]
        if stall == "barrier":
            return self._nearest(position, "barrier")
        if consumer.kind == "mbarrier":
            return [instruction for instruction in self.code if instruction.kind in ASYNC]
        if consumer.kind == "async-wait":
            return self._nearest(position, "copy")
        if stall in {"long_scoreboard", "wait"} and not consumer.waits_on:
            position = self._drained_before(position)
            if self.code[position].kind == "async-wait":
                return self._nearest(position, "copy")
        slots = set(consumer.waits_on)
        found = self._setters(position, slots)
        wanted = LONG if stall == "long_scoreboard" else SHORT if stall == "short_scoreboard" else None
        matching = [instruction for instruction in found if wanted is None or instruction.kind in wanted]
        return self._through(matching or found, wanted)

    def waiting_at(self, pc: int, stall: str) -> int:
        """The PC that really waits: the DEPBAR in front of a sampled instruction that waits for nothing itself."""
        position = self.index.get(pc)
        if position is None or stall != "long_scoreboard" or self.code[position].waits_on:
            return pc
        return self.code[self._drained_before(position)].pc

    def _drained_before(self, position: int) -> int:
        """Samples of DEPBAR land on the instruction behind it: the position of that DEPBAR, else the position itself."""
        for earlier in range(position - 1, max(-1, position - 4), -1):
            if self.code[earlier].opcode == "DEPBAR":
                return earlier
        return position

    def in_pointer_chase(self, pc: int) -> bool:
        """Whether the address of the load at `pc` depends, through loads, on the load's own result."""
        seen: set[int] = set()
        queue = deque([pc] if pc in self.index else [])
        while queue and len(seen) < MAX_LOADS:
            for load in self.loads_behind_address(queue.popleft()):
                if load.pc == pc:
                    return True
                if load.pc not in seen:
                    seen.add(load.pc)
                    queue.append(load.pc)
        return False

    def chain_length(self, pc: int) -> int:
        """Loads that have to finish one after the other before the load at `pc` has its address, itself included (at most MAX_CHAIN)."""
        if pc not in self._chains:
            earlier = sorted((load.pc for load in self.loads_behind_address(pc) if load.pc < pc), reverse=True)[:MAX_LOADS]
            longest = 0
            for load in earlier:
                if longest < MAX_CHAIN - 1:
                    longest = max(longest, self.chain_length(load))
            self._chains[pc] = min(MAX_CHAIN, 1 + longest)
        return self._chains[pc]

    def loads_behind_address(self, pc: int, hops: int = 16) -> list[Instruction]:
        """Loads whose result the address of the load at `pc` is computed from; the load itself is among them in a pointer chase."""
        start = self.index.get(pc)
        if start is None:
            return []
        found: list[Instruction] = []
        queue = deque([(start, self.code[start].address, 0)])
        seen: set[tuple[int, int]] = set()
        while queue and len(seen) < MAX_VISITED:
            position, register, depth = queue.popleft()
            if register == RZ or depth > hops or (position, register) in seen:
                continue
            seen.add((position, register))
            for maker in self._nearest(position, register):
                if maker.kind in LONG | SHORT_LOADS:
                    if maker not in found:
                        found.append(maker)
                    continue
                queue.extend((self.index[maker.pc], source, depth + 1) for source in (*maker.sources, *_predicates(maker)))
        return found

    def _through(self, found: list[Instruction], wanted: frozenset[str] | None) -> list[Instruction]:
        """A scoreboard wait may sit on LDGDEPBAR, which itself stands for the copies before it."""
        result: list[Instruction] = []
        for instruction in found:
            if instruction.kind == "async-wait":
                result.extend(self._nearest(self.index[instruction.pc], "copy"))
            else:
                result.append(instruction)
        return result

    def _setters(self, position: int, slots: set[int]) -> list[Instruction]:
        found: list[Instruction] = []
        for slot in sorted(slots):
            setters = self._nearest(position, f"slot {slot}")
            found.extend(instruction for instruction in setters if instruction not in found)
        return found

    def _nearest(self, position: int, mark: int | str) -> list[Instruction]:
        """On every path backwards the first instruction that carries the mark: a register it writes, a slot it holds, its class."""
        places = self._marks.get(mark, [])
        seen: set[int] = set()
        queue = deque(self.before(position))
        found: dict[int, None] = {}
        while places and queue and len(seen) < MAX_VISITED:
            end = queue.popleft()
            if end in seen:
                continue
            seen.add(end)
            start = self._runs[end]
            last = bisect_right(places, end) - 1
            if last >= 0 and places[last] >= start:
                found[places[last]] = None
            else:
                queue.extend(self.before(start))
        return [self.code[at] for at in found]

    @cached_property
    def _marks(self) -> dict[int | str, list[int]]:
        """Positions, in order, of every mark; and the start of the straight run that each position lies in."""
        found: dict[int | str, list[int]] = defaultdict(list)
        start = 0
        for position, instruction in enumerate(self.code):
            if position in self._jumps or (position and self._ends(self.code[position - 1])):
                start = position
            self._runs.append(start)
            for register in _written(instruction):
                found[register].append(position)
            sets, frees = instruction.sets_barrier, instruction.frees_barrier
            if sets is not None:
                found[_SLOTS[sets]].append(position)
            if frees is not None and frees != sets:
                found[_SLOTS[frees]].append(position)
            if instruction.kind == "barrier":
                found["barrier"].append(position)
            elif instruction.kind in ASYNC:
                found["copy"].append(position)
        return dict(found)


def _predicates(instruction: Instruction) -> tuple[int, ...]:
    """Predicates that the result depends on, as register numbers: the guard and the choice of a select."""
    return tuple(PREDICATES + number for number in (instruction.guard, instruction.picks_by) if number != PT)


def _written(instruction: Instruction) -> tuple[int, ...]:
    first = instruction.destination
    if instruction.sets_predicate != PT:
        return (first, PREDICATES + instruction.sets_predicate)
    if first == RZ or instruction.kind.startswith(_WRITES_NOTHING):
        return ()
    if instruction.width_bits <= 32:
        return (first,)
    return tuple(range(first, first + instruction.width_bits // 32))
