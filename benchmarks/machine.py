"""What a run was measured on: without that no figure says anything."""

from __future__ import annotations

import os
import subprocess
import sys
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
        "python": sys.version.replace("\n", ""),
        "openssl": openssl,
        "load": f"{os.getloadavg()[0]:.1f}",
    }
