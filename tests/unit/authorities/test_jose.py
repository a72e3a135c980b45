"""Keys and signatures in JSON forms, with PyJWT as the second opinion."""

import json
from hashlib import sha256

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from accredit.authorities.jose import BadKey, SigningKey, decoded, encoded
from support.signing_requests import key

# RFC 7517, appendix A.2.
PRIVATE = {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
    "use": "enc",
    "kid": "1",
}


def pem(which="P-256", protection=None) -> bytes:
    return key(which).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection or NoEncryption())


def test_a_jwk_keeps_its_kid_and_its_public_half() -> None:
    read = SigningKey.read(json.dumps(PRIVATE).encode())
    assert read.kid == "1"
    assert read.public == {name: PRIVATE[name] for name in ("crv", "kty", "x", "y")}


def test_pem_is_called_by_its_thumbprint() -> None:
    read = SigningKey.read(b"\n" + pem())
    assert read.kid == read.thumbprint


def test_the_thumbprint_is_over_the_required_members_in_order_without_space() -> None:
    members = {name: PRIVATE[name] for name in ("kty", "crv", "x", "y")}
    text = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    read = SigningKey.read(json.dumps(PRIVATE).encode())
    assert decoded(read.thumbprint) == sha256(text).digest()


def test_a_compact_token_is_one_that_pyjwt_takes() -> None:
    signer = SigningKey.read(pem())
    token = signer.compact({"kid": "k"}, {"sub": "device-1"})
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "JWT", "kid": "k"}
    assert jwt.decode(token, key("P-256").public_key(), algorithms=["ES256"]) == {"sub": "device-1"}


def test_a_flattened_one_has_the_same_parts() -> None:
    parts = json.loads(SigningKey.read(pem()).flattened({"nonce": "n"}, b'{"a":1}'))
    token = ".".join([parts["protected"], parts["payload"], parts["signature"]])
    assert jwt.decode(token, key("P-256").public_key(), algorithms=["ES256"]) == {"a": 1}


def test_a_seed_is_always_the_same_key() -> None:
    one, same, other = (SigningKey.of_seed(seed) for seed in (b"a" * 32, b"a" * 32, b"b" * 32))
    assert one.thumbprint == same.thumbprint != other.thumbprint


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"{}",
        b"[1]",
        json.dumps({**PRIVATE, "crv": "P-384"}).encode(),
        json.dumps({**PRIVATE, "kty": "RSA"}).encode(),
        json.dumps({**PRIVATE, "d": "AA"}).encode(),
        json.dumps({**PRIVATE, "d": "_" * 43}).encode(),
        json.dumps({**PRIVATE, "d": "!"}).encode(),
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        pem("P-384"),
        pem("RSA-2048"),
        pem(protection=BestAvailableEncryption(b"secret")),
        b"[" * 10_000,
    ],
    ids=[
        "empty",
        "text",
        "object",
        "list",
        "P-384 JWK",
        "RSA JWK",
        "zero",
        "too large",
        "not base64",
        "broken PEM",
        "P-384 PEM",
        "RSA PEM",
        "encrypted",
        "deep",
    ],
)
def test_what_is_no_usable_key_is_refused_without_repeating_it(text: bytes) -> None:
    with pytest.raises(BadKey) as refused:
        SigningKey.read(text)
    assert PRIVATE["d"] not in str(refused.value)


@given(st.binary(max_size=200))
def test_anything_is_a_key_or_a_bad_key(text: bytes) -> None:
    with pytest.raises(BadKey):
        SigningKey.read(text)


@given(st.binary(max_size=100))
def test_base64url_and_back(octets: bytes) -> None:
    assert decoded(encoded(octets)) == octets
    assert "=" not in encoded(octets)
