"""What a certificate profile may say, and whether a device fits it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.credential import CLIENT_AUTH, DEFAULT_PROFILE, Profile
from accredit.domain.errors import Malformed
from accredit.domain.ids import DeviceId, GroupId, RegistrationId
from accredit.policy.csr_intake import intake
from accredit.policy.profiles import (
    KINDS,
    MAX_VALIDITY_S,
    MIN_VALIDITY_S,
    check_device,
    check_profile,
    key_rules,
    kind_of,
    names,
)
from accredit.values import replace
from support.signing_requests import csr, key, pem, signing_request

DEVICE = (RegistrationId.parse("Lamp-1"), DeviceId.parse("lamp-at-home"), GroupId.parse("line-7"))


def profile(**facts) -> Profile:
    return replace(DEFAULT_PROFILE, name="p", **facts)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"validity_s": MIN_VALIDITY_S},
        {"validity_s": MAX_VALIDITY_S},
        {"keys": KINDS},
        {"alternative_names": ()},
        {"subject": (("C", "DE"), ("O", "Plant {enrollmentGroupId}"), ("serialNumber", "{deviceId}"))},
        {"policies": ("1.3.6.1.4.1.99999.1", "2.5.29.32.0")},
        {"extended_key_usages": (CLIENT_AUTH, "1.3.6.1.5.5.7.3.1")},
        {
            "alternative_names": (
                ("dns", "{registrationId}.lamps.example"),
                ("uri", "tag:x.example:{deviceId}"),
            )
        },
    ],
)
def test_what_may_be_said(facts) -> None:
    check_profile(profile(**facts))


@pytest.mark.parametrize(
    "facts",
    [
        {"validity_s": MIN_VALIDITY_S - 1},
        {"validity_s": MAX_VALIDITY_S + 1},
        {"keys": ("P-521",)},
        {"extended_key_usages": ()},
        {"extended_key_usages": ("clientauth",)},
        {"extended_key_usages": (CLIENT_AUTH, CLIENT_AUTH)},
        {"policies": ("1.3.6.1.4.1.01",)},
        {"policies": tuple(f"1.3.6.1.{number}" for number in range(9))},
        {"subject": (("CN", "x"),)},
        {"subject": (("O", ""),)},
        {"subject": (("O", "x" * 65),)},
        {"subject": (("O", "a\nb"),)},
        {"subject": (("O", "{registrationID}"),)},
        {"subject": (("O", "a{"),)},
        {"subject": (("C", "de"),)},
        {"subject": (("C", "{deviceId}"),)},
        {"subject": (("serialNumber", "a_b"),)},
        {"alternative_names": (("email", "x@example.net"),)},
        {"alternative_names": (("dns", "-{deviceId}.example"),)},
        {"alternative_names": (("dns", "a..b"),)},
        {"alternative_names": (("uri", "{deviceId}"),)},
        {"alternative_names": (("uri", "urn:a b"),)},
    ],
)
def test_what_may_not(facts) -> None:
    with pytest.raises(Malformed) as refused:
        check_profile(profile(**facts))
    assert refused.value.rule == "certificate-profile"


def test_the_names_of_a_device() -> None:
    filled = names(
        profile(
            subject=(("O", "Plant {enrollmentGroupId}"), ("OU", "lamps")),
            alternative_names=(("dns", "{registrationId}.example"), ("uri", "urn:x:{deviceId}")),
        ),
        *DEVICE,
    )
    assert filled.subject == (("O", "Plant line-7"), ("OU", "lamps"))
    assert filled.alternative == (("dns", "Lamp-1.example"), ("uri", "urn:x:lamp-at-home"))


def test_a_uri_takes_any_device_id() -> None:
    ((_, text),) = names(DEFAULT_PROFILE, DEVICE[0], DeviceId("a b/é"), None).alternative
    assert text == "urn:accredit:device:a%20b%2F%C3%A9"


@pytest.mark.parametrize(
    ("facts", "registration_id", "group"),
    [
        ({"subject": (("O", "{enrollmentGroupId}"),)}, "lamp", None),
        ({"subject": (("O", "{enrollmentGroupId}" * 2),)}, "lamp", "g" * 40),
        ({"subject": (("serialNumber", "{registrationId}"),)}, "a_b", None),
        ({"alternative_names": (("dns", "{registrationId}.example"),)}, "a_b", None),
        ({"alternative_names": (("dns", "{registrationId}.example"),)}, "x" * 64, None),
    ],
)
def test_a_device_that_does_not_fit(facts, registration_id, group) -> None:
    made = profile(**facts)
    check_profile(made)
    registration = RegistrationId.parse(registration_id)
    where = None if group is None else GroupId.parse(group)
    request = signing_request(registration_id)
    with pytest.raises(Malformed) as refused:
        check_device(made, request, registration, DeviceId.parse("d"), where)
    assert refused.value.rule == "certificate-profile-names"


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA-2048", "RSA-3072"])
def test_keys(kind: str) -> None:
    request = signing_request("Lamp-1", key(kind))
    assert kind_of(request) == kind
    check_device(profile(keys=(kind,)), request, *DEVICE)
    check_device(DEFAULT_PROFILE, request, *DEVICE)
    others = tuple(each for each in KINDS if each != kind)
    with pytest.raises(Malformed) as refused:
        check_device(profile(keys=others), request, *DEVICE)
    assert refused.value.rule == "certificate-profile-key"


def test_rsa_in_between_counts_as_the_next_smaller() -> None:
    assert kind_of(signing_request("Lamp-1", key("RSA-2560"))) == "RSA-2048"


def test_ed25519_where_it_is_taken() -> None:
    made = profile(keys=("Ed25519",))
    request = intake(pem(csr("Lamp-1", key("Ed25519"))), "csr", key_rules(made))
    assert kind_of(request) == "Ed25519"
    check_device(made, request, *DEVICE)
    assert not key_rules(DEFAULT_PROFILE).ed25519


@given(st.text(max_size=40), st.sampled_from(["O", "serialNumber", "C"]), st.sampled_from(["dns", "uri"]))
def test_whatever_is_said(text: str, attribute: str, kind: str) -> None:
    """A profile that passes makes names for a device that could be its sample."""
    made = profile(subject=((attribute, text),), alternative_names=((kind, text),))
    try:
        check_profile(made)
    except Malformed:
        return
    x = RegistrationId.parse("x")
    names(made, x, DeviceId.parse("x"), GroupId.parse("x"))
