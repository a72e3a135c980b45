"""Which public keys may be certified, and the one form in which a key is known.

A key is identified by its SubjectPublicKeyInfo, so that has to have one spelling: elliptic points uncompressed, RSA as
`cryptography` writes it. P-256 and P-384 are accepted, and RSA whose modulus shows none of the known faults of bad
generators: small factors, primes close together (Fermat), Infineon's ROCA structure (CVE-2017-15361). P-521 is left
out: no device family needs it, and TLS stacks of small devices do not have it. Ed25519 only where the authority takes it.
Whether a point lies on its curve is found when the request's signature is verified with it.
"""

from __future__ import annotations

import math

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accredit.domain.errors import Malformed
from accredit.values import dataclass

RSA_EXPONENT = 65537

_CANONICAL_POINTS = (
    ("secp256r1", 91, bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")),
    ("secp384r1", 120, bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004")),
)
"""Curve, length and head of a SubjectPublicKeyInfo with a named curve and an uncompressed point (RFC 5480)."""


@dataclass(frozen=True, slots=True)
class KeyRules:
    """What an authority certifies. Curves by the names that `cryptography` gives them."""

    curves: frozenset[str] = frozenset({"secp256r1", "secp384r1"})
    rsa_min_bits: int = 2048
    rsa_max_bits: int = 4096
    ed25519: bool = False
    fermat_rounds: int = 100


DEFAULT_RULES = KeyRules()


def accepted(csr: x509.CertificateSigningRequest, spki: bytes, rules: KeyRules, field: str) -> bytes:
    """Return the canonical SubjectPublicKeyInfo of the request's key; `spki` is the one that stands in it.

    Raises Malformed, rule `csr-key-type` or `csr-key-weak`.
    """
    for curve, length, head in _CANONICAL_POINTS:
        if len(spki) == length and spki.startswith(head) and curve in rules.curves:
            return spki
    try:
        key = csr.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _type_refused(field, "a key that cannot be read", str(error)) from error
    match key:
        case ec.EllipticCurvePublicKey():
            if key.curve.name not in rules.curves:
                raise _type_refused(field, f"a key on the curve {key.curve.name}")
        case rsa.RSAPublicKey():
            numbers = key.public_numbers()
            weakness = rsa_weakness(numbers.n, numbers.e, rules)
            if weakness:
                raise Malformed(f"The RSA key of {field} is refused: {weakness}.", rule="csr-key-weak")
        case ed25519.Ed25519PublicKey() if rules.ed25519:
            pass
        case ed25519.Ed25519PublicKey():
            raise _type_refused(field, "an Ed25519 key, which this authority does not certify")
        case _:
            raise _type_refused(field, "a key of another kind")
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _type_refused(field: str, what: str, evidence: str = "") -> Malformed:
    return Malformed(
        f"{field} holds {what}; use P-256, P-384 or RSA with 2048 to 4096 bits.",
        rule="csr-key-type",
        evidence=evidence,
    )


def rsa_weakness(modulus: int, exponent: int, rules: KeyRules) -> str | None:
    """Say why this RSA key is refused, or None. The costly tests stand last."""
    bits = modulus.bit_length()
    if not rules.rsa_min_bits <= bits <= rules.rsa_max_bits:
        return f"its modulus has {bits} bits, not {rules.rsa_min_bits} to {rules.rsa_max_bits}"
    if bits % 8:
        return f"the length of its modulus, {bits} bits, is not a multiple of 8"
    if exponent != RSA_EXPONENT:
        return f"its exponent is {str(exponent)[:20]}, not {RSA_EXPONENT}"
    if math.gcd(modulus, _SMALL_PRIMES_PRODUCT) != 1:
        return "its modulus has a small factor"
    if _roca(modulus):
        return "its modulus has the structure of a ROCA key"
    if _close_primes(modulus, rules.fermat_rounds):
        return "its two primes are too close together"
    return None


def _primes(limit: int) -> tuple[int, ...]:
    return tuple(n for n in range(2, limit) if all(n % d for d in range(2, math.isqrt(n) + 1)))


_SMALL_PRIMES_PRODUCT = math.prod(_primes(752))
_ROCA_SUBGROUPS = tuple((p, frozenset(pow(RSA_EXPONENT, k, p) for k in range(p))) for p in _primes(168)[1:])
_SQUARES_MODULO_64 = frozenset(k * k % 64 for k in range(64))


def _roca(modulus: int) -> bool:
    """A ROCA modulus is a power of 65537 modulo each small prime; a sound one is so by a chance of about 1e-9."""
    return all(modulus % prime in subgroup for prime, subgroup in _ROCA_SUBGROUPS)


def _close_primes(modulus: int, rounds: int) -> bool:
    """Fermat's factoring: look for a*a - modulus that is a square, from the root of the modulus upwards."""
    a = math.isqrt(modulus - 1) + 1
    rest = a * a - modulus
    for _ in range(rounds):
        if rest % 64 in _SQUARES_MODULO_64 and math.isqrt(rest) ** 2 == rest:
            return True
        rest += 2 * a + 1
        a += 1
    return False
