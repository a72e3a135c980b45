"""The PEM text of an issued chain, as a device is given it: leaf first, then intermediates, without the root.

RFC 7468. Nothing is judged here: the chain was checked when it was issued.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509

from accredit.wire.service_api.certificates import pem


class IssuerPems:
    """Remembers the PEM of issuing certificates: the same few stand above every leaf.

    Holds at most `capacity` of them and starts over when they are more. Not for use from several threads.
    """

    def __init__(self, capacity: int = 64) -> None:
        self._capacity = capacity
        self._pems: dict[bytes, str] = {}

    def pem(self, der: bytes) -> str:
        """The certificate's PEM, or nothing for a self-signed one: a root is not part of what a device sends."""
        known = self._pems.get(der)
        if known is None:
            if len(self._pems) >= self._capacity:
                self._pems.clear()
            known = self._pems[der] = _unless_root(der)
        return known


def _unless_root(der: bytes) -> str:
    certificate = x509.load_der_x509_certificate(der)
    return "" if certificate.subject == certificate.issuer else pem(der)


def leaf_first(chain: Sequence[bytes], issuers: IssuerPems) -> str:
    """The PEM text of a chain: leaf, then intermediates, without the root."""
    return pem(chain[0]) + "".join(map(issuers.pem, chain[1:]))
