"""A witness's file grows by whole lines, whatever happened to it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accredit.domain.tree_head import TreeHead
from accredit.wire.service_api.tree import read_head
from accredit.witness import NotTaken
from accredit.witnesses.file import TAIL_BYTES, WitnessFile

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def head(size: int) -> TreeHead:
    return TreeHead.sign(size, b"r" * 32, 1_800_000_000, KEY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "heads.jsonl"


async def test_a_line_a_head(path: Path) -> None:
    witness = WitnessFile(path)
    assert await witness.last() is None
    for size in (1, 5, 9):
        await witness.take(head(size))
        assert await witness.last() == head(size)
    assert [read_head(line).size for line in path.read_bytes().splitlines()] == [1, 5, 9]
    await witness.close()


async def test_a_line_that_was_cut_off_spoils_no_other(path: Path) -> None:
    witness = WitnessFile(path)
    await witness.take(head(1))
    with path.open("ab") as file:
        file.write(b'{"treeSize": 2, "root')
    assert await witness.last() == head(1)
    await witness.take(head(3))
    assert await witness.last() == head(3)
    assert read_head(path.read_bytes().splitlines()[-1]) == head(3)


async def test_it_is_found_again_at_the_end_of_a_large_file(path: Path) -> None:
    path.write_bytes(b"x" * TAIL_BYTES * 2 + b"\n")
    witness = WitnessFile(path)
    assert await witness.last() is None
    await witness.take(head(4))
    assert await witness.last() == head(4)


async def test_it_may_be_moved_away(path: Path) -> None:
    witness = WitnessFile(path)
    await witness.take(head(1))
    path.rename(path.with_suffix(".old"))
    await witness.take(head(2))
    assert read_head(path.read_bytes()).size == 2


async def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "heads"):
        witness = WitnessFile(path)
        with pytest.raises(NotTaken, match="can't be written"):
            await witness.take(head(1))
        with pytest.raises(OSError, match=r"directory"):
            witness.check()
    with pytest.raises(NotTaken, match="can't be read"):
        await WitnessFile(tmp_path).last()


async def test_a_full_disk_takes_no_head() -> None:
    with pytest.raises(NotTaken, match="can't be written"):
        await WitnessFile(Path("/dev/full")).take(head(1))


async def test_a_disk_that_lets_files_only_grow(path: Path) -> None:
    path.touch()
    if (
        os.geteuid() != 0
        or subprocess.run(["chattr", "+a", str(path)], capture_output=True, check=False).returncode
    ):
        pytest.skip("chattr +a needs root and a file system that has it")
    try:
        witness = WitnessFile(path)
        await witness.take(head(1))
        await witness.take(head(2))
        assert len(path.read_bytes().splitlines()) == 2
    finally:
        subprocess.run(["chattr", "-a", str(path)], check=True)
