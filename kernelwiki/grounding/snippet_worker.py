"""Snippet worker: a Python fence imported and compiled for one GPU without having it, in a process that its parent may kill.

Runs under whichever interpreter holds the fence's package (`kwiki check --snippets --python PATH`), so it imports nothing of ours.
Reads {language, code, call, arch} on stdin and writes what the compiler gave, or the error with its line, to the file it is given.
"""

from __future__ import annotations

import ast
import base64
import importlib.util
import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = {  # a type of `call=`: torch's name, CUTLASS's name
    "f64": ("float64", "Float64"), "f32": ("float32", "Float32"), "f16": ("float16", "Float16"), "bf16": ("bfloat16", "BFloat16"),
    "e4m3": ("float8_e4m3fn", "Float8E4M3FN"), "e5m2": ("float8_e5m2", "Float8E5M2"), "i64": ("int64", "Int64"),
    "i32": ("int32", "Int32"), "i8": ("int8", "Int8"), "u8": ("uint8", "Uint8"),
}  # fmt: skip
Tensor = Callable[[str, tuple[int, ...]], Any]


def main(result: Path) -> None:
    job = json.loads(sys.stdin.buffer.read())
    file = Path("fence.py").resolve()
    file.write_text(job["code"], encoding="utf-8")
    try:
        said = {"triton": _triton, "cutedsl": _cutedsl, "tilelang": _tilelang}[job["language"]](file, job["call"], job["arch"])
    except BaseException as error:  # whatever the fence or its compiler raises is the answer
        result.write_text(json.dumps({"error": f"{type(error).__name__}: {error}"[:2000], "line": line_of(error, file)}), encoding="utf-8")
        raise
    result.write_text(json.dumps(said), encoding="utf-8")


def load(file: Path) -> types.ModuleType:
    """The fence as a module; it has a file, because compilers of Python read its source."""
    spec = importlib.util.spec_from_file_location("fence", file)
    assert spec is not None and spec.loader is not None
    module = sys.modules["fence"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def calls_of(call: str, tensor: Tensor) -> list[tuple[str, list[Any], dict[str, Any]]]:
    """`rms_norm(bf16[300,4096],1e-6)`, or several with commas, as names and arguments: `type[shape]` is a tensor, the rest are literals."""

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            if node.value.id not in NAMES:
                raise ValueError(f"call={call}: {node.value.id} is no type. Valid: {', '.join(NAMES)}")
            shape = ast.literal_eval(node.slice)
            return tensor(node.value.id, shape if isinstance(shape, tuple) else (shape,))
        return ast.literal_eval(node)

    tree = ast.parse(call, mode="eval").body
    return [
        (node.func.id, [value(item) for item in node.args], {word.arg or "": value(word.value) for word in node.keywords})
        for node in (tree.elts if isinstance(tree, ast.Tuple) else [tree])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]


def line_of(error: BaseException, file: Path) -> int:
    """The line of the fence where it went wrong, 0 when no line of it is known."""
    found = 0
    seen: BaseException | None = error
    while seen is not None:
        trace = seen.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == str(file):
                found = trace.tb_lineno
            trace = trace.tb_next
        source, node = getattr(seen, "src", None), getattr(seen, "node", None)
        text = file.read_text(encoding="utf-8")
        if isinstance(source, str) and hasattr(node, "lineno") and source in text:  # Triton counts from the `def` of the kernel
            found = text[: text.index(source)].count("\n") + int(getattr(node, "lineno", 0))
        if isinstance(seen, SyntaxError) and seen.filename == str(file):
            found = seen.lineno or found
        seen = seen.__cause__
    return found


def _triton(file: Path, call: str, arch: str) -> dict[str, Any]:
    """Every launch of the call compiled instead of run: tensors have shapes and no data, the driver has a target and no device."""
    import torch
    import triton  # type: ignore[import-not-found, unused-ignore]

    found: list[Any] = []
    _compile_launches(triton, arch, found)
    module = load(file)

    def tensor(kind: str, shape: tuple[int, ...]) -> Any:
        return torch.empty(shape, dtype=getattr(torch, NAMES[kind][0]), device="meta")

    for name, arguments, words in calls_of(call, tensor):
        getattr(module, name)(*arguments, **words)
    if not found:
        raise ValueError(f"call={call} launches no kernel")
    return {
        "ptx": "\n".join(kernel.asm["ptx"] for kernel in found),
        "cubins": [base64.b64encode(kernel.asm["cubin"]).decode() for kernel in found],
    }


def _compile_launches(triton: Any, arch: str, found: list[Any]) -> None:
    from triton.backends.compiler import GPUTarget  # type: ignore[import-not-found, unused-ignore]
    from triton.runtime import driver  # type: ignore[import-not-found, unused-ignore]
    from triton.runtime.autotuner import Autotuner  # type: ignore[import-not-found, unused-ignore]
    from triton.runtime.jit import JITFunction  # type: ignore[import-not-found, unused-ignore]

    target = GPUTarget("cuda", int("".join(filter(str.isdigit, arch))), 32)

    class Driver:
        """The part of a Triton driver that compiling asks for."""

        def get_current_target(self) -> Any:
            return target

        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int = 0) -> int:
            return 0

        def get_device_capability(self, device: int = 0) -> tuple[int, int]:
            return int(target.arch) // 10, int(target.arch) % 10

    driver.set_active(Driver())
    launch = JITFunction.run

    def compile_launch(self: Any, *arguments: Any, grid: Any = None, warmup: bool = True, **options: Any) -> Any:
        found.append(launch(self, *arguments, grid=grid if grid is not None else (1,), warmup=True, **options))
        return found[-1]

    def first_config(self: Any, *arguments: Any, **options: Any) -> Any:
        return self.fn.run(*arguments, **{**self.configs[0].all_kwargs(), **options})

    JITFunction.run = compile_launch
    Autotuner.run = first_config


