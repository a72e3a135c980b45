"""From what a device sent as its CSR to a request that may be put before an authority (RFC 2986, RFC 7468).

PEM, bare base64 of the DER, and PEM whose line ends were escaped once too often are taken. The checks stand in the
order of their cost, so that the signature, which proves possession of the key, is verified last. What the request
asks for is not looked at here: `policy/issuance.py` does that, once the device is known.
"""

from __future__ import annotations

import base64
import binascii
import re
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import SignatureAlgorithmOID

from accredit.domain import der as der_elements
from accredit.domain.credential import SigningRequest
from accredit.domain.errors import Malformed
from accredit.policy.public_keys import DEFAULT_RULES, KeyRules, accepted

MAX_TEXT_CHARS = 16 * 1024
MAX_DER_BYTES = 8 * 1024

_PEM = re.compile(
    r"-----BEGIN ((?:NEW )?CERTIFICATE REQUEST)-----([A-Za-z0-9+/=\s]*+)-----END \1-----", re.ASCII
)

_SIGNATURE_ALGORITHMS = frozenset(
    {
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
        SignatureAlgorithmOID.ED25519,
    }
)
_PSS_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def intake(text: str, field: str, rules: KeyRules = DEFAULT_RULES) -> SigningRequest:
    """Parse and prove one CSR; `field` is the wire field that carried it and stands in every message.

    Raises Malformed; the rule begins with `csr-`.
    """
    der = _decode(text, field)
    csr = _parse(der, field)
    _check_signature_algorithm(csr, field)
    spki = accepted(csr, der_elements.subject_public_key_info(der), rules, field)
    if not _proves_possession(csr):
        raise Malformed(
            f"The signature of {field} does not verify with the key in it.",
            rule="csr-signature",
            hint="The device has to sign the request with the private key that belongs to it.",
        )
    return SigningRequest(
        csr=csr,
        der=der,
        spki_der=spki,
        spki_sha256=sha256(spki).digest(),
        csr_sha256=sha256(der).digest(),
        field=field,
    )


def _decode(text: str, field: str) -> bytes:
    if len(text) > MAX_TEXT_CHARS:
        raise _too_large(field)
    if "\\" in text:
        text = text.replace("\\r", "\r").replace("\\n", "\n")
    if "-----BEGIN " in text:
        text = _armoured(text, field)
    try:
        der = base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error) as error:
        raise _not_a_request(field, str(error)) from error
    if len(der) > MAX_DER_BYTES:
        raise _too_large(field)
    return der


def _armoured(text: str, field: str) -> str:
    """Return what stands between the boundaries of the one PEM block; text around it is ignored (RFC 7468, 2)."""
    blocks = text.count("-----BEGIN ")
    if blocks != 1:
        raise Malformed(
            f"{field} holds {blocks} PEM blocks; send one CERTIFICATE REQUEST and nothing else.",
            rule="csr-pem-blocks",
        )
    found = _PEM.search(text)
    if found is None:
        raise _not_a_request(field, "the PEM block is no whole CERTIFICATE REQUEST")
    return found[2]


def _parse(der: bytes, field: str) -> x509.CertificateSigningRequest:
    try:
        csr = x509.load_der_x509_csr(der)
    except x509.InvalidVersion as error:
        raise Malformed(
            f"{field} is a PKCS#10 request of an unknown version.", rule="csr-version", evidence=str(error)
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _not_a_request(field, str(error)) from error
    # The parser lets a signature pass that counts zero bits at its end as unused: two texts of one request.
    if not der.endswith(b"\x00" + csr.signature):
        raise _not_a_request(field, "the signature has unused bits")
    return csr


def _check_signature_algorithm(csr: x509.CertificateSigningRequest, field: str) -> None:
    oid = csr.signature_algorithm_oid
    if oid in _SIGNATURE_ALGORITHMS:
        return
    if oid == SignatureAlgorithmOID.RSASSA_PSS and _pss_hash_is_accepted(csr):
        return
    raise Malformed(
        f"{field} is signed with an algorithm that is not accepted; sign it with SHA-256, SHA-384 or SHA-512.",
        rule="csr-signature-algorithm",
        evidence=oid.dotted_string,
    )


def _pss_hash_is_accepted(csr: x509.CertificateSigningRequest) -> bool:
    try:
        return isinstance(csr.signature_hash_algorithm, _PSS_HASHES)
    except (ValueError, UnsupportedAlgorithm):
        return False


def _proves_possession(csr: x509.CertificateSigningRequest) -> bool:
    try:
        return csr.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def _too_large(field: str) -> Malformed:
    return Malformed(
        f"{field} is larger than {MAX_DER_BYTES} bytes of DER or {MAX_TEXT_CHARS} characters.",
        rule="csr-too-large",
    )


def _not_a_request(field: str, evidence: str) -> Malformed:
    return Malformed(
        f"{field} is neither a PEM CERTIFICATE REQUEST nor the base64 of a DER-encoded PKCS#10 request.",
        rule="csr-not-pem-or-der",
        evidence=evidence,
    )
