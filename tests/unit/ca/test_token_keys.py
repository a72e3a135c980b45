"""Keys in tokens as the rest sees them: kept as references, never believed."""

from __future__ import annotations

import copy
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from accredit.ca import keys
from accredit.ca.token_keys import ANSWER_LOST, Reference, of_reference, token_key
from accredit.domain.errors import UpstreamUnavailable
from accredit.domain.secret import Secret
from support.signing_requests import key
from support.soft_token import SoftToken


def held(private, token=None):
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if token is None:
        return SoftToken().holding("hsm", "plant", private)
    return of_reference(Reference("hsm", "plant", b"\x01", spki), token)


@pytest.fixture(params=["P-256", "P-384", "RSA-3072", "Ed25519"])
def private(request: pytest.FixtureRequest):
    return keys.generate(request.param)


def test_it_signs_as_its_kind_does(private):
    mine = held(private)
    algorithm = keys.algorithm_of(mine)
    assert algorithm is keys.algorithm_of(private)
    signature = algorithm.sign(mine, b"to be signed")
    match algorithm.name:
        case "Ed25519":
            private.public_key().verify(signature, b"to be signed")
        case "RSA-3072":
            private.public_key().verify(signature, b"to be signed", padding.PKCS1v15(), hashes.SHA256())
        case _:
            private.public_key().verify(signature, b"to be signed", ec.ECDSA(algorithm.digest))


def test_it_is_kept_as_a_reference_and_found_again(private):
    secret = keys.encode(held(private))
    assert b"hsm" in secret.reveal()
    token = SoftToken()
    again = keys.load(secret, token)
    assert again.where == held(private).where
    assert again.public_key() == private.public_key()
    assert token.signatures == 0


def test_without_tokens_a_reference_is_no_key():
    with pytest.raises(ValueError, match="in a token"):
        keys.load(keys.encode(held(keys.generate())))


@pytest.mark.parametrize("content", [b"{", b"{}", b'{"token":"t","label":"l","id":"","spki":"","more":1}'])
def test_a_reference_that_is_damaged(content):
    with pytest.raises(ValueError):
        token_key(content, SoftToken())


def test_another_kind_of_key():
    public = key("P-521").public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match="P-256"):
        keys.algorithm_of(of_reference(Reference("hsm", "x", b"", spki), SoftToken()))


@pytest.mark.parametrize("answer", [b"", b"\0" * 64, b"\xff" * 64])
def test_what_does_not_verify_is_not_given_out(answer):
    class Liar:
        def sign(self, *_: object) -> bytes:
            return answer

    with pytest.raises(UpstreamUnavailable, match="does not verify") as refused:
        keys.ALGORITHMS["P-256"].sign(held(keys.generate(), Liar()), b"to be signed")
    assert refused.value.rule == ANSWER_LOST


def test_it_does_not_leave_its_token(private):
    mine = held(private)
    with pytest.raises(ValueError, match="never leaves"):
        mine.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert copy.deepcopy(mine) is copy.copy(mine) is mine
    assert hashlib.sha256(b"").hexdigest() not in repr(mine)


def test_rsa_signs_as_certificates_want_it_alone():
    mine = held(keys.generate("RSA-3072"))
    with pytest.raises(ValueError, match="SHA-256 alone"):
        mine.sign(b"", padding.PKCS1v15(), hashes.SHA384())


def test_a_software_key_is_not_taken_for_a_reference():
    secret = keys.encode(keys.generate())
    assert isinstance(secret, Secret)
    assert keys.load(secret).key_size == 256
