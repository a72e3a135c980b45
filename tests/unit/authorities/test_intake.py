"""What a CA sent, made into certificates or refused."""

import base64
import warnings
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.authorities import intake
from accredit.domain.errors import UpstreamRejected
from support import pki

ROOT = pki.root("Root")
CA = ROOT.intermediate("CA")
LEAF = CA.issue("device-1")
BUNDLE = LEAF.pem + CA.pem + ROOT.pem


class TestBundles:
    def test_pem_in_the_order_sent(self):
        assert intake.certificates(BUNDLE) == (LEAF.der, CA.der, ROOT.der)
        assert intake.certificates((ROOT.pem + LEAF.pem).encode()) == (ROOT.der, LEAF.der)

    def test_raw_der(self):
        assert intake.certificates(LEAF.der) == (LEAF.der,)

    def test_junk_around_and_between(self):
        text = (
            "\ufeffBag Attributes\r\n"
            + BUNDLE.replace("\n", "\r\n").replace("-----END", "  \t-----END")
            + "é\0\n"
        )
        assert intake.certificates(text) == (LEAF.der, CA.der, ROOT.der)

    def test_other_blocks_are_passed_over(self):
        key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
        assert intake.certificates(key + LEAF.pem + key) == (LEAF.der,)

    def test_a_repeated_certificate_counts_once(self):
        assert intake.certificates(BUNDLE + ROOT.pem + LEAF.pem) == (LEAF.der, CA.der, ROOT.der)

    def test_as_many_as_allowed(self):
        assert intake.certificates(LEAF.pem * intake.MAX_CERTIFICATES) == (LEAF.der,)


class TestRefusals:
    @pytest.mark.parametrize(
        ("answer", "rule"),
        [
            (b"", "ca-answer-empty"),
            ("<html>no</html>", "ca-answer-empty"),
            (LEAF.pem.replace("END", "FIN"), "ca-answer-empty"),
            (LEAF.pem * (intake.MAX_CERTIFICATES + 1), "ca-answer-too-many"),
            (BUNDLE + " " * intake.MAX_ANSWER_BYTES, "ca-answer-too-large"),
            (LEAF.der + b"\0", "ca-answer-unreadable"),
            (LEAF.der[:-1], "ca-answer-unreadable"),
            (b"0", "ca-answer-unreadable"),
            (LEAF.pem + "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", "ca-answer-unreadable"),
            ("-----BEGIN CERTIFICATE-----\nMII=A\n-----END CERTIFICATE-----", "ca-answer-unreadable"),
            (b"0\x80" + b"0" * 5000, "ca-answer-unreadable"),
        ],
    )
    def test_by_rule(self, answer, rule):
        with pytest.raises(UpstreamRejected) as caught:
            intake.certificates(answer)
        assert caught.value.rule == rule
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    @pytest.mark.parametrize("serial", [b"\x00\x00", b"\x80\x00", b"\xff\xff"])
    def test_a_serial_that_is_not_positive(self, serial):
        """The parser would warn of it and go on; here a warning would fail the test."""
        own = b"\x02\x02" + LEAF.certificate.serial_number.to_bytes(2, "big")
        with pytest.raises(UpstreamRejected) as caught:
            intake.certificates(LEAF.der.replace(own, b"\x02\x02" + serial, 1))
        assert caught.value.rule == "ca-answer-unreadable"
        assert "serial" in caught.value.evidence


class TestNames:
    def test_common_name(self):
        assert intake.common_name(LEAF.certificate) == "device-1"
        assert intake.common_name(CA.issue(None).certificate) is None

    def test_spki(self):
        assert intake.spki_of(LEAF.certificate) != intake.spki_of(CA.certificate)


class TestAnything:
    @given(st.binary(max_size=400))
    def test_bytes(self, answer):
        with suppress(UpstreamRejected):
            assert intake.certificates(answer)

    @given(st.text(max_size=200))
    def test_text(self, answer):
        with suppress(UpstreamRejected):
            assert intake.certificates("-----BEGIN CERTIFICATE-----" + answer + "-----END CERTIFICATE-----")

    @given(st.integers(0, len(LEAF.der) - 1), st.integers(1, 255))
    def test_a_certificate_with_a_flipped_byte(self, at, mask):
        forged = bytearray(LEAF.der)
        forged[at] ^= mask
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for answer in (bytes(forged), pem(bytes(forged))):
                with suppress(UpstreamRejected):
                    assert intake.certificates(answer) == (bytes(forged),)


def pem(der: bytes) -> str:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"
