"""What goes on over MQTT between a device and the provisioning service: register, and ask how far it is.

CONNECT proves nothing yet: a wrong key or certificate is told on the answer's topic, where the SDKs and the Azure CLI
look for it. Each PUBLISH is acknowledged before it is answered, which the C# SDK insists on, in the same TLS record where
the answer comes soon; several may follow each other on one connection. Nothing outlives the connection: there are no sessions here, and no retained or queued messages.

Azure: "Communicate with DPS using MQTT". Topics are read by `wire/topics.py`, bodies by `wire/dps.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from accredit.domain.errors import AccreditError, Malformed, Throttled, Unauthenticated
from accredit.domain.evidence import Evidence, NothingShown, PresentedChain
from accredit.domain.guid import guid
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import Answer, Request
from accredit.fronts.mqtt import MqttLink
from accredit.interfaces import Clock, Entropy
from accredit.observe import log
from accredit.wire import dps, mqtt, refusals, sas, topics
from accredit.wire.api_versions import check_api_version
from accredit.wire.mqtt_session import IDENTIFIER_REJECTED
from accredit.wire.pem import IssuerPems

MAX_AT_ONCE = 4
"""How many requests of one connection may be unanswered; the next one is told to come back."""

ACKNOWLEDGE_S = 0.25
"""How long a PUBACK may wait to travel with the answer, which spares it a TLS record and a system call of its own."""

MAX_ID_CHARS = 128
_SHOWN_CHARS = 64


class Provisions(Protocol):
    """The part of `provisioning` that this front needs."""

    id_scope: str

    async def register(self, request: Request) -> Answer: ...

    async def status(self, request: Request, operation_id: str) -> Answer: ...

    def unread(
        self, refusal: AccreditError, *, registration_id: str, source: str, tracking_id: str
    ) -> AccreditError:
        """Hear of what could not be read into a `Request`; return what the peer is told."""
        ...


class DpsConversations:
    """Opens a conversation for each CONNECT whose user name is of this service and fits its client id."""

    def __init__(self, provisioning: Provisions, clock: Clock, entropy: Entropy) -> None:
        self.provisioning = provisioning
        self.clock = clock
        self.entropy = entropy
        self.issuers = IssuerPems()
        # The event loop itself holds tasks weakly, and a request goes on when its device has gone.
        self.tasks: set[asyncio.Task[None]] = set()

    async def open(self, connect: mqtt.Connect, link: MqttLink) -> DpsConversation | int:
        name = topics.parse_dps_user_name(connect.user_name or "")
        if name is None:
            refusal: AccreditError = Malformed("The user name is of no known form.", rule="user-name")
            return self._refused(link, refusal, connect.client_id)
        if name.id_scope != self.provisioning.id_scope:
            scope = name.id_scope[:_SHOWN_CHARS]
            refusal = Unauthenticated(
                "Unauthorized", rule="id-scope", evidence=f"the user name is for id scope {scope!r}"
            )
            return self._refused(link, refusal, name.registration_id)
        try:
            registration_id = RegistrationId.parse(name.registration_id)
        except Malformed as error:
            return self._refused(link, error, name.registration_id, IDENTIFIER_REJECTED)
        if connect.client_id.lower() != registration_id.key:
            refusal = Malformed(
                "The client id is not the registration id in the user name.",
                rule="id-mismatch",
                evidence=f"the user name is for {registration_id.text!r}, the client id is "
                f"{connect.client_id[:_SHOWN_CHARS]!r}",
            )
            return self._refused(link, refusal, registration_id.text, IDENTIFIER_REJECTED)
        evidence = _evidence(connect.password, link.peer_chain)
        return DpsConversation(self, link, registration_id, evidence, name.api_version)

    def tracking_id(self) -> str:
        return guid(self.entropy.token(16))

    def _refused(self, link: MqttLink, refusal: AccreditError, claimed: str, code: int | None = None) -> int:
        """The CONNACK code: `code` where the refusal's kind has a less fitting one, unless the source is to come back later."""
        told = self.provisioning.unread(
            refusal,
            registration_id=claimed[:MAX_ID_CHARS],
            source=link.source,
            tracking_id=self.tracking_id(),
        )
        throttled = isinstance(told, Throttled)
        return refusals.on_the_wire(told).connack if throttled or code is None else code


def _evidence(password: bytes | None, peer_chain: tuple[bytes, ...]) -> Evidence | Unauthenticated:
    """What the device shows; a token that can't be read is kept as the refusal that its requests will meet."""
    if password:
        try:
            return sas.parse(password.decode())
        except UnicodeDecodeError:
            return Unauthenticated("The password is not UTF-8.", rule="sas-malformed")
        except Unauthenticated as refusal:
            return refusal
    return PresentedChain(peer_chain) if peer_chain else NothingShown()


