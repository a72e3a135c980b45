"""A backup's file: other tools read it, and whatever happened to it since is found before anything is used."""

from __future__ import annotations

import io
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from accredit.app import archive
from accredit.app.archive import FORMAT, BadArchive, LogState, Manifest

CONTENT = bytes(range(256)) * 40


def manifest(**facts) -> Manifest:
    usual = {
        "format": FORMAT, "made_at": "2026-01-01T00:00:00Z", "made_by": "accredit 0", "migrations": ["0001-identity"],
        "master_key_ids": ["aa"], "with_master_key": False, "registrations": 1, "certificates": 1,
        "issuance_log": LogState(1),
    }  # fmt: skip
    return Manifest(**usual | facts)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    (tmp_path / "source.db").write_bytes(CONTENT)
    return tmp_path / "source.db"


@pytest.fixture
def made(tmp_path: Path, database: Path) -> Path:
    archive.write(tmp_path / "b.tar", manifest(), {"accredit.db": database, "data/x": database})
    return tmp_path / "b.tar"


@pytest.fixture
def to(tmp_path: Path) -> Path:
    (tmp_path / "to").mkdir()
    return tmp_path / "to"


def test_what_goes_in_comes_out(made, to):
    told, digest = archive.unpack(made, to)
    assert (told, len(digest)) == (manifest(), 32)
    assert (to / "accredit.db").read_bytes() == (to / "data" / "x").read_bytes() == CONTENT


def test_it_is_its_owners_alone_and_nothing_is_left_beside_it(made, tmp_path):
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "source.db"]


def test_tar_and_sha256sum_read_it(made, to):
    subprocess.run(["tar", "-xf", made, "-C", to], check=True)
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=to, capture_output=True, text=True, check=True
    )
    assert checked.stdout.splitlines() == ["manifest.json: OK", "accredit.db: OK", "data/x: OK"]


def test_it_takes_the_place_of_nothing(made, database):
    before = made.read_bytes()
    with pytest.raises(BadArchive, match="exists already"):
        archive.write(made, manifest(), {"accredit.db": database})
    assert made.read_bytes() == before


def test_what_can_not_be_written_leaves_nothing(tmp_path, to):
    with pytest.raises(BadArchive, match="can't be written"):
        archive.write(to / "b.tar", manifest(), {"accredit.db": tmp_path / "none"})
    assert list(to.iterdir()) == []


def test_a_changed_byte_is_found(made, to):
    content = bytearray(made.read_bytes())
    content[content.index(CONTENT[:64]) + 3] ^= 1
    made.write_bytes(content)
    with pytest.raises(BadArchive, match=r"accredit\.db is not what was backed up"):
        archive.unpack(made, to)


@pytest.mark.parametrize("kept", [0, 100, 700, 5_000, 15_000, 22_000])
def test_a_part_of_one_is_none(made, to, kept):
    made.write_bytes(made.read_bytes()[:kept])
    with pytest.raises(BadArchive, match="whole"):
        archive.unpack(made, to)


def test_a_file_that_is_no_archive_is_none(made, to):
    made.write_bytes(b"no archive" * 1_000)
    with pytest.raises(BadArchive, match="not a whole backup"):
        archive.unpack(made, to)


def test_one_that_is_not_there_is_named(tmp_path, to):
    with pytest.raises(
        BadArchive, match=r"none\.tar can't be read \(No such file or directory\); name a file"
    ):
        archive.unpack(tmp_path / "none.tar", to)


def forged(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as made:
        for entry, content in entries:
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    made.linkname = "elsewhere"
    return made


@pytest.mark.parametrize(
    "odd",
    [
        entry("../up"),
        entry("/etc/passwd"),
        entry("data/../../up"),
        entry(".hidden"),
        entry("a/b/c/d/e"),
        entry("link", tarfile.SYMTYPE),
        entry("hard", tarfile.LNKTYPE),
        entry("pipe", tarfile.FIFOTYPE),
        entry("folder", tarfile.DIRTYPE),
    ],
    ids=lambda each: each.name,
)
def test_a_name_or_a_kind_of_file_that_no_backup_has_is_refused(tmp_path, to, odd):
    with pytest.raises(BadArchive, match="is not a backup: it holds"):
        archive.unpack(forged(tmp_path / "forged.tar", (odd, b"")), to)
    assert list(to.rglob("*")) == []
    assert not (tmp_path / "up").exists()


def test_the_same_name_twice_is_refused(tmp_path, to):
    twice = forged(tmp_path / "forged.tar", (entry("a"), b"1"), (entry("a"), b"2"))
    with pytest.raises(BadArchive, match="it holds 'a'"):
        archive.unpack(twice, to)


def test_what_stands_behind_the_checksums_is_refused(made, to):
    with tarfile.open(made, "a") as opened:
        opened.addfile(entry("late"), io.BytesIO())
    with pytest.raises(BadArchive, match="it holds 'late'"):
        archive.unpack(made, to)


def test_a_file_without_a_checksum_is_damage(tmp_path, to):
    bare = forged(tmp_path / "bare.tar", (entry("manifest.json"), b"{}"), (entry("SHA256SUMS"), b"nothing"))
    with pytest.raises(BadArchive, match=r"manifest\.json is not what was backed up"):
        archive.unpack(bare, to)


def test_another_format_is_named(tmp_path, database, to):
    archive.write(tmp_path / "later.tar", manifest(format="accredit-backup/2"), {"accredit.db": database})
    with pytest.raises(BadArchive, match="format 'accredit-backup/2'"):
        archive.unpack(tmp_path / "later.tar", to)


def test_a_manifest_that_is_none_is_named(tmp_path, to):
    from hashlib import sha256

    sums = f"{sha256(b'{}').hexdigest()}  manifest.json\n".encode()
    bare = forged(tmp_path / "bare.tar", (entry("manifest.json"), b"{}"), (entry("SHA256SUMS"), sums))
    with pytest.raises(BadArchive, match="manifest of .* can't be read"):
        archive.unpack(bare, to)
