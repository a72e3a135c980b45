"""The pages of the docs, and a folder that looks to their commands like a clone of the project."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.needs_amqp import without_amqp
from support.running_service import clean_environment, loopback_address
from support.walked_page import Walk

ROOT = Path(__file__).parents[2]


@pytest.fixture
def docs() -> Path:
    return ROOT / "docs"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the Makefile, and with this environment as its installed `.venv`."""
    folder = tmp_path / "accredit"
    (folder / ".venv").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements"):
        (folder / name).symlink_to(ROOT / name)
    for entry in Path(sys.prefix).iterdir():
        if entry.suffix != ".stamp":
            (folder / ".venv" / entry.name).symlink_to(entry)
    for stamp in ("base", "demo", "dev"):
        (folder / ".venv" / f"{stamp}.stamp").touch()
    return folder


@pytest.fixture
def walk(clone: Path, tmp_path: Path) -> Callable[..., object]:
    """`with walk(variant=..., environment=...) as walker: walker.page(text)`, on a loopback address of its own.

    The pages are walked as after `make install`, which installs no extra.
    """
    base = without_amqp(tmp_path)

    @contextmanager
    def begin(variant: str = "", environment: dict[str, str] | None = None) -> Iterator[Walk]:
        for program in ("bash", "make", "curl", "openssl"):
            if shutil.which(program) is None:
                pytest.skip(f"the program {program} is not installed")
        host = loopback_address()
        settings = {"ACCREDIT_HOST": host, "ACCREDIT_BIND": host} | base
        places = {host: "localhost", str(clone): "/home/you/accredit"}
        with Walk(clone, clean_environment() | settings | (environment or {}), places, variant) as walker:
            yield walker

    return begin
