"""Documents about revoking a whole group or authority: what is sent, and how far one is (an extension)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from accredit.domain.credential import CertificateRecord, RevocationReason
from accredit.domain.ids import GroupId
from accredit.domain.mass_revocation import AtAuthority, AuthorityTally, MassRevocation
from accredit.values import dataclass
from accredit.wire.instants import iso
from accredit.wire.service_api.authority_keys import read_key_id
from accredit.wire.service_api.certificates import serial_hex
from accredit.wire.service_api.documents import read
from accredit.wire.service_api.revocation import reason_named


class RevokeGroupDocument(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """`reason` is a CRLReason by its name (RFC 5280, 5.3.1)."""

    reason: str = RevocationReason.UNSPECIFIED.value


class RevokeAuthorityDocument(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """`keyId` narrows it to one issuing CA of our own. `keepDevices`: revoke the certificates, and let the devices register anew."""

    reason: str = RevocationReason.UNSPECIFIED.value
    key_id: str | None = None
    keep_devices: bool = False


class ProgressShown(msgspec.Struct):
    """Rows that were looked at, and about how many there are."""

    done: int
    total: int


class AuthorityTallyShown(msgspec.Struct):
    """Certificates of one authority: how many, and how many are revoked at its CA, wait for it, or it can't revoke."""

    authority: str
    certificates: int
    revoked: int
    pending: int
    unable: int


class RevokedIssuerShown(msgspec.Struct, rename="camel"):
    """`onRootCrl` is false where the root is offline: its own CRL has to say so."""

    key_id: str
    on_root_crl: bool


class MassRevocationShown(msgspec.Struct, rename="camel"):
    """`status`: `running`; `telling` while an outside CA has still to be told; then `done`. The counts are what was done so far."""

    id: str
    reason: str
    status: str
    started_by: str
    started_date_time_utc: str
    progress: ProgressShown
    devices: int
    hub_identities: int
    operations_ended: int
    connections_cut: int
    certificates: int
    enrollment_group_id: str | msgspec.UnsetType = msgspec.UNSET
    certificate_authority_name: str | msgspec.UnsetType = msgspec.UNSET
    keep_devices: bool | msgspec.UnsetType = msgspec.UNSET
    issuers: list[RevokedIssuerShown] | msgspec.UnsetType = msgspec.UNSET
    ended_date_time_utc: str | msgspec.UnsetType = msgspec.UNSET
    authorities: list[AuthorityTallyShown] | msgspec.UnsetType = msgspec.UNSET


class RevokedCertificateShown(msgspec.Struct, rename="camel"):
    """`atAuthority`: `revoked`, `pending` while its CA has not answered, `unable` where it has to be done there by hand."""

    serial: str
    sha256: str
    authority: str
    registration_id: str
    device_id: str
    at_authority: str


@dataclass(frozen=True, slots=True)
class GroupRevocation:
    reason: RevocationReason


@dataclass(frozen=True, slots=True)
class AuthorityRevocation:
    """`key_id` is one issuing CA's, None for all of them."""

    reason: RevocationReason
    key_id: str | None = None
    keeps_devices: bool = False


def read_group_revocation(body: bytes) -> GroupRevocation:
    """No body is `unspecified`. Raises Malformed."""
    document = read(body, RevokeGroupDocument) if body.strip() else RevokeGroupDocument()
    return GroupRevocation(reason_named(document.reason))


def read_authority_revocation(body: bytes) -> AuthorityRevocation:
    """As `read_group_revocation`."""
    document = read(body, RevokeAuthorityDocument) if body.strip() else RevokeAuthorityDocument()
    key_id = None if document.key_id is None else read_key_id(document.key_id)
    return AuthorityRevocation(reason_named(document.reason), key_id, document.keep_devices)


def mass_revocation_document(
    revocation: MassRevocation, tallies: Sequence[AuthorityTally] | None = None
) -> dict[str, Any]:
    """With `tallies`, what became of the certificates at their authorities; else, in a listing, only whether it runs."""
    running = revocation.ended_at is None
    telling = any(each.pending for each in tallies or ())
    done = revocation.done
    shown = MassRevocationShown(
        id=revocation.id,
        reason=revocation.reason.value,
        status="running" if running else "telling" if telling else "done",
        started_by=revocation.started_by,
        started_date_time_utc=iso(revocation.started_at),
        progress=ProgressShown(revocation.seen, max(revocation.total, revocation.seen)),
        devices=done.devices,
        hub_identities=done.identities,
        operations_ended=done.operations,
        connections_cut=done.connections,
        certificates=done.certificates,
    )
    if isinstance(revocation.target, GroupId):
        shown.enrollment_group_id = revocation.target.text
    else:
        shown.certificate_authority_name = revocation.target.text
        shown.keep_devices = revocation.keeps_devices
        shown.issuers = [RevokedIssuerShown(each.key_id, each.listed) for each in revocation.issuers]
    if revocation.ended_at is not None:
        shown.ended_date_time_utc = iso(revocation.ended_at)
    if tallies is not None:
        shown.authorities = [
            AuthorityTallyShown(
                each.authority.text, each.certificates, each.revoked, each.pending, each.unable
            )
            for each in tallies
        ]
    members: dict[str, Any] = msgspec.to_builtins(shown)
    return members


def revoked_certificate_document(record: CertificateRecord, at_authority: AtAuthority) -> dict[str, Any]:
    shown = RevokedCertificateShown(
        serial_hex(record.issued.serial),
        record.issued.sha256.hex(),
        record.authority.text,
        record.registration_id.text,
        record.device_id.text,
        at_authority.value,
    )
    members: dict[str, Any] = msgspec.to_builtins(shown)
    return members
