"""Certificate Management Protocol: the messages of a client that enrolls by a shared secret, and their answers.

RFC 4210 (messages, password-based MAC in 5.1.3.1), RFC 4211 (certificate templates), RFC 9483 (which of them a device needs).
Pure: nonces, salt and instant are handed in. Encrypted certificates, signature protection and nested messages are not read:
what is not protected by the secret is told so by `Message.proven`, and what to make of it is the caller's.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from accredit.domain.secret import Secret
from accredit.values import dataclass
from accredit.wire.der import (
    BIT_STRING,
    ENUMERATED,
    GENERALIZED_TIME,
    OCTET_STRING,
    OID,
    SEQUENCE,
    UTF8_STRING,
    BadDer,
    Element,
    element,
    integer,
    only,
)

CP, P10CR, RR, RP, PKICONF, GENM, GENP = 3, 4, 11, 12, 19, 21, 22
ERROR, CERT_CONF, POLL_REQ, POLL_REP = 23, 24, 25, 26
"""PKIBody's choices (RFC 4210, 5.1.2)."""

MAX_MESSAGE_BYTES = 262_144
MAX_NONCE_BYTES = 64
ITERATIONS = 1000
MAX_ITERATIONS = 20_000
"""Ten milliseconds of SHA-256: what an answer may cost before it is proven."""

_CONTEXT = 0xA0
_EMPTY_NAME = element(SEQUENCE)
_PASSWORD_MAC = bytes.fromhex("2a864886f67d07420d")
_SHA256 = bytes.fromhex("608648016503040201")
_HMAC_SHA256 = bytes.fromhex("2a864886f70d0209")
_HASHES = {
    bytes.fromhex("2b0e03021a"): "sha1",
    _SHA256: "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
}
_MACS = {
    bytes.fromhex("2b06010505080102"): "sha1",
    bytes.fromhex("2a864886f70d0207"): "sha1",
    _HMAC_SHA256: "sha256",
    bytes.fromhex("2a864886f70d020a"): "sha384",
    bytes.fromhex("2a864886f70d020b"): "sha512",
}
_IMPLICIT_CONFIRM = bytes.fromhex("2b0601050507040d")
_CA_CERTS = bytes.fromhex("2b06010505070411")
_REASON_CODE = bytes.fromhex("551d15")


