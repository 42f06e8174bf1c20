"""Description of the machine on which figures were measured."""

from __future__ import annotations

import importlib.util
import os
import platform
from importlib.metadata import version
from pathlib import Path

from ratchet.files import sha256_json

RUNTIMES = ("numpy", "onnxruntime", "openvino", "tokenizers", "torch", "transformers")


def describe_machine(n_threads: int) -> dict[str, object]:
    """Processor, its vector units that matter to int8 and bf16, cores, threads used, memory, system.

    Figures are comparable where the `fingerprint`, a hash of all these, is the same.
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = set(str(fields.get("flags", "")).split())
    units = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")
    facts = {
        "cpu": str(fields.get("model name", platform.processor() or platform.machine())),
        "vector_units": [unit for unit in units if unit in flags],
        "n_cores": os.cpu_count() or 1,
        "n_threads": n_threads or os.cpu_count() or 1,
        "memory_gb": round(_memory_bytes() / 1e9),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    return {**facts, "fingerprint": sha256_json(facts)[:12]}


def versions() -> dict[str, object]:
    """The versions of the libraries that a bundle's latency depends on, those that are installed."""
    return {"versions": {name: version(name) for name in RUNTIMES if importlib.util.find_spec(name)}}


def _memory_bytes() -> int:
    import psutil

    return int(psutil.virtual_memory().total)
