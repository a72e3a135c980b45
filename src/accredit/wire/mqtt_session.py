"""The server's side of an MQTT 3.1.1 connection: what a packet means at this point, and until when the next is due.

A packet goes in and a step comes out; the front takes the step. Time comes in as numbers of one monotonic clock and goes
out as `deadline_at`; nothing here reads a clock or waits. Not here: bytes (`mqtt.py`), and what is subscribed or published.

MQTT 3.1.1, sections 3.1 (CONNECT first and once, keep alive) and 3.2 (return codes).
"""

from __future__ import annotations

from enum import Enum, auto

from accredit.values import dataclass
from accredit.wire import mqtt
from accredit.wire.refusals import BAD_USER_NAME_OR_PASSWORD

UNACCEPTABLE_PROTOCOL = 1
IDENTIFIER_REJECTED = 2

MAX_CLIENT_ID_CHARS = 257
"""Two ids of 128 characters and the slash between them: a module of an IoT hub."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for the peer, in seconds.

    `connect_s` is for a CONNECT, and then for its answer; `keep_alive_cap_s` bounds one and a half times the keep alive
    (Azure IoT Hub: 1767); `idle_s` stands in where a client asked for no keep alive, None waits for ever.
    """

    connect_s: float = 20.0
    keep_alive_cap_s: float = 1767.0
    idle_s: float | None = 300.0


class Step(Enum):
    """What to do with a packet."""

    OPEN = auto()
    """It is the CONNECT: ask who answers it, then call `opened`."""
    REFUSE = auto()
    """It is a CONNECT that nobody can answer: send CONNACK with `refusal`, and close."""
    HOLD = auto()
    """It came before the CONNACK: take it up again after `opened`."""
    DELIVER = auto()
    """It is the conversation's."""
    PONG = auto()
    """Send PINGRESP."""
    IGNORE = auto()
    """It needs nothing."""
    LEAVE = auto()
    """The peer said goodbye: close, and read no further."""


class _Phase(Enum):
    NEW = auto()
    OPENING = auto()
    OPEN = auto()
    OVER = auto()


_STEPS: dict[type[mqtt.Packet], Step] = {
    mqtt.Publish: Step.DELIVER,
    mqtt.Subscribe: Step.DELIVER,
    mqtt.Unsubscribe: Step.DELIVER,
    mqtt.PubAck: Step.DELIVER,
    mqtt.PingReq: Step.PONG,
    mqtt.Disconnect: Step.LEAVE,
}


class Session:
    """One connection, from its first byte at `started_at`."""

    __slots__ = ("_heard_at", "_keep_alive_s", "_patience", "_phase", "refusal")

    def __init__(self, started_at: float, patience: Patience) -> None:
        self.refusal = 0
        self._patience = patience
        self._phase = _Phase.NEW
        self._heard_at = started_at
        self._keep_alive_s = 0

    @property
    def deadline_at(self) -> float | None:
        """When the connection is to be closed unless a packet comes before; None is never.

        Bytes do not move it, whole packets do: a packet sent a byte at a time holds nothing open.
        """
        patience = self._patience
        if self._phase is not _Phase.OPEN:
            return self._heard_at + patience.connect_s
        if self._keep_alive_s:
            return self._heard_at + min(1.5 * self._keep_alive_s, patience.keep_alive_cap_s)
        return None if patience.idle_s is None else self._heard_at + patience.idle_s

    def receive(self, packet: mqtt.Packet, now: float) -> Step:
        """What to do with `packet`. Raises ProtocolViolation when it may not come now."""
        if self._phase is _Phase.OVER:
            return Step.IGNORE
        if isinstance(packet, mqtt.Connect):
            return self._connect(packet, now)
        if self._phase is _Phase.NEW:
            raise mqtt.ProtocolViolation("the first packet is not CONNECT")
        step = _STEPS.get(type(packet))
        if step is None:
            raise mqtt.ProtocolViolation("a packet that only a server sends")
        if self._phase is _Phase.OPENING:
            return Step.HOLD
        self._heard_at = now
        if step is Step.LEAVE:
            self._phase = _Phase.OVER
        return step

    def opened(self, patience: Patience, now: float) -> None:
        """The CONNECT was accepted; from now on this is how long to wait."""
        self._phase = _Phase.OPEN
        self._heard_at = now
        self._patience = patience

    def _connect(self, connect: mqtt.Connect, now: float) -> Step:
        if self._phase is not _Phase.NEW:
            raise mqtt.ProtocolViolation("a second CONNECT")
        self.refusal = _refusal(connect)
        if self.refusal:
            self._phase = _Phase.OVER
            return Step.REFUSE
        self._phase = _Phase.OPENING
        self._heard_at = now
        self._keep_alive_s = connect.keep_alive_s
        return Step.OPEN


def _refusal(connect: mqtt.Connect) -> int:
    """The CONNACK code that any server here answers, whoever is asked for; 0 when there is nothing against it."""
    if connect.level != mqtt.LEVEL:
        return UNACCEPTABLE_PROTOCOL
    if not 0 < len(connect.client_id) <= MAX_CLIENT_ID_CHARS:
        return IDENTIFIER_REJECTED
    if connect.user_name is None:
        return BAD_USER_NAME_OR_PASSWORD
    return 0
