"""EK certificates: TCG EK Credential Profile for TPM 2.0, and the vendor above them."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from accredit.domain.errors import Malformed
from accredit.policy.ek_certificates import EK_CERTIFICATE, check_vendor, modulus_of
from support import pki
from support.ek_certificates import certified, certified_key, der
from support.tpm_device import TpmDevice, rsa_key

VENDOR = pki.root("Vendor Root")
LINE = VENDOR.intermediate("Vendor Line 3")
DEVICE = TpmDevice()
KEY = rsa_key(0).public_key()


class TestWhatItIs:
    @pytest.mark.parametrize(
        "more",
        [
            {},
            {"purposes": None},
            {"purposes": (EK_CERTIFICATE, ExtendedKeyUsageOID.CLIENT_AUTH)},
            {"encrypts": None},
        ],
    )
    def test_the_modulus_of_an_ek(self, more):
        ek = certified_key(LINE, DEVICE.endorsement, **more)
        assert modulus_of(der(ek), "x") == DEVICE.endorsement.modulus

    @pytest.mark.parametrize(
        "made",
        [
            certified(LINE, ec.generate_private_key(ec.SECP256R1()).public_key(), encrypts=None),
            certified(LINE, rsa_key(9, 3072).public_key()),
            certified(LINE, rsa.generate_private_key(3, 2048).public_key()),
            certified(LINE, KEY, purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
            certified(LINE, KEY, encrypts=False),
            certified(LINE, KEY, ca=True),
        ],
        ids=["ECC", "RSA-3072", "exponent 3", "client certificate", "signing key", "CA"],
    )
    def test_others_are_none(self, made):
        with pytest.raises(Malformed) as refused:
            modulus_of(der(made), "endorsementKey")
        assert refused.value.rule == "ek-certificate-kind"
        assert "endorsementKey" in refused.value.message

    def test_a_key_that_says_what_it_is_for(self):
        """Early vendors wrote RSAES-OAEP into the key itself (1.2.840.113549.1.1.7), which nobody reads."""
        rsa_encryption, rsaes_oaep = (bytes.fromhex(f"2a864886f70d0101{last}") for last in ("01", "07"))
        odd = der(certified_key(LINE, DEVICE.endorsement)).replace(rsa_encryption, rsaes_oaep)
        with pytest.raises(Malformed) as refused:
            modulus_of(odd, "x")
        assert refused.value.rule == "ek-certificate-kind"
        assert refused.value.evidence

    def test_a_client_certificate(self):
        with pytest.raises(Malformed):
            modulus_of(LINE.issue("dev-1").der, "x")


class TestVendor:
    @pytest.mark.parametrize("anchor", [VENDOR, LINE], ids=["its root", "its line"])
    def test_leads_to_an_anchor(self, anchor):
        check_vendor([der(certified_key(LINE, DEVICE.endorsement)), LINE.der], [anchor.der], pki.NOW)

    def test_what_stands_between_may_be_added_instead_of_sent(self):
        check_vendor([der(certified_key(LINE, DEVICE.endorsement))], [VENDOR.der, LINE.der], pki.NOW)

    @pytest.mark.parametrize(
        ("chain", "anchors", "now"),
        [
            ([der(certified_key(LINE, DEVICE.endorsement))], [VENDOR.der], pki.NOW),
            ([der(certified_key(pki.root("Vendor Root"), DEVICE.endorsement))], [VENDOR.der], pki.NOW),
            ([der(certified_key(VENDOR, DEVICE.endorsement)), LINE.der], [VENDOR.der], pki.NOW),
            ([der(certified_key(VENDOR, DEVICE.endorsement))], [VENDOR.der], pki.NOW - 10 * pki.DAY),
            ([der(certified_key(VENDOR, DEVICE.endorsement, not_after=pki.NOW))], [VENDOR.der], pki.NOW + 1),
        ],
        ids=[
            "a link is missing",
            "another root of the name",
            "a stranger came along",
            "not yet valid",
            "expired",
        ],
    )
    def test_does_not_lead_there(self, chain, anchors, now):
        with pytest.raises(Malformed) as refused:
            check_vendor(chain, anchors, now)
        assert refused.value.rule == "ek-certificate-untrusted"
        assert refused.value.evidence

    def test_the_certificate_itself_is_no_anchor(self):
        ek = certified_key(VENDOR, DEVICE.endorsement)
        assert isinstance(ek, x509.Certificate)
        with pytest.raises(Malformed):
            check_vendor([der(ek)], [LINE.der], pki.NOW)
