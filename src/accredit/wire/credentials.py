"""Renewal over a hub: the documents of `$iothub/credentials/`, both roles.

Azure's preview (api-version 2025-08-01-preview): its C#, Java and C SDK branches, and its guide for SDK teams. Numbers in error
bodies are JSON numbers; `info` is an object or absent, because the C SDK takes nothing else; every instant has a `Z`. The
topics are in `topics.py`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from accredit.domain.errors import (
    AccreditError,
    Conflict,
    Disabled,
    Malformed,
    NotFound,
    PreconditionFailed,
    Refused,
    Throttled,
    Unauthenticated,
    UpstreamRejected,
    UpstreamUnavailable,
)
from accredit.domain.ids import DeviceId
from accredit.domain.renewal import ANY_REQUEST, Accepted, Busy, NotRenewed, Renewed
from accredit.values import dataclass
from accredit.wire.instants import iso

MAX_BODY_BYTES = 16 * 1024
MAX_CSR_CHARS = 8 * 1024

QUEUED, ACTIVE, NOTHING_TO_REPLACE = 409004, 409005, 412001
CSR_REFUSED, FAILED = 400037, 400040
"""A CSR that does not pass here, and an operation that failed later: `CredentialOperationFailed`."""
NOT_OFFERED = 403010
INTERNAL = 500001

_BY_KIND: Mapping[type[AccreditError], int] = MappingProxyType(
    {
        Malformed: 400004,
        Unauthenticated: 401002,
        Refused: FAILED,
        NotFound: 404001,
        Conflict: QUEUED,
        PreconditionFailed: NOTHING_TO_REPLACE,
        Disabled: 401002,
        Throttled: 429002,
        UpstreamRejected: FAILED,
        UpstreamUnavailable: 503001,
    }
)
_BY_RULE = {
    "body-not-json": 400006,
    "csr-not-due": NOT_OFFERED,
    "renewal-needs-certificate": NOT_OFFERED,
    "key-of-another-device": CSR_REFUSED,
    "key-revoked": CSR_REFUSED,
    "id-too-long-for-certificate": CSR_REFUSED,
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,34}[A-Za-z0-9]")
_MEMBERS = {"id", "csr", "replace"}


@dataclass(frozen=True, slots=True)
class IssueCertificate:
    """What the device asks for, besides its name and the request's."""

    csr: str
    replace: str | None = None


def is_request_id(text: str) -> bool:
    """4 to 36 letters, digits and hyphens, no hyphen at either end."""
    return _REQUEST_ID.fullmatch(text) is not None


def parse_request(body: bytes, device_id: DeviceId) -> IssueCertificate:
    """Raises Malformed. `replace` may be null, as the Java and C# SDKs write it."""
    if not body.strip():
        raise _malformed("The request has no body; send a JSON object with id and csr.")
    if len(body) > MAX_BODY_BYTES:
        raise _malformed(f"The request has more than {MAX_BODY_BYTES} bytes.")
    try:
        members = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise Malformed("The request is not JSON.", rule="body-not-json", evidence=str(error)) from error
    if not isinstance(members, dict):
        raise _malformed("The request is not a JSON object with id and csr.")
    if not members.keys() <= _MEMBERS:
        raise _malformed("The request has an unknown member; id, csr and replace are allowed.")
    if members.get("id") != device_id.text:
        raise _malformed("id is not the device id that the connection was opened for.")
    return IssueCertificate(_csr(members.get("csr")), _replace(members.get("replace")))


def _csr(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _malformed("csr is missing, or no text.")
    if len(value) > MAX_CSR_CHARS:
        raise _malformed(f"csr has more than {MAX_CSR_CHARS} characters.")
    if "-----BEGIN" not in value:
        try:
            base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise _malformed("csr is not base64.") from error
    return value


def _replace(value: Any) -> str | None:
    if value is None:
        return None
    if value == ANY_REQUEST:
        return ANY_REQUEST
    if not isinstance(value, str) or not is_request_id(value):
        raise _malformed("replace is neither * nor a request id of 4 to 36 letters, digits and hyphens.")
    return value


def request_body(device_id: DeviceId, asked: IssueCertificate) -> bytes:
    """The device's side."""
    members = {"id": device_id.text, "csr": asked.csr}
    return msgspec.json.encode(members if asked.replace is None else {**members, "replace": asked.replace})


def accepted_body(accepted: Accepted) -> bytes:
    return msgspec.json.encode(
        {"correlationId": accepted.correlation_id, "operationExpires": iso(accepted.expires_at)}
    )


def renewed_body(renewed: Renewed) -> bytes:
    certificates = [base64.b64encode(der).decode() for der in renewed.chain]
    return msgspec.json.encode({"correlationId": renewed.correlation_id, "certificates": certificates})


@dataclass(frozen=True, slots=True)
class Problem:
    """What a device is told that gets no certificate. `info` holds text only; of `code` the first three digits are the status."""

    code: int
    message: str
    info: Sequence[tuple[str, str]] = ()
    retry_after_s: int | None = None

    @property
    def status(self) -> int:
        return self.code // 1000


def problem(refusal: AccreditError, request_id: str) -> Problem:
    """What a refusal is on this wire."""
    code = CSR_REFUSED if refusal.rule.startswith("csr-") else _BY_KIND[type(refusal)]
    code = _BY_RULE.get(refusal.rule, code)
    retry_after_s = refusal.retry_after_s if isinstance(refusal, Throttled | UpstreamUnavailable) else None
    if code != CSR_REFUSED:
        return Problem(code, refusal.message, (), retry_after_s)
    info = (
        ("requestId", request_id),
        ("credentialError", "400000"),
        ("credentialMessage", refusal.message),
    )
    return Problem(code, "The certificate signing request did not pass.", info)


def busy(other: Busy) -> Problem:
    info = (
        ("requestId", other.request_id),
        ("operationExpires", iso(other.expires_at)),
        ("correlationId", other.correlation_id),
    )
    return Problem(
        ACTIVE if other.begun else QUEUED,
        "Another credential operation of this device is under way; send replace to end it.",
        info,
    )


def nothing_to_replace(request_id: str) -> Problem:
    return Problem(NOTHING_TO_REPLACE, "No request of this name is under way.", (("requestId", request_id),))


def not_renewed(ended: NotRenewed) -> Problem:
    info = [("requestId", ended.request_id), ("correlationId", ended.correlation_id)]
    if ended.superseded:
        return Problem(QUEUED, ended.message, info)
    info += [("credentialError", "CredentialOperationFailed"), ("credentialMessage", ended.message)]
    return Problem(FAILED, ended.message, info)


def problem_body(told: Problem, tracking_id: str, now: float) -> bytes:
    members: dict[str, Any] = {
        "errorCode": told.code,
        "message": told.message,
        "trackingId": tracking_id,
        "timestampUtc": iso(now),
    }
    if told.info:
        members["info"] = dict(told.info)
    if told.retry_after_s is not None:
        members["retryAfter"] = told.retry_after_s
    return msgspec.json.encode(members)


def _malformed(message: str) -> Malformed:
    return Malformed(message, rule="renewal-request")
