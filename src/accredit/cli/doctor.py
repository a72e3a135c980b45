"""`accredit doctor`: the service's verdict on a CSR, a certificate or a token, offline, on a file.

Exit code 0 where all is well, 1 where the service would refuse, 2 for wrong usage. Keys come from files or standard input, never
from the command line, where others can see them.
"""

from __future__ import annotations

import binascii
import json
import re
import sys
import time
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.cli import render
from accredit.cli.connection import resource
from accredit.cli.local import DataDir, Json, Remote, Trust, client
from accredit.cli.problem import Problem, WrongUsage
from accredit.domain.enrollment import (
    Attestation,
    Enrollment,
    SigningCertificates,
    SymmetricKeys,
)
from accredit.domain.errors import Malformed, Unauthenticated
from accredit.domain.ids import GroupId, RegistrationId
from accredit.domain.secret import Secret
from accredit.policy.chains import thumbprint

if TYPE_CHECKING:
    from accredit.provisioning.doctor import Verdict

app = typer.Typer(no_args_is_help=True, help="Would the service take this? The same verdict, on a file.")

MAX_FILE_BYTES = 1024 * 1024

File = Annotated[Path, typer.Argument(help="The file; - is standard input.")]
Named = Annotated[
    str | None, typer.Option("--registration-id", help="The device that it is for; else what the file says.")
]


@app.command("csr")
def csr(file: File, registration_id: Named = None, as_json: Json = False) -> None:
    """A certificate signing request: form, key, proof of possession, name."""
    from accredit.provisioning import doctor  # noqa: PLC0415 - what other commands do not need, they need not load

    text = _text(file)
    _tell(doctor.csr(text, _id(registration_id)), as_json=as_json)


