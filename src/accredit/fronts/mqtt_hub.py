"""Devices of the embedded hub over MQTT: who may connect, and device-to-cloud messages.

Renewal of certificates is `hub_credentials.py`'s, twins are `mqtt_twin.py`'s. Direct methods and cloud-to-device messages are not part of this hub yet: a subscription to them is refused in
the SUBACK, a publish to them closes the connection, and a log line says so. Modules are refused at CONNECT. The
connection itself is `mqtt.py`'s; whether a credential is good is judged in `hub/identities.py`.

Azure: "Communicate with an IoT hub using the MQTT protocol".
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

from accredit.domain.device import Telemetry
from accredit.domain.errors import AccreditError, Malformed, Refused, Unauthenticated
from accredit.domain.evidence import SasToken
from accredit.domain.ids import DeviceId
from accredit.fronts.hub_credentials import Credentials, CredentialService
from accredit.fronts.mqtt import MqttLink
from accredit.fronts.mqtt_twin import FILTERS, Twin, TwinService
from accredit.hub import messages
from accredit.hub.appending import Appending, InFlight
from accredit.hub.identities import Admission, AuthMethod, Identities
from accredit.hub.sessions import Session, Sessions
from accredit.interfaces import Clock, StoreUnavailable, TelemetryLog
from accredit.observe import log
from accredit.values import dataclass
from accredit.wire import mqtt, refusals, sas, topics
from accredit.wire.mqtt_session import IDENTIFIER_REJECTED

STOPS = "the service stops"
ENDED = "the credential that the connection was opened with has ended"

_NOT_YET = {
    "$iothub/methods/": "direct methods are not part of this hub yet",
    "/messages/devicebound/": "cloud-to-device messages are not part of this hub yet",
    "/modules/": "modules are not part of this hub yet",
    "/inputs/": "modules are not part of this hub yet",
}
_LOOK_AGAIN_S = 3_600.0
_SHOWN_CHARS = 200


class CountsFailures(Protocol):
    """Who counts the failed proofs of a source address."""

    def failed(self, refusal: AccreditError, source: str) -> AccreditError:
        """What the device is told: mostly the refusal, and when to come back where the source fails too often."""
        ...


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a CONNECT says of itself, unproven."""

    host: str
    device_id: DeviceId
    token: SasToken | None


