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


@pytest.mark.parametrize("kind", ["P-384", "RSA-2048"])
def test_another_kind_of_key_is_not_loaded(kind):
    secret = Secret(key(kind).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match="P-256"):
        keys.load(secret)


def test_garbage_is_not_loaded():
    with pytest.raises(ValueError):
        keys.load(Secret(b"garbage"))
