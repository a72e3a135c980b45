"""`accredit backup` and `accredit restore`: the state of this machine's service in one file, and back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accredit.app.data_folder import CannotStart
from accredit.cli.local import DataDir
from accredit.cli.problem import Problem
from accredit.config import BadSetting, load

if TYPE_CHECKING:
    from accredit.app.archive import Manifest

Archive = Annotated[Path, typer.Argument(help="The file of the backup.", show_default=False)]
MasterKey = Annotated[
    str | None, typer.Option("--master-key-file", help="The master key; several files, separated by commas.")
]


def backup(
    archive: Archive,
    data_dir: DataDir = None,
    *,
    with_master_key: Annotated[
        bool,
        typer.Option(
            "--with-master-key", help="Put the master key in too: whoever has the file has every secret."
        ),
    ] = False,
    master_key: MasterKey = None,
) -> None:
    """Write identities, certificates, the issuance log, telemetry and accredit.toml into one file, also while the service runs."""
    from accredit.app import backup as making  # noqa: PLC0415 - what `serve` does not need, it need not load
    from accredit.app.world import SystemClock  # noqa: PLC0415 - the same

    flags = {"data_dir": data_dir, "master_key_file": master_key}
    try:
        config = load(flags, os.environ)
        manifest = making.back_up(config, archive, SystemClock(), with_master_key=with_master_key)
    except (CannotStart, BadSetting) as error:
        raise Problem(str(error)) from None
    print(f"{archive}: {_told(manifest)}")
    if with_master_key:
        typer.echo(
            f"The master key is in {archive}: whoever has this file has every secret of the service.",
            err=True,
        )
        return
    print(f"To be of use it needs the master key {', '.join(manifest.master_key_ids)}, which is not in it.")


def restore(
    archive: Archive,
    data_dir: DataDir = None,
    *,
    master_key: MasterKey = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only look whether the backup is whole; nothing is restored.")
    ] = False,
) -> None:
    """Put a backup into an empty data folder, after everything in it was checked."""
    from accredit.app import restore as putting_back  # noqa: PLC0415 - what `serve` does not need, it need not load
    from accredit.app.world import SystemClock  # noqa: PLC0415 - the same

    flags: dict[str, Any] = {"data_dir": data_dir, "master_key_file": master_key}
    try:
        if check:
            print(f"{archive} is whole: {_told(putting_back.check(archive))}")
            return
        restored = putting_back.restore(archive, flags, os.environ, SystemClock())
        folder = load(flags, os.environ).data_dir
    except (CannotStart, BadSetting) as error:
        raise Problem(str(error)) from None
    print(f"{folder} is restored: {_told(restored.manifest)}")
    print(
        "What was issued, changed or revoked after that is not known here: revoke again what was revoked since."
    )
    for need in restored.needs:
        print(need)


def _told(manifest: Manifest) -> str:
    log = manifest.issuance_log
    return (
        f"made {manifest.made_at[:19]}Z by {manifest.made_by}, {manifest.registrations} registrations, "
        f"{manifest.certificates} certificates, an issuance log of {log.leaves} leaves."
    )
