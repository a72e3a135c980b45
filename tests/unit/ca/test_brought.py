"""Certificates that somebody else signed: what makes our key an issuing CA, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from accredit.ca.brought import check_brought
from accredit.domain.errors import Malformed
from support.signing_requests import key

NOW = 1_800_000_000
OURS, ROOT, MIDDLE = key("P-256", 31), key("P-384", 32), key("P-256", 33)


def certificate(name, public, issuer, signer, **facts) -> x509.Certificate:
    facts = {
        "ca": True,
        "path": None,
        "sign": True,
        "crl": True,
        "ski": True,
        "usage": True,
        "days": 0,
        "aki": True,
    } | facts
    begins = datetime.fromtimestamp(NOW, UTC) + timedelta(days=facts["days"] - 1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=30))
    )
    if facts["ca"] is not None:
        path = facts["path"] if facts["ca"] else None
        builder = builder.add_extension(x509.BasicConstraints(facts["ca"], path), critical=True)
    if facts["usage"]:
        usage = x509.KeyUsage(True, False, False, False, False, facts["sign"], facts["crl"], False, False)
        builder = builder.add_extension(usage, critical=True)
    if facts["ski"]:
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(public.public_key()), critical=False
        )
    if facts["aki"]:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(identifier, critical=False)
    return builder.sign(signer, facts.get("hash", hashes.SHA256()))


def root(**facts) -> x509.Certificate:
    return certificate("root", ROOT, "root", ROOT, **facts)


def ours(**facts) -> x509.Certificate:
    return certificate("ours", OURS, "root", ROOT, **facts)


def test_a_chain_of_two_and_of_three() -> None:
    check_brought((ours(path=0), root(path=1)), OURS.public_key(), NOW)
    middle = certificate("middle", MIDDLE, "root", ROOT, path=1)
    lowest = certificate("ours", OURS, "middle", MIDDLE, path=0)
    check_brought((lowest, middle, root(path=2)), OURS.public_key(), NOW)


@pytest.mark.parametrize(
    ("chain", "why"),
    [
        ((ours(),), "1 certificates"),
        ((ours(), *[root()] * 6), "7 certificates"),
        ((root(), ours()), "not that of the CSR"),
        ((certificate("ours", MIDDLE, "root", ROOT), root()), "not that of the CSR"),
        ((ours(days=5), root()), "not valid now"),
        ((ours(days=-60), root()), "not valid now"),
        ((ours(ca=None), root()), "CA:TRUE"),
        ((ours(ca=False), root()), "CA:TRUE"),
        ((ours(), root(ca=False)), "CA:TRUE"),
        ((ours(), root(path=0)), "path length"),
        ((ours(sign=False), root()), "keyCertSign"),
        ((ours(), root(sign=False)), "keyCertSign"),
        ((ours(crl=False), root()), "cRLSign"),
        ((ours(usage=False), root()), "cRLSign"),
        ((ours(ski=False), root()), "subject key identifier"),
        ((ours(aki=False), root()), "authority key identifier"),
        ((ours(), root(ski=False)), "subject key identifier"),
        ((certificate("ours", OURS, "root", MIDDLE), root()), "was not signed by"),
        ((ours(), certificate("other", ROOT, "root", ROOT)), "was not signed by"),
        ((ours(), certificate("root", ROOT, "above", MIDDLE)), "was not signed by"),
    ],
)
def test_what_is_refused(chain, why) -> None:
    with pytest.raises(Malformed, match=why) as refused:
        check_brought(chain, OURS.public_key(), NOW)
    assert refused.value.rule == "ca-certificate-unfit"
