"""A service in this process, on ports of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from accredit.config import Config, load
from support.logs import capture_logs

Configured = Callable[..., Config]


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[Sequence[Mapping[str, Any]]]:
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    """Settings for a service in a folder of this test's: on free ports of 127.0.0.1, unless told otherwise."""

    def config(**flags: Any) -> Config:
        usual = {
            "data_dir": tmp_path / "data",
            "bind": ["127.0.0.1"],
            "https_port": 0,
            "mqtt_port": 0,
            "amqp_port": 0,
            "public_port": 0,
        }
        return load({**usual, **flags}, {})

    return config
