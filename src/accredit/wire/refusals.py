"""The one table from a refusal to the wire: HTTP status, Azure's six-digit errorCode, MQTT's CONNACK code, AMQP's condition, EST's status.

An error's kind decides; a rule decides only where Azure has a number of its own for it. The status is always the
first three digits of the number, because clients derive one from the other (DPS AMQP clients divide by 1000).
This file neither words messages nor renders documents: `wire/dps.py` does that. `docs/errors.md` is made from
`KINDS_ON_THE_WIRE` and from `wire/rules.py`, where each rule has its sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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
from accredit.values import dataclass
from accredit.wire.rules import RULES

# MQTT 3.1.1, 3.2.2.3. The SDKs take 3 for "try later" and both 4 and 5 for a wrong credential.
SERVER_UNAVAILABLE = 3
BAD_USER_NAME_OR_PASSWORD = 4
NOT_AUTHORIZED = 5

# AMQP 1.0, 2.8.15, and Azure's own (azure-iot-amqp-base amqp_common_errors.js; C# AmqpIotConstants). Of all of them
# Node's SDK tries a registration again after the last two only.
ARGUMENT_ERROR = "com.microsoft:argument-error"
UNAUTHORIZED_ACCESS = "amqp:unauthorized-access"
NOT_ALLOWED = "amqp:not-allowed"
NOT_FOUND = "amqp:not-found"
PRECONDITION_FAILED = "com.microsoft:precondition-failed"
THROTTLED = "com.microsoft:device-container-throttled"
INTERNAL_ERROR = "amqp:internal-error"


@dataclass(frozen=True, slots=True)
class Wire:
    """One refusal as the protocols say it; `retry_after_s` only where coming back can help."""

    http: int
    code: int
    connack: int
    amqp: str
    est: int
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class KindOnTheWire:
    """What every error of one kind becomes, unless its rule has its own number."""

    code: int
    connack: int
    amqp: str
    est: int
    sentence: str


# Azure: DPS documents 400, 401, 404, 405, 409, 412, 415, 429 and 500. Device SDKs sort statuses by range: below 429
# is final, 429 and above is tried again, by the Python SDK without an end. So whatever cannot get better by waiting
# is below 429, a certificate authority's "no" included.
KINDS_ON_THE_WIRE: Mapping[type[AccreditError], KindOnTheWire] = MappingProxyType(
    {
        Malformed: KindOnTheWire(
            400004,
            BAD_USER_NAME_OR_PASSWORD,
            ARGUMENT_ERROR,
            400,
            "What was sent cannot be accepted as it stands.",
        ),
        Unauthenticated: KindOnTheWire(
            401002,
            NOT_AUTHORIZED,
            UNAUTHORIZED_ACCESS,
            401,
            "The proof is missing or wrong, or does not carry the right that is needed.",
        ),
        Refused: KindOnTheWire(
            400004,
            NOT_AUTHORIZED,
            NOT_ALLOWED,
            403,
            "The request is understood, but against the policy here.",
        ),
        NotFound: KindOnTheWire(404201, NOT_AUTHORIZED, NOT_FOUND, 404, "There is no such thing."),
        Conflict: KindOnTheWire(
            409001, NOT_AUTHORIZED, NOT_ALLOWED, 409, "It exists already, or belongs to somebody else."
        ),
        PreconditionFailed: KindOnTheWire(
            412001, NOT_AUTHORIZED, PRECONDITION_FAILED, 412, "The etag in If-Match is not the present one."
        ),
        # A register call never gets this row: it is answered `disabled` with HTTP 200. All else that a disabled
        # device or enrollment asks for is answered as if its proof were wrong, as Azure does.
        Disabled: KindOnTheWire(
            401002, NOT_AUTHORIZED, UNAUTHORIZED_ACCESS, 403, "The enrollment or the device is switched off."
        ),
        Throttled: KindOnTheWire(
            429001, SERVER_UNAVAILABLE, THROTTLED, 429, "Too many requests; come back when told."
        ),
        # 400037 is IoT Hub's number for a CSR that the certificate authority turned down. A registration that fails
        # so is reported with HTTP 200, status `failed` and this number as its errorCode.
        UpstreamRejected: KindOnTheWire(
            400037,
            SERVER_UNAVAILABLE,
            NOT_ALLOWED,
            502,
            "A certificate authority or a hub refused, or did not answer what was asked.",
        ),
        # 503 is not in Azure's list, but in every SDK's "try again" range, and it lets an operator and a load
        # balancer tell "come back" from a defect, which is 500.
        UpstreamUnavailable: KindOnTheWire(
            503001,
            SERVER_UNAVAILABLE,
            INTERNAL_ERROR,
            503,
            "A certificate authority, a hub or the storage cannot answer now.",
        ),
    }
)

INTERNAL = Wire(500, 500001, SERVER_UNAVAILABLE, INTERNAL_ERROR, 500, 30)
"""Everything that is not an AccreditError. The Python SDK repeats it for ever: hence a long retry-after."""

CHALLENGE = Wire(401, 401002, NOT_AUTHORIZED, UNAUTHORIZED_ACCESS, 401)
"""Not a refusal yet: what a TPM device is told with its challenge."""


def on_the_wire(error: AccreditError) -> Wire:
    """The refusal's numbers; the rule's own where Azure has one, the kind's otherwise."""
    kind = KINDS_ON_THE_WIRE[type(error)]
    rule = RULES.get(error.rule)
    code = kind.code if rule is None or rule.code is None else rule.code
    retry_after_s = error.retry_after_s if isinstance(error, Throttled | UpstreamUnavailable) else None
    est = kind.est if rule is None or rule.est is None else rule.est
    return Wire(code // 1000, code, kind.connack, kind.amqp, est, retry_after_s)


def est_status_of(code: int | None) -> int:
    """EST's status for the number that an operation ended with. What is Malformed never becomes an operation."""
    kinds = [rule.kind for rule in RULES.values() if rule.code is not None and rule.code == code]
    kinds += [kind for kind, row in KINDS_ON_THE_WIRE.items() if row.code == code and kind is not Malformed]
    return KINDS_ON_THE_WIRE[kinds[0] if kinds else UpstreamRejected].est


def of_status(http: int) -> Wire:
    """The refusal for an HTTP status that no rule stands behind: no such route, wrong method."""
    return Wire(http, http * 1000 + 1, NOT_AUTHORIZED, NOT_ALLOWED, http)
