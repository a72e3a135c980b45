"""Trust bundle documents (`/trustBundles/{name}`, api-version 2021-11-01-preview; TrustBundle of the C# preview SDK).

A device is answered with the same document as an operator, so it is made once for each state of a bundle. Which
certificates are worth trusting is the operator's business: any that can be read is taken.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from accredit.domain.errors import Malformed
from accredit.domain.ids import TrustBundleName
from accredit.domain.trust_bundle import TrustBundle
from accredit.wire.instants import iso
from accredit.wire.service_api.certificates import certificate_der, certificate_info, pem
from accredit.wire.service_api.documents import read, write
from accredit.wire.service_api.etags import quoted


class TrustedCertificate(msgspec.Struct):
    """PEM, or base64 DER, of one certificate."""

    certificate: str


class TrustBundleDocument(msgspec.Struct):
    """What PUT takes."""

    certificates: list[TrustedCertificate]
    id: str | None = None


def read_trust_bundle(body: bytes, name: TrustBundleName) -> tuple[bytes, ...]:
    """The DER of every certificate of a PUT document, at least one; an `id` in it is the address's."""
    document = read(body, TrustBundleDocument)
    if document.id is not None and document.id.lower() != name.key:
        raise Malformed("id in the body is not the one in the address.", rule="id-mismatch")
    if not document.certificates:
        raise Malformed(
            "certificates is empty; a trust bundle holds at least one.", rule="trust-bundle-empty"
        )
    return tuple(
        certificate_der(entry.certificate, f"certificates[{number}].certificate")
        for number, entry in enumerate(document.certificates)
    )


def trust_bundle_document(bundle: TrustBundle) -> dict[str, Any]:
    """As answers show it. Azure: the two instants have names without `Utc` here."""
    return {
        "id": bundle.name.text,
        "certificates": [
            {"certificate": pem(der), "metadata": certificate_info(der)} for der in bundle.certificates
        ],
        "createdDateTime": iso(bundle.created_at),
        "lastModifiedDateTime": iso(bundle.updated_at),
        "etag": quoted(bundle.etag),
    }


@lru_cache(maxsize=64)
def trust_bundle_json(bundle: TrustBundle) -> bytes:
    """The document as JSON, remembered: a fleet is answered with one and the same."""
    return write(trust_bundle_document(bundle))
