"""May this name be certified for this device? What a CSR asks for, held against who asks (RFC 2986, RFC 5280).

The leaf's content comes from the profile and the device's record; a request cannot change it. Yet a request that
names another device, or asks for more than a device's certificate, is refused and not quietly corrected: an outside
authority is given the request as it is. Beside it, here is the one address of the three questions of issuance:
`intake` (form and key, `csr_intake.py`), `check_name`, `check_delivered` (what came back, `delivered.py`).
"""

from __future__ import annotations

import re
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from accredit.domain.credential import SigningRequest
from accredit.domain.der import content, subject
from accredit.domain.errors import Malformed
from accredit.domain.ids import MAX_COMMON_NAME_CHARS, DeviceId, RegistrationId
from accredit.policy.csr_intake import intake
from accredit.policy.delivered import check_delivered

__all__ = ["check_delivered", "check_name", "check_name_length", "device_urn", "intake"]

_EXTENSION_REQUESTS = frozenset({"1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14"})
"""extensionRequest (RFC 2985, 5.4.2), and Microsoft's attribute of the same content."""

_IGNORED_EVEN_IF_CRITICAL = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.SubjectKeyIdentifier,
    x509.CertificatePolicies,
)
_STRING_TAGS = (b"\x0c", b"\x13", b"\x16")
"""UTF8String, PrintableString, IA5String."""

_PLAIN = re.compile(r"[A-Za-z0-9\-._:]+")
"""What every id that this service assigns is made of, and a URN takes as it is."""

_URN_CHARACTERS = ":@!$&'()*+,;="


def device_urn(device_id: DeviceId) -> str:
    """The device's name as a URI (RFC 8141), as the built-in CA puts it into the leaf."""
    text = device_id.text
    return "urn:accredit:device:" + (text if _PLAIN.fullmatch(text) else quote(text, safe=_URN_CHARACTERS))


def check_name_length(registration_id: RegistrationId) -> None:
    """Raise Malformed when the id cannot be the CN of a certificate, rule `id-too-long-for-certificate`."""
    if len(registration_id.text) > MAX_COMMON_NAME_CHARS:
        raise Malformed(
            f"A registration id of more than {MAX_COMMON_NAME_CHARS} characters cannot have a certificate.",
            rule="id-too-long-for-certificate",
        )


def check_name(request: SigningRequest, registration_id: RegistrationId, device_id: DeviceId) -> None:
    """Raise Malformed unless the request asks for this device's certificate and for nothing above it."""
    check_name_length(registration_id)
    _check_subject(request, registration_id)
    try:
        if len(request.csr.attributes):
            _check_extensions(request, registration_id, device_id)
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise Malformed(
            f"The attributes of {request.field} cannot be read.", rule="csr-attributes", evidence=str(error)
        ) from error


def _check_subject(request: SigningRequest, registration_id: RegistrationId) -> None:
    if subject(request.der) in _usual_subjects(registration_id):
        return
    try:
        names = request.csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, TypeError) as error:  # TypeError: a bit string in the place of a text
        raise Malformed(
            f"The subject of {request.field} cannot be read.", rule="csr-subject", evidence=str(error)
        ) from error
    if not names:
        return
    if len(names) > 1:
        raise Malformed(
            f"The subject of {request.field} has {len(names)} common names; give one, or none.",
            rule="csr-subject",
        )
    if not _same(names[0].value, registration_id):
        raise Malformed(
            f"The common name of {request.field} is not the registration id {registration_id}.",
            rule="csr-names-another-device",
            hint="Make the CSR with the registration id as its CN, or without a CN.",
            evidence=f"CN={names[0].value!r}"[:200],
        )


def _usual_subjects(registration_id: RegistrationId) -> tuple[bytes, bytes]:
    """`CN=<registration id>` in DER, as UTF8String and as PrintableString: what nearly every CSR has.

    Held against the bytes as they stand, it spares what costs more than all other rules about names: reading one.
    """
    name = registration_id.text.encode()
    size = len(name)
    head = b"\x30%c\x31%c\x30%c\x06\x03\x55\x04\x03" % (size + 11, size + 9, size + 7)
    return b"%b\x0c%c%b" % (head, size, name), b"%b\x13%c%b" % (head, size, name)


def _check_extensions(request: SigningRequest, registration_id: RegistrationId, device_id: DeviceId) -> None:
    carriers = sum(attribute.oid.dotted_string in _EXTENSION_REQUESTS for attribute in request.csr.attributes)
    if carriers > 1:
        # Parsers differ in which of two they believe; an outside authority may take the one that we did not see.
        raise Malformed(f"{request.field} has more than one extensionRequest.", rule="csr-attributes")
    for extension in request.csr.extensions:
        match extension.value:
            case x509.BasicConstraints(ca=True):
                raise _asks_for_ca(request.field, "basicConstraints CA:TRUE")
            case x509.KeyUsage(key_cert_sign=True) | x509.KeyUsage(crl_sign=True):
                raise _asks_for_ca(request.field, "keyUsage keyCertSign or cRLSign")
            case x509.SubjectAlternativeName() as names:
                for name in names:
                    _check_alternative_name(name, request.field, registration_id, device_id)
            case value if extension.critical and not isinstance(value, _IGNORED_EVEN_IF_CRITICAL):
                raise Malformed(
                    f"{request.field} asks for the critical extension {extension.oid.dotted_string}, which is not known.",
                    rule="csr-critical-extension",
                )


def _asks_for_ca(field: str, what: str) -> Malformed:
    return Malformed(
        f"{field} asks for {what}; a device's certificate is not a CA's.", rule="csr-asks-for-ca"
    )


def _check_alternative_name(
    name: x509.GeneralName, field: str, registration_id: RegistrationId, device_id: DeviceId
) -> None:
    match name:
        case x509.DNSName() | x509.UniformResourceIdentifier():
            text: str | None = name.value
        case x509.OtherName():
            text = _string(name.value)
        case _:
            text = None
    if text is not None and (
        _same(text, registration_id) or text == device_id.text or text == device_urn(device_id)
    ):
        return
    raise Malformed(
        f"A subject alternative name in {field} is not this device's registration id or device id.",
        rule="csr-names-another-device",
        hint="Leave the subject alternative name out of the CSR; the authority's profile sets it.",
        evidence=repr(name)[:200],
    )


def _string(der: bytes) -> str | None:
    """The text of a DER-encoded string; None for anything else. Raises ValueError when its length is wrong."""
    if der[:1] not in _STRING_TAGS:
        return None
    start, end = content(der, 0, der[0])
    return der[start:end].decode("ascii", "replace") if end == len(der) else None


def _same(text: str | bytes, registration_id: RegistrationId) -> bool:
    """Ids compare without regard to case, within ASCII: the Kelvin sign is not a k."""
    return isinstance(text, str) and text.isascii() and text.lower() == registration_id.key
