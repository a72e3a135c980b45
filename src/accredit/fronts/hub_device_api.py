"""The device's side of the embedded hub over HTTPS: device-to-cloud messages, one or several at a time.

`POST /devices/{deviceId}/messages/events` with the body as it is and the properties in headers, or with a JSON array of
messages. Every call proves itself anew, by a token or by the client certificate; it opens no session of the hub. Property
names come in lower case, since HTTP's header names have none. Cloud-to-device messages and file uploads are not here.

Azure: Node azure-iot-device-http http.js; C# CustomHeaderConstants.cs.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from accredit.domain.device import Telemetry
from accredit.domain.errors import AccreditError, Malformed, Throttled, Unauthenticated, UpstreamUnavailable
from accredit.domain.guid import guid
from accredit.domain.ids import DeviceId
from accredit.fronts import bodies
from accredit.fronts.https import JSON
from accredit.fronts.mqtt_hub import HubConversations
from accredit.hub import messages
from accredit.hub.identities import Admission
from accredit.interfaces import Entropy, StoreUnavailable
from accredit.observe import log
from accredit.wire import refusals, sas
from accredit.wire.dps import error_body

BATCH = "application/vnd.microsoft.iothub.json"

MAX_BODY_BYTES = messages.MAX_MESSAGE_BYTES * 3 // 2
"""A batch of 256 KiB, in base64."""

_APPLICATION = "iothub-app-"
_SYSTEM: Mapping[str, str] = MappingProxyType(
    {
        "iothub-messageid": "message-id",
        "iothub-correlationid": "correlation-id",
        "iothub-userid": "user-id",
        "iothub-to": "to",
        "iothub-expiry": "absolute-expiry-time",
        "iothub-contenttype": "content-type",
        "iothub-contentencoding": "content-encoding",
        "iothub-interface-id": "iothub-interface-id",
        "dt-subject": "dt-subject",
    }
)
_KEPT = ("iothub-ack",)
"""Headers that are application properties under their own name, as over MQTT and AMQP."""

_SHOWN_CHARS = 200


class _BatchMessage(msgspec.Struct, rename="camel"):
    body: str
    properties: dict[str, str] = msgspec.field(default_factory=dict)
    base64_encoded: bool = True


_BATCH = msgspec.json.Decoder(list[_BatchMessage])


def routes(hub: HubConversations, entropy: Entropy) -> list[Route]:
    api = _HubDeviceAPI(hub, entropy)
    return [Route("/devices/{device_id}/messages/events", api.events, methods=["POST"])]


class _HubDeviceAPI:
    def __init__(self, hub: HubConversations, entropy: Entropy) -> None:
        self._hub = hub
        self._entropy = entropy

    async def events(self, http: Request) -> Response:
        tracking_id = guid(self._entropy.token(16))
        try:
            await self._take(http)
        except AccreditError as refusal:
            self._log(refusal, http, tracking_id)
            told = self._hub.charged(refusal, http.client.host if http.client else "")
            return self._refused(refusals.on_the_wire(told), told.message, tracking_id)
        except StoreUnavailable as error:
            log.warning("hub-connect-postponed", evidence=str(error), trackingId=tracking_id)
            late = UpstreamUnavailable(
                "The hub can't store anything now.", rule="store-unavailable", retry_after_s=5
            )
            return self._refused(refusals.on_the_wire(late), late.message, tracking_id)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        return Response(status_code=204, headers={"x-ms-request-id": tracking_id})

    async def _take(self, http: Request) -> None:
        """Store what was sent. Raises AccreditError or StoreUnavailable."""
        if not http.query_params.get("api-version"):
            raise Malformed("The api-version is missing.", rule="api-version")
        admission = await self._admitted(http)
        in_flight = self._hub.in_flight
        body = await _body(http)
        if in_flight.bytes + len(body) > in_flight.max_bytes:
            raise Throttled(
                "The hub holds as many messages in memory as it may.", rule="hub-full", retry_after_s=5
            )
        in_flight.bytes += len(body)
        try:
            await self._hub.telemetry.append(self._read(http, body, admission))
        finally:
            in_flight.bytes -= len(body)

    async def _admitted(self, http: Request) -> Admission:
        try:
            device_id = DeviceId.parse(http.path_params["device_id"])
        except Malformed as error:
            raise Unauthenticated(
                "Unauthorized", rule="hub-device-unknown", evidence=error.message
            ) from error
        header = http.headers.get("authorization")
        tls = http.scope.get("extensions", {}).get("tls", {})
        chain = tuple(tls.get("client_cert_chain_der", ()))
        token = sas.parse(header) if header else None
        return await self._hub.identities.authenticate(device_id, chain, token, http.url.hostname)

    def _read(self, http: Request, body: bytes, admission: Admission) -> Sequence[Telemetry]:
        now = self._hub.clock.now()
        if http.headers.get("content-type", "").partition(";")[0].strip().lower() != BATCH:
            return [_message(admission, body, http.headers.items(), now)]
        try:
            batch = _BATCH.decode(body)
            bodies = [_batch_body(each) for each in batch]
        except (ValueError, RecursionError) as error:
            shown = str(error)[:_SHOWN_CHARS]
            raise Malformed(
                "The body is not an array of messages.", rule="body-not-json", evidence=shown
            ) from error
        read = [
            _message(admission, data, each.properties.items(), now)
            for each, data in zip(batch, bodies, strict=True)
        ]
        if sum(map(len, bodies)) > messages.MAX_MESSAGE_BYTES:
            raise Malformed("The messages are larger than 256 KiB together.", rule="message-too-large")
        return read

    def _refused(self, wire: refusals.Wire, message: str, tracking_id: str) -> Response:
        headers = {"content-type": JSON, "x-ms-request-id": tracking_id, "iothub-errorcode": str(wire.code)}
        if wire.retry_after_s is not None:
            headers["retry-after"] = str(wire.retry_after_s)
        body = error_body(wire.code, message, tracking_id, self._hub.clock.now())
        return Response(body, wire.http, headers=headers)

    def _log(self, refusal: AccreditError, http: Request, tracking_id: str) -> None:
        log.info(
            "hub-message-refused",
            rule=refusal.rule,
            evidence=refusal.evidence or refusal.message,
            deviceId=http.path_params["device_id"][:_SHOWN_CHARS],
            source=http.client.host if http.client else "",
            trackingId=tracking_id,
        )


def _message(admission: Admission, body: bytes, headers: Iterable[tuple[str, Any]], now: float) -> Telemetry:
    properties: dict[str, str] = {}
    system: dict[str, str] = {}
    for written, value in headers:
        name = written.lower()
        if name.startswith(_APPLICATION):
            # In a batch the names stand in JSON, and keep their case.
            properties[written[len(_APPLICATION) :]] = value
        elif name in _SYSTEM:
            system[_SYSTEM[name]] = value
        elif name in _KEPT:
            properties[name] = value
    return messages.telemetry(admission, body, properties, system, now)


def _batch_body(message: _BatchMessage) -> bytes:
    if not message.base64_encoded:
        return message.body.encode()
    try:
        return base64.b64decode(message.body, validate=True)
    except binascii.Error as error:
        raise ValueError(f"a body is not base64: {error}") from None


async def _body(http: Request) -> bytes:
    return await bodies.whole(
        http, MAX_BODY_BYTES, "The message is larger than 256 KiB.", "message-too-large"
    )
