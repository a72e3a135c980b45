"""EK certificates: TCG EK Credential Profile for TPM 2.0."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from accredit.domain.errors import Malformed
from accredit.policy.ek_certificates import EK_CERTIFICATE, modulus_of
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

    def test_a_client_certificate(self):
        with pytest.raises(Malformed):
            modulus_of(LINE.issue("dev-1").der, "x")
