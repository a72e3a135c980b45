"""What goes on over AMQP between a device and the provisioning service: register, and ask how far it is.

Two links to one address `{idScope}/registrations/{registrationId}`: the device asks on the one and is answered on the
other. A question is settled when its outcome is known: accepted, and then the answer follows; or rejected, with the error
body that other transports carry as the error's description (the C# SDK parses it, and derives the status from its number).
As over MQTT the login proves nothing yet, except for a TPM: a wrong key is told where the question is.

Azure: C# AmqpClientConnection.cs, Node amqp.js, C prov_transport_amqp_common.c, Java ContractAPIAmqp.java.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

from accredit.domain.errors import AccreditError, Malformed, Refused, Throttled, Unauthenticated
from accredit.domain.evidence import TpmEndorsement
from accredit.domain.guid import guid
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import Challenged, Ended, Request
from accredit.fronts.amqp_links import (
    FORCED,
    LIMIT_EXCEEDED,
    STOPS,
    AmqpControl,
    Delivery,
    Failure,
    Link,
    failure,
    of_wire,
)
from accredit.fronts.mqtt_dps import MAX_ID_CHARS
from accredit.fronts.mqtt_dps import Provisions as ProvisionsMqtt
from accredit.interfaces import Clock, Entropy
from accredit.observe import log
from accredit.wire import amqp_message, amqp_types, dps, refusals
from accredit.wire.amqp_addresses import Registration
from accredit.wire.amqp_types import AmqpError
from accredit.wire.api_versions import check_api_version
from accredit.wire.pem import IssuerPems

CREDIT = 4
"""How many questions of one connection may be unanswered."""

MAX_LINKS = 8
"""Of one connection, where two do: each may hold the beginning of a message, and a login proves nothing yet."""

MAX_MESSAGE_BYTES = dps.MAX_BODY_BYTES + 16 * 1024
"""The body, and what is said of it."""

API_VERSION = "com.microsoft:api-version"
OPERATION_TYPE = "iotdps-operation-type"
OPERATION_ID = "iotdps-operation-id"
REGISTER = "iotdps-register"
STATUS = "iotdps-get-operationstatus"

_SHOWN_CHARS = 64


class Provisions(ProvisionsMqtt, Protocol):
    """The part of `provisioning` that this front needs: what MQTT needs, and the challenge of a TPM."""

    async def challenge(self, request: Request) -> Challenged | Ended: ...

    async def prove(self, request: Request) -> None: ...


class AmqpDps:
    """Opens the conversation of each connection that has a link to a registration (`amqp.Opens`)."""

    def __init__(self, provisioning: Provisions, clock: Clock, entropy: Entropy) -> None:
        self.provisioning = provisioning
        self.clock = clock
        self.entropy = entropy
        self.issuers = IssuerPems()
        # The event loop itself holds tasks weakly, and a question is pursued when its device has gone.
        self.tasks: set[asyncio.Task[None]] = set()

    def open(self, control: AmqpControl) -> AmqpDpsConversation:
        return AmqpDpsConversation(self, control)

    def tracking_id(self) -> str:
        return guid(self.entropy.token(16))

    def unread(self, refusal: AccreditError, name: str, source: str, tracking_id: str = "") -> AccreditError:
        """What never became a request is heard of by `provisioning` all the same; returns what the peer is told."""
        return self.provisioning.unread(
            refusal,
            registration_id=name[:MAX_ID_CHARS],
            source=source,
            tracking_id=tracking_id or self.tracking_id(),
        )

    def check_scope(self, id_scope: str) -> None:
        """Raises Unauthenticated."""
        if id_scope != self.provisioning.id_scope:
            evidence = f"the name is for id scope {id_scope[:_SHOWN_CHARS]!r}"
            raise Unauthenticated("Unauthorized", rule="id-scope", evidence=evidence)


class AmqpDpsConversation:
    """One device's connection (`amqp_links.Conversation`)."""

    proven = False

    def __init__(self, service: AmqpDps, control: AmqpControl) -> None:
        self._service = service
        self._control = control
        self._registration_id: RegistrationId | None = None
        self._api_version: str | None = None
        self._answers: Link | None = None
        self._links = 0
        self._unanswered = 0
        self._draining = False

    @property
    def busy(self) -> bool:
        return self._unanswered > 0

    def attach(self, link: Link, address: Registration) -> None:
        if self._links >= MAX_LINKS:
            link.refuse(Failure(LIMIT_EXCEEDED, f"more than {MAX_LINKS} links to a registration"))
            return
        try:
            registration_id = self._checked(address)
        except AccreditError as refusal:
            told = self._service.unread(refusal, address.registration_id, self._control.peer.source)
            link.refuse(failure(told))
            return
        self._registration_id = registration_id
        version = link.properties.get(API_VERSION)
        if isinstance(version, str):
            self._api_version = str(version)
        self._links += 1
        detached = partial(self._detached, link)
        if link.incoming:
            link.admit(
                received=self._received,
                detached=detached,
                credit=CREDIT,
                max_message_bytes=MAX_MESSAGE_BYTES,
            )
        else:
            link.admit(detached=detached)
            self._answers = link

    def _checked(self, address: Registration) -> RegistrationId:
        """Raises AccreditError where the link is for another registration than the connection."""
        self._service.check_scope(address.id_scope)
        registration_id = RegistrationId.parse(address.registration_id)
        user = self._control.peer.user
        if user is not None and not (
            isinstance(user, Registration) and user.registration_id.lower() == registration_id.key
        ):
            evidence = "the login was of somebody else"
            raise Unauthenticated("Unauthorized", rule="amqp-login-mismatch", evidence=evidence)
        if self._registration_id not in (None, registration_id):
            raise Refused("One connection serves one registration.", rule="amqp-one-registration")
        return registration_id

    def _detached(self, link: Link) -> None:
        self._links -= 1
        if self._answers is link:
            self._answers = None

    def closed(self) -> None:
        self._answers = None

    def drain(self) -> None:
        """Answer what was asked, then close."""
        self._draining = True
        if not self._unanswered:
            self._control.close(Failure(FORCED, STOPS))

    # A question.

    def _received(self, delivery: Delivery) -> None:
        self._control.used()
        self._unanswered += 1
        # A task from the start: an answer waits at least for its commit.
        task = asyncio.get_running_loop().create_task(self._respond(delivery))
        self._service.tasks.add(task)
        task.add_done_callback(self._service.tasks.discard)

    async def _respond(self, delivery: Delivery) -> None:
        tracking_id = self._service.tracking_id()
        try:
            await self._answer(delivery, tracking_id)
        except AccreditError as refusal:
            wire = refusals.on_the_wire(refusal)
            self._reject(delivery, wire, refusal.message, tracking_id)
        except Exception:  # noqa: BLE001 - whatever it is, the device gets an answer, without its text
            log.exception("amqp-dps-failed", trackingId=tracking_id, source=self._control.peer.source)
            self._reject(delivery, refusals.INTERNAL, "Internal error", tracking_id)
        self._unanswered -= 1
        self._control.flush()
        if self._draining:
            self.drain()

    async def _answer(self, delivery: Delivery, tracking_id: str) -> None:
        service = self._service
        try:
            message = _message(delivery.data)
            request, operation_id = self._request(message, tracking_id)
        except AccreditError as refusal:
            assert self._registration_id is not None
            told = service.unread(refusal, self._registration_id.text, self._control.peer.source, tracking_id)
            if told is refusal:
                raise
            raise told from refusal
        if operation_id is None:
            answer = await service.provisioning.register(request)
        else:
            answer = await service.provisioning.status(request, operation_id)
        _, body, retry_after_s = dps.answer_body(answer, service.clock.now(), service.issuers)
        delivery.accept()
        if self._answers is not None:
            # Azure: the SDKs wait for the outcome of their message, then for the answer.
            self._control.first()
            self._answers.send(_encoded(body, message.properties.correlation_id, retry_after_s))

    def _request(self, message: amqp_message.Message, tracking_id: str) -> tuple[Request, str | None]:
        """The request, and the operation id when it asks for one. Raises AccreditError.

        Azure: a status query's body says nothing, whatever it holds.
        """
        assert self._registration_id is not None
        if self._unanswered > CREDIT:
            message_ = "Too many requests on this connection are unanswered."
            raise Throttled(message_, rule="connection-requests", retry_after_s=2)
        if self._answers is None:
            raise Refused("There is no link to answer on.", rule="amqp-no-answer-link")
        operation = message.application.get(OPERATION_TYPE)
        operation_id = message.application.get(OPERATION_ID) if operation == STATUS else None
        if operation not in (REGISTER, STATUS) or (operation == STATUS and not isinstance(operation_id, str)):
            shown = f"{OPERATION_TYPE} is {str(operation)[:_SHOWN_CHARS]!r}"
            raise Malformed("The message is no known operation.", rule="amqp-operation", evidence=shown)
        api_version = check_api_version(self._api_version)
        document = dps.register_document(message.body if operation == REGISTER else b"")
        evidence = self._control.peer.evidence
        if isinstance(evidence, TpmEndorsement):
            # Azure: the keys stand in the body once more; those that the login has proven count.
            document.check(self._registration_id)
        else:
            document.check_without_tpm(self._registration_id)
        if isinstance(evidence, Unauthenticated):
            raise evidence
        request = Request(
            registration_id=self._registration_id,
            evidence=evidence,
            csr_fields=document.csr_fields,
            payload=document.payload,
            api_version=api_version,
            source=self._control.peer.source,
            tracking_id=tracking_id,
        )
        return request, operation_id

    def _reject(self, delivery: Delivery, wire: refusals.Wire, message: str, tracking_id: str) -> None:
        body = dps.error_body(wire.code, message, tracking_id, self._service.clock.now())
        delivery.reject(of_wire(wire, body.decode()))


def _message(data: bytes) -> amqp_message.Message:
    try:
        return amqp_message.parse(data)
    except AmqpError as error:
        raise Malformed("The message can't be read.", rule="amqp-message", evidence=error.reason) from error


def _encoded(body: bytes, correlation_id: bytes, retry_after_s: int | None) -> bytes:
    """Azure: one data section, the correlation id in the type it came in, and `retry-after` under both spellings."""
    properties = amqp_message.Properties(
        correlation_id=correlation_id, content_type="application/json", content_encoding="utf-8"
    )
    application = {}
    if retry_after_s is not None:
        seconds = amqp_types.string(str(retry_after_s))
        application = {"retry-after": seconds, "Retry-After": seconds}
    return amqp_message.encode(body, properties=properties, application=application)
