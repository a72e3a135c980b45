"""The file that a backup is: a tar archive of plain files, the first a manifest, the last the SHA-256 of all before it.

Any tar and `sha256sum --check` can read one without us. Reading trusts nothing: names are ours or refused, and nothing
is used before all checksums are right. What the files mean is `backup.py`'s and `restore.py`'s.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from accredit.wire.service_api.tree import HeadDocument

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
FORMAT = "accredit-backup/1"

_MAX_TEXT_BYTES = 1 << 20
_PIECE_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,3}")

_SUM = re.compile(r"^([0-9a-f]{64})  (\S+)$", re.MULTILINE)


class BadArchive(Exception):
    """The file can't be written, or can't be used as a backup; one sentence for the operator."""


class LogState(msgspec.Struct, rename="camel"):
    """The issuance log as it was copied: its leaves, and its newest signed head as `accredit log head` prints it."""

    leaves: int
    head: HeadDocument | None = None


class Manifest(msgspec.Struct, rename="camel", kw_only=True):
    """What a backup says of itself; `master_key_ids` are those that its secrets are sealed with."""

    format: str
    made_at: str
    made_by: str
    migrations: list[str]
    master_key_ids: list[str]
    with_master_key: bool
    registrations: int
    certificates: int
    issuance_log: LogState


def write(path: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Make the archive: whole and on the disk under its name, or not there at all. Raises BadArchive.

    It is readable by its owner only, and takes the place of nothing.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                _fill(file, manifest, files)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.absolute().parent)
    except FileExistsError:
        raise BadArchive(f"{path} exists already; name a file that does not.") from None
    except OSError as error:
        raise BadArchive(
            f"The backup {path} can't be written ({error.strerror}); name a place with room that may be written."
        ) from None


def _fill(file: io.BufferedWriter, manifest: Manifest, files: Mapping[str, Path]) -> None:
    sums: list[str] = []
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        _add_text(archive, MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2), sums)
        for name, source in files.items():
            with source.open("rb") as content:
                counted = _Hashed(content)
                archive.addfile(_entry(name, os.fstat(content.fileno()).st_size), counted)
            sums.append(f"{counted.digest.hexdigest()}  {name}\n")
        _add_text(archive, SUMS, "".join(sums).encode(), [])


def _add_text(archive: tarfile.TarFile, name: str, content: bytes, sums: list[str]) -> None:
    archive.addfile(_entry(name, len(content)), io.BytesIO(content))
    sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self.digest.update(piece)
        return piece


def unpack(path: Path, to: Path) -> tuple[Manifest, bytes]:
    """Write the archive's files into the folder `to`, and return its manifest with the SHA-256 of that.

    Raises BadArchive; what was written until then is the caller's to remove.
    """
    try:
        with _reading(path) as archive:
            return _unpacked(path, archive, to)
    except (tarfile.TarError, EOFError) as error:
        raise BadArchive(f"{path} is not a whole backup: {error}.") from None
    except OSError as error:
        raise BadArchive(
            f"The backup {path} can't be unpacked ({error.strerror}); it needs as much room again as it has."
        ) from None


@contextmanager
def _reading(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        opened = path.open("rb")
    except OSError as error:
        raise BadArchive(
            f"{path} can't be read ({error.strerror}); name a file that `accredit backup` has written."
        ) from None
    with opened as file, tarfile.open(fileobj=file, mode="r:") as archive:
        yield archive


def _unpacked(path: Path, archive: tarfile.TarFile, to: Path) -> tuple[Manifest, bytes]:
    found: dict[str, str] = {}
    for entry in archive:
        if (
            not entry.isreg()
            or entry.issparse()
            or not _NAME.fullmatch(entry.name)
            or entry.name in found
            or SUMS in found
        ):
            raise BadArchive(f"{path} is not a backup: it holds {entry.name[:100]!r}.")
        found[entry.name] = _write_out(archive, entry, to / entry.name)
    if SUMS not in found or MANIFEST not in found:
        raise BadArchive(f"{path} is not a whole backup of accredit: it has no {SUMS} or no {MANIFEST}.")
    _check_sums(path, found, _text(to / SUMS))
    content = _text(to / MANIFEST)
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BadArchive(f"The manifest of {path} can't be read: {error}.") from None
    if manifest.format != FORMAT:
        raise BadArchive(
            f"{path} has the format {manifest.format[:40]!r}, and this version reads {FORMAT}: use the version that wrote it "
            f"({manifest.made_by[:40]})."
        )
    return manifest, hashlib.sha256(content).digest()


def _write_out(archive: tarfile.TarFile, entry: tarfile.TarInfo, to: Path) -> str:
    source = archive.extractfile(entry)
    assert source is not None
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while piece := source.read(_PIECE_BYTES):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _check_sums(path: Path, found: dict[str, str], sums: bytes) -> None:
    wanted = {name: digest for digest, name in _SUM.findall(sums.decode("ascii", "replace"))}
    there = {name: digest for name, digest in found.items() if name != SUMS}
    damaged = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    if damaged:
        raise BadArchive(
            f"{path} is damaged: {', '.join(damaged)[:200]} is not what was backed up; use another copy of it."
        )


def _text(path: Path) -> bytes:
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise BadArchive(f"{path.name} of the backup is larger than {_MAX_TEXT_BYTES} bytes.")
    return path.read_bytes()


def sync_folder(folder: Path) -> None:
    """Make what was put into or taken out of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
