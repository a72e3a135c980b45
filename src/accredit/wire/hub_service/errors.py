"""Refusals as IoT Hub's service API words them: `{"Message": "ErrorCode:DeviceNotFound;..."}` and `iothub-errorcode`.

Azure's SDKs disagree on where they look: Node takes the name out of `Message`, C# out of the header as well, Python
looks at the status alone; this form satisfies all three (azure-iothub rest_api_client.js, ExceptionHandlingHelper.cs).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

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
from accredit.values import dataclass
from accredit.wire.instants import iso


@dataclass(frozen=True, slots=True)
class HubError:
    """Azure's number, whose first three digits are the HTTP status, and its name (ErrorCode.cs)."""

    code: int
    name: str

    @property
    def http(self) -> int:
        return self.code // 1000


INTERNAL = HubError(500001, "ServerError")

BY_KIND: Mapping[type[AccreditError], HubError] = MappingProxyType(
    {
        Malformed: HubError(400004, "ArgumentInvalid"),
        Unauthenticated: HubError(401002, "IotHubUnauthorizedAccess"),
        Refused: HubError(400003, "InvalidOperation"),
        NotFound: HubError(404001, "DeviceNotFound"),
        Conflict: HubError(409001, "DeviceAlreadyExists"),
        PreconditionFailed: HubError(412001, "PreconditionFailed"),
        Disabled: HubError(401002, "IotHubUnauthorizedAccess"),
        Throttled: HubError(429001, "ThrottlingException"),
        UpstreamRejected: INTERNAL,
        UpstreamUnavailable: HubError(503001, "ServiceUnavailable"),
    }
)
_BY_RULE = {
    "api-version": HubError(400001, "InvalidProtocolVersion"),
    "body-not-json": HubError(400006, "IotHubFormatError"),
    "body-too-large": HubError(413001, "MessageTooLarge"),
}

_NAME = re.compile(r"ErrorCode:([A-Za-z]{1,64})")
_LIKE_A_KEY = re.compile(r"((?=[A-Za-z+/%]*[0-9])[A-Za-z0-9+/%]{20,}|[A-Za-z0-9+/%]{40,})={0,2}")
_MAX_SHOWN_CHARS = 300


def of(refusal: AccreditError) -> HubError:
    """The refusal's own number where its rule has one, its kind's otherwise."""
    return _BY_RULE.get(refusal.rule, BY_KIND[type(refusal)])


def body(error: HubError, message: str, tracking_id: str, now: float) -> bytes:
    return msgspec.json.encode(
        {
            "Message": f"ErrorCode:{error.name};{message}",
            "ExceptionMessage": f"Tracking ID:{tracking_id}-TimeStamp:{iso(now)}",
        }
    )


def name_in(answer: bytes) -> str:
    """The name in an error body of a hub, whichever of Azure's three forms it has; empty when there is none."""
    found = _NAME.search(answer[:4096].decode("utf-8", "replace"))
    return found[1] if found else ""


def said_in(answer: bytes) -> str:
    """What a hub's error body says, as one short line for a log; what may be a key that it repeats is left out."""
    said = _LIKE_A_KEY.sub("[...]", answer[:4096].decode("utf-8", "replace"))
    return " ".join(said.split())[:_MAX_SHOWN_CHARS]
