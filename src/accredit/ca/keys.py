"""The built-in CA's private keys, and how each kind signs; kept as PKCS#8 DER inside a Secret (RFC 5958).

A key in a token is kept as a reference to it (`token_keys.py`), and signs in the same way. P-256, P-384, RSA, Ed25519, and ML-DSA (RFC 9881) where the installed `cryptography` has it. The same key always encodes to
the same bytes. Sealing at rest is the store's matter, not this file's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from accredit.ca.token_keys import TokenKey, is_reference
from accredit.domain.secret import Secret
from accredit.values import dataclass

DEFAULT = "P-256"

Digest = hashes.SHA256 | hashes.SHA384


@dataclass(frozen=True, slots=True)
class Algorithm:
    """`identifier` is the DER of the AlgorithmIdentifier of its signatures; `digest` is None where the scheme hashes by itself."""

    name: str
    identifier: bytes
    digest: Digest | None
    make: Callable[[], Any]
    sign: Callable[[Any, bytes], bytes]
    """Called with the key and what is to be signed."""


def _pure(key: Any, data: bytes) -> bytes:
    signature: bytes = key.sign(data)
    return signature


def _ecdsa(name: str, curve: ec.EllipticCurve, identifier: str, digest: Digest) -> Algorithm:
    scheme = ec.ECDSA(digest)
    return Algorithm(
        name,
        bytes.fromhex(identifier),
        digest,
        lambda: ec.generate_private_key(curve),
        lambda key, data: key.sign(data, scheme),
    )


def _rsa(bits: int) -> Algorithm:
    digest = hashes.SHA256()
    return Algorithm(
        f"RSA-{bits}",
        bytes.fromhex("300d06092a864886f70d01010b0500"),
        digest,
        lambda: rsa.generate_private_key(65537, bits),
        lambda key, data: key.sign(data, padding.PKCS1v15(), digest),
    )


def _ml_dsa() -> dict[str, type[Any]]:
    """The private key classes of ML-DSA by name; none where `cryptography`, or the OpenSSL in it, lacks them."""
    try:
        module = import_module("cryptography.hazmat.primitives.asymmetric.mldsa")
        found = {f"ML-DSA-{size}": getattr(module, f"MLDSA{size}PrivateKey") for size in (44, 65, 87)}
        found["ML-DSA-44"].generate()
    except (ImportError, AttributeError, UnsupportedAlgorithm):
        return {}
    return found


_ML_DSA = _ml_dsa()
_ML_DSA_IDENTIFIERS = {"ML-DSA-44": "11", "ML-DSA-65": "12", "ML-DSA-87": "13"}

ALGORITHMS: Mapping[str, Algorithm] = {
    each.name: each
    for each in (
        _ecdsa("P-256", ec.SECP256R1(), "300a06082a8648ce3d040302", hashes.SHA256()),
        _ecdsa("P-384", ec.SECP384R1(), "300a06082a8648ce3d040303", hashes.SHA384()),
        _rsa(3072),
        _rsa(4096),
        Algorithm(
            "Ed25519", bytes.fromhex("300506032b6570"), None, ed25519.Ed25519PrivateKey.generate, _pure
        ),
        *(
            Algorithm(
                name,
                bytes.fromhex("300b06096086480165030403" + _ML_DSA_IDENTIFIERS[name]),
                None,
                kind.generate,
                _pure,
            )
            for name, kind in _ML_DSA.items()
        ),
    )
}
"""What a CA's key may be, by name."""


def generate(name: str = DEFAULT) -> Any:
    """Make a key; its randomness is OpenSSL's own, not the `Entropy` that is handed around."""
    return ALGORITHMS[name].make()


class KnowsTokenKeys(Protocol):
    """What makes a key of a kept reference (`tokens.py`). Raises ValueError."""

    def key(self, content: bytes) -> TokenKey: ...


def encode(key: Any) -> Secret:
    if isinstance(key, TokenKey):
        return Secret(key.where.encoded())
    return Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def load(secret: Secret, tokens: KnowsTokenKeys | None = None) -> Any:
    """Raise ValueError when the secret is not a key of one of these kinds, in PKCS#8 or in a token."""
    if is_reference(secret.reveal()):
        if tokens is None:
            raise ValueError("the key is in a token")
        return tokens.key(secret.reveal())
    try:
        key = load_der_private_key(secret.reveal(), password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from None
    algorithm_of(key)
    return key


def algorithm_of(key: Any) -> Algorithm:
    """How this private key signs. Raises ValueError for a kind that a CA of ours has not."""
    match key:
        case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            return ALGORITHMS["P-256"]
        case ec.EllipticCurvePrivateKey(curve=ec.SECP384R1()):
            return ALGORITHMS["P-384"]
        case rsa.RSAPrivateKey(key_size=bits) if f"RSA-{bits}" in ALGORITHMS:
            return ALGORITHMS[f"RSA-{bits}"]
        case ed25519.Ed25519PrivateKey():
            return ALGORITHMS["Ed25519"]
        case _:
            pass
    for name, kind in _ML_DSA.items():
        if isinstance(key, kind):
            return ALGORITHMS[name]
    raise ValueError(f"the key is not one of {', '.join(ALGORITHMS)}")