class DpsConversation:
    """One device's connection."""

    def __init__(
        self,
        service: DpsConversations,
        link: MqttLink,
        registration_id: RegistrationId,
        evidence: Evidence | Unauthenticated,
        api_version: str | None,
    ) -> None:
        self._service = service
        self._link = link
        self._registration_id = registration_id
        self._evidence = evidence
        self._api_version = api_version
        self._granted: int | None = None
        self._unanswered = 0
        self._unacknowledged: list[int] = []
        self._acknowledging: asyncio.TimerHandle | None = None
        self._draining = False

    def subscribe(self, topic_filter: str, qos: int) -> int:
        if topic_filter != topics.DPS_RESPONSES:
            return mqtt.FAILURE
        self._granted = min(qos, 1)
        return self._granted

    def unsubscribe(self, topic_filter: str) -> None:
        if topic_filter == topics.DPS_RESPONSES:
            self._granted = None

    def publish(self, packet: mqtt.Publish) -> None:
        try:
            asked = topics.parse_dps_request(packet.topic)
        except mqtt.ProtocolViolation as violation:
            self._link.close(violation.reason)
            return
        loop = asyncio.get_running_loop()
        if packet.packet_id is not None:
            self._unacknowledged.append(packet.packet_id)
            if self._acknowledging is None:
                self._acknowledging = loop.call_later(ACKNOWLEDGE_S, self._acknowledge)
        # A task from the start: an answer waits at least for its commit.
        self._unanswered += 1
        task = loop.create_task(self._respond(asked, packet.payload))
        self._service.tasks.add(task)
        task.add_done_callback(self._service.tasks.discard)

    def closed(self, graceful: bool) -> None:  # noqa: ARG002, FBT001 - no will and no session: it is all the same
        self._granted = None
        self._due()

    def _acknowledge(self) -> None:
        self._link.acknowledge(*self._due())

    def _due(self) -> Sequence[int]:
        """All that is not acknowledged yet, in the order in which it came (MQTT-4.6.0-2); who takes it sends it."""
        if self._acknowledging is not None:
            self._acknowledging.cancel()
            self._acknowledging = None
        due, self._unacknowledged = self._unacknowledged, []
        return due

    def drain(self) -> None:
        """Answer what was asked, then close."""
        self._draining = True
        if not self._unanswered:
            self._link.close("the service stops")

    async def _respond(self, asked: topics.Register | topics.StatusQuery, payload: bytes) -> None:
        tracking_id = self._service.tracking_id()
        try:
            status, body, retry_after_s = await self._answer(asked, payload, tracking_id)
        except AccreditError as refusal:
            wire = refusals.on_the_wire(refusal)
            status, retry_after_s = wire.http, wire.retry_after_s
            body = self._error_body(wire, refusal.message, tracking_id)
        except Exception:  # noqa: BLE001 - whatever it is, the device gets an answer, without its text
            log.exception("mqtt-dps-failed", trackingId=tracking_id, source=self._link.source)
            wire = refusals.INTERNAL
            status, retry_after_s = wire.http, wire.retry_after_s
            body = self._error_body(wire, "Internal error", tracking_id)
        self._unanswered -= 1
        if self._granted is not None:
            topic = topics.format_dps_response(topics.Response(status, asked.rid, retry_after_s))
            self._link.send(topic, body, self._granted, self._due())
        elif self._unacknowledged:
            self._acknowledge()
        if self._draining:
            self.drain()

    async def _answer(
        self, asked: topics.Register | topics.StatusQuery, payload: bytes, tracking_id: str
    ) -> tuple[int, bytes, int | None]:
        service = self._service
        try:
            if self._unanswered > MAX_AT_ONCE:
                raise Throttled(
                    "Too many requests on this connection are unanswered.",
                    rule="connection-requests",
                    retry_after_s=2,
                )
            request = self._request(asked, payload, tracking_id)
        except AccreditError as refusal:
            told = service.provisioning.unread(
                refusal,
                registration_id=self._registration_id.text,
                source=self._link.source,
                tracking_id=tracking_id,
            )
            if told is refusal:
                raise
            raise told from refusal
        if isinstance(asked, topics.Register):
            answer = await service.provisioning.register(request)
        else:
            answer = await service.provisioning.status(request, asked.operation_id)
        return dps.answer_body(answer, service.clock.now(), service.issuers)

    def _request(
        self, asked: topics.Register | topics.StatusQuery, payload: bytes, tracking_id: str
    ) -> Request:
        """Azure: a status query's body says nothing, whatever it holds (a space, or the register body once more)."""
        api_version = check_api_version(self._api_version)
        document = dps.register_document(payload if isinstance(asked, topics.Register) else b"")
        document.check_without_tpm(self._registration_id)
        if isinstance(self._evidence, Unauthenticated):
            raise self._evidence
        return Request(
            registration_id=self._registration_id,
            evidence=self._evidence,
            csr_fields=document.csr_fields,
            payload=document.payload,
            api_version=api_version,
            source=self._link.source,
            tracking_id=tracking_id,
        )

    def _error_body(self, wire: refusals.Wire, message: str, tracking_id: str) -> bytes:
        return dps.error_body(wire.code, message, tracking_id, self._service.clock.now())
