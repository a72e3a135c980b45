"""Devices of the embedded hub over AMQP: who may attach which link, and device-to-cloud messages.

A device proves itself by a token on `$cbs`, by a token in SASL PLAIN, or by its TLS certificate when it attaches a link.
Several devices may share a connection, each with a session of the hub of its own. A link for cloud-to-device messages is
admitted and stays silent (Java's SDK attaches one always); twins, methods and modules are refused as not implemented.
Whether a credential is good is judged in `hub/identities.py`; the connection itself is `amqp.py`'s.

Azure: "Communicate with your IoT hub by using the AMQP protocol".
"""

from __future__ import annotations

import asyncio
from functools import partial

from accredit.domain.errors import AccreditError, Malformed, Refused, Unauthenticated, UpstreamUnavailable
from accredit.domain.evidence import SasToken
from accredit.domain.ids import DeviceId
from accredit.fronts.amqp_cbs import TokenNode
from accredit.fronts.amqp_device import AmqpDevice
from accredit.fronts.amqp_links import (
    FORCED,
    NOT_IMPLEMENTED,
    STOLEN,
    STOPS,
    UNAUTHORIZED,
    AmqpControl,
    Failure,
    Link,
    Peer,
    failure,
)
from accredit.fronts.eager import start
from accredit.fronts.mqtt_hub import HubConversations
from accredit.hub.identities import Admission
from accredit.interfaces import StoreUnavailable
from accredit.observe import log
from accredit.wire import sas
from accredit.wire.amqp_addresses import Device, HubUser, Purpose, Token

MAX_DEVICES = 256
"""How many devices one connection may speak for."""

_SHOWN_CHARS = 200


class AmqpHub:
    """Opens the conversation of each connection that has a link to this hub (`amqp.Opens`)."""

    def __init__(self, devices: HubConversations) -> None:
        """`devices` holds what the hub's fronts share: identities, sessions, telemetry."""
        self.devices = devices

    def open(self, control: AmqpControl) -> AmqpHubConversation:
        return AmqpHubConversation(self.devices, control)

    async def login(self, user: HubUser, password: str, peer: Peer) -> Admission:
        """SASL PLAIN; raises AccreditError or StoreUnavailable."""
        try:
            return await self._proven(user, password, peer)
        except AccreditError as refusal:
            told = self.devices.charged(refusal, peer.source)
            if told is refusal:
                raise
            raise told from refusal

    async def _proven(self, user: HubUser, password: str, peer: Peer) -> Admission:
        if user.service:
            shown = "service clients over AMQP are not part of this hub yet"
            raise Unauthenticated("Unauthorized", rule="hub-user-name", evidence=shown)
        token = sas.parse(password)
        # The user name has the first label of the host name only; the token has it whole.
        host = token.resource.partition("/")[0]
        if user.hub_name.lower() not in (host.lower(), host.lower().partition(".")[0]):
            shown = f"the user name is for the hub {user.hub_name[:_SHOWN_CHARS]!r}, the token for {host[:_SHOWN_CHARS]!r}"
            raise Unauthenticated("Unauthorized", rule="hub-host-name", evidence=shown)
        device_id = DeviceId.parse(user.name)
        return await self.devices.identities.authenticate(device_id, peer.chain, token, host)