class HubConversations:
    """Opens a conversation for each CONNECT that comes from a device of this hub (`mqtt.Opens`)."""

    def __init__(
        self,
        identities: Identities,
        sessions: Sessions,
        telemetry: TelemetryLog,
        clock: Clock,
        in_flight: InFlight | None = None,
        counts: CountsFailures | None = None,
        credentials: CredentialService | None = None,
        twins: TwinService | None = None,
    ) -> None:
        """Without `credentials` certificates can't be renewed over the hub, without `twins` there are none."""
        self.twins = twins
        self.counts = counts
        self.credentials = credentials
        self.identities = identities
        self.sessions = sessions
        self.telemetry = telemetry
        self.clock = clock
        self.in_flight = in_flight if in_flight is not None else InFlight(telemetry)

    async def open(self, connect: mqtt.Connect, link: MqttLink) -> HubConversation | int:
        """The conversation, or the CONNACK code of the refusal: 3 where trying again helps."""
        try:
            return await self._opened(connect, link)
        except AccreditError as error:
            log.info(
                "hub-connect-refused",
                rule=error.rule,
                evidence=error.evidence or error.message,
                clientId=connect.client_id[:_SHOWN_CHARS],
                source=link.source,
            )
            error = self.charged(error, link.source)
            disagrees = error.rule == "hub-client-id"
            return IDENTIFIER_REJECTED if disagrees else refusals.on_the_wire(error).connack
        except StoreUnavailable as error:
            log.warning("hub-connect-postponed", evidence=str(error), source=link.source)
            return refusals.SERVER_UNAVAILABLE

    def charged(self, refusal: AccreditError, source: str) -> AccreditError:
        """Count a proof that failed, on whatever wire it came; return what the device is told."""
        if self.counts is None or not isinstance(refusal, Unauthenticated | Malformed):
            return refusal
        return self.counts.failed(refusal, source)

    async def close(self) -> None:
        """Cut who is still connected; return when all that was taken from devices is stored."""
        self.sessions.end_all(STOPS)
        if self.credentials is not None:
            await self.credentials.close()
        if self.twins is not None:
            await self.twins.close()
        await self.in_flight.drained()

    async def _opened(self, connect: mqtt.Connect, link: MqttLink) -> HubConversation:
        claim = self._claim(connect)
        admission = await self._admitted(claim, link)
        if connect.will is not None:
            _will_message(connect.will, admission, self.clock.now())
        session = self.sessions.open(
            claim.device_id, link.close, admission.hub.key, admission.registration_id
        )
        try:
            # Whoever was cut or replaced between the judgement and the session's entry is found by judging again.
            admission = await self._admitted(claim, link)
        except BaseException:
            self.sessions.end(session)
            raise
        log.info(
            "hub-connected",
            hub=admission.hub.name,
            deviceId=claim.device_id.text,
            auth=admission.method.name,
            source=link.source,
        )
        return HubConversation(self, link, admission, session, connect.will)

    async def _admitted(self, claim: _Claim, link: MqttLink) -> Admission:
        return await self.identities.authenticate(claim.device_id, link.peer_chain, claim.token, claim.host)

    def _claim(self, connect: mqtt.Connect) -> _Claim:
        """Raises AccreditError for a CONNECT that no device of this hub can have sent."""
        name = topics.parse_hub_user_name(connect.user_name or "")
        if name is None:
            raise _refusal("hub-user-name", f"the user name is {(connect.user_name or '')[:_SHOWN_CHARS]!r}")
        whose = name.device_id if name.module_id is None else f"{name.device_id}/{name.module_id}"
        if whose != connect.client_id:
            raise _refusal("hub-client-id", f"the user name is for {whose[:_SHOWN_CHARS]!r}")
        if name.module_id is not None:
            raise Refused("Unauthorized", rule="hub-module", evidence=_NOT_YET["/modules/"])
        try:
            device_id = DeviceId.parse_at_hub(name.device_id)
        except Malformed as error:
            raise _refusal("hub-device-unknown", error.message) from error
        return _Claim(name.host, device_id, _token(connect.password))


