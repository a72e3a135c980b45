"""What a run was measured on: without that no figure says anything."""

from __future__ import annotations

import os
import platform
import subprocess
import sysconfig
from pathlib import Path


def machine() -> dict[str, str]:
    """Processor, cores, versions, and the load of the last minute."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?"
    )  # fmt: skip
    openssl = subprocess.run(
        ["openssl", "version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return {
        "cpu": model,
        "cores": str(os.cpu_count()),
        "python": f"{platform.python_version()} ({_built()})",
        "openssl": openssl,
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _built() -> str:
    """A tenth to a fifth of what Python itself costs rests on how it was compiled."""
    asked = sysconfig.get_config_var("CONFIG_ARGS") or ""
    ways = [name for flag, name in (("enable-optimizations", "PGO"), ("with-lto", "LTO")) if flag in asked]
    return "compiled with " + " and ".join(ways) if ways else "compiled without PGO and LTO"
