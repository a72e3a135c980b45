"""Certificates in documents: which texts are one, and how one is shown."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.wire.service_api.certificates import (
    MAX_BUNDLE_CHARS,
    certificate_der,
    certificate_ders,
    certificate_info,
    pem,
    serial_hex,
)
from support import pki

ROOT = pki.root("root")
LEAF = ROOT.issue("Dev-1")


def test_info_has_its_eight_members() -> None:
    info = certificate_info(LEAF.der)
    assert info == {
        "subjectName": "CN=Dev-1",
        "sha1Thumbprint": hashlib.sha1(LEAF.der).hexdigest().upper(),
        "sha256Thumbprint": hashlib.sha256(LEAF.der).hexdigest().upper(),
        "issuerName": "CN=root",
        "notBeforeUtc": "2027-01-14T08:00:00Z",
        "notAfterUtc": "2028-01-15T08:00:00Z",
        "serialNumber": info["serialNumber"],
        "version": 3,
    }
    assert int(info["serialNumber"], 16) == LEAF.certificate.serial_number


def test_pem_round_trip() -> None:
    assert pem(LEAF.der) == LEAF.pem
    assert certificate_ders(LEAF.pem + ROOT.pem, "x") == [LEAF.der, ROOT.der]


@pytest.mark.parametrize(
    "text",
    [
        "text before\n" + LEAF.pem + "text between\n" + ROOT.pem + "text behind",
        LEAF.pem.replace("CERTIFICATE", "X509 CERTIFICATE") + ROOT.pem,
        LEAF.pem + "-----BEGIN EC PARAMETERS-----\nBgU=\n-----END EC PARAMETERS-----\n" + ROOT.pem,
        LEAF.pem.replace("\n", "\r\n") + ROOT.pem,
    ],
    ids=["text around", "an older label", "other blocks", "crlf"],
)
def test_bundles_as_tools_write_them(text: str) -> None:
    assert certificate_ders(text, "x") == [LEAF.der, ROOT.der]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        LEAF.pem[:-30],
        LEAF.pem + ROOT.pem[:-30],
        LEAF.pem.replace("END CERT", "END X509 CERT"),
        LEAF.pem.replace("M", "*", 1) + ROOT.pem,
        "-----BEGIN EC PARAMETERS-----\nBgU=\n-----END EC PARAMETERS-----\n",
    ],
    ids=["nothing", "text", "cut short", "the second cut short", "two labels", "no base64", "no certificate"],
)
def test_what_is_no_bundle(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        certificate_ders(text, "x")
    assert refused.value.rule == "certificate-unreadable"


def test_a_bundle_is_bounded() -> None:
    with pytest.raises(Malformed) as refused:
        certificate_ders(LEAF.pem.ljust(MAX_BUNDLE_CHARS + 1), "x")
    assert refused.value.rule == "certificate-size"
    assert certificate_ders(LEAF.pem.ljust(MAX_BUNDLE_CHARS), "x") == [LEAF.der]


@pytest.mark.parametrize("serial", [b"\x00\x00", b"\x80\x00", b"\xff\xff"])
def test_a_serial_number_is_positive(serial: bytes) -> None:
    """RFC 5280, 4.1.2.2: refused where it is put, since nothing could be told apart by it later."""
    number = b"\x02\x02" + LEAF.certificate.serial_number.to_bytes(2, "big")
    spoiled = LEAF.der.replace(number, b"\x02\x02" + serial, 1)
    for text in (pem(spoiled), base64.b64encode(spoiled).decode()):
        with pytest.raises(Malformed) as refused:
            certificate_der(text, "x")
        assert refused.value.rule == "certificate-unreadable"


def test_serial_numbers_are_whole_octets() -> None:
    assert [serial_hex(number) for number in (1, 0x10, 0xABC)] == ["01", "10", "0ABC"]


@given(st.binary(max_size=60), st.integers(0, 500))
def test_only_malformed_leaves(noise: bytes, at: int) -> None:
    spoiled = LEAF.der[:at] + noise + LEAF.der[at + len(noise) :]
    for text in (base64.b64encode(spoiled).decode(), pem(spoiled), noise.decode("latin-1")):
        try:
            certificate_info(certificate_der(text, "x"))
            certificate_ders(text, "x")
        except Malformed:
            pass
