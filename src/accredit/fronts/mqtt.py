"""One MQTT connection at the server: bytes to packets to a conversation, with the deadlines and limits of a stranger.

The user name of the CONNECT selects who is asked to open the conversation: DPS (`fronts/mqtt_dps.py`) or the hub. From
then on the conversation answers; this file knows no topic and no credential. It runs over any asyncio transport that
tells `peername` and `peer_chain`: `fronts/tls.py` or the WebSocket adapter, which also bound how long a peer may leave
what it is sent unread.

MQTT 3.1.1, the server's part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, cast

from accredit.fronts.eager import start
from accredit.observe import log
from accredit.values import dataclass
from accredit.wire import mqtt, topics
from accredit.wire.mqtt_session import Patience, Session, Step
from accredit.wire.refusals import SERVER_UNAVAILABLE

MAX_CONNECT_BYTES = 16 * 1024

MAX_HELD_BYTES = 64 * 1024
"""What may still arrive, reading being paused, while a CONNECT waits for its answer."""

MAX_UNREAD_BYTES = 512 * 1024
"""What may be written to a peer whose transport asked for a pause before it is cut off."""


class MqttLink(Protocol):
    """What a conversation may do to its connection. Once that is closed, nothing of it has an effect."""

    peer_chain: tuple[bytes, ...]
    source: str

    def acknowledge(self, *packet_ids: int) -> None:
        """Send the PUBACKs of QoS 1 PUBLISHes."""

    def send(self, topic: str, payload: bytes, qos: int, acknowledged: Sequence[int] = ()) -> None:
        """PUBLISH to the device, behind the PUBACKs of these PUBLISHes of its own."""

    def close(self, reason: str) -> None:
        """End the connection; one log line says why."""


class Conversation(Protocol):
    """What goes on over an accepted connection. Called from the event loop; must not raise and cannot wait.

    It may have two more members: `session_present: bool`, for the CONNACK (absent is no), and `drain() -> None`, to
    finish what is in hand and close the link when the service stops (absent is to be closed at once).
    """

    def subscribe(self, topic_filter: str, qos: int) -> int:
        """The granted QoS, or 0x80."""
        ...

    def unsubscribe(self, topic_filter: str) -> None: ...

    def publish(self, packet: mqtt.Publish) -> None:
        """The conversation acknowledges QoS 1 itself, when it may."""

    def closed(self, graceful: bool) -> None:  # noqa: FBT001 - the one fact of the call
        """Exactly once, after the connection is gone; graceful when a DISCONNECT came."""


class Opens(Protocol):
    """Whoever answers a CONNECT."""

    async def open(self, connect: mqtt.Connect, link: MqttLink) -> Conversation | int:
        """The conversation, or the CONNACK code of the refusal, of which it logs the reason.

        May wait, but not with `asyncio.timeout` at first (`fronts/eager.py`).
        """
        ...


class Timers(Protocol):
    """The part of an event loop that deadlines need."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], Any], /) -> asyncio.TimerHandle: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for a connection once it is known whom it is for."""

    max_packet_bytes: int
    patience: Patience


DPS_TERMS = Terms(112 * 1024, Patience())
"""A message to DPS is at most 96 KiB; the rest is for its topic."""

HUB_TERMS = Terms(320 * 1024, Patience(idle_s=None))
"""A message to a hub is at most 256 KiB, and a topic 64."""


