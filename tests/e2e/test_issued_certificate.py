"""What others make of an issued certificate: `openssl verify` at its strictest, its text, and pkilint.

The CSRs are openssl's own, of every kind of key that a device may have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from support import linting
from support.enrolling import issuing, symmetric_individual
from support.programs import run
from support.raw_device import DpsDevice
from support.running_service import RunningService

KEYS = {
    "P-256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "P-384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "RSA-2048": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "RSA-3072": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
}


@dataclass
class Issued:
    """What one device was given, and above it the root that the operator trusts."""

    folder: Path
    registration_id: str
    chain: list[x509.Certificate]
    root: x509.Certificate

    def file(self, name: str, *certificates: x509.Certificate) -> str:
        path = self.folder / name
        path.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in certificates))
        return str(path)


@pytest.fixture(params=KEYS, scope="module")
def issued(
    request: pytest.FixtureRequest, service: RunningService, tmp_path_factory: pytest.TempPathFactory
) -> Issued:
    name = f"device-with-{request.param}"
    tmp_path = tmp_path_factory.mktemp(name)
    key, csr = str(tmp_path / "device.key"), str(tmp_path / "device.csr")
    run("openssl", "genpkey", *KEYS[request.param], "-out", key)
    run("openssl", "req", "-new", "-key", key, "-out", csr, "-subj", f"/CN={name}")
    secret = symmetric_individual(service, name, **issuing())
    with DpsDevice(service, name, key=secret) as device:
        answer = device.registers(clientCertificateCsr=Path(csr).read_text())
    assert answer.status == 200, answer
    chain = x509.load_pem_x509_certificates(answer.state["issuedClientCertificate"].encode())
    authority = service.client().call("GET", "/certificateAuthorities/builtin").json()
    root = x509.load_pem_x509_certificate(authority["certificates"][-1].encode())
    return Issued(tmp_path, name, chain, root)


def test_openssl_verifies_it_at_its_strictest(issued: Issued) -> None:
    leaf, *intermediates = issued.chain
    printed = run(
        "openssl", "verify", "-x509_strict", "-check_ss_sig", "-purpose", "sslclient",
        "-CAfile", issued.file("root.pem", issued.root),
        "-untrusted", issued.file("intermediates.pem", *intermediates),
        issued.file("leaf.pem", leaf),
    )  # fmt: skip
    assert printed.strip().endswith("leaf.pem: OK")


def test_openssl_reads_in_it_what_a_device_certificate_is(issued: Issued) -> None:
    leaf = issued.chain[0]
    text = run("openssl", "x509", "-noout", "-text", "-in", issued.file("leaf.pem", leaf))
    facts = re.sub(r"\s+", " ", text)
    assert f"Subject: CN = {issued.registration_id} " in facts
    assert f"URI:urn:accredit:device:{issued.registration_id}" in facts
    assert "X509v3 Basic Constraints: critical CA:FALSE" in facts
    assert "X509v3 Extended Key Usage: TLS Web Client Authentication X509v3" in facts
    assert "X509v3 Key Usage: critical Digital Signature" in facts
    assert "Certificate Sign" not in facts
    assert "X509v3 Authority Key Identifier: " in facts
    assert "X509v3 Subject Key Identifier: " in facts
    assert "Version: 3 (0x2)" in facts
    assert 64 <= leaf.serial_number.bit_length() <= 159
    run("openssl", "x509", "-noout", "-checkend", "0", "-in", issued.file("leaf.pem", leaf))


def test_pkilint_finds_nothing_in_it(issued: Issued) -> None:
    leaf, issuer, *_ = issued.chain
    subject = leaf.public_bytes(Encoding.DER)
    assert linting.complaints(subject) == []
    assert linting.pair_findings(issuer.public_bytes(Encoding.DER), subject) == []