@dataclass(frozen=True, slots=True)
class Password:
    """What both sides know: the reference is sent, the secret never."""

    reference: bytes
    secret: Secret


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands around a body. `recipient` is a Name in DER; `answered` is the nonce of the message that this one follows."""

    transaction: bytes
    nonce: bytes
    salt: bytes
    now: float
    recipient: bytes = _EMPTY_NAME
    answered: bytes = b""
    implicit: bool = False


def message(body: bytes, envelope: Envelope, password: Password) -> bytes:
    """One PKIMessage, protected by the password."""
    parameters = element(
        SEQUENCE,
        element(OCTET_STRING, envelope.salt),
        element(SEQUENCE, element(OID, _SHA256)),
        integer(ITERATIONS),
        element(SEQUENCE, element(OID, _HMAC_SHA256)),
    )
    instant = datetime.fromtimestamp(int(envelope.now), UTC).strftime("%Y%m%d%H%M%SZ").encode()
    fields = [
        integer(2),
        _tagged(4, _EMPTY_NAME),
        _tagged(4, envelope.recipient),
        _tagged(0, element(GENERALIZED_TIME, instant)),
        _tagged(1, element(SEQUENCE, element(OID, _PASSWORD_MAC), parameters)),
        _tagged(2, element(OCTET_STRING, password.reference)),
        _tagged(4, element(OCTET_STRING, envelope.transaction)),
        _tagged(5, element(OCTET_STRING, envelope.nonce)),
    ]
    if envelope.answered:
        fields.append(_tagged(6, element(OCTET_STRING, envelope.answered)))
    if envelope.implicit:
        confirm = element(SEQUENCE, element(OID, _IMPLICIT_CONFIRM), element(0x05))
        fields.append(_tagged(8, element(SEQUENCE, confirm)))
    header = element(SEQUENCE, *fields)
    mac = _mac(only(parameters, SEQUENCE), password.secret, element(SEQUENCE, header, body))
    return element(SEQUENCE, header, body, _tagged(0, element(BIT_STRING, b"\x00", mac)))


# Bodies.


def p10cr(csr: bytes) -> bytes:
    return _tagged(P10CR, csr)


def cert_conf(digest: bytes, request_id: int, *, accepted: bool) -> bytes:
    """Take or turn down the certificate of this digest (RFC 4210, 5.3.18)."""
    told = (
        element(OCTET_STRING, digest),
        integer(request_id),
        element(SEQUENCE, integer(0 if accepted else 2)),
    )
    return _tagged(CERT_CONF, element(SEQUENCE, element(SEQUENCE, *told)))


def poll_req(request_id: int) -> bytes:
    return _tagged(POLL_REQ, element(SEQUENCE, element(SEQUENCE, integer(request_id))))


def revocation(serial: int, issuer: bytes, reason: int) -> bytes:
    """Revoke one certificate; `issuer` is a Name in DER, `reason` a CRLReason."""
    number = integer(serial)
    template = element(SEQUENCE, b"\x81" + number[1:], _tagged(3, issuer))
    code = element(OCTET_STRING, element(ENUMERATED, bytes((reason,))))
    details = element(SEQUENCE, element(SEQUENCE, element(OID, _REASON_CODE), code))
    return _tagged(RR, element(SEQUENCE, element(SEQUENCE, template, details)))


def ca_certs() -> bytes:
    """Ask which CA certificates there are (RFC 9483, 4.3.1)."""
    return _tagged(GENM, element(SEQUENCE, element(SEQUENCE, element(OID, _CA_CERTS))))


# Answers.


@dataclass(frozen=True, slots=True)
class Status:
    """PKIStatusInfo: `failures` has bit n set where PKIFailureInfo has."""

    code: int
    text: str = ""
    failures: int = 0

    def failed(self, bit: int) -> bool:
        return bool(self.failures >> bit & 1)


@dataclass(frozen=True, slots=True)
class Response:
    """What became of one request; `certificate` where there is one."""

    request_id: int
    status: Status
    certificate: bytes | None
    others: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """An answer, its header read; `body` is the content of the choice that `kind` names."""

    kind: int
    body: bytes
    transaction: bytes
    nonce: bytes
    answered: bytes
    implicit: bool
    extra: tuple[bytes, ...]
    _signed: bytes
    _algorithm: Element | None
    _protection: bytes

    @property
    def protected(self) -> bool:
        return bool(self._protection)

    def proven(self, password: Password) -> bool:
        """Whether it is protected by the password."""
        if self._algorithm is None or not self._protection:
            return False
        try:
            name, parameters = self._algorithm.inside()
            if name.whole != element(OID, _PASSWORD_MAC):
                return False
            return hmac.compare_digest(_mac(parameters, password.secret, self._signed), self._protection)
        except ValueError:
            return False

    # Contents: each raises BadDer.

    def response(self) -> Response:
        """The one response of a CP."""
        parts = only(self.body, SEQUENCE).inside()
        others = tuple(_certificates(parts.pop(0))) if parts and parts[0].tag == _CONTEXT | 1 else ()
        try:
            (responses,) = parts
            (response,) = responses.inside()
            request_id, status, *rest = response.inside()
        except ValueError:
            raise BadDer("not one response") from None
        return Response(request_id.number(), _status(status), _certificate(rest), others)

    def poll_after(self) -> tuple[int, int]:
        """Request and seconds of a PollRep."""
        try:
            (wait,) = only(self.body, SEQUENCE).inside()
            request_id, after, *_ = wait.inside()
        except ValueError:
            raise BadDer("not one request to wait for") from None
        return request_id.number(), after.number()

    def status(self) -> Status:
        """The first status of an RP, or that of an Error."""
        inside = only(self.body, SEQUENCE).inside()
        if self.kind == RP:
            inside = inside[0].inside() if inside else []
        if not inside:
            raise BadDer("no status")
        return _status(inside[0])


def parse(data: bytes) -> Message:
    """Raises BadDer."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise BadDer(f"more than {MAX_MESSAGE_BYTES} bytes")
    try:
        header, body, *rest = only(data, SEQUENCE).inside()
        _, _, _, *optional = header.inside()
    except ValueError as error:
        raise BadDer(f"not a message: {error}") from None
    if header.tag != SEQUENCE or body.tag & 0xE0 != _CONTEXT:
        raise BadDer("not a header and a body")
    fields = {field.tag & 0x1F: field for field in optional if field.tag & 0xE0 == _CONTEXT}
    behind = {part.tag: part for part in rest}
    protection = behind.get(_CONTEXT)
    return Message(
        kind=body.tag & 0x1F,
        body=body.content,
        transaction=_octets(fields.get(4)),
        nonce=_octets(fields.get(5)),
        answered=_octets(fields.get(6)),
        implicit=_grants_implicit_confirmation(fields.get(8)),
        extra=tuple(_certificates(behind[_CONTEXT | 1])) if _CONTEXT | 1 in behind else (),
        _signed=element(SEQUENCE, header.whole, body.whole),
        _algorithm=only(fields[1].content, SEQUENCE) if 1 in fields else None,
        _protection=_whole_octets(protection) if protection is not None else b"",
    )


