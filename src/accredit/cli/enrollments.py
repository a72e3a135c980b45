"""`accredit enroll`: who may register, alone or as a group."""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path
from typing import Annotated, Any

import typer

from accredit.cli import endorsements, render
from accredit.cli.connection import resource, selection
from accredit.cli.endorsements import Endorsement
from accredit.cli.local import DataDir, Json, Remote, Trust, Where, client
from accredit.cli.problem import Problem, WrongUsage
from accredit.domain.secret import Secret
from accredit.policy.symmetric_keys import derive

app = typer.Typer(no_args_is_help=True, help="Enrollments and enrollment groups.")

Id = Annotated[str, typer.Argument(help="The registration id, or with --group the group's id.")]
Group = Annotated[bool, typer.Option("--group", help="An enrollment group, not an individual enrollment.")]
Ca = Annotated[str | None, typer.Option("--ca", help="Issue client certificates from this authority.")]
CertificateProfile = Annotated[
    str | None, typer.Option("--profile", help="What the certificates look like, with --ca.")
]
References = Annotated[
    list[str] | None,
    typer.Option(
        "--ca-certificate",
        help="Attest by X.509 below this uploaded CA certificate; a second one is its successor.",
    ),
]
Bundle = Annotated[
    str | None,
    typer.Option("--trust-bundle", help="Tell the devices to trust the certificates of this bundle."),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        help="Attest by X.509: the device's certificate, or for a group the one that signs them.",
    ),
]
EndorsementKey = Annotated[
    str | None,
    typer.Option(
        "--endorsement-key",
        help="Attest by TPM: its endorsement key, TPM2B_PUBLIC in a file or as base64.",
    ),
]
EkCertificate = Annotated[
    Path | None,
    typer.Option("--ek-certificate", help="Attest by TPM: the certificate of its endorsement key."),
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Replace an enrollment of this id; keys that are not named stay.")
]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path} can't be read as PEM: {error}.") from None


def _attestation(certificate: Path | None, references: list[str] | None, member: str) -> dict[str, Any]:
    if references:
        if certificate is not None or len(references) > 2:
            raise Problem("Give --certificate, or --ca-certificate once or twice.")
        named = dict(zip(("primary", "secondary"), references, strict=False))
        return {"type": "x509", "x509": {"caReferences": named}}
    if certificate is None:
        return {"type": "symmetricKey"}
    return {"type": "x509", "x509": {member: {"primary": {"certificate": _read(certificate)}}}}


def _body(ca: str | None, profile: str | None, trust_bundle: str | None, disabled: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"provisioningStatus": "disabled" if disabled else "enabled"}
    if ca is not None:
        body["clientCertificateIssuancePolicy"] = {"certificateAuthorityName": ca}
    if profile is not None:
        if ca is None:
            raise WrongUsage(
                "--profile is about the certificates that an authority issues: name it with --ca."
            )
        body["clientCertificateIssuancePolicy"]["certificateProfileName"] = profile
    if trust_bundle is not None:
        body["trustBundleId"] = trust_bundle
    return body


def _endorsement(key: str | None, certificate: Path | None) -> Endorsement | None:
    if key is not None and certificate is not None:
        raise WrongUsage("Name the endorsement key or its certificate, not both.")
    if key is not None:
        return endorsements.by_key(key)
    return None if certificate is None else endorsements.by_certificate(certificate)


