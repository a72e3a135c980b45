"""CSRs as devices make them, and orders around them; keys are made once per run, because RSA keys take their time."""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from accredit.ca.der import element
from accredit.domain.credential import Order, Profile, SigningRequest
from accredit.domain.der import subject_public_key_info
from accredit.domain.ids import DeviceId, GroupId, RegistrationId
from accredit.policy.issuance import intake

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

DEVICE = Profile()
CURVES: dict[str, type[ec.EllipticCurve]] = {
    "P-224": ec.SECP224R1,
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
    "secp256k1": ec.SECP256K1,
}


@functools.cache
def key(kind: str = "P-256", which: int = 0) -> Key:
    """A key of this kind: a curve's name, `RSA-2048` or `Ed25519`; `which` tells several apart."""
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind]())
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, int(kind.removeprefix("RSA-")))


def new_key() -> Key:
    """One that nobody had a certificate for before."""
    return ec.generate_private_key(ec.SECP256R1())


def csr(
    common_name: str | None = "device-1",
    private: Key | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    subject: x509.Name | None = None,
) -> x509.CertificateSigningRequest:
    """A CSR; `extensions` are (value, critical)."""
    if subject is None:
        names = [] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        subject = x509.Name(names)
    private = private or key()
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    digest = None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(private, digest)


def pem(request: x509.CertificateSigningRequest) -> str:
    return request.public_bytes(Encoding.PEM).decode()


def base64_der(request: x509.CertificateSigningRequest) -> str:
    return base64.b64encode(request.public_bytes(Encoding.DER)).decode()


def with_other_key(request: bytes, spki: bytes) -> bytes:
    """The request in DER with another SubjectPublicKeyInfo in it; its signature is void then."""
    info = x509.load_der_x509_csr(request).tbs_certrequest_bytes
    signed = request[request.index(info) + len(info) :]
    old = subject_public_key_info(request)
    body = info[info.index(b"\x02\x01\x00") :].replace(old, spki)
    return element(0x30, element(0x30, body), signed)


def signed_again(request: bytes, old: bytes, new: bytes) -> x509.CertificateSigningRequest:
    """The request in DER with other octets of the same number in it, signed by `key()`."""
    assert len(old) == len(new)
    assert request.count(old) == 1
    return signed(x509.load_der_x509_csr(request.replace(old, new)).tbs_certrequest_bytes)


def signed(info: bytes) -> x509.CertificateSigningRequest:
    """A CertificationRequestInfo, whatever stands in it, signed by `key()`."""
    private = key()
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    signature = private.sign(info, ec.ECDSA(hashes.SHA256()))
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    return x509.load_der_x509_csr(element(0x30, info, ecdsa_with_sha256, element(0x03, b"\x00", signature)))


def signing_request(
    common_name: str | None = "device-1", private: Key | None = None, dns_name: str | None = None
) -> SigningRequest:
    names = None if dns_name is None else x509.SubjectAlternativeName([x509.DNSName(dns_name)])
    return intake(pem(csr(common_name, private, [] if names is None else [(names, False)])), "csr")


def order(
    registration_id: str = "device-1",
    device_id: str | None = None,
    private: Key | None = None,
    profile: Profile = DEVICE,
    since: int = 1_800_000_000,
    group: GroupId | None = None,
    dns_name: str | None = None,
) -> Order:
    return Order(
        operation_id="operation-1",
        registration_id=RegistrationId.parse(registration_id),
        device_id=DeviceId.parse(device_id or registration_id),
        request=signing_request(registration_id, private, dns_name),
        profile=profile,
        since=since,
        group=group,
    )
