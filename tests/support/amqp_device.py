"""A device that speaks AMQP to the provisioning service by itself, blocking, over TLS or WebSocket: for what no SDK would say.

Its frames are those of `support/amqp_script.py`; there is no engine that would keep it from mischief.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from accredit.wire import amqp_message, amqp_sasl
from accredit.wire.amqp_sasl import AMQP_HEADER, SASL_HEADER
from accredit.wire.amqp_types import Reader
from support.amqp_messages import request
from support.amqp_script import ACCEPTED, NAMES, RECEIVER, SENDER, Heard, attach, begin, flow, open_, transfer
from support.channels import PATIENCE_S, Channel, Open
from support.raw_device import sas_token
from support.running_service import RunningService

_FRAME_BYTES = 8 * 1024


@dataclass(frozen=True)
class AmqpAnswer:
    """`document` is the answer's body, or the description of the rejection."""

    status: int
    document: dict[str, Any]


class AmqpDevice:
    """Logged in by a token, with both of its links."""

    def __init__(
        self, service: RunningService, registration_id: str, *, key: str, api_version: str | None, over: Open
    ) -> None:
        self._channel: Channel = over(service, None, PATIENCE_S)
        self._data = bytearray()
        self._sent = 0
        address = f"{service.id_scope}/registrations/{registration_id}"
        token = sas_token(address, key)
        self._say(SASL_HEADER, amqp_sasl.encode(amqp_sasl.Init("PLAIN", amqp_sasl.plain(address, token))))
        self._take(8)  # the header
        outcome = [self._sasl(), self._sasl()][1]
        assert outcome == amqp_sasl.Outcome(amqp_sasl.OK), outcome
        said = {"com.microsoft:api-version": api_version} if api_version is not None else {}
        self._say(AMQP_HEADER, open_(service.host), begin())
        self._say(attach(0, RECEIVER, address, properties=said), flow(0, 100))
        self._say(attach(1, SENDER, address, properties=said))
        self._take(8)
        for name in ("open", "begin", "attach", "attach", "flow"):
            self._hear(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def registers(self, body: bytes) -> AmqpAnswer:
        """One register message, in as many frames as it takes."""
        message = request("iotdps-register", body)
        pieces = [message[at : at + _FRAME_BYTES] for at in range(0, len(message), _FRAME_BYTES)]
        for number, piece in enumerate(pieces, 1):
            self._say(transfer(1, self._sent, piece, more=number < len(pieces)))
        self._sent += 1
        outcome = self._hear("disposition")
        if outcome[4].descriptor != ACCEPTED:
            document = json.loads(outcome.error[1] or "")
            return AmqpAnswer(document["errorCode"] // 1000, document)
        answer = amqp_message.parse(self._hear("transfer").payload)
        document = json.loads(answer.body)
        return AmqpAnswer(202 if document["status"] == "assigning" else 200, document)

    def _say(self, *parts: bytes) -> None:
        self._channel.sendall(b"".join(parts))

    def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            data = self._channel.recv(65_536)
            assert data, "the service has closed"
            self._data += data
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken

    def _frame(self) -> bytes:
        size = self._take(4)
        return size + self._take(int.from_bytes(size, "big") - 4)

    def _sasl(self) -> amqp_sasl.Frame:
        (found,) = amqp_sasl.Decoder().feed(self._frame())
        return found

    def _hear(self, name: str) -> Heard:
        """The next frame of this name; flows and heartbeats that are not asked for do not count."""
        while True:
            body = self._frame()[8:]
            if not body:
                continue
            reader = Reader(body)
            performative = reader.value()
            heard = Heard(NAMES[performative.descriptor], performative.value, body[reader.at :])
            if heard.name != "flow" or name == "flow":
                assert heard.name == name, f"{heard} instead of {name}"
                return heard
