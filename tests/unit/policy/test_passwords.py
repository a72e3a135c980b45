"""Passwords made from device keys. The expected ones are made here with `hmac` alone, after the contract's recipe."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.enrollment import Enrollment, LeafCertificates, SymmetricKeys
from accredit.domain.ids import GroupId, RegistrationId
from accredit.domain.secret import Secret
from accredit.policy import passwords

PRIMARY, SECONDARY = b"p" * 32, b"s" * 32
KEYS = SymmetricKeys(Secret(PRIMARY), Secret(SECONDARY))
DEVICE = RegistrationId.parse("Dev-1")


def password(key, label):
    return base64.b64encode(hmac.new(key, f"est:{label}".encode(), hashlib.sha256).digest())


def derived(master, spelling):
    return hmac.new(master, spelling.encode(), hashlib.sha256).digest()


def enrollment(name, attestation=KEYS):
    return Enrollment(name, attestation, "g", "e", 1, 1)


OWN = enrollment(DEVICE)
GROUP = enrollment(GroupId.parse("Line"))


@given(st.binary(min_size=16, max_size=64), st.text(max_size=64))
def test_the_recipe(key, label):
    assert passwords.made_with(Secret(key), label).encode() == password(key, label)


@pytest.mark.parametrize("key", [PRIMARY, SECONDARY])
@pytest.mark.parametrize("label", ["Dev-1", "dev-1", "DEV-1"])
def test_both_keys_of_a_device_and_each_spelling_of_its_label(key, label):
    shown = Secret(password(key, label))
    assert passwords.matching_keys(shown, OWN, DEVICE, "DEV-1") is not None


@pytest.mark.parametrize("master", [PRIMARY, SECONDARY])
@pytest.mark.parametrize("spelling", ["Dev-1", "dev-1"])
def test_a_groups_keys_are_derived_as_azures_tools_do(master, spelling):
    shown = Secret(password(derived(master, spelling), "Line"))
    found = passwords.matching_keys(shown, GROUP, DEVICE, "line")
    assert found is not None
    assert found.spelling == spelling
    assert found.primary == Secret(derived(PRIMARY, spelling))


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"not base64",
        b"A" * 4000,
        base64.b64encode(PRIMARY),
        password(PRIMARY, "line"),
        password(b"x" * 32, "Dev-1"),
        base64.b64encode(hmac.digest(PRIMARY, b"Dev-1", "sha256")),
    ],
)
def test_nothing_else_proves_it(wrong):
    assert passwords.matching_keys(Secret(wrong), OWN, DEVICE, "Dev-1") is None


def test_a_masters_own_password_is_nobodys():
    assert passwords.matching_keys(Secret(password(PRIMARY, "Line")), GROUP, DEVICE, "Line") is None


def test_an_enrollment_without_keys():
    other = enrollment(DEVICE, LeafCertificates(b"der"))
    assert passwords.matching_keys(Secret(password(PRIMARY, "Dev-1")), other, DEVICE, "Dev-1") is None
