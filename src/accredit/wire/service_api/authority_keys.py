"""What is sent about the keys of our own authorities (`/certificateAuthorities/{name}/rotate`, `activate`, `revokeIssuer`)."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from cryptography import x509

from accredit.domain.credential import RevocationReason
from accredit.domain.errors import Malformed
from accredit.values import dataclass
from accredit.wire.service_api.certificates import certificate_ders
from accredit.wire.service_api.documents import read
from accredit.wire.service_api.revocation import reason_named

MAX_LABEL_CHARS = 255
_KEY_ID = re.compile(r"[0-9a-f]{2,80}")


class RotateDocument(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """All of it may be left out: an issuing CA of the same algorithm under the same root, its key where the last one is.

    `token_label` names the PKCS#11 token of the new key, empty for none; `key_label` a key that is in it already.
    """

    algorithm: str | None = None
    new_root: bool = False
    token_label: Annotated[str, msgspec.Meta(max_length=MAX_LABEL_CHARS)] | None = None
    key_label: Annotated[str, msgspec.Meta(max_length=MAX_LABEL_CHARS)] = ""


class ActivateDocument(msgspec.Struct, forbid_unknown_fields=True):
    """PEM of the issuing CA's certificate and of those above it, up to the root."""

    certificate: str


class RevokeIssuerDocument(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Which issuing CA, by its key id in hex, and why (a name of RFC 5280)."""

    key_id: str
    reason: str = RevocationReason.UNSPECIFIED.value


@dataclass(frozen=True, slots=True)
class Rotation:
    algorithm: str | None
    new_root: bool
    token_label: str | None = None
    key_label: str = ""


@dataclass(frozen=True, slots=True)
class Brought:
    chain: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class Revocation:
    key_id: str
    reason: RevocationReason


def read_rotation(body: bytes) -> Rotation:
    document = read(body or b"{}", RotateDocument)
    if document.key_label and not document.token_label:
        raise Malformed("keyLabel needs tokenLabel, the token that the key is in.", rule="document-invalid")
    return Rotation(document.algorithm, document.new_root, document.token_label, document.key_label)


def read_brought(body: bytes) -> Brought:
    document = read(body, ActivateDocument)
    ders = certificate_ders(document.certificate, "certificate")
    return Brought(tuple(x509.load_der_x509_certificate(der) for der in ders))


def read_revocation(body: bytes) -> Revocation:
    document = read(body, RevokeIssuerDocument)
    return Revocation(read_key_id(document.key_id), reason_named(document.reason))


def read_key_id(text: str) -> str:
    """A key id in lower-case hex, as openssl prints it or without colons. Raises Malformed."""
    key_id = text.lower().replace(":", "")
    if not _KEY_ID.fullmatch(key_id):
        raise Malformed("keyId is not a key id in hex.", rule="document-invalid")
    return key_id
