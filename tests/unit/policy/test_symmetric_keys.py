"""Azure DPS symmetric key attestation. The vectors are made here with `hmac` alone, after the published recipe."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.enrollment import Enrollment, LeafCertificates, SymmetricKeys
from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import SasToken
from accredit.domain.ids import GroupId, RegistrationId
from accredit.domain.secret import Secret
from accredit.policy import symmetric_keys

NOW = 1_800_000_000
SCOPE = "0ne00ABCDEF"
PRIMARY = bytes(range(64))
SECONDARY = bytes(range(64, 128))
STRANGER = b"s" * 64
KEYS = SymmetricKeys(Secret(PRIMARY), Secret(SECONDARY))
DEVICE = RegistrationId.parse("Dev-1")


def digest(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def token(key, *, resource=f"{SCOPE}/registrations/Dev-1", expires_at=NOW + 3600, written=None):
    """`written` is `sr` as the client encoded it; the signature covers that form."""
    signed = f"{written or resource}\n{expires_at}".encode()
    return SasToken(resource, signed, digest(key, signed), expires_at, None)


def individual(keys=KEYS):
    return Enrollment(DEVICE, keys, "g", "e", NOW, NOW)


def group(keys=KEYS):
    return Enrollment(GroupId.parse("line"), keys, "g", "e", NOW, NOW)


class TestDerivation:
    def test_the_recipe(self):
        """base64(HMAC-SHA256(base64decode(master), utf8(registrationId)))"""
        master = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw=="
        derived = symmetric_keys.derive(
            Secret(base64.b64decode(master)), "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6"
        )
        # The worked example of the Azure docs page "How to provision legacy devices" (symmetric keys, group).
        expected = "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc="
        assert base64.b64encode(derived.reveal()).decode() == expected

    @given(st.binary(min_size=16, max_size=64), st.text(min_size=1, max_size=128))
    def test_any(self, master, registration_id):
        made = symmetric_keys.derive(Secret(master), registration_id)
        assert made.reveal() == digest(master, registration_id.encode())


class TestIndividual:
    @pytest.mark.parametrize("key", [PRIMARY, SECONDARY])
    def test_either_key_proves(self, key):
        proven = symmetric_keys.matching_keys(token(key), individual(), DEVICE)
        assert proven is not None
        assert (proven.primary.reveal(), proven.secondary.reveal()) == (PRIMARY, SECONDARY)

    @pytest.mark.parametrize("key", [STRANGER, digest(PRIMARY, b"Dev-1"), base64.b64encode(PRIMARY), b""])
    def test_no_other_key_does(self, key):
        assert symmetric_keys.matching_keys(token(key), individual(), DEVICE) is None

    @pytest.mark.parametrize(
        "written", [f"{SCOPE}%2Fregistrations%2FDev-1", f"{SCOPE}%2fregistrations%2fDev-1"]
    )
    def test_the_resource_is_signed_as_it_was_written(self, written):
        assert symmetric_keys.matching_keys(token(PRIMARY, written=written), individual(), DEVICE)

    def test_not_for_x509(self):
        enrollment = individual(LeafCertificates(b"der"))
        assert symmetric_keys.matching_keys(token(PRIMARY), enrollment, DEVICE) is None


class TestGroup:
    @pytest.mark.parametrize("master", [PRIMARY, SECONDARY])
    @pytest.mark.parametrize("spelling", ["Dev-1", "dev-1"])
    def test_either_master_and_either_spelling(self, master, spelling):
        made = token(digest(master, spelling.encode()))
        proven = symmetric_keys.matching_keys(made, group(), DEVICE)
        assert proven is not None
        assert proven.primary.reveal() == digest(PRIMARY, spelling.encode())
        assert proven.secondary.reveal() == digest(SECONDARY, spelling.encode())

    @pytest.mark.parametrize(
        "key", [PRIMARY, SECONDARY, STRANGER, digest(PRIMARY, b"DEV-1"), digest(PRIMARY, b"dev-2")]
    )
    def test_nothing_else(self, key):
        assert symmetric_keys.matching_keys(token(key), group(), DEVICE) is None

    def test_a_shortened_signature(self):
        whole = token(digest(PRIMARY, b"Dev-1"))
        short = SasToken(whole.resource, whole.signed_text, whole.signature[:16], whole.expires_at, None)
        assert symmetric_keys.matching_keys(short, group(), DEVICE) is None


class TestTerms:
    def check(self, made, now=NOW):
        return symmetric_keys.check_terms(made, SCOPE, DEVICE, now)

    @pytest.mark.parametrize("name", ["Dev-1", "dev-1", "DEV-1"])
    def test_the_id_compares_without_regard_to_case(self, name):
        assert self.check(token(PRIMARY, resource=f"{SCOPE}/registrations/{name}")) is False

    @pytest.mark.parametrize(
        "resource",
        [
            "0ne00OTHER00/registrations/Dev-1",
            f"{SCOPE.lower()}/registrations/Dev-1",
            f"{SCOPE}/registrations/dev-2",
            f"{SCOPE}/Registrations/Dev-1",
            f"{SCOPE}/registrations",
            f"{SCOPE}/registrations/",
            f"{SCOPE}/registrations/Dev-1/register",
            SCOPE,
            "",
        ],
    )
    def test_another_scope(self, resource):
        with pytest.raises(Unauthenticated) as refusal:
            self.check(token(PRIMARY, resource=resource))
        assert refusal.value.rule == "sas-scope"
        assert refusal.value.message == "Unauthorized"
        assert repr(resource) in refusal.value.evidence

    def test_expiry(self):
        assert self.check(token(PRIMARY, expires_at=NOW), now=NOW - 0.5) is False
        for late in (NOW, NOW + 90):
            with pytest.raises(Unauthenticated) as refusal:
                self.check(token(PRIMARY, expires_at=NOW), now=late)
            assert refusal.value.rule == "sas-expired"

    def test_a_long_life_is_told_and_not_refused(self):
        year = 365 * 86_400
        assert self.check(token(PRIMARY, expires_at=NOW + year)) is False
        assert self.check(token(PRIMARY, expires_at=NOW + year + 1)) is True


class TestSpellings:
    def test_as_typed_and_in_lower_case_each_once(self):
        assert symmetric_keys.spellings(DEVICE) == ("Dev-1", "dev-1")
        assert symmetric_keys.spellings(RegistrationId.parse("dev-1")) == ("dev-1",)


class TestDeviceKeys:
    """What a device that proved itself has at its hub: the keys that it could have signed with."""

    def test_its_own(self):
        assert symmetric_keys.device_keys(KEYS, None) == symmetric_keys.matching_keys(
            token(PRIMARY), individual(), DEVICE
        )

    @pytest.mark.parametrize("spelling", ["Dev-1", "dev-1"])
    def test_those_that_the_group_s_derive_for_its_spelling(self, spelling):
        shown = token(digest(PRIMARY, spelling.encode()))
        assert symmetric_keys.device_keys(KEYS, spelling) == symmetric_keys.matching_keys(
            shown, group(), DEVICE
        )
