"""Device-to-cloud messages as the hub keeps them: what the device said, and what the hub knows of the connection.

The system properties are IoT Hub's by their names (*Create and read IoT Hub messages*). How a wire carries them is the
fronts' business.
"""

from __future__ import annotations

from collections.abc import Mapping

from accredit.domain.device import Telemetry
from accredit.domain.errors import Malformed
from accredit.hub.identities import Admission
from accredit.wire.instants import iso

MAX_MESSAGE_BYTES = 262_144
"""Body, values of system properties, and names and values of the application's together."""

Properties = Mapping[str, str]

WILL_PROPERTIES: Properties = {"iothub-MessageType": "Will"}
"""What marks the message that a device left for the case that it is lost."""

RETAIN_PROPERTIES: Properties = {"mqtt-retain": "true"}
"""What a message with MQTT's retain flag carries instead of being retained."""


def telemetry(
    admission: Admission, body: bytes, properties: Properties, system: Properties, now: float
) -> Telemetry:
    """The message, enqueued at `now`. Raises Malformed when it is larger than a hub message may be."""
    said = 0
    for value in system.values():
        said += _bytes(value)
    for name, value in properties.items():
        said += _bytes(name) + _bytes(value)
    if len(body) + said > MAX_MESSAGE_BYTES:
        raise Malformed(
            "The message is larger than 256 KiB.",
            rule="message-too-large",
            evidence=f"device {admission.device_id}: body {len(body)} bytes, properties {said} bytes",
        )
    known = {
        "iothub-connection-device-id": admission.device_id.text,
        "iothub-connection-auth-method": admission.method.value,
        "iothub-connection-auth-generation-id": admission.generation_id,
        "iothub-enqueuedtime": iso(now),
        "iothub-message-source": "Telemetry",
    }
    return Telemetry(
        device_id=admission.device_id,
        body=body,
        properties=dict(properties),
        # What the hub knows comes last: no device names itself another here.
        system={**system, **known},
        auth_method=admission.method.value,
        enqueued_at=now,
        hub=admission.hub.name,
    )


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