@app.command("cert")
def certificate(
    file: File,
    registration_id: Named = None,
    anchor: Annotated[
        Path | None,
        typer.Option(
            help="The certificate that a group has enrolled, or shall enroll: root or intermediate."
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="Ask the service what this group has enrolled; the certificate itself is in FILE, or --anchor."
        ),
    ] = None,
    enrollment: Annotated[
        str | None, typer.Option(help="Ask the service what this individual enrollment has.")
    ] = None,
    as_json: Json = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """A device's certificate with its chain, as it sends them: leaf first, PEM."""
    from accredit.provisioning import doctor  # noqa: PLC0415 - see above

    named = [name for name in (group or anchor, enrollment) if name is not None]
    if len(named) != 1:
        raise WrongUsage("Name what is enrolled: --anchor FILE, --group NAME or --enrollment ID.")
    chain = _certificates(file)
    anchors = [] if anchor is None else _certificates(anchor)
    if enrollment is not None:
        path = resource("/enrollments", enrollment)
        document = client(data_dir, remote, trust).call("GET", path).json()
        enrolled: Enrollment | list[str] = _thumbprints(document, "clientCertificates", enrollment)
        registration_id = registration_id or enrollment
    elif group is not None:
        document = client(data_dir, remote, trust).call("GET", resource("/enrollmentGroups", group)).json()
        known = _thumbprints(document, "signingCertificates", group)
        der = _found([*anchors, *chain], known, group)
        enrolled = _enrollment(GroupId.parse(group), SigningCertificates(der))
    else:
        enrolled = _enrollment(GroupId.parse("anchor"), SigningCertificates(anchors[0]))
    _tell(doctor.chain(chain, enrolled, _id(registration_id), time.time()), as_json=as_json)


@app.command("sas")
def token(
    file: File,
    registration_id: Named = None,
    id_scope: Annotated[
        str | None, typer.Option(help="The service's id scope; else what the token says.")
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with the base64 of the enrollment's key, to check the signature; - is standard input."
        ),
    ] = None,
    group: Annotated[
        bool, typer.Option("--group", help="The key is a group's: the device's is derived from it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """A device's SAS token: parts, scope, expiry, and with a key which one signed it."""
    from accredit.provisioning import doctor  # noqa: PLC0415 - see above

    text = _text(file).strip()
    text = re.sub(r"(?i)\Aauthorization:\s*", "", text)
    name = _id(registration_id)
    enrolled = None
    if key_file is not None:
        key = _key(key_file)
        owner = GroupId.parse("given") if group else (name or RegistrationId.parse("given"))
        enrolled = _enrollment(owner, SymmetricKeys(key, key))
    _tell(doctor.token(text, id_scope, name, enrolled, time.time()), as_json=as_json)


def _tell(verdict: Verdict, *, as_json: bool) -> None:
    """Print it; a refusal ends the command with exit code 1."""
    refusal = verdict.refusal
    if as_json:
        members: dict[str, Any] = {
            "verdict": "refused" if refusal is not None else "good",
            "findings": {finding.subject: finding.found for finding in verdict.findings},
        }
        if refusal is not None:
            members |= {
                "rule": refusal.rule,
                "reason": refusal.message,
                "evidence": refusal.evidence,
                "hint": refusal.hint,
            }
        sys.stdout.write(json.dumps(members) + "\n")
    else:
        for finding in verdict.findings:
            print(render.inert(f"{finding.subject:<14}{finding.found}"))
        told = (
            (("rule", refusal.rule), ("evidence", refusal.evidence), ("hint", refusal.hint))
            if refusal
            else ()
        )
        for name, value in told:
            if value:
                print(render.inert(f"{name:<14}{value}"))
        if refusal is None:
            print("verdict       good")
    if refusal is not None:
        # To a device all of these say `Unauthorized`; here it is the evidence that helps.
        reason = (
            refusal.evidence if isinstance(refusal, Unauthenticated) and refusal.evidence else refusal.message
        )
        raise Problem(f"The service would refuse it ({refusal.rule}): {render.inert(reason)}")


def _bytes(file: Path) -> bytes:
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Problem(f"{file} can't be read: {error.strerror}.") from None
    if len(data) > MAX_FILE_BYTES:
        raise Problem(f"{file} is larger than {MAX_FILE_BYTES} bytes; it can't be what it is read as.")
    return data


def _text(file: Path) -> str:
    return _bytes(file).decode(errors="replace")


def _certificates(file: Path) -> list[bytes]:
    data = _bytes(file)
    try:
        if b"-----BEGIN" in data:
            return [each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(data)]
        return [x509.load_der_x509_certificate(data).public_bytes(Encoding.DER)]
    except ValueError as error:
        raise Problem(f"{file} holds no certificate that can be read ({error}).") from None


def _thumbprints(document: dict[str, Any], member: str, whose: str) -> list[str]:
    """Of the certificates that an enrollment has: the service shows those, never the certificates."""
    pair = document["attestation"].get("x509", {}).get(member)
    if pair is None:
        raise Problem(
            f"{whose} does not attest by certificates of its own of this kind (`accredit enroll show`); "
            "give the CA certificate alone, with --anchor."
        )
    return [pair[which]["info"]["sha256Thumbprint"] for which in ("primary", "secondary") if pair.get(which)]


def _found(certificates: list[bytes], known: list[str], group: str) -> bytes:
    for der in certificates:
        if thumbprint(der) in known:
            return der
    raise Problem(
        f"None of these certificates is the one that group {group} has enrolled (SHA-256 {' or '.join(known)}); "
        "give that one with --anchor."
    )


def _key(file: Path) -> Secret:
    try:
        return Secret(b64decode(_bytes(file).strip(), validate=True))
    except binascii.Error:
        raise Problem(f"{file} is not the base64 of a key.") from None


def _id(text: str | None) -> RegistrationId | None:
    try:
        return None if text is None else RegistrationId.parse(text)
    except Malformed as error:
        raise WrongUsage(error.message) from None


def _enrollment(owner: GroupId | RegistrationId, attestation: Attestation) -> Enrollment:
    """What the policy compares with; nothing of it is stored."""
    return Enrollment(owner, attestation, generation="", etag="", created_at=0, updated_at=0)
