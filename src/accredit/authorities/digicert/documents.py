"""DigiCert ONE IoT Trust Manager's JSON documents, sent and read strictly; and what all of DigiCert's APIs have in common.

Pure: bytes and values. It does not decide what an answer means for an order; `one.py` and its siblings do.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import IssuedChain, Order, RevocationReason
from accredit.domain.errors import Malformed, UpstreamUnavailable
from accredit.domain.secret import Secret
from accredit.values import dataclass

MAX_HANDLE_CHARS = 200

Document = TypeVar("Document")

REASONS = {
    RevocationReason.UNSPECIFIED: "unspecified",
    RevocationReason.KEY_COMPROMISE: "key_compromise",
    RevocationReason.CA_COMPROMISE: "ca_compromise",
    RevocationReason.AFFILIATION_CHANGED: "affiliation_changed",
    RevocationReason.SUPERSEDED: "superseded",
    RevocationReason.CESSATION_OF_OPERATION: "cessation_of_operation",
    RevocationReason.PRIVILEGE_WITHDRAWN: "privilege_withdrawn",
    RevocationReason.AA_COMPROMISE: "aa_compromise",
}
"""DigiCert's names; not every one of its APIs knows all."""


class Garbled(Exception):
    """The body is not the document that the endpoint is documented to answer with."""


class Enrolled(msgspec.Struct):
    """The answer to an enrollment; the certificate is there when `pem` is."""

    certificate_request_id: str | None = None
    certificate_id: str | None = None
    status: str | None = None
    pem: str | None = None


class Link(msgspec.Struct):
    """One certificate above the leaf."""

    blob: str | None = None


class Listed(msgspec.Struct):
    """One record of the certificate list: `body` is the leaf's PEM."""

    id: str | None = None
    body: str | None = None
    chain: list[Link] | None = None

    @property
    def bundle(self) -> str:
        links = [link.blob or "" for link in self.chain or ()]
        return "\n".join([self.body or "", *links])


class Listing(msgspec.Struct):
    """One page of the certificate list."""

    records: list[Listed]


class _Problem(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class _Problems(msgspec.Struct):
    errors: list[_Problem] | None = None
    error: _Problem | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """What the CA says is wrong: its code and its message, as sent; both may be empty."""

    code: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.code, self.message) if part)


def enrollment(order: Order, profile: str) -> bytes:
    """The body of an enrollment request."""
    name = order.registration_id.text
    document: dict[str, Any] = {
        "enrollment_profile_id": profile,
        "csr": order.request.csr.public_bytes(Encoding.PEM).decode("ascii"),
        "certificate_profile_attributes": [{"id": "subject.common_name", "value": name}],
        "device_attributes": [{"id": "DEVICE_IDENTIFIER", "value": name}],
    }
    return msgspec.json.encode(document)


def read(body: bytes, kind: type[Document], called: str = "the document that was asked for") -> Document:
    """Raises Garbled."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError):
        raise Garbled(f"the answer is not {called}") from None


def answered(body: bytes, kind: type[Document], api: str, retry_after_s: int) -> Document:
    """`read`, for what can be asked again. Raises UpstreamUnavailable: a login page is not what DigiCert says."""
    try:
        return read(body, kind)
    except Garbled:
        message = f"What came is not what {api}'s API answers."
        raise UpstreamUnavailable(message, rule="ca-unavailable", retry_after_s=retry_after_s) from None


def enrolled(body: bytes) -> Enrolled:
    """Raises Garbled."""
    return read(body, Enrolled, "an enrollment document")


def listing(body: bytes) -> Listing:
    """Raises Garbled."""
    return read(body, Listing, "a list of certificates")


def problem(body: bytes) -> Problem:
    """Read an error body, of either documented shape. Nothing readable gives an empty one."""
    try:
        document = msgspec.json.decode(body, type=_Problems)
    except (ValueError, RecursionError):
        return Problem("", "")
    first = document.error or next(iter(document.errors or ()), _Problem())
    return Problem(first.code or "", first.message or "")


def words(body: bytes) -> str:
    """What an error body says, in one line; may be empty."""
    return str(problem(body))


def serial_hex(certificate: IssuedChain) -> str:
    """The serial number as DigiCert writes it: whole octets."""
    return certificate.serial.to_bytes((certificate.serial.bit_length() + 7) // 8, "big").hex().upper()


def profile_and_key(record: AuthorityRecord) -> tuple[str, Secret]:
    """What every DigiCert authority has; raises Malformed."""
    profile, key = record.settings.get("profileName"), record.secrets.get("apiKey")
    if not isinstance(profile, str) or not profile or key is None:
        raise Malformed(f"Authority {record.name} needs profileName and apiKey.", rule="ca-settings")
    return profile, key
