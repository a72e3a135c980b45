"""What the embedded hubs received, over HTTPS: `GET /messages/events` (an extension).

    hub=         only what this embedded hub received (default: what all of them did)
    deviceId=    only this device's messages
    after=       only messages with a higher `sequenceNumber` (default 0: from the oldest that is kept)
    limit=       at most so many, 1 to 1000 (default 100)
    wait=        when there are none, wait up to so many seconds for the first, 0 to 20 (default 0)

The answer is an array in the order of `sequenceNumber`. A page may be shorter than `limit`: only an empty one is the
end. A message's `body` is the JSON that was sent when its content type is `application/json` and it is JSON indeed;
otherwise the text, when it is UTF-8; otherwise `{"base64": "..."}`.

It needs a token of a hub policy with ServiceConnect, for this host or `/messages`.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from accredit.administration.access import Access
from accredit.domain.device import Telemetry
from accredit.domain.errors import Malformed
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.fronts.hub_gate import HubGate, failures_of
from accredit.fronts.service_api.endpoints import Endpoint, routes_of
from accredit.fronts.service_api.gate import JSON, Counts
from accredit.interfaces import Clock, Entropy, HubAddresses, TelemetryLog
from accredit.policy.access import Call
from accredit.wire.instants import iso
from accredit.wire.service_api.openapi import Described, Parameter
from accredit.wire.service_api.schemas import TelemetryShown

DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
MAX_WAIT_S = 20

_MAX_SEQUENCE = (1 << 63) - 1


class _Message(msgspec.Struct, frozen=True, rename="camel"):
    """One row of the answer, and of `accredit hub telemetry --json`."""

    device_id: str
    body: msgspec.Raw
    properties: dict[str, str]
    system_properties: dict[str, str]
    enqueued_time_utc: str
    sequence_number: int
    auth_method: str
    hub: str


def routes(
    telemetry: TelemetryLog,
    addresses: HubAddresses,
    access: Access,
    clock: Clock,
    entropy: Entropy,
    counts: Counts | None = None,
) -> list[Route]:
    """`access` is the gate of the hub's realm."""
    gate = HubGate(access, clock, entropy, addresses, counts=failures_of(counts))
    return routes_of(endpoints(telemetry, addresses), gate)


def endpoints(telemetry: TelemetryLog, addresses: HubAddresses) -> tuple[Endpoint, ...]:
    """The table: each row is an address."""

    async def events(request: Request, _by: str) -> Response:
        text = request.query_params.get("deviceId")
        rows = await _messages(
            telemetry,
            DeviceId.parse_at_hub(text) if text else None,
            await _hub_names(request, addresses),
            after=_whole(request, "after", 0, 0, _MAX_SEQUENCE),
            limit=_whole(request, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT),
            wait_s=_whole(request, "wait", 0, 0, MAX_WAIT_S),
        )
        first = await addresses.at(None)
        assert first is not None
        content = msgspec.json.encode(
            [_document(sequence, message, first.name) for sequence, message in rows]
        )
        return Response(content, 200, media_type=JSON)

    described = Described(
        "What the embedded hubs received.", answers=list[TelemetryShown], parameters=_EVENTS
    )
    return (Endpoint("GET", "/messages/events", Call.READ_TELEMETRY, events, described),)


_EVENTS = (
    Parameter("hub", "query", "Only what this embedded hub received."),
    Parameter("deviceId", "query", "Only this device's messages."),
    Parameter(
        "after",
        "query",
        "Only messages with a higher `sequenceNumber`.",
        (("type", "integer"), ("minimum", 0)),
    ),
    Parameter(
        "limit",
        "query",
        "At most so many messages.",
        (("type", "integer"), ("minimum", 1), ("maximum", MAX_LIMIT)),
    ),
    Parameter(
        "wait",
        "query",
        "Seconds to wait for the first.",
        (("type", "integer"), ("minimum", 0), ("maximum", MAX_WAIT_S)),
    ),
)


async def _messages(
    telemetry: TelemetryLog,
    device_id: DeviceId | None,
    hub: tuple[str, str] | None,
    *,
    after: int,
    limit: int,
    wait_s: int,
) -> Sequence[tuple[int, Telemetry]]:
    """What is there, or what comes within `wait_s` seconds."""
    rows = await telemetry.read(device_id, after, limit, hub)
    if rows or not wait_s:
        return rows
    seen = after
    try:
        async with asyncio.timeout(wait_s):
            while not rows:
                # Another device's message also ends the wait; then it goes on from there.
                seen = await telemetry.arrival(seen)
                rows = await telemetry.read(device_id, after, limit, hub)
    except TimeoutError:
        return ()
    return rows


async def _hub_names(request: Request, addresses: HubAddresses) -> tuple[str, str] | None:
    """The names that messages of the hub that is asked for may carry, None when all hubs are meant."""
    asked = request.query_params.get("hub")
    if asked is None:
        return None
    hub = await addresses.at(asked)
    if hub is None:
        raise Malformed(f"hub is {asked[:200]!r}, which is no embedded hub.", rule="query-parameter")
    return (hub.name, "" if hub.key == FIRST_HUB else hub.name)


def _document(sequence: int, message: Telemetry, first: str) -> _Message:
    return _Message(
        device_id=message.device_id.text,
        body=_body(message),
        properties=message.properties,
        system_properties=message.system,
        enqueued_time_utc=iso(message.enqueued_at),
        sequence_number=sequence,
        auth_method=message.auth_method,
        hub=message.hub or first,
    )


def _body(message: Telemetry) -> msgspec.Raw:
    content_type = message.system.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json" and _is_json(message.body):
        # As it was sent: numbers and the order of members stay what they were.
        return msgspec.Raw(message.body)
    shown: Any
    try:
        shown = message.body.decode()
    except UnicodeDecodeError:
        shown = {"base64": base64.b64encode(message.body).decode()}
    return msgspec.Raw(msgspec.json.encode(shown))


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _whole(request: Request, name: str, default: int, low: int, high: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and low <= int(text) <= high):
        raise Malformed(
            f"{name} is {text[:40]!r}, but must be a whole number from {low} to {high}.",
            rule="query-parameter",
        )
    return int(text)
