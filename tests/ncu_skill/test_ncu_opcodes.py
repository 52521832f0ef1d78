"""The opcode decoder against nvdisasm on compiled code of several chips, and the control flow around indexed branches."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ncu_skill.cubin import Cubin
from ncu_skill.model import Instruction
from ncu_skill.trace import Flow

SOURCE = Path(__file__).with_name("opcodes.cu")
LINE = re.compile(r"\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)")


@pytest.fixture(scope="module")
def nvdisasm() -> str:
    found = shutil.which("nvdisasm") or next(map(str, Path(sys.prefix).glob("lib/python*/site-packages/nvidia/*/bin/nvdisasm")), None)
    if found is None or shutil.which("nvcc") is None:
        pytest.skip("nvcc or nvdisasm is not here")
    return found


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a", "sm_100a", "sm_120a"])
def test_every_opcode_that_the_compiler_emits_is_decoded_as_nvdisasm_names_it(nvdisasm: str, arch: str, tmp_path: Path) -> None:
    path = tmp_path / "opcodes.cubin"
    command = ["nvcc", "-w", "-std=c++17", "-Xptxas", "-O1", f"-arch={arch}", "-cubin", "-o", str(path), str(SOURCE)]
    subprocess.run(command, check=True, capture_output=True)
    text = subprocess.run([nvdisasm, str(path)], check=True, capture_output=True, encoding="utf-8").stdout
    cubin, wrong, compared = Cubin(path.read_bytes()), set(), 0
    for part in text.split(".section\t.text.")[1:]:
        decoded = {instruction.pc: instruction.opcode for instruction in cubin.instructions(re.split(r"[,\s]", part, maxsplit=1)[0], 0)}
        for found in LINE.finditer(part.split(".section\t", 1)[0]):
            compared += 1
            if decoded.get(int(found[1], 16)) != found[2]:
                wrong.add((found[2], decoded.get(int(found[1], 16))))
    assert wrong == set()
    assert compared > 2000


def test_cases_of_a_switch_are_reached_from_its_indexed_branch() -> None:
    code = [
        Instruction(0, "LDG", "load-global", destination=4, width_bits=32, sets_barrier=0),
        Instruction(16, "BRX", "branch"),
        Instruction(32, "FADD", "fma", destination=5, waits_on=(0,)),
        Instruction(48, "EXIT", "exit"),
        Instruction(64, "FMUL", "fma", destination=5, waits_on=(0,)),
        Instruction(80, "EXIT", "exit"),
    ]
    flow = Flow(code)
    assert [item.opcode for item in flow.producers(32, "long_scoreboard")] == ["LDG"]
    assert [item.opcode for item in flow.producers(64, "long_scoreboard")] == ["LDG"]
