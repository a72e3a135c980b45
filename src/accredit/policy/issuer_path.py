"""The certificates above one that a CA delivered, put into order (RFC 5280, 6.1).

A link is a name, a signature, the CA bit and the path length; policies, name constraints and revocation are not looked
at. A certificate that does not stand above the leaf spoils the answer, and a CA certificate out of its own life is left
aside. A leaf that came quite alone has no link to verify: good enough, unless trust anchors are configured. What a
device presents to prove itself is judged elsewhere, by stricter rules (`chains.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from accredit.domain.errors import UpstreamRejected

Extension = TypeVar("Extension", bound=x509.ExtensionType)

CLOCK_LEEWAY_S = 300
"""How far a CA's clock may be ahead of ours."""


def path_above(
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    now: int,
) -> list[x509.Certificate]:
    """Return the leaf and the certificates above it: the shortest way to an anchor, or to the end of what came.

    Raises UpstreamRejected, rule `ca-broken-chain` or `ca-untrusted-chain`.
    """
    alive = [certificate for certificate in others if _alive(certificate, now)]
    issued_by_next = _climb(leaf, [*alive, *anchors])
    strangers = [certificate for certificate in alive if certificate not in issued_by_next]
    if strangers:
        raise UpstreamRejected(
            "The CA answered with a certificate that does not stand above the ordered one.",
            rule="ca-broken-chain",
            evidence=strangers[0].subject.rfc4514_string()[:200],
        )
    top = _top(leaf, issued_by_next, anchors)
    path = [top]
    while path[0] != leaf:
        path.insert(0, issued_by_next[path[0]])
    if len(path) == 1 and (others or leaf.subject == leaf.issuer):
        raise UpstreamRejected(
            "The CA answered with a certificate that nothing in the answer has issued.",
            rule="ca-broken-chain",
        )
    return path


def _top(
    leaf: x509.Certificate,
    issued_by_next: dict[x509.Certificate, x509.Certificate],
    anchors: Sequence[x509.Certificate],
) -> x509.Certificate:
    """Where the path ends. `issued_by_next` has the nearest certificates first."""
    if not anchors:
        roots = [certificate for certificate in issued_by_next if _signed(certificate, certificate)]
        return roots[0] if roots else [leaf, *issued_by_next][-1]
    for certificate in issued_by_next:
        if certificate in anchors:
            return certificate
    raise UpstreamRejected(
        "The CA answered with a chain that does not end at a configured trust anchor.",
        rule="ca-untrusted-chain",
        hint="Add the CA's root to trustAnchors, or find out who answered in the CA's name.",
        evidence=[leaf, *issued_by_next][-1].issuer.rfc4514_string()[:200],
    )


def _climb(
    leaf: x509.Certificate, pool: Sequence[x509.Certificate]
) -> dict[x509.Certificate, x509.Certificate]:
    """Walk upwards, nearest first: each certificate of the pool that stands above the leaf, with the one below it."""
    issued_by_next: dict[x509.Certificate, x509.Certificate] = {}
    level, cas_below = [leaf], 0
    while level:
        above = []
        for below in level:
            for issuer in pool:
                if issuer != below and issuer not in issued_by_next and _issues(issuer, below, cas_below):
                    issued_by_next[issuer] = below
                    above.append(issuer)
        level, cas_below = above, cas_below + 1
    return issued_by_next


def _issues(issuer: x509.Certificate, below: x509.Certificate, cas_below: int) -> bool:
    """Whether `issuer` is a CA that may have this many CAs beneath it, and signed `below`."""
    if issuer.subject != below.issuer:
        return False
    constraints = extension_value(issuer, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        return False
    if constraints.path_length is not None and constraints.path_length < cas_below:
        return False
    usage = extension_value(issuer, x509.KeyUsage)
    return (usage is None or usage.key_cert_sign) and _signed(issuer, below)


def _signed(issuer: x509.Certificate, below: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def extension_value(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    """The extension of this kind, None where the certificate has none."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _alive(certificate: x509.Certificate, now: int) -> bool:
    not_before, not_after = life(certificate)
    return not_before <= now + CLOCK_LEEWAY_S and now <= not_after


def life(certificate: x509.Certificate) -> tuple[int, int]:
    """notBefore and notAfter in Unix seconds, both included."""
    return int(certificate.not_valid_before_utc.timestamp()), int(certificate.not_valid_after_utc.timestamp())