@app.command()
def add(
    id: Annotated[  # noqa: A002 - the argument's name in the help
        str | None,
        typer.Argument(help="The registration id; of a TPM by default what its device calls itself."),
    ] = None,
    ca: Ca = None,
    profile: CertificateProfile = None,
    certificate: Certificate = None,
    endorsement_key: EndorsementKey = None,
    ek_certificate: EkCertificate = None,
    ca_certificate: References = None,
    trust_bundle: Bundle = None,
    device_id: Annotated[
        str | None, typer.Option(help="The device's name at the hub; the registration id by default.")
    ] = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Enroll it switched off.")] = False,
    replace: Replace = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Enroll one device; prints the enrollment with its keys."""
    tpm = _endorsement(endorsement_key, ek_certificate)
    if tpm is not None and (certificate is not None or ca_certificate):
        raise WrongUsage("A device attests by its certificate or by its TPM, not by both.")
    name = id if id is not None or tpm is None else tpm.registration_id
    if name is None:
        raise WrongUsage("Name the device: `accredit enroll add REGISTRATION_ID`.")
    body = _body(ca, profile, trust_bundle, disabled) | {
        "registrationId": name,
        "attestation": tpm.attestation
        if tpm
        else _attestation(certificate, ca_certificate, "clientCertificates"),
    }
    if device_id is not None:
        body["deviceId"] = device_id
    headers = {"if-match": "*"} if replace else None
    render.document(
        client(data_dir, remote, trust)
        .call("PUT", resource("/enrollments", name), body, headers=headers)
        .json()
    )


@app.command()
def group(
    id: Annotated[str, typer.Argument(help="The group's id.")],  # noqa: A002 - the argument's name in the help
    ca: Ca = None,
    profile: CertificateProfile = None,
    certificate: Certificate = None,
    ca_certificate: References = None,
    trust_bundle: Bundle = None,
    max_registrations: Annotated[
        int | None, typer.Option(min=1, help="The most devices that may register under the group.")
    ] = None,
    registrations_per_minute: Annotated[
        int | None, typer.Option(min=1, help="The most register calls of its devices in a minute.")
    ] = None,
    allowed_only: Annotated[
        bool,
        typer.Option(
            "--allowed-only", help="Take only registration ids of its list (`accredit enroll allow`)."
        ),
    ] = False,
    disabled: Annotated[bool, typer.Option("--disabled", help="Make it switched off.")] = False,
    replace: Replace = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Make an enrollment group; prints it with its keys."""
    body = _body(ca, profile, trust_bundle, disabled) | {
        "enrollmentGroupId": id,
        "attestation": _attestation(certificate, ca_certificate, "signingCertificates"),
    }
    quota = {"maxRegistrations": max_registrations, "registrationsPerMinute": registrations_per_minute}
    if any(quota.values()):
        body["quota"] = {name: value for name, value in quota.items() if value is not None}
    if allowed_only:
        body["allowedRegistrationIdsOnly"] = True
    headers = {"if-match": "*"} if replace else None
    answer = client(data_dir, remote, trust).call(
        "PUT", resource("/enrollmentGroups", id), body, headers=headers
    )
    render.document(answer.json())


def _path(id_: str, is_group: bool) -> str:
    return resource("/enrollmentGroups" if is_group else "/enrollments", id_)


@app.command("list")
def listing(
    is_group: Group = False,
    where: Where = None,
    as_json: Json = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """List individual enrollments, or with --group the groups."""
    what = "enrollmentGroups" if is_group else "enrollments"
    rows = client(data_dir, remote, trust).rows("POST", f"/{what}/query", selection(what, where))
    columns = (
        ("id", "enrollmentGroupId" if is_group else "registrationId"),
        ("attestation", "attestation.type"),
        ("authority", "clientCertificateIssuancePolicy.certificateAuthorityName"),
        ("status", "provisioningStatus"),
        ("updated", "lastUpdatedDateTimeUtc"),
    )
    render.listing(rows, columns, as_json=as_json)


@app.command()
def show(
    id: Id,  # noqa: A002 - the argument's name in the help
    is_group: Group = False,
    keys: Annotated[bool, typer.Option("--keys", help="Show the symmetric keys too.")] = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Show one enrollment."""
    service = client(data_dir, remote, trust)
    document = service.call("GET", _path(id, is_group)).json()
    if keys:
        document["attestation"] = service.call("POST", f"{_path(id, is_group)}/attestationmechanism").json()
    render.document(document)


@app.command()
def remove(
    id: Id,  # noqa: A002 - the argument's name in the help
    is_group: Group = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Remove an enrollment; devices that registered by it keep their hub identity."""
    client(data_dir, remote, trust).call("DELETE", _path(id, is_group), headers={"if-match": "*"})


@app.command("derive-key")
def derive_key(
    registration_id: Annotated[str, typer.Argument(help="The device's registration id.")],
    group_id: Annotated[str, typer.Option("--group", help="The group whose primary key is the master.")],
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Print the key of one device of a symmetric-key group, and nothing else."""
    service = client(data_dir, remote, trust)
    mechanism = service.call("POST", resource("/enrollmentGroups", group_id, "attestationmechanism")).json()
    keys = mechanism.get("symmetricKey")
    if not keys:
        raise Problem(f"Group {group_id} does not attest by symmetric keys.")
    master = Secret(b64decode(keys["primaryKey"]))
    print(b64encode(derive(master, registration_id).reveal()).decode())


@app.command("otp")
def one_time_password(
    registration_id: Annotated[str, typer.Argument(help="The registration id of an individual enrollment.")],
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Print a password for one EST enrollment of the device, and nothing else. Within a day it is used, or void."""
    service = client(data_dir, remote, trust)
    answer = service.call("POST", resource("/enrollments", registration_id, "oneTimePassword")).json()
    print(answer["oneTimePassword"])
