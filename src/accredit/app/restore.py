"""Put a backup back into an empty folder: everything is checked before anything is in its place.

What is restored is marked in the issuance log, so that whoever finds heads that no longer fit is told why; passwords
that are good once are void, since the backup may not know of their use. Nothing else needs a new generation: serial
numbers, generations and etags are drawn at random, the numbers of CRLs follow the clock.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from accredit.app import archive
from accredit.app.archive import BadArchive, Manifest
from accredit.app.backup import DATA, DATABASE, MASTER_KEYS
from accredit.app.data_folder import CannotStart, DataFolder
from accredit.config import Config, load
from accredit.domain.errors import Malformed
from accredit.domain.issuance_log import restoration_leaf
from accredit.interfaces import Clock
from accredit.seal import Sealer, SealError
from accredit.stores import copies, log_audit, schema
from accredit.stores.schema import DatabaseUnusable
from accredit.values import dataclass
from accredit.wire.service_api.tree import head_of


@dataclass(frozen=True, slots=True)
class Restored:
    """`needs` are sentences: what must still be done before a service can start."""

    manifest: Manifest
    needs: tuple[str, ...]


def check(path: Path) -> Manifest:
    """Do all but putting anything anywhere. Raises CannotStart where the backup can't be restored."""
    try:
        with tempfile.TemporaryDirectory(prefix=".accredit-check-", dir=path.absolute().parent) as folder:
            return _unpacked(path, Path(folder))[0]
    except OSError as error:
        raise CannotStart(f"{path} can't be unpacked beside itself ({error.strerror}).") from None


def restore(path: Path, flags: Mapping[str, Any], environment: Mapping[str, str], clock: Clock) -> Restored:
    """Put the backup into the data folder, which must be empty and nobody's. Raises CannotStart or BadSetting."""
    folder = DataFolder(load(flags, environment).data_dir)
    folder.make()
    folder.lock()
    try:
        folder.refuse_contents()
        # A restore that was broken off before it put anything in place has left only this.
        shutil.rmtree(folder.restoring, ignore_errors=True)
        return _restored(path, folder, flags, environment, clock)
    except OSError as error:
        raise CannotStart(f"{folder.path} can't be filled ({error}); make room there.") from None
    finally:
        folder.unlock()


def _restored(
    path: Path, folder: DataFolder, flags: Mapping[str, Any], environment: Mapping[str, str], clock: Clock
) -> Restored:
    staging = folder.restoring
    staging.mkdir(mode=0o700)
    try:
        manifest, manifest_sha256 = _unpacked(path, staging)
        config = load({**flags, "data_dir": staging / DATA}, environment)
        database = _place_of_the_database(config, folder.path)
        copies.mark_restored(staging / DATABASE, restoration_leaf(manifest_sha256, int(clock.now())))
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    # Broken off from here on, it stays: the folder is not whole, and a service must see that.
    _put_in_place(staging, folder.path, database)
    shutil.rmtree(staging)
    archive.sync_folder(folder.path)
    return Restored(manifest, _needs(config, folder.path, manifest))


def _unpacked(path: Path, to: Path) -> tuple[Manifest, bytes]:
    """The manifest, and its SHA-256, of a backup that is right in itself. Raises CannotStart."""
    try:
        manifest, manifest_sha256 = archive.unpack(path, to)
        schema.refuse_newer(f"The backup {path}", manifest.migrations)
        held = copies.contents(to / DATABASE)
        log_audit.audit(to / DATABASE)
        told = manifest.issuance_log.head
        kept = None if told is None else head_of(told)
    except (BadArchive, DatabaseUnusable) as error:
        raise CannotStart(str(error)) from None
    except Malformed as error:
        raise CannotStart(f"The manifest of {path}: {error.message}") from None
    if (held.head, held.leaves) != (kept, manifest.issuance_log.leaves):
        raise CannotStart(
            f"The issuance log in {path} is not the one that its manifest tells of; use another copy."
        )
    return manifest, manifest_sha256


def _place_of_the_database(config: Config, folder: Path) -> Path:
    place = config.database_path if config.values["database_url"] else folder / DATABASE
    if place.exists():
        raise CannotStart(f"There is a database at {place} already; move it away, or name another.")
    return place


def _put_in_place(staging: Path, folder: Path, database: Path) -> None:
    for number, key in enumerate(_carried_keys(staging), 1):
        _move(key, folder / _key_name(number))
    data = staging / DATA
    for source in sorted(data.iterdir()) if data.exists() else ():
        _move(source, folder / source.name)
    _move(staging / DATABASE, database)


def _carried_keys(staging: Path) -> list[Path]:
    keys = staging / MASTER_KEYS
    return sorted(keys.iterdir(), key=lambda path: int(path.name)) if keys.exists() else []


def _key_name(number: int) -> str:
    return "master.key" if number == 1 else f"master.key.{number}"


def _move(source: Path, to: Path) -> None:
    # To another file system it is a copy; all of it is on the disk before the folder counts as whole.
    shutil.move(source, to)
    for path in (to, *to.rglob("*")):
        with suppress(IsADirectoryError), path.open("rb") as file:
            os.fsync(file.fileno())
    archive.sync_folder(to.parent)


def _needs(config: Config, folder: Path, manifest: Manifest) -> tuple[str, ...]:
    return (*_keys_needed(config, folder, manifest), *_files_needed(config))


def _keys_needed(config: Config, folder: Path, manifest: Manifest) -> list[str]:
    explicit = "master_key_file" in config.explicit
    paths = config.master_key_paths if explicit else tuple(sorted(folder.glob("master.key*")))
    try:
        held = set(Sealer.load(*paths).key_ids) if paths else set()
    except SealError as error:
        return [str(error)]
    missing = [key_id for key_id in manifest.master_key_ids if key_id not in held]
    if missing:
        sentence = (
            f"Its secrets are sealed with the master key {', '.join(missing)}, which is not here: put it into "
            f"{folder / _key_name(1)} (mode 0600), or name its file with --master-key-file."
        )
        return [sentence]
    if not explicit and len(paths) > 1:
        return [f"It has several master keys: name them with --master-key-file {','.join(map(str, paths))}."]
    return []


def _files_needed(config: Config) -> list[str]:
    """What the settings name and no backup holds."""
    return [
        f"The setting {name} names {config.values[name]}, which is not here."
        for name in ("tls_certificate_file", "tls_key_file", "oidc_trust_file")
        if config.values[name] != Path() and not config.values[name].exists()
    ]
