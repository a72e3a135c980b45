"""Does a renewal ask for the names that the device's certificate has? (RFC 7030, 4.2.2)

Subject and alternative names have to stay; the key may change. A request that leaves the alternative names out is taken: the
CA's profile sets them, and who makes the request from the subject alone can't know them.
"""

from __future__ import annotations

from cryptography import x509

from accredit.domain.credential import SigningRequest
from accredit.domain.errors import Malformed


def check_unchanged(request: SigningRequest, certificate: bytes) -> None:
    """Raise Malformed unless the request, which passed `check_name`, names what the certificate (DER) names."""
    held = x509.load_der_x509_certificate(certificate)
    if request.csr.subject != held.subject:
        raise _changed(
            "subject", f"{held.subject.rfc4514_string()} became {request.csr.subject.rfc4514_string()}"
        )
    wanted = _alternative_names(request.csr.extensions)
    if wanted is not None and wanted != _alternative_names(held.extensions):
        raise _changed("subject alternative names", repr(wanted))


def _alternative_names(extensions: x509.Extensions) -> frozenset[x509.GeneralName] | None:
    try:
        return frozenset(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return None


def _changed(what: str, evidence: str) -> Malformed:
    return Malformed(
        f"A renewal has to ask for the {what} of the certificate that it renews.",
        rule="renewal-names",
        hint="make the CSR from the certificate: `openssl x509 -x509toreq -in device.pem -key device.key`",
        evidence=evidence[:300],
    )
