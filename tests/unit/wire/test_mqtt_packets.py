"""What a packet writes must fit its fields; what it is read as is in test_mqtt.py."""

from __future__ import annotations

import pytest

from accredit.wire.mqtt_packets import Connect, PubAck, Publish, encode


@pytest.mark.parametrize(
    "packet",
    [
        Publish("t" * 65_536, b""),
        Publish("t", b"", 1, 65_536),
        PubAck(65_536),
        Connect("c" * 65_536),
        Connect("c", keep_alive_s=65_536),
    ],
)
def test_a_value_beyond_its_field_is_not_written(packet: Publish | PubAck | Connect) -> None:
    with pytest.raises(OverflowError):
        encode(packet)