class MqttConnection(asyncio.Protocol):
    """The protocol of one connection; also the `MqttLink` of its conversation."""

    peer_chain: tuple[bytes, ...] = ()
    source: str = ""

    def __init__(self, dps: Opens, hub: Opens, timers: Timers | None = None) -> None:
        """`timers` is the running event loop unless another is given."""
        self._dps = dps
        self._hub = hub
        self._timers: Timers = asyncio.get_running_loop() if timers is None else timers
        self._decoder = mqtt.Decoder(
            max_packet_bytes=HUB_TERMS.max_packet_bytes, max_first_packet_bytes=MAX_CONNECT_BYTES
        )
        self._session = Session(self._timers.time(), HUB_TERMS.patience)
        self._terms = HUB_TERMS
        self._transport: asyncio.Transport
        self._conversation: Conversation | None = None
        self._opening: asyncio.Task[None] | None = None
        self._held: list[mqtt.Packet] = []
        self._held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = 0.0
        self._packet_id = 0
        self._choked = False
        self._unread_bytes = 0
        self._over = False
        self._lost = False
        self._graceful = False

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.peer_chain = transport.get_extra_info("peer_chain", ())
        peer = transport.get_extra_info("peername")
        self.source = str(peer[0]) if peer else ""
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        if self._opening is not None:
            self._held_bytes += len(data)
            if self._held_bytes > MAX_HELD_BYTES:
                self.close("too much before CONNACK")
                return
        try:
            packets = self._decoder.feed(data)
        except mqtt.ProtocolViolation as violation:
            self._take(violation.before)
            self.close(violation.reason)
        else:
            self._take(packets)

    def eof_received(self) -> None:
        """Half-open MQTT connections have no use: the transport closes."""

    def connection_lost(self, _exc: Exception | None) -> None:
        self._over = self._lost = True
        if self._timer is not None:
            self._timer.cancel()
        if self._conversation is not None:
            self._conversation.closed(self._graceful)

    def pause_writing(self) -> None:
        # A peer that does not read its answers is not asked for more questions.
        self._choked = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._choked = False
        self._unread_bytes = 0
        self._resume_reading()

    def drain(self) -> None:
        """The service stops: finish what is in hand, then close."""
        drain = getattr(self._conversation, "drain", None)
        if drain is None:
            self._end()
        else:
            drain()

    # The conversation calls these.

    def acknowledge(self, *packet_ids: int) -> None:
        self._send(_puback(packet_ids))

    def send(self, topic: str, payload: bytes, qos: int, acknowledged: Sequence[int] = ()) -> None:
        packet_id = None
        if qos:
            packet_id = self._packet_id = self._packet_id % 0xFFFF + 1
        publish = mqtt.Publish(topic, payload, qos, packet_id).encode()
        self._send(_puback(acknowledged) + publish if acknowledged else publish)

    def close(self, reason: str) -> None:
        if not self._over:
            log.info("mqtt-closed", source=self.source, reason=reason)
            self._end()

    # Packets.

    def _take(self, packets: Iterable[mqtt.Packet]) -> None:
        try:
            for packet in packets:
                if self._over:
                    return
                self._step(packet)
        except mqtt.ProtocolViolation as violation:
            self.close(violation.reason)
        except Exception:  # noqa: BLE001 - a defect ends this connection, not the listener
            log.exception("mqtt-conversation-broken", source=self.source)
            self._end()

    def _step(self, packet: mqtt.Packet) -> None:
        match self._session.receive(packet, self._timers.time()):
            case Step.DELIVER:
                self._deliver(packet)
            case Step.OPEN:
                assert isinstance(packet, mqtt.Connect)
                self._open(packet)
            case Step.PONG:
                self._write(mqtt.PingResp())
            case Step.LEAVE:
                self._graceful = True
                self._end()
            case Step.HOLD:
                self._held.append(packet)
            case Step.REFUSE:
                code = self._session.refusal
                log.info("mqtt-connect-refused", source=self.source, code=code)
                self._refuse(code)
            case Step.IGNORE:
                pass

    def _deliver(self, packet: mqtt.Packet) -> None:
        conversation = self._conversation
        assert conversation is not None
        if isinstance(packet, mqtt.Publish):
            conversation.publish(packet)
        elif isinstance(packet, mqtt.Subscribe):
            codes = tuple(conversation.subscribe(name, qos) for name, qos in packet.filters)
            self._write(mqtt.SubAck(packet.packet_id, codes))
        elif isinstance(packet, mqtt.Unsubscribe):
            for name in packet.filters:
                conversation.unsubscribe(name)
            self._write(mqtt.UnsubAck(packet.packet_id))

    # Opening.

    def _open(self, connect: mqtt.Connect) -> None:
        assert connect.user_name is not None
        dps = topics.names_dps(connect.user_name)
        self._terms = DPS_TERMS if dps else HUB_TERMS
        self._decoder.max_packet_bytes = self._terms.max_packet_bytes
        self._opening = start(self._ask(self._dps if dps else self._hub, connect))
        if self._opening is not None:
            self._transport.pause_reading()

    async def _ask(self, opener: Opens, connect: mqtt.Connect) -> None:
        try:
            answer = await opener.open(connect, self)
        except Exception:  # noqa: BLE001 - a defect must still answer the CONNECT
            log.exception("mqtt-connect-failed", source=self.source)
            answer = SERVER_UNAVAILABLE
        self._opening = None
        if isinstance(answer, int):
            self._refuse(answer)
        else:
            self._begin(answer)

    def _begin(self, conversation: Conversation) -> None:
        self._conversation = conversation
        if self._lost:
            conversation.closed(graceful=False)
        if self._over:
            return
        self._session.opened(self._terms.patience, self._timers.time())
        self._write(mqtt.ConnAck(getattr(conversation, "session_present", False), 0))
        self._watch()
        self._resume_reading()
        held, self._held = self._held, []
        self._take(held)

    def _refuse(self, code: int) -> None:
        if not self._over:
            self._write(mqtt.ConnAck(session_present=False, code=code))
            self._end()

    # The connection.

    def _write(self, packet: mqtt.Packet) -> None:
        self._send(packet.encode())

    def _send(self, data: bytes) -> None:
        if self._over:
            return
        if self._choked:
            self._unread_bytes += len(data)
            if self._unread_bytes > MAX_UNREAD_BYTES:
                self.close("the peer does not read")
                self._transport.abort()
                return
        self._transport.write(data)

    def _resume_reading(self) -> None:
        if self._opening is None and not self._choked and not self._over:
            self._transport.resume_reading()

    def _end(self) -> None:
        self._over = True
        self._transport.close()

    def _watch(self) -> None:
        """Have the deadline looked at when it is due; one that only moved away is found again then."""
        deadline_at = self._session.deadline_at
        if deadline_at is None or (self._timer is not None and self._due_at <= deadline_at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due_at = deadline_at
        self._timer = self._timers.call_at(deadline_at, self._due)

    def _due(self) -> None:
        self._timer = None
        deadline_at = self._session.deadline_at
        if deadline_at is None or self._over:
            return
        if self._timers.time() >= deadline_at:
            self.close("nothing came in time")
        else:
            self._watch()


def _puback(packet_ids: Sequence[int]) -> bytes:
    return b"".join([mqtt.PubAck(packet_id).encode() for packet_id in packet_ids])