class HubConversation:
    """One connected device (`mqtt.Conversation`)."""

    def __init__(
        self,
        hub: HubConversations,
        link: MqttLink,
        admission: Admission,
        session: Session,
        will: mqtt.Will | None,
    ) -> None:
        self._hub = hub
        self._link = link
        self._admission = admission
        self._session = session
        self._will = will
        self._draining = False
        self._credentials: Credentials | None = None
        if hub.credentials is not None:
            issued = admission.method is AuthMethod.ISSUED_CERTIFICATE
            leaf = link.peer_chain[0] if issued else None
            self._credentials = Credentials(hub.credentials, link, admission.device_id, leaf)
        self._twin: Twin | None = None
        if hub.twins is not None:
            self._twin = Twin(hub.twins, link, admission.hub.key, admission.device_id)
        self._appending: Appending[int] = Appending(hub.in_flight, self._acknowledge, link.close)
        self._timer = self._look_again()

    def subscribe(self, topic_filter: str, qos: int) -> int:
        """Granted for what is answered about credentials and twins; else refused, since this hub sends nothing more yet."""
        if self._twin is not None and topic_filter in FILTERS:
            return self._twin.subscribe(topic_filter, qos)
        if self._credentials is not None and topic_filter == topics.CREDENTIAL_RESPONSES:
            return self._credentials.subscribe(qos)
        log.info(
            "hub-subscribe-refused",
            deviceId=self._admission.device_id.text,
            filter=topic_filter[:_SHOWN_CHARS],
            qos=qos,
            reason=_missing(topic_filter) or "not a topic filter of an IoT hub",
        )
        return mqtt.FAILURE

    def unsubscribe(self, topic_filter: str) -> None:
        """Of what was not granted nothing ends."""
        if self._twin is not None and topic_filter in FILTERS:
            self._twin.unsubscribe(topic_filter)
        if self._credentials is not None and topic_filter == topics.CREDENTIAL_RESPONSES:
            self._credentials.unsubscribe()

    def publish(self, packet: mqtt.Publish) -> None:
        """A message of the device's own is stored, then acknowledged; anything else ends the connection."""
        if self._draining:
            return
        extra = messages.RETAIN_PROPERTIES if packet.retain else {}
        try:
            if self._credentials is not None and packet.topic.startswith(topics.CREDENTIALS):
                self._credentials.publish(packet)
                return
            if self._twin is not None and packet.topic.startswith(topics.TWINS):
                self._twin.publish(packet)
                return
            message = _message(packet, self._admission, self._hub.clock.now(), extra)
        except mqtt.ProtocolViolation as violation:
            self._link.close(violation.reason)
        except Malformed as error:
            self._link.close(error.message)
        else:
            self._appending.take(message, packet.packet_id)

    def _acknowledge(self, packet_ids: list[int]) -> None:
        self._link.acknowledge(*packet_ids)

    def closed(self, graceful: bool) -> None:  # noqa: FBT001 - the one fact of the call
        self._timer.cancel()
        if self._credentials is not None:
            self._credentials.closed()
        if self._twin is not None:
            self._twin.closed()
        self._hub.sessions.end(self._session)
        # A connection that the service itself ends because it stops is no lost device.
        if self._will is not None and not graceful and not self._draining:
            self._appending.take(_will_message(self._will, self._admission, self._hub.clock.now()), None)

    def drain(self) -> None:
        """Acknowledge what was taken, then close."""
        self._draining = True
        self._appending.when_empty(partial(self._link.close, STOPS))

    def _look_again(self) -> asyncio.TimerHandle:
        # A wall clock may jump, so the end of the credential is looked at long before it is far away.
        left = self._admission.ends_at - self._hub.clock.now()
        delay = max(0.0, min(left, _LOOK_AGAIN_S))
        return asyncio.get_running_loop().call_later(delay, self._end_if_due)

    def _end_if_due(self) -> None:
        if self._hub.clock.now() >= self._admission.ends_at:
            self._link.close(ENDED)
        else:
            self._timer = self._look_again()


def _message(
    packet: mqtt.Publish | mqtt.Will, admission: Admission, now: float, extra: messages.Properties
) -> Telemetry:
    """Raises ProtocolViolation for a topic that is not the device's own, Malformed for a message that is too large."""
    missing = _missing(packet.topic) if packet.topic.startswith("$") else None
    if missing is not None:
        raise mqtt.ProtocolViolation(missing)
    topic = topics.parse_telemetry(packet.topic)
    if topic.module_id is not None:
        raise mqtt.ProtocolViolation(_NOT_YET["/modules/"])
    if topic.device_id != admission.device_id.text:
        raise mqtt.ProtocolViolation("a message in another device's name")
    said = {name: value or "" for name, value in topic.properties.items()}
    return messages.telemetry(admission, packet.payload, {**said, **extra}, topic.system, now)


def _will_message(will: mqtt.Will, admission: Admission, now: float) -> Telemetry:
    """Raises AccreditError for a will that is not a message of the device's own."""
    extra = {**messages.WILL_PROPERTIES, **(messages.RETAIN_PROPERTIES if will.retain else {})}
    try:
        return _message(will, admission, now, extra)
    except mqtt.ProtocolViolation as violation:
        raise _refusal("hub-will", violation.reason) from violation


def _token(password: bytes | None) -> SasToken | None:
    """Some clients that show a certificate send an empty password."""
    if not password:
        return None
    try:
        return sas.parse(password.decode())
    except UnicodeDecodeError:
        raise _refusal("sas-malformed", "the password is not UTF-8") from None


def _missing(topic: str) -> str | None:
    return next((reason for part, reason in _NOT_YET.items() if part in topic), None)


def _refusal(rule: str, evidence: str) -> Unauthenticated:
    return Unauthenticated("Unauthorized", rule=rule, evidence=evidence)
