"""What the operator reads of a token that nobody's key has signed; the device reads `Unauthorized`."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import quote

import pytest

from accredit.domain.enrollment import Enrollment, LeafCertificates, SymmetricKeys
from accredit.domain.evidence import SasToken
from accredit.domain.ids import GroupId, RegistrationId
from accredit.domain.secret import Secret
from accredit.policy import wrong_keys

NOW = 1_800_000_000
SCOPE = "0ne00ABCDEF"
PRIMARY = bytes(range(64))
SECONDARY = bytes(range(64, 128))
STRANGER = b"s" * 64
KEYS = SymmetricKeys(Secret(PRIMARY), Secret(SECONDARY))
OTHERS = SymmetricKeys(Secret(b"o" * 32), Secret(b"p" * 32))
DEVICE = RegistrationId.parse("Dev-1")
RESOURCE = f"{SCOPE}/registrations/Dev-1"


def digest(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def token(key, *, written=RESOURCE, signed=None):
    """`written` is `sr` as it stands in the token; `signed` the text that the signature covers where it is another."""
    sent = f"{written}\n{NOW + 3600}".encode()
    return SasToken(RESOURCE, sent, digest(key, sent if signed is None else signed), NOW + 3600, None)


def individual(attestation=KEYS):
    return Enrollment(DEVICE, attestation, "g", "e", NOW, NOW)


def group(keys=KEYS, name="line", **settings):
    return Enrollment(GroupId.parse(name), keys, "g", "e", NOW, NOW, settings=settings)


@pytest.mark.parametrize(
    ("key", "enrollment", "said"),
    [
        (PRIMARY, group(), "primary master key of group line itself"),
        (SECONDARY, group(), "secondary master key of group line itself"),
        (base64.b64encode(PRIMARY), group(), "base64 text of the primary key of group line"),
        (
            base64.b64encode(digest(SECONDARY, b"dev-1")),
            group(),
            "base64 text of the key derived from the secondary key of group line",
        ),
        (
            digest(base64.b64encode(PRIMARY), b"Dev-1"),
            group(),
            "base64 text of the primary key of group line, when the device's key was derived",
        ),
        (base64.b64encode(SECONDARY), individual(), "base64 text of the secondary key of individual"),
        (digest(PRIMARY, b"Dev-1"), individual(), "derived from the primary key of individual"),
        (digest(PRIMARY, b"DEV-1"), group(), "the key that group line has for 'DEV-1'"),
        (digest(SECONDARY, b"Dev-1\n"), group(), "the key that group line has for 'Dev-1\\n'"),
        (digest(PRIMARY, RESOURCE.encode()), group(), f"the key that group line has for {RESOURCE!r}"),
        (STRANGER, group(), "none of 2 enrollments"),
    ],
)
def test_it_names_the_mistake(key, enrollment, said):
    refusal = wrong_keys.unproven(token(key), [group(OTHERS), enrollment], DEVICE)
    assert (refusal.rule, refusal.message) == ("sas-signature", "Unauthorized")
    assert said in refusal.evidence
    assert refusal.hint


@pytest.mark.parametrize(
    ("written", "covered", "said"),
    [
        (quote(RESOURCE, safe=""), RESOURCE, "signed the resource decoded"),
        (RESOURCE, quote(RESOURCE, safe=""), "signed the resource encoded"),
        (quote(RESOURCE, safe=""), quote(RESOURCE, safe="").lower(), "signed the resource in lower case"),
    ],
)
def test_the_right_key_over_another_text(written, covered, said):
    shown = token(PRIMARY, written=written, signed=f"{covered}\n{NOW + 3600}".encode())
    assert said in wrong_keys.unproven(shown, [individual()], DEVICE).evidence


def test_the_line_feed_forgotten():
    shown = token(PRIMARY, signed=f"{RESOURCE}{NOW + 3600}".encode())
    assert "without the line feed" in wrong_keys.unproven(shown, [individual()], DEVICE).evidence


class TestOthers:
    def test_an_individual_enrollment_stands_before_the_group(self):
        refusal = wrong_keys.unproven(
            token(digest(PRIMARY, b"dev-1")), [individual(OTHERS)], DEVICE, [group()]
        )
        assert "the token proves group line, but an individual enrollment" in refusal.evidence

    def test_a_pattern_that_does_not_match(self):
        refusal = wrong_keys.unproven(
            token(digest(PRIMARY, b"dev-1")), [], DEVICE, [group(idPattern="a.*"), group(OTHERS, "other")]
        )
        assert "whose idPattern does not match Dev-1" in refusal.evidence

    def test_what_was_tried_is_not_tried_again(self):
        refusal = wrong_keys.unproven(token(STRANGER), [group()], DEVICE, [group(), group(OTHERS, "other")])
        assert "none of 1 enrollment with" in refusal.evidence


def test_an_enrollment_without_keys_says_nothing():
    refusal = wrong_keys.unproven(token(PRIMARY), [individual(LeafCertificates(b"")), group()], DEVICE)
    assert "master key of group line itself" in refusal.evidence


def test_only_the_first_enrollments_are_searched():
    """A stranger's token must not be examined against a hundred groups a second time."""
    others = [group(OTHERS)] * wrong_keys.MOST_DIAGNOSED
    assert "none of 9" in wrong_keys.unproven(token(PRIMARY), [*others, group()], DEVICE).evidence


def test_nothing_enrolled():
    assert "none of 0" in wrong_keys.unproven(token(PRIMARY), [], DEVICE).evidence


def test_no_key_is_shown():
    refusal = wrong_keys.unproven(token(PRIMARY), [group(), individual(LeafCertificates(b""))], DEVICE)
    shown = refusal.evidence + refusal.hint
    assert base64.b64encode(PRIMARY).decode() not in shown
    assert PRIMARY.hex() not in shown
