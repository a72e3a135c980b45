"""RFC 7030 and RFC 8951: what both roles say, read back by the other and by openssl."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed, Unauthenticated, UpstreamRejected
from accredit.domain.secret import Secret
from accredit.wire import est
from support import pki, signing_requests
from support.programs import run

ROOT = pki.root("Root")
LEAF = ROOT.issue("dev-1")
CSR = signing_requests.pem(signing_requests.csr("dev-1"))


class TestRequests:
    def test_both_roles_agree(self):
        der = base64.b64decode("".join(CSR.splitlines()[1:-1]))
        text = est.csr_text("application/pkcs10", est.request_body(der))
        assert base64.b64decode(text) == der

    @pytest.mark.parametrize("kind", ["application/pkcs10", "Application/PKCS10; charset=us-ascii"])
    def test_pem_is_tolerated(self, kind):
        assert est.csr_text(kind, CSR.encode()) == CSR

    @pytest.mark.parametrize("kind", [None, "", "application/json", "application/pkcs10x", "text/plain"])
    def test_another_content_type(self, kind):
        with pytest.raises(Malformed) as refused:
            est.csr_text(kind, b"AAAA")
        assert refused.value.rule == "csr-media-type"

    def test_raw_der(self):
        with pytest.raises(Malformed) as refused:
            est.csr_text(est.PKCS10, b"\x30\x82\xff\xff")
        assert refused.value.rule == "csr-not-pem-or-der"

    def test_too_large(self):
        assert est.csr_text(est.PKCS10, b"A" * est.MAX_REQUEST_BYTES)
        with pytest.raises(Malformed) as refused:
            est.csr_text(est.PKCS10, b"A" * (est.MAX_REQUEST_BYTES + 1))
        assert refused.value.rule == "body-too-large"


class TestCertificates:
    def test_both_roles_agree_whatever_the_line_ends(self):
        body = est.certificates_body([LEAF.der, ROOT.der])
        assert b"\n" not in body
        wrapped = base64.encodebytes(base64.b64decode(body)).replace(b"\n", b"\r\n")
        armoured = b"-----BEGIN PKCS7-----\n" + wrapped + b"-----END PKCS7-----\n"
        for form in (body, wrapped, armoured):
            assert set(est.certificates(form)) == {LEAF.der, ROOT.der}

    def test_openssl_reads_it(self, tmp_path):
        file = tmp_path / "answer.p7"
        file.write_bytes(base64.b64decode(est.certificates_body([LEAF.der])))
        shown = run("openssl", "pkcs7", "-inform", "DER", "-in", str(file), "-print_certs", "-noout")
        assert "CN = dev-1" in shown

    @pytest.mark.parametrize(
        ("body", "rule"),
        [
            (b"", "ca-answer-unreadable"),
            (b"<html>", "ca-answer-unreadable"),
            (b"AAAA", "ca-answer-unreadable"),
            (LEAF.pem.encode(), "ca-answer-unreadable"),
            (base64.b64encode(LEAF.der), "ca-answer-unreadable"),
            (b"A" * (est.MAX_ANSWER_BYTES + 1), "ca-answer-too-large"),
            # openssl crl2pkcs7 -nocrl without a certificate
            (base64.b64encode(bytes.fromhex("302306092a864886f70d010702a0163014020101310030"
                                            "0b06092a864886f70d010701310000")[:-1]), "ca-answer-unreadable"),
        ],
    )  # fmt: skip
    def test_what_is_none(self, body, rule):
        with pytest.raises(UpstreamRejected) as refused:
            est.certificates(body)
        assert refused.value.rule == rule

    def test_an_empty_message(self, tmp_path):
        made = run("openssl", "crl2pkcs7", "-nocrl")
        with pytest.raises(UpstreamRejected) as refused:
            est.certificates(made.encode())
        assert refused.value.rule in {"ca-answer-empty", "ca-answer-unreadable"}

    def test_a_message_with_an_empty_set_of_certificates(self):
        """SignedData (RFC 2315, 9.1) whose certificates [0] are there, and none."""
        signed = "020101 3100 300b 06092a864886f70d010701 a000 3100"
        message = f"3025 06092a864886f70d010702 a018 3016 {signed}"
        with pytest.raises(UpstreamRejected) as refused:
            est.certificates(base64.b64encode(bytes.fromhex(message)))
        assert refused.value.rule == "ca-answer-empty"

    def test_too_many(self):
        many = [ROOT.issue(f"dev-{number}").der for number in range(est.MAX_CERTIFICATES + 1)]
        assert len(est.certificates(est.certificates_body(many[1:]))) == est.MAX_CERTIFICATES
        with pytest.raises(UpstreamRejected) as refused:
            est.certificates(est.certificates_body(many))
        assert refused.value.rule == "ca-answer-too-many"

    @given(st.binary(max_size=200))
    def test_anything(self, body):
        """Neither a defect nor a certificate comes of it."""
        with pytest.raises(UpstreamRejected):
            est.certificates(body)


class TestBasic:
    @given(
        st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"]), max_size=64),
        st.binary(max_size=64),
    )
    def test_both_roles_agree(self, user, password):
        header = est.basic(user, Secret(password)).reveal().decode()
        assert est.basic_credentials(header) == (user, Secret(password))

    @pytest.mark.parametrize(
        "header",
        ["", "Basic", "Bearer abc", "Basic !", "Basic " + base64.b64encode(b"no colon").decode(),
         "Basic " + base64.b64encode(b"\xff:x").decode(), "Basic " + "A" * 2000, "Digest username=x"],
    )  # fmt: skip
    def test_what_is_none(self, header):
        with pytest.raises(Unauthenticated) as refused:
            est.basic_credentials(header)
        assert refused.value.rule == "basic-malformed"


def test_the_recommended_attributes():
    """SEQUENCE { SEQUENCE { ecPublicKey, SET { prime256v1 } }, ecdsa-with-SHA256 }, as asn1parse reads it (tests/e2e)."""
    expected = "3021 3015 06072a8648ce3d0201 310a 06082a8648ce3d030107 06082a8648ce3d040302"
    assert base64.b64decode(est.attributes_body()).hex() == expected.replace(" ", "")