def _cutedsl(file: Path, call: str, arch: str) -> dict[str, Any]:
    """`cute.compile` with tensors that have a layout and no memory; CUTE_DSL_ARCH names the target."""
    os.environ.update(CUTE_DSL_ARCH=arch, CUTE_DSL_KEEP_PTX="1", CUTE_DSL_KEEP_CUBIN="1", CUTE_DSL_DUMP_DIR=str(Path.cwd()))
    import cutlass  # type: ignore[import-not-found, unused-ignore]
    from cutlass import cute
    from cutlass.cute.runtime import make_fake_compact_tensor  # type: ignore[import-not-found, unused-ignore]

    def tensor(kind: str, shape: tuple[int, ...]) -> Any:
        rows_first = tuple(reversed(range(len(shape))))
        return make_fake_compact_tensor(getattr(cutlass, NAMES[kind][1]), shape, stride_order=rows_first, assumed_align=16)

    module = load(file)
    made = [cute.compile(getattr(module, name), *arguments, **words) for name, arguments, words in calls_of(call, tensor)]
    return {
        "ptx": "\n".join(compiled.__ptx__ for compiled in made),
        "cubins": [base64.b64encode(compiled.__cubin__).decode() for compiled in made],
    }


def _tilelang(file: Path, call: str, arch: str) -> dict[str, Any]:
    """The CUDA C++ that TileLang lowers the function to, and where its headers are: nvcc compiles it afterwards."""
    import tilelang  # type: ignore[import-not-found, unused-ignore]
    from tilelang import tvm

    module = load(file)
    target = tvm.target.Target({"kind": "cuda", "arch": arch})
    sources = []
    for name, arguments, words in calls_of(call, lambda kind, shape: (NAMES[kind][0], shape)):
        made = getattr(module, name)
        function = (made.get_tir if hasattr(made, "get_tir") else made)(*arguments, **words)  # a function under tilelang.jit has get_tir
        with target:
            sources.append(tilelang.lower(function, target=target).kernel_source)
    root = Path(tilelang.__file__).parent
    return {"cuda": sources, "includes": [str(root / "src"), str(root / "3rdparty" / "cutlass" / "include")]}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
