"""TPM 2.0 Library, part 2: the structures that DPS clients and the service exchange."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.domain.secret import Secret
from accredit.domain.tpm import Activation, TpmKey
from accredit.wire import amqp_tpm, tpm
from support.tpm_device import PARAMETERS, SRK_HEAD, storage_root_key

MODULUS = b"\xc5" + bytes(254) + b"\x07"
EK = tpm.endorsement_key(MODULUS)
SRK = storage_root_key(MODULUS)
KEY = Secret(b"k" * 32)


def changed(at: int, *new: int, key: TpmKey = SRK) -> bytes:
    area = bytearray(key.area)
    area[at : at + len(new)] = bytes(new)
    return tpm.sized(bytes(area))


class TestPublicKeys:
    def test_the_sizes_that_devices_send(self):
        assert len(EK.marshalled) == 316
        assert len(SRK.marshalled) == 284

    @pytest.mark.parametrize("key", [EK, SRK], ids=["EK", "SRK"])
    def test_read_as_they_were_written(self, key):
        assert tpm.read_key(key.marshalled, "x") == key
        assert tpm.key_of_text(tpm.text_of(key), "x") == key
        assert key.modulus == MODULUS
        assert key.name == b"\x00\x0b" + hashlib.sha256(key.area).digest()

    @pytest.mark.parametrize(
        ("what", "sized"),
        [
            ("userWithAuth and stClear", changed(4, 0x00, 0x03, 0x04, 0x76)),
            ("no noDA", changed(4, 0x00, 0x03, 0x00, 0x72)),
            ("the exponent written out", changed(SRK.area.index(PARAMETERS) + 10, 0, 1, 0, 1)),
        ],
    )
    def test_what_templates_differ_in_is_taken(self, what, sized):
        assert tpm.read_key(sized, what).marshalled == sized

    @pytest.mark.parametrize(
        ("what", "sized"),
        [
            ("ECC", changed(0, 0x00, 0x23)),
            ("SHA-1", changed(2, 0x00, 0x04)),
            ("not fixed to its TPM", changed(4, 0x00, 0x03, 0x04, 0x70)),
            ("not fixed to its parent", changed(4, 0x00, 0x03, 0x04, 0x62)),
            ("made outside", changed(4, 0x00, 0x03, 0x04, 0x52)),
            ("not restricted", changed(4, 0x00, 0x02, 0x04, 0x72)),
            ("not for decryption", changed(4, 0x00, 0x01, 0x04, 0x72)),
            ("a signing key", changed(4, 0x00, 0x07, 0x04, 0x72)),
            ("encrypted duplication", changed(4, 0x00, 0x03, 0x0C, 0x72)),
            ("a reserved bit", changed(4, 0x80, 0x03, 0x04, 0x72)),
            ("a policy of 20 bytes", changed(8, 0, 20)),
            ("AES-256", changed(12, 0x01, 0x00)),
            ("another mode", changed(14, 0x00, 0x44)),
            ("a scheme", changed(16, 0x00, 0x17)),
            ("RSA-3072", changed(18, 0x0C, 0x00)),
            ("exponent 3", changed(20, 0, 0, 0, 3)),
            ("a short modulus", changed(26, 0x00)),
            ("an even modulus", changed(281, 0x06)),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_other_keys(self, what, sized):
        with pytest.raises(Malformed) as refused:
            tpm.read_key(sized, "endorsementKey")
        assert refused.value.rule == "tpm-key-kind"
        assert refused.value.message.startswith("endorsementKey ")

    @pytest.mark.parametrize(
        ("what", "sized"),
        [
            ("nothing", b""),
            ("a byte", b"\x00"),
            ("a size alone", b"\x00\x00"),
            ("cut within the head", tpm.sized(SRK.area[:9])),
            ("cut within the parameters", tpm.sized(SRK.area[:20])),
            ("cut within the modulus", tpm.sized(SRK.area[:-1])),
            ("without a modulus", tpm.sized(SRK_HEAD + PARAMETERS)),
            ("a modulus that goes on", tpm.sized(SRK.area + b"\x01")),
            ("a modulus of another size", changed(24, 0x00, 0x80)),
            ("a size too large", b"\x01\x1b" + SRK.area),
            ("a size too small", b"\x01\x19" + SRK.area),
            ("trailing bytes", SRK.marshalled + b"\x00"),
            ("giant", b"\xff\xff" + bytes(65_535)),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_unreadable(self, what, sized):
        with pytest.raises(Malformed) as refused:
            tpm.read_key(sized, what)
        assert refused.value.rule == "tpm-structure"

    @pytest.mark.parametrize("text", ["", "=", "not base64!", "AAAA\n", "é", "A" * 700, "A" * 10_000_000])
    def test_text_that_is_none(self, text):
        with pytest.raises(Malformed) as refused:
            tpm.key_of_text(text, "storageRootKey")
        assert refused.value.rule == "tpm-structure"

    @given(st.binary(max_size=600))
    def test_any_bytes_are_a_key_or_malformed(self, data):
        try:
            key = tpm.read_key(data, "x")
        except Malformed:
            return
        assert key.marshalled == data

    @given(st.integers(0, 283), st.integers(0, 255))
    def test_a_changed_byte_is_never_passed_over(self, at, value):
        data = bytearray(SRK.marshalled)
        data[at] = value
        try:
            key = tpm.read_key(bytes(data), "x")
        except Malformed:
            return
        assert key.marshalled == bytes(data)

    @given(st.text(max_size=900))
    def test_any_text_is_a_key_or_malformed(self, text):
        with pytest.raises(Malformed):
            tpm.key_of_text(text, "x")

    def test_the_default_registration_id(self):
        """Azure: Node's tpm.js, `getRegistrationId`; RFC 4648 base32 of the SHA-256."""
        expected = base64.b32encode(hashlib.sha256(EK.marshalled).digest()).decode()
        assert tpm.default_registration_id(EK) == expected.replace("=", "").lower()
        assert len(tpm.default_registration_id(EK)) == 52


