"""Make a backup of a data folder, whether or not a service runs on it: one archive, checked before it is said to be there.

Telemetry is copied before the identity database: so every device whose messages are in a backup is in it as well.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from accredit import __version__
from accredit.app import archive
from accredit.app.archive import FORMAT, BadArchive, LogState, Manifest
from accredit.app.data_folder import CannotStart, DataFolder
from accredit.config import Config
from accredit.hub.segments import copied_segments
from accredit.interfaces import Clock
from accredit.seal import Sealer, SealError
from accredit.stores import copies
from accredit.stores.schema import DatabaseUnusable
from accredit.wire.instants import iso
from accredit.wire.service_api.tree import head_document

DATABASE = "accredit.db"
DATA = "data"
"""The archive's folder of what lies in the data folder as it is."""

MASTER_KEYS = "master-keys"


def back_up(config: Config, to: Path, clock: Clock, *, with_master_key: bool) -> Manifest:
    """Write the archive `to`; returns what it says of itself. Raises CannotStart, and leaves no part of it then."""
    folder = DataFolder(config.data_dir)
    if not config.database_path.exists():
        raise CannotStart(
            f"There is no database at {config.database_path}: name the folder of a service with --data-dir."
        )
    folder.refuse_half_restored()
    if to.exists():
        raise CannotStart(f"{to} exists already; name a file that does not.")
    try:
        # Beside the archive, because that is where room was made for it; mkdtemp's mode is 0700.
        staging = Path(tempfile.mkdtemp(prefix=".accredit-backup-", dir=to.absolute().parent))
    except OSError as error:
        raise CannotStart(
            f"Nothing can be written beside {to} ({error.strerror}); name another place."
        ) from None
    try:
        return _backed_up(config, folder, to, staging, clock, with_master_key=with_master_key)
    except (BadArchive, DatabaseUnusable, SealError) as error:
        raise CannotStart(str(error)) from None
    except OSError as error:
        raise CannotStart(
            f"The backup can't be made ({error}); it needs twice the room of the data while it is made."
        ) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _backed_up(
    config: Config, folder: DataFolder, to: Path, staging: Path, clock: Clock, *, with_master_key: bool
) -> Manifest:
    files: dict[str, Path] = {}
    if folder.telemetry_database.exists():
        # No service of this version has run here yet.
        copy = staging / folder.telemetry_database.name
        copies.copy(folder.telemetry_database, copy)
        files[f"{DATA}/{copy.name}"] = copy
    for copy in copied_segments(folder.telemetry, staging / folder.telemetry.name):
        files[f"{DATA}/{folder.telemetry.name}/{copy.name}"] = copy
    copies.copy(config.database_path, staging / DATABASE)
    files = {DATABASE: staging / DATABASE, **files}
    if folder.settings.exists():
        files[f"{DATA}/{folder.settings.name}"] = folder.settings
    held = copies.contents(staging / DATABASE)
    if with_master_key:
        _refuse_other_keys(config.master_key_paths, held.key_ids)
        files |= {f"{MASTER_KEYS}/{number}": path for number, path in enumerate(config.master_key_paths, 1)}
    manifest = Manifest(
        format=FORMAT,
        made_at=iso(clock.now()),
        made_by=f"accredit {__version__}",
        migrations=list(held.migrations),
        master_key_ids=list(held.key_ids),
        with_master_key=with_master_key,
        registrations=held.registrations,
        certificates=held.certificates,
        issuance_log=LogState(held.leaves, None if held.head is None else head_document(held.head)),
    )
    archive.write(to, manifest, files)
    return manifest


def _refuse_other_keys(paths: tuple[Path, ...], needed: tuple[str, ...]) -> None:
    """A backup that says that it carries its key must open with it."""
    missing = set(needed) - set(Sealer.load(*paths).key_ids)
    if missing:
        raise SealError(
            f"The master key files {', '.join(map(str, paths))} do not hold the key {', '.join(sorted(missing))} that the "
            "database is sealed with; name them all with --master-key-file."
        )
