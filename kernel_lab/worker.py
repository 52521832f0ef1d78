"""Worker: the candidate's own process. Loads one solution, then runs it on inputs that the judge lays into shared memory.

It holds no reference, no expected output and no verdict: it answers with raw bytes in shared memory and "done". Nothing it says is
believed where it would help the candidate. An exception of the candidate ends the process; the judge reads its last words from stderr.
Arguments: three descriptors: JSON lines of the control channel, shared memory, a built library (C++ and CUDA; -1 without one).
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import mmap
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONTROL, MEMORY, LIBRARY = (int(text) for text in sys.argv[1:4]) if __name__ == "__main__" else (3, 4, 5)
HERE = Path(__file__).parent


def _load_by_path(name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"_worker_{name}", HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    control = os.fdopen(CONTROL, "r+b", buffering=0)
    start = json.loads(_line(control))
    confine = _load_by_path("confine")
    if start["confine"]:
        level = confine.enter_namespaces(start["hide"], start["keep"], start["scratch_mib"], start["network"])
    else:
        confine.die_with_parent()
        level = "none"
    os.chdir("/tmp")
    import torch

    torch.set_num_threads(start["threads"])
    torch.set_grad_enabled(False)
    memory = mmap.mmap(MEMORY, start["memory_bytes"])
    worker = _Worker(torch, memory, start["device"])
    confine.limit(start["memory_gib"], start["cpu_s"])
    filtered = confine.filter_calls() if start["filter"] else False
    _send(control, {"ready": True, "level": level, "filtered": filtered})
    run = _load_solution(start)
    _send(control, {"loaded": True})
    worker.serve(control, run, start["passes_outputs"])


def _line(stream: Any) -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        block = stream.read(1 << 16)
        if not block:
            sys.exit(0)
        found += block
    return found


def _send(stream: Any, message: dict[str, Any]) -> None:
    stream.write(json.dumps(message).encode() + b"\n")


def _load_solution(start: dict[str, Any]) -> Callable[..., Any]:
    """Write the sources to the scratch folder and import the entry function as flashinfer-bench does: as a package."""
    package = "candidate_" + start["id"][:12]
    root = Path(start["scratch"]) / package
    for item in start["sources"]:
        path = root / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(item["content"], encoding="utf-8")
    if start["library"]:
        return _load_library(root, start["symbol"])
    module = types.ModuleType(package)
    module.__path__ = [str(root)]
    sys.modules[package] = module
    name = start["file"].removesuffix(".py").replace("/", ".")
    return getattr(importlib.import_module(f"{package}.{name}"), start["symbol"])  # type: ignore[no-any-return]


def _load_library(root: Path, symbol: str) -> Callable[..., Any]:
    root.mkdir(parents=True, exist_ok=True)
    path = root / "solution.so"
    with os.fdopen(LIBRARY, "rb") as stream:
        path.write_bytes(stream.read())
    import tvm_ffi  # type: ignore[import-not-found, unused-ignore]

    return getattr(tvm_ffi.load_module(str(path)), symbol)  # type: ignore[no-any-return]


class _Worker:
    """The tensors of the current workload and the calls on them."""

    def __init__(self, torch: Any, memory: mmap.mmap, device: str) -> None:
        # Bound before the candidate is imported: what it patches later is not what runs here.
        self._torch, self._memory, self._device = torch, memory, device
        self._frombuffer, self._tensor_type, self._copy = torch.frombuffer, torch.Tensor, torch.Tensor.copy_
        self._on_gpu = device != "cpu"
        if self._on_gpu:
            torch.cuda.init()
            self._synchronize, self._event = torch.cuda.synchronize, torch.cuda.Event
            self._flush = torch.empty(start_flush_bytes(torch), dtype=torch.uint8, device=device)
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._shared_in: list[Any] = []
        self._shared_out: list[Any] = []
        self._held: list[Any] = []
        self._last: list[Any] = []
        self._forms: list[Any] = []

    def serve(self, control: Any, run: Callable[..., Any], passes_outputs: bool) -> None:
        while True:
            message = json.loads(_line(control))
            answer = getattr(self, f"_on_{message['op']}")(message, run, passes_outputs)
            _send(control, {"seq": message["seq"], **answer})

    def _on_layout(self, message: dict[str, Any], *_: Any) -> dict[str, Any]:
        """Bind tensors of one workload to their places in shared memory."""
        self._shared_in = [self._view(item) for item in message["inputs"]]
        self._shared_out = [self._view(item) for item in message["outputs"]]
        if self._on_gpu:
            self._inputs = [item.to(self._device) if isinstance(item, self._tensor_type) else item for item in self._shared_in]
            self._outputs = [item.to(self._device) for item in self._shared_out]
        else:
            self._inputs, self._outputs = self._shared_in, self._shared_out
        self._held, self._last = [], []
        self._forms = self._form()
        return {}

    def _form(self) -> list[Any]:
        """Shape, strides and gradient flag of every tensor that the candidate is handed, so that it keeps nothing in them."""
        tensors = [item for item in [*self._inputs, *self._outputs] if isinstance(item, self._tensor_type)]
        return [(tuple(item.shape), item.stride(), item.requires_grad) for item in tensors]

    def _view(self, item: dict[str, Any]) -> Any:
        if "value" in item:
            return item["value"]
        dtype = getattr(self._torch, item["dtype"])
        count = 1
        for extent in item["shape"]:
            count *= extent
        if not count:
            return self._torch.empty(item["shape"], dtype=dtype)
        return self._frombuffer(self._memory, dtype=dtype, count=count, offset=item["offset"]).view(item["shape"])

    def _on_stage(self, *_: Any) -> dict[str, Any]:
        """GPU only: copy fresh inputs and poisoned outputs to the device, and push both out of the L2 cache."""
        for shared, device in zip([*self._shared_in, *self._shared_out], [*self._inputs, *self._outputs], strict=True):
            if isinstance(device, self._tensor_type):
                self._copy(device, shared)
        self._flush.zero_()
        self._synchronize()
        return {}

    def _on_call(self, message: dict[str, Any], run: Callable[..., Any], passes_outputs: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        if self._on_gpu:
            begin, end = self._event(enable_timing=True), self._event(enable_timing=True)
            self._flush.zero_()  # keeps the device busy while the launches are queued: the events then see the device, not Python
            begin.record()
        if passes_outputs:
            run(*self._inputs, *self._outputs)
        else:
            self._held, self._last = self._last, self._returned(run(*self._inputs))
        if self._on_gpu:
            end.record()
            self._synchronize()
            answer["event_ms"] = begin.elapsed_time(end)
        if not passes_outputs:
            answer.update(self._deliver(self._last))
        if self._form() != self._forms:
            answer["bent"] = True
        return answer

    def _on_batch(self, message: dict[str, Any], run: Callable[..., Any], passes_outputs: bool) -> dict[str, Any]:
        """GPU only: many calls back to back, so that the judge's wall clock bounds the time of one."""
        arguments = [*self._inputs, *self._outputs] if passes_outputs else self._inputs
        self._synchronize()
        begin, end = self._event(enable_timing=True), self._event(enable_timing=True)
        begin.record()
        for _ in range(message["calls"]):
            run(*arguments)
        end.record()
        self._synchronize()
        return {"event_ms": begin.elapsed_time(end)}

    def _on_kernels(self, message: dict[str, Any], run: Callable[..., Any], passes_outputs: bool) -> dict[str, Any]:
        """GPU only: names and time of the kernels of one call, from CUPTI through torch's profiler."""
        from torch.profiler import ProfilerActivity, profile

        arguments = [*self._inputs, *self._outputs] if passes_outputs else self._inputs
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            run(*arguments)
            self._synchronize()
        rows = [(event.key, event.device_time_total) for event in found.key_averages() if event.device_time_total]
        return {"kernels": [{"name": str(name)[:200], "us": float(time)} for name, time in rows][:64]}

    def _on_fetch(self, *_: Any) -> dict[str, Any]:
        """GPU only: copy the outputs, and the inputs, back for the judge to look at."""
        outputs = self._outputs if not self._last else []
        for shared, device in zip([*self._shared_in, *(self._shared_out if outputs else [])], [*self._inputs, *outputs], strict=True):
            if isinstance(device, self._tensor_type):
                self._copy(shared, device)
        return {}

    def _on_again(self, *_: Any) -> dict[str, Any]:
        """The outputs of the call before the last, as they are now."""
        return self._deliver(self._held)

    def _returned(self, value: Any) -> list[Any]:
        return list(value) if isinstance(value, tuple | list) else [value]

    def _deliver(self, values: list[Any]) -> dict[str, Any]:
        """Copy returned values into the shared outputs; what has another form is told, not copied."""
        told = {"outputs": [self._describe(value) for value in values]}
        if len(values) == len(self._shared_out):
            for value, place in zip(values, self._shared_out, strict=True):
                if isinstance(value, int | float | bool) and not place.shape:
                    place.fill_(value)
                elif isinstance(value, self._tensor_type) and value.shape == place.shape and value.dtype == place.dtype:
                    self._copy(place, value)
        return told

    def _describe(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, self._tensor_type):
            return {"type": type(value).__name__, "plain": type(value) in (int, float, bool)}
        storage = value.untyped_storage().data_ptr() if type(value) is self._tensor_type else 0
        ours = [item.untyped_storage().data_ptr() for item in [*self._inputs, *self._outputs] if isinstance(item, self._tensor_type)]
        return {
            "type": type(value).__name__, "plain": type(value) is self._tensor_type,
            "shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch."),
            "overlaps": bool(storage and storage in ours), "device": value.device.type,
        }  # fmt: skip


def start_flush_bytes(torch: Any) -> int:
    """Bytes of a buffer that fills the L2 cache four times."""
    return int(max(64 << 20, 4 * torch.cuda.get_device_properties(0).L2_cache_size))


if __name__ == "__main__":
    main()