class TestIdentityKeys:
    def test_an_hmac_key_that_may_be_duplicated(self):
        """TSS.MSR, DrsServer: the same template, member by member."""
        seed = b"s" * 32
        made = tpm.identity_key(KEY, seed)
        assert (
            made.area
            == bytes.fromhex(
                "0008000b00040440"
                "0020bef56b8c1cc84e11edd717528d2cd99356bd2bbf8f015209c3f84aeeaba8e8a2"
                "0005000b0020"
            )
            + hashlib.sha256(seed + KEY.reveal()).digest()
        )
        assert len(made.sensitive) == 72
        assert tpm.read_sensitive(made.sensitive) == (seed, KEY)

    def test_the_policy_is_that_of_a_duplication(self):
        """PolicyCommandCode: SHA-256 over 32 zeros, TPM_CC_PolicyCommandCode and TPM_CC_Duplicate."""
        policy = hashlib.sha256(bytes(32) + bytes.fromhex("0000016c0000014b")).digest()
        assert policy in tpm.identity_key(KEY, bytes(32)).area

    def test_the_key_is_not_shown(self):
        assert "6b6b" not in repr(tpm.identity_key(KEY, bytes(32)))
        assert "kkkk" not in repr(tpm.identity_key(KEY, bytes(32)))

    @pytest.mark.parametrize("what", [b"a" * 31, b"a" * 33, b""])
    def test_a_sensitive_area_of_other_sizes(self, what):
        for seed, key in ((what, KEY.reveal()), (b"s" * 32, what)):
            area = b"\x00\x08" + tpm.sized(b"") + tpm.sized(seed) + tpm.sized(key)
            with pytest.raises(Malformed):
                tpm.read_sensitive(area)

    @given(st.binary(max_size=100))
    def test_any_sensitive_area_is_one_or_malformed(self, data):
        with pytest.raises(Malformed):
            tpm.read_sensitive(data)

    @given(st.integers(0, 71), st.integers(0, 255))
    def test_a_changed_sensitive_area(self, at, value):
        made = tpm.identity_key(KEY, bytes(32)).sensitive
        data = bytearray(made)
        data[at] = value
        try:
            seed, key = tpm.read_sensitive(bytes(data))
        except Malformed:
            return
        assert tpm.identity_key(key, seed).sensitive == bytes(data)


class TestBlobs:
    def activation(self, note: bytes = b"") -> Activation:
        return Activation(bytes(52), bytes(256), bytes(142), bytes(256), bytes(80), note)

    @given(st.lists(st.binary(max_size=150), min_size=6, max_size=6))
    def test_read_as_they_were_written(self, parts):
        activation = Activation(*parts)
        assert tpm.read_blob(tpm.blob(activation)) == activation

    @given(st.binary(max_size=1_100))
    def test_any_bytes_are_a_blob_or_malformed(self, data):
        try:
            assert tpm.blob(tpm.read_blob(data)) == data
        except Malformed:
            return

    @pytest.mark.parametrize("end", [b"\x00", bytes(300)])
    def test_trailing_bytes(self, end):
        with pytest.raises(Malformed):
            tpm.read_blob(tpm.blob(self.activation()) + end)

    @pytest.mark.parametrize("note", [b"", b"n", b"n" * 128, b"n" * tpm.MAX_NOTE_BYTES])
    def test_two_segments_that_fit(self, note):
        """Azure: the Java SDK counts on two, the C SDK's frames have room for 470 bytes."""
        blob = tpm.blob(self.activation(note))
        first, second = amqp_tpm.parts(blob)
        assert first[1:] + second[1:] == blob
