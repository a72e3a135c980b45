from cryptography import x509

from accredit.wire.pem import IssuerPems, leaf_first
from support import pki


def ders(text):
    return [one.public_bytes(pki.DER) for one in x509.load_pem_x509_certificates(text.encode())]


def test_leaf_then_intermediates_without_the_root():
    device = pki.root("Root").intermediate("A").intermediate("B").issue("dev-1")
    assert ders(leaf_first(device.chain, IssuerPems())) == list(device.chain[:3])


def test_a_chain_that_ends_early():
    device = pki.root("Root").intermediate("A").issue("dev-1")
    assert ders(leaf_first(device.chain[:2], IssuerPems())) == list(device.chain[:2])


def test_a_self_signed_leaf_stays():
    own = pki.root("dev-1", ca=False)
    assert ders(leaf_first(own.chain, IssuerPems())) == [own.der]


def test_more_issuers_than_are_remembered():
    issuers = IssuerPems(capacity=2)
    cas = [pki.root("Root").intermediate(f"CA {number}") for number in range(5)]
    for _ in range(2):
        for ca in cas:
            assert ders(issuers.pem(ca.der)) == [ca.der]
