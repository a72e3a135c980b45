"""Names and parts of a TPM's objects (TPM 2.0 Library, parts 1 and 2)."""

from __future__ import annotations

import hashlib

import pytest

from accredit.domain.tpm import RSA_BYTES, IdentityKey, TpmKey

HEAD, MODULUS = bytes.fromhex("0001000b000304720000"), bytes(range(256))
KEY = TpmKey(HEAD + MODULUS)


@pytest.mark.parametrize("named", [KEY, IdentityKey(KEY.area, b"sensitive")])
def test_a_name_is_the_digest_s_algorithm_and_the_digest(named: TpmKey | IdentityKey) -> None:
    assert named.name == b"\x00\x0b" + hashlib.sha256(named.area).digest()


def test_two_templates_of_one_modulus_are_one_key_of_two_names() -> None:
    other = TpmKey(HEAD[:-1] + b"\x01" + MODULUS)
    assert KEY.modulus == other.modulus == MODULUS
    assert len(KEY.modulus) == RSA_BYTES
    assert KEY.name != other.name


def test_marshalled_with_its_size() -> None:
    assert KEY.marshalled == (266).to_bytes(2, "big") + KEY.area


def test_what_holds_the_key_is_not_shown() -> None:
    assert "hush" not in repr(IdentityKey(b"area", b"hush"))
