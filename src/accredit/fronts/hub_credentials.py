"""Renewal of certificates over a connection to a hub: `$iothub/credentials/` on MQTT.

A request is acknowledged, accepted (202), and answered when its operation has ended, on whichever connection the device has
subscribed by then: what it missed is sent when it subscribes again. Nothing is sent to who has not subscribed. The
connection stays open; the new certificate counts from the next one on. What may be renewed is judged in `provisioning/renew.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from accredit.domain.errors import AccreditError, Malformed, Refused, Throttled
from accredit.domain.guid import guid
from accredit.domain.ids import DeviceId
from accredit.domain.renewal import (
    Accepted,
    Busy,
    NothingToReplace,
    NotRenewed,
    RenewalRequest,
    Renewed,
)
from accredit.fronts.mqtt import MqttLink
from accredit.interfaces import Clock, Entropy
from accredit.observe import log
from accredit.values import dataclass, field
from accredit.wire import credentials as wire
from accredit.wire import mqtt, topics

MAX_AT_ONCE = 4
"""How many requests of one connection may be unanswered."""

_RETRY_AFTER_S = 10


class Renews(Protocol):
    """The part of `provisioning` that this front needs."""

    async def begin(self, asked: RenewalRequest) -> Accepted | Busy | NothingToReplace: ...

    async def outcome(self, operation_id: str) -> Renewed | NotRenewed | None: ...

    async def waiting(self, certificate: bytes) -> Accepted | None: ...


@dataclass(frozen=True, slots=True)
class CredentialService:
    """What all connections share. `tasks` are held here, because the event loop holds them weakly."""

    renewals: Renews
    clock: Clock
    entropy: Entropy
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def close(self) -> None:
        """What is under way goes on as an operation; the device asks for it again."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def tracking_id(self) -> str:
        return guid(self.entropy.token(16))


class Credentials:
    """The part of one connection that is about credentials. `certificate` is the issued one that opened it, if one did."""

    def __init__(
        self, service: CredentialService, link: MqttLink, device_id: DeviceId, certificate: bytes | None
    ) -> None:
        self._service = service
        self._link = link
        self._device_id = device_id
        self._certificate = certificate
        self._granted: int | None = None
        self._unanswered = 0
        self._awaited: set[str] = set()

    def subscribe(self, qos: int) -> int:
        """The granted QoS. What the device has not heard yet follows."""
        self._granted = min(qos, 1)
        if self._certificate is not None:
            self._service.start(self._answered(self._missed(self._certificate), "", ""))
        return self._granted

    def unsubscribe(self) -> None:
        self._granted = None

    def publish(self, packet: mqtt.Publish) -> None:
        """Raises ProtocolViolation for a topic that asks for nothing, or cannot be answered."""
        request_id = topics.parse_credential_request(packet.topic)
        if packet.packet_id is not None:
            self._link.acknowledge(packet.packet_id)
        tracking_id = self._service.tracking_id()
        self._unanswered += 1
        self._service.start(
            self._answered(self._requested(request_id, packet.payload, tracking_id), request_id, tracking_id)
        )

    def closed(self) -> None:
        self._granted = None

    async def _requested(self, request_id: str, payload: bytes, tracking_id: str) -> None:
        try:
            if self._unanswered > MAX_AT_ONCE:
                raise Throttled(
                    "Too many requests on this connection are unanswered.",
                    rule="connection-requests",
                    retry_after_s=_RETRY_AFTER_S,
                )
            asked = self._asked(request_id, payload, tracking_id)
            begun = await self._service.renewals.begin(asked)
            match begun:
                case Busy():
                    self._tell(request_id, wire.busy(begun), tracking_id)
                case NothingToReplace(named):
                    self._tell(request_id, wire.nothing_to_replace(named), tracking_id)
                case Accepted():
                    await self._followed(begun, tracking_id)
        finally:
            self._unanswered -= 1

    def _asked(self, request_id: str, payload: bytes, tracking_id: str) -> RenewalRequest:
        if not wire.is_request_id(request_id):
            raise Malformed(
                "$rid is not 4 to 36 letters, digits and hyphens, without a hyphen at an end.",
                rule="renewal-request",
            )
        document = wire.parse_request(payload, self._device_id)
        if self._certificate is None:
            raise Refused(
                "A certificate is renewed over a connection that it has opened.",
                rule="renewal-needs-certificate",
                evidence="the connection was opened by a key, or by the certificate that the device was enrolled with",
            )
        return RenewalRequest(
            self._certificate, document.csr, request_id, document.replace, self._link.source, tracking_id
        )

    async def _missed(self, certificate: bytes) -> None:
        waiting = await self._service.renewals.waiting(certificate)
        if waiting is not None and waiting.request_id not in self._awaited:
            await self._outcome(waiting, self._service.tracking_id())

    async def _followed(self, accepted: Accepted, tracking_id: str) -> None:
        self._send(202, accepted.request_id, wire.accepted_body(accepted))
        if accepted.request_id not in self._awaited:
            await self._outcome(accepted, tracking_id)

    async def _outcome(self, accepted: Accepted, tracking_id: str) -> None:
        self._awaited.add(accepted.request_id)
        try:
            ended = await self._service.renewals.outcome(accepted.operation_id)
        finally:
            self._awaited.discard(accepted.request_id)
        match ended:
            case Renewed():
                self._send(200, accepted.request_id, wire.renewed_body(ended))
            case NotRenewed():
                self._tell(accepted.request_id, wire.not_renewed(ended), tracking_id)
            case None:
                log.info("renewal-unfinished", operationId=accepted.operation_id)

    async def _answered(self, work: Coroutine[Any, Any, None], request_id: str, tracking_id: str) -> None:
        """`work`, or what went wrong in it told to whoever can be told."""
        try:
            await work
        except AccreditError as refusal:
            log.info(
                "renewal-refused",
                deviceId=self._device_id.text,
                trackingId=tracking_id,
                rule=refusal.rule,
                evidence=refusal.evidence or refusal.message,
            )
            if request_id:
                self._refuse(request_id, refusal, tracking_id)
        except Exception:  # noqa: BLE001 - whatever it is, the device gets an answer, without its text
            log.exception("renewal-failed", trackingId=tracking_id, source=self._link.source)
            if request_id:
                self._tell(request_id, wire.Problem(wire.INTERNAL, "Internal error"), tracking_id)

    def _refuse(self, request_id: str, refusal: AccreditError, tracking_id: str) -> None:
        told = wire.problem(refusal, request_id)
        if told.code == wire.CSR_REFUSED:
            # Azure looks at the request itself only after it has accepted it; its clients wait for both.
            now = int(self._service.clock.now())
            self._send(202, request_id, wire.accepted_body(Accepted("", tracking_id, request_id, now)))
        self._tell(request_id, told, tracking_id)

    def _tell(self, request_id: str, told: wire.Problem, tracking_id: str) -> None:
        body = wire.problem_body(told, tracking_id, self._service.clock.now())
        self._send(told.status, request_id, body)

    def _send(self, status: int, request_id: str, body: bytes) -> None:
        if self._granted is not None:
            topic = topics.format_credential_response(topics.Response(status, request_id))
            self._link.send(topic, body, self._granted)
