"""CMP messages: read back, by another ASN.1 library too, and refused where they are not what they should be."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.secret import Secret
from accredit.wire import cmp
from accredit.wire.der import BIT_STRING, OCTET_STRING, OID, SEQUENCE, BadDer, element, integer, only
from support import cmp_answers as answers
from support.cmp_answers import PASSWORD, tagged
from support.signing_requests import csr, order

ENVELOPE = cmp.Envelope(transaction=b"t" * 16, nonce=b"n" * 16, salt=b"s" * 16, now=1_800_000_000)
REQUEST = cmp.parse(cmp.message(cmp.ca_certs(), ENVELOPE, PASSWORD))


def answered(body: bytes) -> cmp.Message:
    return cmp.parse(answers.answering(body)(REQUEST))


def test_what_is_sent_is_read_back():
    name = csr("CA").subject.public_bytes()
    der = order().request.der
    envelope = cmp.Envelope(b"t", b"n", b"s", 1_800_000_000.9, name, b"a", implicit=True)
    read = cmp.parse(cmp.message(cmp.p10cr(der), envelope, PASSWORD))
    assert (read.kind, read.body) == (cmp.P10CR, der)
    assert (read.transaction, read.nonce, read.answered, read.implicit) == (b"t", b"n", b"a", True)
    assert read.protected
    assert read.proven(PASSWORD)
    assert not read.proven(cmp.Password(b"4787", Secret(b"another")))


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (cmp.ca_certs(), "genm"),
        (cmp.poll_req(-1), "pollReq"),
        (cmp.cert_conf(b"d" * 32, -1, accepted=False), "certConf"),
        (cmp.revocation(0x80FF, csr("CA").subject.public_bytes(), 4), "rr"),
    ],
)
def test_another_library_reads_the_same(body, name):
    decoder = pytest.importorskip("pyasn1.codec.der.decoder")
    rfc4210 = pytest.importorskip("pyasn1_alt_modules.rfc4210")
    read, rest = decoder.decode(cmp.message(body, ENVELOPE, PASSWORD), asn1Spec=rfc4210.PKIMessage())
    assert rest == b""
    assert read["body"].getName() == name
    assert bytes(read["header"]["transactionID"]) == b"t" * 16
    assert bytes(read["header"]["senderKID"]) == PASSWORD.reference
    if name == "rr":
        details = read["body"]["rr"][0]
        assert int(details["certDetails"]["serialNumber"]) == 0x80FF
        assert bytes(details["crlEntryDetails"][0]["extnValue"]).endswith(b"\x0a\x01\x04")
    if name == "certConf":
        assert int(read["body"]["certConf"][0]["statusInfo"]["status"]) == 2


class TestResponses:
    def test_a_certificate_with_others(self):
        leaf, other = element(SEQUENCE, b"\x05\x00"), element(SEQUENCE)
        read = answered(answers.cp(answers.status(1), leaf, request_id=7, capubs=(other,))).response()
        assert read == cmp.Response(7, cmp.Status(1), leaf, (other,))

    def test_nothing_but_a_status(self):
        told = answers.status(2, "no, thank you", (0, 9, 26))
        read = answered(answers.cp(told)).response()
        assert read.certificate is None
        assert read.status.text == "no, thank you"
        assert [bit for bit in range(32) if read.status.failed(bit)] == [0, 9, 26]

    def test_an_encrypted_certificate_is_none(self):
        pair = element(SEQUENCE, tagged(1, element(SEQUENCE)))
        response = element(SEQUENCE, integer(0), answers.status(0), pair)
        body = tagged(cmp.CP, element(SEQUENCE, element(SEQUENCE, response)))
        assert answered(body).response().certificate is None
        empty = element(SEQUENCE, integer(0), answers.status(0), element(SEQUENCE), element(OCTET_STRING))
        body = tagged(cmp.CP, element(SEQUENCE, element(SEQUENCE, empty)))
        assert answered(body).response().certificate is None

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            element(SEQUENCE),
            element(SEQUENCE, element(SEQUENCE)),
            element(SEQUENCE, element(SEQUENCE, element(SEQUENCE, integer(0)))),
            element(SEQUENCE, element(SEQUENCE, element(SEQUENCE, integer(0), element(SEQUENCE)))),
            element(
                SEQUENCE,
                element(SEQUENCE, element(SEQUENCE, integer(0), answers.status(0))),
                element(SEQUENCE),
            ),
        ],
    )
    def test_what_is_none(self, content):
        with pytest.raises(BadDer):
            answered(tagged(cmp.CP, content)).response()


def test_waiting():
    assert answered(answers.poll_rep(60, 3)).poll_after() == (3, 60)
    for content in (b"", element(SEQUENCE), element(SEQUENCE, element(SEQUENCE, integer(1)))):
        with pytest.raises(BadDer):
            answered(tagged(cmp.POLL_REP, content)).poll_after()


def test_statuses():
    assert answered(answers.rp(answers.status(4))).status() == cmp.Status(4)
    odd = element(SEQUENCE, integer(2), element(SEQUENCE, element(OCTET_STRING, b"x")), element(OCTET_STRING))
    assert answered(answers.error(odd)).status() == cmp.Status(2)
    for body in (answers.error(b""), answers.error(element(SEQUENCE)), tagged(cmp.RP, element(SEQUENCE))):
        with pytest.raises(BadDer):
            answered(body).status()


class TestProtection:
    def test_none(self):
        read = cmp.parse(answers.bare(answers.error(answers.status(2)))(REQUEST))
        assert not read.protected
        assert not read.proven(PASSWORD)

    def with_algorithm(self, algorithm: bytes) -> cmp.Message:
        header = element(
            SEQUENCE,
            integer(2),
            tagged(4),
            tagged(4),
            *([tagged(1, algorithm)] if algorithm else []),
            element(5),
        )
        told = tagged(0, element(BIT_STRING, b"\x00mac"))
        return cmp.parse(element(SEQUENCE, header, answers.PKICONF, told))

    def parameters(self, count=1000, digest="608648016503040201", mac="2a864886f70d0209", salt=OCTET_STRING):
        hashed = element(SEQUENCE, element(OID, bytes.fromhex(digest)))
        return element(
            SEQUENCE,
            element(OID, bytes.fromhex("2a864886f67d07420d")),
            element(
                SEQUENCE,
                element(salt, b"salt"),
                hashed if digest else element(SEQUENCE),
                integer(count),
                element(SEQUENCE, element(OID, bytes.fromhex(mac))),
            ),
        )

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"count": 0},
            {"count": cmp.MAX_ITERATIONS + 1},
            {"count": 1 << 62},
            {"digest": "2a"},
            {"digest": ""},
            {"mac": "2a"},
            {"salt": 0x30 | 0x04},
            {"digest": "2b0e03021a", "mac": "2b06010505080102"},
        ],
    )
    def test_one_that_is_not_ours(self, changes):
        assert not self.with_algorithm(self.parameters(**changes)).proven(PASSWORD)

    @pytest.mark.parametrize(
        "algorithm", [b"", element(SEQUENCE), element(SEQUENCE, element(OID, b"\x2a"), element(SEQUENCE))]
    )
    def test_one_of_another_kind(self, algorithm):
        assert not self.with_algorithm(algorithm).proven(PASSWORD)


@pytest.mark.parametrize("told", [b"", b"\x01mac"])
def test_a_protection_that_is_no_row_of_octets(told):
    header = element(SEQUENCE, integer(2), tagged(4), tagged(4))
    with pytest.raises(BadDer, match="octets"):
        cmp.parse(element(SEQUENCE, header, answers.PKICONF, tagged(0, element(BIT_STRING, told))))


def test_extra_certificates():
    header = element(SEQUENCE, integer(2), tagged(4), tagged(4))
    extra = tagged(1, element(SEQUENCE, element(SEQUENCE), element(SEQUENCE, b"\x05\x00")))
    read = cmp.parse(element(SEQUENCE, header, answers.PKICONF, extra))
    assert read.extra == (element(SEQUENCE), element(SEQUENCE, b"\x05\x00"))


def test_general_information_that_confirms_nothing():
    told = element(SEQUENCE, element(SEQUENCE, element(OID, b"\x2a")), element(SEQUENCE))
    header = element(SEQUENCE, integer(2), tagged(4), tagged(4), tagged(8, told))
    assert not cmp.parse(element(SEQUENCE, header, answers.PKICONF)).implicit


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        element(SEQUENCE),
        element(SEQUENCE, element(SEQUENCE), answers.PKICONF),
        element(SEQUENCE, element(SEQUENCE, integer(2), tagged(4), tagged(4)), element(SEQUENCE)),
        element(SEQUENCE, element(0x31, integer(2), tagged(4), tagged(4)), answers.PKICONF),
        element(
            SEQUENCE,
            element(SEQUENCE, integer(2), tagged(4), tagged(4), tagged(4, element(OCTET_STRING, b"x" * 65))),
            answers.PKICONF,
        ),
        bytes(cmp.MAX_MESSAGE_BYTES + 1),
    ],
    ids=range(8),
)
def test_what_is_no_message(data):
    with pytest.raises(BadDer):
        cmp.parse(data)


@given(st.data())
def test_a_message_that_was_changed_is_not_proven(data):
    sent = bytearray(answers.answering(answers.cp(answers.status(0), element(SEQUENCE)))(REQUEST))
    at = data.draw(st.integers(0, len(sent) - 1))
    sent[at] ^= data.draw(st.integers(1, 255))
    try:
        read = cmp.parse(bytes(sent))
    except BadDer:
        return
    assert not read.proven(PASSWORD)


def test_a_name_as_x509_writes_it():
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")])
    envelope = cmp.Envelope(b"t", b"n", b"s", 0, name.public_bytes())
    assert name.public_bytes() in cmp.message(cmp.ca_certs(), envelope, PASSWORD)
    assert only(cmp.message(cmp.ca_certs(), envelope, PASSWORD), SEQUENCE)
