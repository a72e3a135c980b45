"""The command `accredit`: exit code 0 ok, 1 refused or failed (one sentence on stderr), 2 wrong usage."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from accredit import __version__
from accredit.cli import (
    allowed,
    authorities,
    backups,
    ca_certificates,
    ceremony,
    certificate_profiles,
    certificates,
    demo,
    devices,
    doctor,
    enrollment_import,
    enrollments,
    explain,
    hub,
    issuance_log,
    keys,
    local,
    migration,
    policies,
    revocations,
    simulate,
    trust_bundles,
)
from accredit.cli.problem import Problem
from accredit.cli.serve import serve

app = typer.Typer(
    name="accredit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Identity for every device: device provisioning with any certificate authority, and an embedded hub.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def accredit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Identity for every device."""


app.command()(serve)
app.command()(demo.demo)
app.command()(simulate.simulate)
app.command()(local.info)
app.command("sas-token")(local.sas_token)
app.command()(explain.explain)
app.command()(backups.backup)
app.command()(backups.restore)
app.command()(migration.migrate)
app.add_typer(authorities.app, name="ca")
for act in (ceremony.init, ceremony.csr, ceremony.activate, ceremony.rotate, ceremony.revoke_issuer):
    authorities.app.command()(act)
authorities.app.command("revoke")(revocations.revoke_authority)
app.add_typer(enrollments.app, name="enroll")
enrollments.app.command("import")(enrollment_import.import_)
enrollments.app.command()(allowed.allow)
enrollments.app.command("allowed")(allowed.listing)
enrollments.app.command("revoke")(revocations.revoke_group)
app.add_typer(devices.app, name="device")
app.add_typer(revocations.app, name="revocation")
app.add_typer(doctor.app, name="doctor")
app.add_typer(certificates.app, name="cert")
app.add_typer(issuance_log.app, name="log")
app.add_typer(policies.app, name="policy")
app.add_typer(keys.app, name="key")
app.add_typer(ca_certificates.app, name="ca-certificate")
app.add_typer(certificate_profiles.app, name="profile")
app.add_typer(trust_bundles.app, name="trust-bundle")
app.add_typer(hub.app, name="hub")


def main() -> None:
    """Entry point of the console script."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except Problem as problem:
        print(problem, file=sys.stderr)
        raise SystemExit(problem.exit_code) from None
    except BrokenPipeError:
        # Who read our output has read enough; the interpreter would complain of it when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
