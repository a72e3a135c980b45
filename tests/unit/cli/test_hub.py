"""`accredit hub` on a device that sent a message."""

from __future__ import annotations

from collections.abc import Callable

from support.command import Ran
from support.device_key import DeviceKey

Run = Callable[..., Ran]

TELEMETRY = {
    "deviceId", "body", "properties", "systemProperties", "enqueuedTimeUtc", "sequenceNumber", "authMethod", "hub",
}  # fmt: skip


def test_its_message_is_shown(run: Run, lamp: DeviceKey) -> None:
    name = lamp.registration_id
    (row,) = run("hub", "telemetry", "--device", name, "--json").rows
    assert row.keys() == TELEMETRY
    assert (row["deviceId"], row["body"], row["properties"]) == (name, '{"on": true}', {})
    assert row in run("hub", "telemetry", "--json").rows
    assert name in run("hub", "telemetry").out
    assert run("hub", "telemetry", "--device", "absent", "--json").rows == []
