"""A private key that stays in a PKCS#11 token, standing in for one of `cryptography`'s.

What is kept of it is where it is and its public key (`Reference`). The classes implement cryptography's own interfaces
for private keys, so that its builders and our templates sign with them as with any other; only that signing waits for the
token. Every signature is verified before it is given out: what a token returns is somebody else's word.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256, sha384
from typing import Any, NoReturn, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from accredit.domain.errors import UpstreamUnavailable

UNAVAILABLE = "token-unavailable"
"""The rule of what a token did not do: nothing was signed."""

ANSWER_LOST = "token-answer-lost"
"""The rule of what a token may have done: its signature did not arrive, or is none."""

RETRY_S = 5

ALGORITHMS = ("P-256", "P-384", "RSA-3072", "RSA-4096", "Ed25519")
"""What a key in a token may be."""

_SHA256_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""RFC 8017, 9.2, note 1: what stands before the digest in an RSA signature."""

_DIGESTS = {"sha256": sha256, "sha384": sha384}


class Scheme(StrEnum):
    """What is asked of the token; digests are made here, because not every token makes them."""

    ECDSA = "ecdsa"
    RSA = "rsa"
    EDDSA = "eddsa"


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a key is: the label of its token, its own label and id (CKA_LABEL, CKA_ID), and its public key (DER)."""

    token: str
    label: str
    id: bytes
    spki: bytes

    def encoded(self) -> bytes:
        """JSON; in a record it stands where a software key has its PKCS#8, and begins otherwise than that."""
        return msgspec.json.encode(self)


class SignsInToken(Protocol):
    """Raises UpstreamUnavailable, rule `token-unavailable` or `token-answer-lost`."""

    def sign(self, where: Reference, scheme: Scheme, payload: bytes) -> bytes:
        """The raw signature, as PKCS#11 has it."""
        ...


def is_reference(content: bytes) -> bool:
    """Whether a kept key is one in a token."""
    return content[:1] == b"{"


def token_key(content: bytes, token: SignsInToken) -> TokenKey:
    """The key behind an encoded reference, without asking the token. Raises ValueError."""
    try:
        where = msgspec.json.decode(content, type=Reference)
    except msgspec.DecodeError as error:
        raise ValueError(f"the reference to a key in a token can't be read ({error})") from None
    return of_reference(where, token)


def of_reference(where: Reference, token: SignsInToken) -> TokenKey:
    """Raises ValueError for a kind of key that no CA of ours has."""
    public = load_der_public_key(where.spki)
    match public:
        case ec.EllipticCurvePublicKey():
            return TokenEcKey(where, public, token)
        case rsa.RSAPublicKey():
            return TokenRsaKey(where, public, token)
        case ed25519.Ed25519PublicKey():
            return TokenEd25519Key(where, public, token)
        case _:
            raise ValueError("the key in the token is neither EC, RSA nor Ed25519")


class TokenKey:
    """What the three kinds have in common."""

    def __init__(self, where: Reference, public: Any, token: SignsInToken) -> None:
        self.where = where
        self._public = public
        self._token = token

    def public_key(self) -> Any:
        return self._public

    @property
    def key_size(self) -> int:
        size: int = self._public.key_size
        return size

    def private_bytes(self, *_: Any, **__: Any) -> NoReturn:
        raise ValueError("a key in a token never leaves it")

    private_bytes_raw = private_numbers = exchange = decrypt = private_bytes

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, _: Any) -> Any:
        return self

    def _made(self, scheme: Scheme, payload: bytes) -> bytes:
        return self._token.sign(self.where, scheme, payload)

    def _verified(self, signature: bytes, *what: Any) -> bytes:
        try:
            self._public.verify(signature, *what)
        except InvalidSignature:
            raise UpstreamUnavailable(
                f"The token {self.where.token} signed with {self.where.label} what its public key does not verify.",
                rule=ANSWER_LOST,
                retry_after_s=RETRY_S,
            ) from None
        return signature


class TokenEcKey(TokenKey, ec.EllipticCurvePrivateKey):
    """ECDSA; the token is given the digest."""

    @property
    def curve(self) -> ec.EllipticCurve:
        curve: ec.EllipticCurve = self._public.curve
        return curve

    def sign(self, data: Any, signature_algorithm: Any) -> bytes:
        raw = self._made(Scheme.ECDSA, _DIGESTS[signature_algorithm.algorithm.name](data).digest())
        half = len(raw) // 2
        r, s = (int.from_bytes(part, "big") for part in (raw[:half], raw[half:]))
        return self._verified(encode_dss_signature(r, s), data, signature_algorithm)


class TokenRsaKey(TokenKey, rsa.RSAPrivateKey):
    """RSASSA-PKCS1-v1_5 with SHA-256; the token is given the DigestInfo."""

    def sign(self, data: Any, padding_: Any, algorithm: Any) -> bytes:
        if not isinstance(padding_, padding.PKCS1v15) or algorithm.name != "sha256":
            raise ValueError("an RSA key in a token signs by PKCS#1 v1.5 with SHA-256 alone")
        signature = self._made(Scheme.RSA, _SHA256_DIGEST_INFO + sha256(data).digest())
        return self._verified(signature, data, padding_, algorithm)


class TokenEd25519Key(TokenKey, ed25519.Ed25519PrivateKey):
    """The token is given all that is signed: the scheme reads it twice."""

    def sign(self, data: Any) -> bytes:
        return self._verified(self._made(Scheme.EDDSA, bytes(data)), data)
