"""The engine of AMQP, where it can be had: an extra, which is compiled when it is installed."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from support.programs import missing


def amqp_engine() -> Any:
    """The module; skips the test without it."""
    try:
        return import_module("accredit.fronts.amqp_engine")
    except ImportError:
        missing("accredit[amqp] is not installed: make install EXTRAS=amqp")


def without_amqp(folder: Path) -> dict[str, str]:
    """Variables with which a service finds no engine, as in an installation of the base: one that can't be imported stands for none."""
    return without(folder, "proton")


def without(folder: Path, module: str) -> dict[str, str]:
    """Variables with which another process does not find a module."""
    absent = folder / "absent" / module
    absent.mkdir(parents=True)
    (absent / "__init__.py").write_text(f"raise ImportError('No module named {module}')\n")
    path = os.pathsep.join(filter(None, (str(absent.parent), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path}
