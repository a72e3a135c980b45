"""May this certificate, which somebody else signed, make our key an issuing CA? (RFC 5280, 4.2.1 and 6.1)

All that stands above it must be there, up to a root: devices and third parties are given the same chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from accredit.domain.errors import Malformed

MAX_CERTIFICATES = 6

_WEAK = (hashes.MD5, hashes.SHA1)


def check_brought(chain: Sequence[x509.Certificate], public_key: Any, now: int) -> None:
    """Raise Malformed, rule `ca-certificate-unfit`; the issuing CA's certificate comes first, the root's last."""
    if not 2 <= len(chain) <= MAX_CERTIFICATES:
        raise _unfit(
            f"it is {len(chain)} certificates, not 2 to {MAX_CERTIFICATES}: the issuing CA's first, then those above it, up to the root"
        )
    try:
        if chain[0].public_key() != public_key:
            raise _unfit("its key is not that of the CSR")
        for above, certificate in enumerate(chain):
            _check_certificate(certificate, above, now)
        for certificate in chain[:-1]:
            _check_identifier(certificate)
        for lower, upper in pairwise(chain):
            _check_link(lower, upper)
        _check_link(chain[-1], chain[-1])
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise _unfit(f"a certificate in it can't be read ({error})") from None


def _check_certificate(certificate: x509.Certificate, above: int, now: int) -> None:
    who = certificate.subject.rfc4514_string()[:100]
    if not certificate.not_valid_before_utc.timestamp() <= now < certificate.not_valid_after_utc.timestamp():
        raise _unfit(f"{who} is not valid now")
    if isinstance(certificate.signature_hash_algorithm, _WEAK):
        raise _unfit(f"{who} is signed with a weak hash")
    extensions = {type(each.value): each.value for each in certificate.extensions}
    constraints = extensions.get(x509.BasicConstraints)
    if not isinstance(constraints, x509.BasicConstraints) or not constraints.ca:
        raise _unfit(f"{who} has no basicConstraints CA:TRUE")
    # The path length counts the CAs below, but for the leaf (RFC 5280, 4.2.1.9).
    if constraints.path_length is not None and constraints.path_length < above:
        raise _unfit(f"the path length of {who} is {constraints.path_length}, and {above} CAs stand below it")
    usage = extensions.get(x509.KeyUsage)
    if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
        raise _unfit(f"the key usage of {who} lacks keyCertSign")
    if above == 0 and not (isinstance(usage, x509.KeyUsage) and usage.crl_sign):
        raise _unfit("the key usage of the issuing CA lacks cRLSign")
    if x509.SubjectKeyIdentifier not in extensions:
        raise _unfit(f"{who} has no subject key identifier")


def _check_identifier(certificate: x509.Certificate) -> None:
    """RFC 5280, 4.2.1.1: strict verifiers refuse all but a root without it."""
    if not any(isinstance(each.value, x509.AuthorityKeyIdentifier) for each in certificate.extensions):
        raise _unfit(f"{certificate.subject.rfc4514_string()[:100]} has no authority key identifier")


def _check_link(lower: x509.Certificate, upper: x509.Certificate) -> None:
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, InvalidSignature):
        raise _unfit(
            f"{lower.subject.rfc4514_string()[:100]} was not signed by {upper.subject.rfc4514_string()[:100]}"
        ) from None


def _unfit(reason: str) -> Malformed:
    return Malformed(f"The certificate can't be activated: {reason}.", rule="ca-certificate-unfit")