def _tagged(number: int, content: bytes) -> bytes:
    """An explicit tag around it."""
    return element(_CONTEXT | number, content)


def _mac(parameters: Element, secret: Secret, data: bytes) -> bytes:
    """RFC 4210, 5.1.3.1. Raises ValueError where the parameters are not ones that are taken."""
    salt, owf, count, mac = parameters.inside()
    iterations = count.number()
    digest, code = _HASHES.get(_algorithm(owf)), _MACS.get(_algorithm(mac))
    if salt.tag != OCTET_STRING or not 1 <= iterations <= MAX_ITERATIONS or digest is None or code is None:
        raise BadDer("a password-based MAC that is not taken")
    key = secret.reveal() + salt.content
    for _ in range(iterations):
        key = hashlib.new(digest, key).digest()
    return hmac.new(key, data, code).digest()


def _algorithm(identifier: Element) -> bytes:
    inside = identifier.inside()
    return inside[0].content if inside and inside[0].tag == OID else b""


def _octets(field: Element | None) -> bytes:
    content = only(field.content, OCTET_STRING).content if field is not None else b""
    if len(content) > MAX_NONCE_BYTES:
        raise BadDer("a name or nonce that is too long")
    return content


def _whole_octets(field: Element) -> bytes:
    content = only(field.content, BIT_STRING).content
    if content[:1] != b"\x00":
        raise BadDer("a protection of no whole octets")
    return content[1:]


def _grants_implicit_confirmation(field: Element | None) -> bool:
    if field is None:
        return False
    told = only(field.content, SEQUENCE).inside()
    return any(_algorithm(each) == _IMPLICIT_CONFIRM for each in told)


def _certificates(field: Element) -> Iterator[bytes]:
    for each in only(field.content, SEQUENCE).inside():
        yield each.whole


def _certificate(rest: Sequence[Element]) -> bytes | None:
    """Out of a CertifiedKeyPair: a certificate in the clear, else nothing."""
    pairs = [each.inside() for each in rest if each.tag == SEQUENCE]
    choice = pairs[0][0] if pairs and pairs[0] else None
    return choice.content if choice is not None and choice.tag == _CONTEXT else None


def _status(info: Element) -> Status:
    inside = info.inside()
    if not inside:
        raise BadDer("no status")
    code, *rest = inside
    text, failures = "", 0
    for each in rest:
        if each.tag == SEQUENCE:
            texts = (
                one.content.decode("utf-8", "replace") for one in each.inside() if one.tag == UTF8_STRING
            )
            text = "; ".join(texts)
        elif each.tag == BIT_STRING:
            bits = each.content[1:5]
            failures = sum(1 << at for at in range(len(bits) * 8) if bits[at // 8] & 0x80 >> at % 8)
    return Status(code.number(), text, failures)
