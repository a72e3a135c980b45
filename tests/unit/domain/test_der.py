"""Finding elements: what is cut out is what the complete parser found, and nothing is read beyond the data."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain import der as elements
from support.outside_ca import OutsideCA, der
from support.signing_requests import csr, key

KINDS = ["P-256", "P-384", "P-521", "RSA-2048", "Ed25519"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_of_a_request_is_cut_out_as_it_stands(kind):
    request = csr("device-1", key(kind)).public_bytes(Encoding.DER)
    expected = key(kind).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert elements.subject_public_key_info(request) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_subject_of_a_request_is_cut_out_as_it_stands(kind):
    request = csr("device-1", key(kind))
    assert elements.subject(request.public_bytes(Encoding.DER)) == request.subject.public_bytes()


def test_the_bits_of_an_elliptic_key_are_its_point():
    public = key().public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert elements.key_bits(spki) == public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@given(st.integers(min_value=1, max_value=(1 << 159) - 1))
def test_the_serial_of_a_certificate_is_found(serial):
    certificate = ROOT.leaf(key().public_key(), serial=serial)
    assert int.from_bytes(elements.serial_number(der(certificate)), "big", signed=True) == serial


def test_the_serial_of_a_certificate_of_version_1_comes_first():
    certificate = der(ROOT.leaf(key().public_key(), serial=0x1234))
    version = bytes.fromhex("a003020102")
    at = certificate.index(version)
    body = certificate[at:].replace(version, b"", 1)
    old = b"\x30\x81\xff\x30\x81\xff" + body
    assert elements.serial_number(old.ljust(600, b"\0")) == b"\x12\x34"


@given(st.binary(max_size=300))
def test_garbage_raises_value_error_and_nothing_else(data):
    for cut in (elements.subject_public_key_info, elements.key_bits, elements.serial_number):
        try:
            cut(data)
        except ValueError:
            continue


@given(st.integers(min_value=0, max_value=600))
def test_a_request_cut_short_has_no_key(size):
    request = csr("device-1", key("RSA-2048")).public_bytes(Encoding.DER)
    with pytest.raises(ValueError):
        elements.subject_public_key_info(request[:size])


@pytest.mark.parametrize("size", [0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000])
def test_lengths_of_every_form_are_understood(size):
    short = bytes([size]) if size < 0x80 else None
    octets = (size.bit_length() + 7) // 8
    header = b"\x04" + (short or bytes([0x80 | octets]) + size.to_bytes(octets, "big"))
    assert elements.content(header + bytes(size) + b"tail", 0, 0x04) == (len(header), len(header) + size)


@pytest.mark.parametrize(
    "data", [b"", b"\x30", b"\x30\x80", b"\x30\x84\x00\x00\x00\x01\x00", b"\x30\x02\x00", b"\x31\x00"]
)
def test_what_is_no_whole_sequence_is_refused(data):
    with pytest.raises(ValueError):
        elements.content(data, 0, elements.SEQUENCE)


ROOT = OutsideCA.root()


@pytest.mark.parametrize("serial", ["0200", "020100", "0201ff", "02028000"])
def test_a_serial_number_that_is_not_positive(serial):
    with pytest.raises(ValueError, match="not positive"):
        elements.check_serial(with_serial(bytes.fromhex(serial)))


@pytest.mark.parametrize("serial", ["020101", "02017f", "02020080", "0214" + "7f" * 20])
def test_a_serial_number_that_is_positive(serial):
    elements.check_serial(with_serial(bytes.fromhex(serial)))


def with_serial(integer):
    """The beginning of a certificate: as much as is looked at."""
    version = bytes.fromhex("a003020102")
    inner = bytes([0x30, len(version + integer)]) + version + integer
    return bytes([0x30, len(inner)]) + inner
