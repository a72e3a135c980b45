"""The engine of AMQP, where it can be had: an extra, which is compiled when it is installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from support.programs import missing


def amqp_engine() -> Any:
    """The module; skips the test without it."""
    try:
        return import_module("accredit.fronts.amqp_engine")
    except ImportError:
        missing("accredit[amqp] is not installed: make install EXTRAS=amqp")
