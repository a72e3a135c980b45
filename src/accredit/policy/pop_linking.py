"""Does a CSR belong to the TLS connection that it came over? (RFC 7030, 3.5)

A client that links both puts what only that connection's ends know, base64, into the attribute challengePassword:
tls-unique of TLS 1.2 (RFC 5929) or tls-exporter of TLS 1.3 (RFC 9266). It is not demanded; one that is wrong is refused, never
ignored.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from cryptography import x509
from cryptography.x509.oid import AttributeOID

from accredit.domain.credential import SigningRequest
from accredit.domain.errors import Malformed


def check_linked(request: SigningRequest, bindings: Sequence[bytes]) -> None:
    """Raise Malformed for a challengePassword that is none of the connection's `bindings`, each in base64."""
    try:
        shown = request.csr.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value
    except x509.AttributeNotFound:
        return
    if not any([hmac.compare_digest(shown, each) for each in bindings]):  # noqa: C419 - each is compared
        raise Malformed(
            "The challengePassword of the CSR is not the channel binding of this TLS connection.",
            rule="csr-pop-linking",
            hint="make the CSR anew for each connection, or leave challengePassword out of it",
        )
