"""`attestation` of enrollments and groups: what was sent, and what is shown.

Azure: an answer never repeats a certificate, only its `info`, and a GET never shows keys; what an SDK read it sends
back on a replace. So a document may leave out what it wants kept: this file says that it did, and
`administration/attestations.py` fills it in.
"""

from __future__ import annotations

import re
from typing import Any, TypeGuard

import msgspec

from accredit.domain.enrollment import (
    Attestation,
    CaReferences,
    EnrollmentKind,
    LeafCertificates,
    SigningCertificates,
    SymmetricKeys,
    TpmKeys,
)
from accredit.domain.errors import Malformed
from accredit.domain.ids import CaCertificateName
from accredit.domain.secret import Secret
from accredit.values import dataclass
from accredit.wire.service_api.certificates import certificate_der, is_ca, shown
from accredit.wire.service_api.keys import key_text, read_key
from accredit.wire.service_api.tpm import TpmSent, read_tpm, tpm_document
from accredit.wire.tpm_documents import TpmDocument

_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


@dataclass(frozen=True, slots=True)
class KeysSent:
    """`symmetricKey`: a key that is None was not sent."""

    primary: Secret | None
    secondary: Secret | None


@dataclass(frozen=True, slots=True)
class Kept:
    """A certificate that was sent as its `info` alone; `sha256` where that carries the thumbprint."""

    sha256: bytes | None


@dataclass(frozen=True, slots=True)
class CertificatesSent:
    """`x509.clientCertificates` or `x509.signingCertificates`, by kind."""

    kind: type[LeafCertificates | SigningCertificates]
    primary: bytes | Kept
    secondary: bytes | Kept | None = None


@dataclass(frozen=True, slots=True)
class ReferencesSent:
    """`x509.caReferences`."""

    references: CaReferences


AttestationSent = KeysSent | CertificatesSent | ReferencesSent | TpmSent


class _Keys(msgspec.Struct, rename="camel"):
    primary_key: str | None = None
    secondary_key: str | None = None


class _Info(msgspec.Struct):
    sha256: str | None = msgspec.field(default=None, name="sha256Thumbprint")


class _Certificate(msgspec.Struct):
    certificate: str | None = None
    info: _Info | None = None


class _Certificates(msgspec.Struct):
    primary: _Certificate | None = None
    secondary: _Certificate | None = None


class _References(msgspec.Struct):
    primary: str | None = None
    secondary: str | None = None


class _X509(msgspec.Struct, rename="camel"):
    client_certificates: _Certificates | None = None
    signing_certificates: _Certificates | None = None
    ca_references: _References | None = None


class AttestationDocument(msgspec.Struct, rename="camel"):
    """As it stands in JSON."""

    type: str
    symmetric_key: _Keys | None = None
    x509: _X509 | None = None
    tpm: TpmDocument | None = None


def read_attestation(document: AttestationDocument, kind: EnrollmentKind) -> AttestationSent:
    """Check the document's form; exactly one mechanism, the one that `type` names."""
    mechanism = document.type.lower()
    others = {"symmetrickey": document.symmetric_key, "x509": document.x509, "tpm": document.tpm}
    if mechanism not in others:
        raise Malformed("attestation.type is not symmetricKey, x509 or tpm.", rule="attestation-type")
    if any(value is not None for name, value in others.items() if name != mechanism):
        raise Malformed("attestation holds more than the mechanism of its type.", rule="attestation-two")
    if mechanism == "x509":
        return _x509(document.x509, kind)
    if mechanism == "tpm":
        if kind is EnrollmentKind.GROUP:
            raise Malformed(
                "An enrollment group can't attest by TPM: each TPM is enrolled by itself.",
                rule="attestation-type",
            )
        return read_tpm(document.tpm)
    keys = document.symmetric_key or _Keys()
    return KeysSent(read_key(keys.primary_key, "primaryKey"), read_key(keys.secondary_key, "secondaryKey"))


def attestation_document(attestation: Attestation, *, keys_shown: bool) -> dict[str, Any]:
    """As answers show it; `keys_shown` only for PUT and attestationmechanism."""
    if isinstance(attestation, SymmetricKeys):
        keys = {"primaryKey": key_text(attestation.primary), "secondaryKey": key_text(attestation.secondary)}
        return {"type": "symmetricKey", "symmetricKey": keys} if keys_shown else {"type": "symmetricKey"}
    if isinstance(attestation, TpmKeys):
        return tpm_document(attestation)
    if isinstance(attestation, CaReferences):
        places = ("primary", "secondary")
        named = {place: name.text for place, name in zip(places, attestation.names, strict=False)}
        return {"type": "x509", "x509": {"caReferences": named}}
    pair = {"primary": shown(attestation.primary)}
    if attestation.secondary is not None:
        pair["secondary"] = shown(attestation.secondary)
    leaf = isinstance(attestation, LeafCertificates)
    return {"type": "x509", "x509": {"clientCertificates" if leaf else "signingCertificates": pair}}


def _x509(document: _X509 | None, kind: EnrollmentKind) -> CertificatesSent | ReferencesSent:
    document = document or _X509()
    leaf, signing, references = (
        document.client_certificates,
        document.signing_certificates,
        document.ca_references,
    )
    if sum(one is not None for one in (leaf, signing, references)) > 1:
        raise Malformed("x509 holds more than one of its members.", rule="attestation-two")
    if references is not None:
        return _references(references)
    individual = kind is EnrollmentKind.INDIVIDUAL
    wanted, member = (leaf, "clientCertificates") if individual else (signing, "signingCertificates")
    # Azure: either may be missing, as when a tool removes the primary one; alone it is the primary here.
    named = [each for each in (wanted.primary, wanted.secondary) if _is_given(each)] if wanted else []
    if not named:
        noun = "an individual enrollment" if individual else "an enrollment group"
        raise Malformed(
            f"{noun} by X.509 needs x509.{member}.primary, or caReferences.", rule="attestation-missing"
        )
    read = [
        _certificate(each, f"x509.{member}.{which}", signing=not individual)
        for each, which in zip(named, ("primary", "secondary"), strict=False)
    ]
    return CertificatesSent(LeafCertificates if individual else SigningCertificates, read[0], *read[1:])


def _is_given(document: _Certificate | None) -> TypeGuard[_Certificate]:
    return document is not None and bool(document.certificate or document.info)


def _references(document: _References) -> ReferencesSent:
    if not document.primary:
        raise Malformed("x509.caReferences.primary is missing.", rule="attestation-missing")
    secondary = CaCertificateName.parse(document.secondary) if document.secondary else None
    return ReferencesSent(CaReferences(CaCertificateName.parse(document.primary), secondary))


def _certificate(document: _Certificate, member: str, *, signing: bool) -> bytes | Kept:
    if document.certificate is None or not document.certificate.strip():
        thumbprint = document.info.sha256 if document.info is not None else None
        if thumbprint is not None and not _SHA256.fullmatch(thumbprint):
            raise Malformed(f"{member}.info.sha256Thumbprint is not one.", rule="certificate-thumbprint")
        return Kept(bytes.fromhex(thumbprint) if thumbprint is not None else None)
    der = certificate_der(document.certificate, member)
    if signing and not is_ca(der):
        raise Malformed(
            f"{member} is not a CA certificate (its basicConstraints do not say CA).", rule="signing-not-a-ca"
        )
    return der
