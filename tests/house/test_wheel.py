"""The wheel holds all that the product needs to run, and nothing of its tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    pytest.importorskip("hatchling", reason="the build backend is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True, timeout=180,
    )  # fmt: skip
    (wheel,) = folder.glob("accredit-*.whl")
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_source_file_is_in_the_wheel(names: set[str]) -> None:
    sources = (
        path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    assert {path.relative_to(ROOT / "src").as_posix() for path in sources} - names == set()


def test_migrations_and_the_type_marker_are_in_the_wheel(names: set[str]) -> None:
    assert "accredit/py.typed" in names
    assert [
        name for name in names if name.startswith("accredit/stores/migrations/") and name.endswith(".sql")
    ]


def test_nothing_else_is_in_the_wheel(names: set[str]) -> None:
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"accredit"}
    assert [name for name in names if "test" in name.split("/")[-1].split("_")] == []
