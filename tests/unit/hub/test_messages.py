"""What a message carries, and how large it may be."""

from __future__ import annotations

import json

import pytest

from accredit.domain.errors import Malformed
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import HubAddress
from accredit.hub.identities import Admission, AuthMethod
from accredit.hub.messages import MAX_MESSAGE_BYTES, telemetry

HUB = HubAddress("b.example", "B.example", frozenset({"b.example"}))
ADMISSION = Admission(DeviceId("lamp-1"), "generation-1", AuthMethod.ISSUED_CERTIFICATE, 2_000_000_000, HUB)
NOW = 1_800_000_000.25


def test_the_hub_adds_what_it_knows_of_the_connection() -> None:
    message = telemetry(ADMISSION, b"21", {"room": "5"}, {"content-type": "text/plain"}, NOW)
    assert message.device_id == DeviceId("lamp-1")
    assert message.properties == {"room": "5"}
    assert message.enqueued_at == NOW
    assert message.hub == "B.example"
    assert message.system == {
        "content-type": "text/plain",
        "iothub-connection-device-id": "lamp-1",
        "iothub-connection-auth-method": message.auth_method,
        "iothub-connection-auth-generation-id": "generation-1",
        "iothub-enqueuedtime": "2027-01-15T08:00:00.2500000Z",
        "iothub-message-source": "Telemetry",
    }


def test_a_device_cannot_say_what_the_hub_says() -> None:
    lie = {"iothub-connection-device-id": "lamp-2", "iothub-connection-auth-method": "none"}
    assert telemetry(ADMISSION, b"", {}, lie, NOW).system["iothub-connection-device-id"] == "lamp-1"


@pytest.mark.parametrize("method", AuthMethod)
def test_the_auth_method_is_json_as_azure_writes_it(method: AuthMethod) -> None:
    document = json.loads(method.value)
    assert set(document) == {"scope", "type", "issuer", "acceptingIpFilterRule"}
    assert document["scope"] == ("hub" if method is AuthMethod.HUB_POLICY else "device")


def test_the_largest_message_fits_and_one_byte_more_does_not() -> None:
    # Counted: the body, values of system properties, names and values of the application's, in UTF-8.
    properties, system = {"ü": "vv"}, {"message-id": "12345"}
    room = MAX_MESSAGE_BYTES - 4 - 5
    assert len(telemetry(ADMISSION, bytes(room), properties, system, NOW).body) == room
    with pytest.raises(Malformed) as refused:
        telemetry(ADMISSION, bytes(room + 1), properties, system, NOW)
    assert refused.value.rule == "message-too-large"
