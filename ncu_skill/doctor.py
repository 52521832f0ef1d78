"""Doctor: what of the machine the package needs, whether it is there, and what to install."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from pathlib import Path
from typing import Any

from ncu_skill.collect import PROBLEMS

PARAMETERS = Path("/proc/driver/nvidia/params")


def _package(name: str, use: str, required: bool) -> dict[str, Any]:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return {"name": name, "ok": False, "required": required, "detail": f"missing; {use}: pip install {name}"}
    return {"name": name, "ok": True, "required": required, "detail": version}


def _counters() -> dict[str, Any]:
    if not PARAMETERS.is_file():
        return {"name": "counters", "ok": False, "required": False, "detail": "no NVIDIA driver here; reports can be read, not collected"}
    restricted = "RmProfilingAdminOnly: 1" in PARAMETERS.read_text(encoding="utf-8", errors="replace")
    return {
        "name": "counters",
        "ok": not restricted,
        "required": False,
        "detail": PROBLEMS["ERR_NVGPUCTRPERM"] if restricted else "open to every user",
    }


def check() -> dict[str, Any]:
    """All checks; `ok` is False when a required one fails."""
    ncu = shutil.which("ncu")
    checks = [
        _package("ncu-report", "units and SASS text", required=False),
        _package("zstandard", "compressed reports (.ncu-repz)", required=False),
        {"name": "ncu", "ok": bool(ncu), "required": False, "detail": ncu or "not on PATH; needed to collect reports, not to read them"},
        _counters(),
        {
            "name": "name",
            "ok": importlib.util.find_spec("ncu_skill") is not None,
            "required": True,
            "detail": str(Path(__file__).parent.name),
        },
    ]
    return {"schema_version": 1, "ok": all(item["ok"] for item in checks if item["required"]), "checks": checks}
