"""Keys of each kind: kept, loaded, and signing as their certificates say."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from accredit.ca import keys
from accredit.domain.secret import Secret
from support.signing_requests import key


def test_a_key_survives_and_always_encodes_alike():
    made = keys.generate()
    secret = keys.encode(made)
    loaded = keys.load(secret)
    assert isinstance(made.curve, ec.SECP256R1)
    assert loaded.private_numbers() == made.private_numbers()
    assert keys.encode(loaded).reveal() == secret.reveal()


def test_no_two_keys_are_the_same():
    assert keys.generate().private_numbers() != keys.generate().private_numbers()


@pytest.mark.parametrize("name", [each for each in keys.ALGORITHMS if each != "RSA-4096"])
def test_each_kind_is_found_again(name):
    secret = keys.encode(keys.generate(name))
    assert keys.algorithm_of(keys.load(secret)) is keys.ALGORITHMS[name]


def test_what_is_there_everywhere():
    assert {"P-256", "P-384", "RSA-3072", "RSA-4096", "Ed25519"} <= set(keys.ALGORITHMS)


@pytest.mark.parametrize("kind", ["P-521", "RSA-2048"])
def test_another_kind_of_key_is_not_loaded(kind):
    secret = Secret(key(kind).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match="P-256"):
        keys.load(secret)


def test_garbage_is_not_loaded():
    with pytest.raises(ValueError):
        keys.load(Secret(b"garbage"))