class AmqpHubConversation:
    """One connection's devices (`amqp_links.Conversation`)."""

    def __init__(self, hub: HubConversations, control: AmqpControl) -> None:
        self._hub = hub
        self._control = control
        self._cbs = TokenNode(control, self._grant, hub.charged)
        self._tokens: dict[DeviceId, SasToken] = {}
        self._devices: dict[DeviceId, AmqpDevice] = {}
        # Java attaches two links of a device at once: the second must find the first one's session.
        self._turn = asyncio.Lock()
        self._over = False

    # amqp_links.Conversation

    @property
    def proven(self) -> bool:
        now = self._hub.clock.now()
        return bool(self._devices) or any(token.expires_at > now for token in self._tokens.values())

    @property
    def busy(self) -> bool:
        return any(device.busy for device in self._devices.values())

    def attach(self, link: Link, address: Device | Token) -> None:
        if isinstance(address, Token):
            self._cbs.attach(link)
            return
        missing = _missing(address, incoming=link.incoming)
        if missing is not None:
            log.info("amqp-link-refused", source=self._control.peer.source, rule="hub-link", evidence=missing)
            link.refuse(Failure(NOT_IMPLEMENTED, missing))
        else:
            start(self._admit(link, address))

    def drain(self) -> None:
        """Settle what was taken, then close."""
        waiting = [device for device in self._devices.values() if device.busy]

        def settled() -> None:
            if not any(device.busy for device in waiting):
                self._control.close(Failure(FORCED, STOPS))

        for device in waiting:
            device.when_settled(settled)

    def closed(self) -> None:
        self._over = True
        for device in list(self._devices.values()):
            self._leave(device)

    # Tokens.

    async def _grant(self, device_id: DeviceId, token: SasToken) -> None:
        control = self._control
        admission = await self._hub.identities.authenticate(
            device_id, control.peer.chain, token, control.host
        )
        if device_id not in self._tokens and len(self._tokens) >= MAX_DEVICES:
            raise Refused("Too many devices on one connection.", rule="amqp-devices")
        self._tokens[device_id] = token
        self._control.used()
        device = self._devices.get(device_id)
        if device is not None:
            device.renew(admission)

    # Links.

    async def _admit(self, link: Link, address: Device) -> None:
        async with self._turn:
            try:
                device_id = _device_id(address)
                device = self._devices.get(device_id) or await self._enter(device_id)
            except AccreditError as refusal:
                self._refuse(link, address, refusal)
            except StoreUnavailable as error:
                log.warning("hub-connect-postponed", evidence=str(error), source=self._control.peer.source)
                postponed = UpstreamUnavailable(
                    "The hub can't tell now.", rule="store-unavailable", retry_after_s=5
                )
                link.refuse(failure(postponed))
            except Exception:  # noqa: BLE001 - a defect must still answer the attach
                log.exception("amqp-attach-failed", source=self._control.peer.source)
                link.refuse(Failure("amqp:internal-error", "Internal error"))
            else:
                device.take(link, address.purpose)
        self._control.flush()

    def _refuse(self, link: Link, address: Device, refusal: AccreditError) -> None:
        log.info(
            "hub-connect-refused",
            rule=refusal.rule,
            evidence=refusal.evidence or refusal.message,
            clientId=address.device_id[:_SHOWN_CHARS],
            source=self._control.peer.source,
        )
        link.refuse(failure(self._hub.charged(refusal, self._control.peer.source)))

    async def _enter(self, device_id: DeviceId) -> AmqpDevice:
        """The device's session at the hub; raises AccreditError or StoreUnavailable."""
        if len(self._devices) >= MAX_DEVICES:
            raise Refused("Too many devices on one connection.", rule="amqp-devices")
        admission = await self._judged(device_id)
        session = self._hub.sessions.open(
            device_id, partial(self._cut, device_id), admission.hub.key, admission.registration_id
        )
        try:
            # Whoever was cut or replaced between the judgement and the session's entry is found by judging again.
            admission = await self._judged(device_id)
        except BaseException:
            self._hub.sessions.end(session)
            raise
        device = AmqpDevice(self._hub, self._control, admission, session, self._leave)
        if self._over:
            device.end(None)
            return device
        self._devices[device_id] = device
        log.info(
            "hub-connected",
            hub=admission.hub.name,
            deviceId=device_id.text,
            auth=admission.method.name,
            source=self._control.peer.source,
        )
        return device

    async def _judged(self, device_id: DeviceId) -> Admission:
        peer = self._control.peer
        token = self._tokens.get(device_id)
        if token is None and peer.admission is not None and peer.admission.device_id == device_id:
            if self._hub.clock.now() >= peer.admission.ends_at:
                raise Unauthenticated("Unauthorized", rule="sas-expired", evidence="the login's token ended")
            return peer.admission
        return await self._hub.identities.authenticate(device_id, peer.chain, token, self._control.host)

    def _leave(self, device: AmqpDevice) -> None:
        """Its links are gone, or its proof has ended."""
        if self._devices.get(device.device_id) is device:
            del self._devices[device.device_id]
        device.end(Failure(UNAUTHORIZED, "The credential has ended."))

    def _cut(self, device_id: DeviceId, reason: str) -> None:
        """The hub ends the device's session: it connected elsewhere, was cut, or the service stops."""
        device = self._devices.pop(device_id, None)
        if device is None:
            return
        self._tokens.pop(device_id, None)
        device.end(Failure(FORCED if reason == STOPS else STOLEN, reason))
        if not self._devices and not self._tokens:
            self._control.close(Failure(FORCED, reason))
        else:
            self._control.flush()


def _missing(address: Device, *, incoming: bool) -> str | None:
    """Why no link of this kind leads anywhere, or None."""
    if address.module_id is not None:
        return "Modules are not part of this hub yet."
    match address.purpose:
        case Purpose.EVENTS:
            return None if incoming else "There is nothing to receive there."
        case Purpose.DEVICE_BOUND:
            return "There is nothing to send there." if incoming else None
        case Purpose.METHODS:
            return "Direct methods are not part of this hub yet."
        case Purpose.TWIN:
            return "Twins are not part of this hub yet."


def _device_id(address: Device) -> DeviceId:
    try:
        return DeviceId.parse(address.device_id)
    except Malformed as error:
        raise Unauthenticated("Unauthorized", rule="hub-device-unknown", evidence=error.message) from error
