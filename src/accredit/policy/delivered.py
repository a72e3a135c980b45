"""Is what an outside CA answered what was ordered? Every delivered byte is hostile until it has passed here.

The leaf is the certificate of the ordered key, wherever it stands in the answer. It must carry the ordered common
name, a life within bounds, and nothing of a CA (RFC 5280, 4.1 and 4.2.1). Repeated certificates are dropped; what
stands above the leaf is put into order in `issuer_path.py`. A refused answer may still hold something that was
signed: `stray` finds it for the issuance log.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from accredit.domain import der as der_elements
from accredit.domain.credential import IssuedChain, Order
from accredit.domain.errors import UpstreamRejected
from accredit.domain.ids import RegistrationId
from accredit.policy.issuer_path import CLOCK_LEEWAY_S, extension_value, life, path_above

MAX_CERTIFICATES = 16
MAX_CERTIFICATE_BYTES = 16 * 1024
MAX_SERIAL_OCTETS = 20

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_CLIENT_USAGES = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})


def check_delivered(
    order: Order,
    chain_der: Sequence[bytes],
    trust_anchors: Sequence[bytes],
    max_validity_s: int | None,
    now: int,
    ca_reference: str | None = None,
) -> IssuedChain:
    """Return the chain, leaf first, up to a trust anchor where those are given, else as far as it goes.

    `chain_der` and `trust_anchors` are certificates in DER, in any order. Raises UpstreamRejected; the rule begins
    with `ca-`.
    """
    certificates = _certificates(chain_der)
    leaf = _leaf(certificates, order.request.spki_der)
    _check_name(leaf, order.registration_id)
    _check_usage(leaf)
    _check_life(leaf, max_validity_s, now)
    others = [certificate for certificate in certificates if certificate != leaf]
    anchors = [x509.load_der_x509_certificate(der) for der in trust_anchors]
    return _issued(path_above(leaf, others, anchors, now), ca_reference)


def stray(order: Order, chain_der: Sequence[bytes], ca_reference: str | None = None) -> IssuedChain | None:
    """What of a refused answer has to stand in the issuance log: its leaf as best known, None where there is none."""
    readable = []
    for der in chain_der[:MAX_CERTIFICATES]:
        try:
            readable.append(_certificate(der))
        except UpstreamRejected:
            continue
    readable.sort(key=lambda certificate: (_key(certificate) != order.request.spki_der, _is_ca(certificate)))
    return _issued([readable[0]], ca_reference) if readable else None


def _certificates(chain_der: Sequence[bytes]) -> list[x509.Certificate]:
    if not 1 <= len(chain_der) <= MAX_CERTIFICATES:
        raise UpstreamRejected(
            f"The CA answered with {len(chain_der)} certificates, not 1 to {MAX_CERTIFICATES}.",
            rule="ca-unreadable",
        )
    return [_certificate(der) for der in dict.fromkeys(chain_der)]


def _certificate(der: bytes) -> x509.Certificate:
    """Parse one certificate. Its serial is judged before, because the parser warns of a bad one and goes on."""
    try:
        if len(der) > MAX_CERTIFICATE_BYTES:
            raise ValueError(f"{len(der)} bytes")
        serial = der_elements.serial_number(der)
        if _serial_is_sound(serial):
            certificate = x509.load_der_x509_certificate(der)
            # The parser is lazy: what is asked for here is what raises later, were it unreadable.
            _ = certificate.extensions, certificate.subject, certificate.issuer, life(certificate)
            return certificate
    except _UNREADABLE as error:
        raise UpstreamRejected(
            "The CA answered with something that is not a certificate.",
            rule="ca-unreadable",
            evidence=str(error),
        ) from error
    raise UpstreamRejected(
        f"The CA answered with a serial number that is not positive and of at most {MAX_SERIAL_OCTETS} octets.",
        rule="ca-wrong-serial",
        evidence=serial.hex()[:80],
    )


def _serial_is_sound(content: bytes) -> bool:
    return 1 <= len(content) <= MAX_SERIAL_OCTETS and content[0] < 0x80 and any(content)


def _leaf(certificates: Sequence[x509.Certificate], spki_der: bytes) -> x509.Certificate:
    ours = [certificate for certificate in certificates if _key(certificate) == spki_der]
    if not ours:
        raise UpstreamRejected(
            "The CA answered with a certificate of another key than the ordered one.", rule="ca-wrong-key"
        )
    if len(ours) > 1:
        raise UpstreamRejected(
            "The CA answered with more than one certificate of the ordered key.", rule="ca-broken-chain"
        )
    return ours[0]


def _key(certificate: x509.Certificate) -> bytes | None:
    """The certificate's key in its canonical form; None for one of no known kind."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_name(leaf: x509.Certificate, registration_id: RegistrationId) -> None:
    values = [name.value for name in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if len(values) == 1:
        value = values[0]
        if isinstance(value, str) and value.isascii() and value.lower() == registration_id.key:
            return
    raise UpstreamRejected(
        f"The CA answered with a certificate whose common name is not {registration_id}.",
        rule="ca-wrong-name",
        hint="Let the CA's profile take the common name from the request.",
        evidence=repr(values)[:200],
    )


def _check_usage(leaf: x509.Certificate) -> None:
    if _is_ca(leaf):
        raise UpstreamRejected("The CA answered with a CA's certificate.", rule="ca-issued-a-ca")
    usages = extension_value(leaf, x509.ExtendedKeyUsage)
    if usages is not None and _CLIENT_USAGES.isdisjoint(usages):
        raise UpstreamRejected(
            "The CA answered with a certificate that is not for client authentication.",
            rule="ca-wrong-usage",
            hint="Give the CA's profile the extended key usage clientAuth.",
        )


def _check_life(leaf: x509.Certificate, max_validity_s: int | None, now: int) -> None:
    not_before, not_after = life(leaf)
    if not_before > now + CLOCK_LEEWAY_S:
        problem = f"begins {not_before - now} seconds from now"
    elif not_after <= now:
        problem = f"ended {now - not_after} seconds ago"
    elif max_validity_s is not None and not_after > now + max_validity_s + CLOCK_LEEWAY_S:
        problem = f"ends {not_after - now} seconds from now, later than the allowed {max_validity_s}"
    else:
        return
    raise UpstreamRejected(f"The CA answered with a certificate that {problem}.", rule="ca-wrong-life")


def _is_ca(certificate: x509.Certificate) -> bool:
    constraints = extension_value(certificate, x509.BasicConstraints)
    usage = extension_value(certificate, x509.KeyUsage)
    return (constraints is not None and constraints.ca) or (usage is not None and usage.key_cert_sign)


def _issued(path: Sequence[x509.Certificate], ca_reference: str | None) -> IssuedChain:
    leaf = path[0]
    not_before, not_after = life(leaf)
    chain = tuple(certificate.public_bytes(Encoding.DER) for certificate in path)
    return IssuedChain(
        chain=chain,
        serial=leaf.serial_number,
        not_before=not_before,
        not_after=not_after,
        sha256=sha256(chain[0]).digest(),
        spki_sha256=sha256(_key(leaf) or b"").digest(),
        ca_reference=ca_reference,
    )
