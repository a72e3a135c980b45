"""Sealing for a TPM: only the TPM with both keys opens it, and only as it was sealed.

Whether these are the TPM library's own formulas, a TPM says: `tests/e2e/test_tpm_emulator.py`.
"""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given, settings
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.domain.secret import Secret
from accredit.policy import tpm_activation
from accredit.wire import tpm
from support.tpm_device import TpmDevice, WrongParcel, rsa_key

DEVICE = TpmDevice()
OTHER = TpmDevice(1)
KEY = Secret(bytes(range(32)))
RANDOM = bytes(range(tpm_activation.RANDOM_BYTES))


def sealed(endorsement=None, storage_root=None, key=KEY, note=b"0ne00AB12CD", random=RANDOM) -> bytes:
    return tpm.blob(
        tpm_activation.activate(
            endorsement or DEVICE.endorsement,
            storage_root or DEVICE.storage_root,
            tpm.identity_key(key, b"s" * 32),
            note,
            random,
        )
    )


class TestActivation:
    @settings(max_examples=20, deadline=None)
    @given(
        st.binary(min_size=32, max_size=32), st.binary(min_size=144, max_size=144), st.binary(max_size=128)
    )
    def test_the_tpm_gets_the_key(self, key, random, note):
        assert DEVICE.take(sealed(key=Secret(key), random=random, note=note)) == Secret(key)

    def test_the_sizes_of_its_parts(self):
        parcel = tpm.read_blob(sealed(note=b"n" * 11))
        parts = (parcel.credential, parcel.credential_secret, parcel.duplicate, parcel.duplicate_seed)
        assert [len(part) for part in parts] == [52, 256, 142, 256]
        assert len(parcel.area) == 80
        assert len(parcel.note) == 11

    def test_the_same_randomness_makes_the_same_blob_and_other_randomness_another(self):
        assert sealed() == sealed()
        other = sealed(random=RANDOM[::-1])
        assert other != sealed()
        same = tpm.read_blob(other).area
        assert same == tpm.read_blob(sealed()).area

    def test_another_tpm_gets_nothing(self):
        with pytest.raises(WrongParcel):
            OTHER.take(sealed())

    def test_a_tpm_with_another_srk_gets_nothing(self):
        with pytest.raises(WrongParcel):
            TpmDevice(0, cleared=1).take(sealed())
        with pytest.raises(WrongParcel):
            DEVICE.take(sealed(storage_root=OTHER.storage_root))

    def test_the_srk_alone_opens_nothing(self):
        with pytest.raises(WrongParcel):
            DEVICE.take(sealed(endorsement=OTHER.endorsement))

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 797), st.integers(1, 255))
    def test_a_changed_byte_spoils_it(self, at, by):
        parcel = bytearray(sealed(note=b""))
        parcel[at] ^= by
        with pytest.raises((WrongParcel, Malformed)):
            DEVICE.take(bytes(parcel))

    def test_the_key_is_nowhere_in_the_clear(self):
        assert KEY.reveal() not in sealed()


class TestOAEP:
    """RFC 8017, 7.1: another library opens what is sealed here."""

    @settings(max_examples=20, deadline=None)
    @given(st.binary(max_size=190), st.binary(max_size=40), st.binary(min_size=32, max_size=32))
    def test_opens(self, message, label, random):
        sealed_message = tpm_activation.oaep(DEVICE.endorsement, label, message, random)
        scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label)
        assert rsa_key(0).decrypt(sealed_message, scheme) == message
