"""`accredit device` on a device that registered."""

from __future__ import annotations

from collections.abc import Callable

from support.command import Ran
from support.device_key import DeviceKey
from support.enrolling import symmetric_group
from support.raw_device import DpsDevice
from support.running_service import RunningService

Run = Callable[..., Ran]


def test_a_registration_is_listed_and_shown(service: RunningService, run: Run, lamp: DeviceKey) -> None:
    name = lamp.registration_id
    shown = run("device", "show", name).document
    assert (shown["registrationId"], shown["deviceId"]) == (name, name)
    assert (shown["assignedHub"], shown["status"]) == (service.host, "assigned")
    assert shown in run("device", "list", "--json").rows
    assert run("device", "list", "--group", f"of-{name}", "--json").rows == [shown]
    assert name in run("device", "list").out
    chosen = f"registrationId = '{name}' AND status = 'assigned'"
    assert run("device", "list", "--where", chosen, "--json").rows == [shown]
    assert run("device", "list", "--where", f"NOT ({chosen}) AND deviceId = '{name}'", "--json").rows == []
    assert "colour" in run("device", "list", "--where", "colour = 'red'").sentence
    assert "no such registration" in run("device", "show", "absent").sentence.lower()


def test_a_paused_device_is_seen_and_resumed(service: RunningService, run: Run, name: str) -> None:
    key = run("enroll", "add", name).document["attestation"]["symmetricKey"]["primaryKey"]
    with DpsDevice(service, name, key=key) as device:
        for _ in range(20):
            assert device.registers(csr="rubbish").status == 400
        refused = device.registers()
        assert (refused.status, refused.retry_after_s) == (429, 300)
        shown = run("device", "show", name).document
        assert shown["status"] == "failed"
        assert shown["setbacks"]["failures"] == 20
        assert shown["setbacks"]["pausedDateTimeUtc"] in run("device", "list").out
        assert "rule      csr-not-due" in run("explain", shown["setbacks"]["trackingId"]).out
        assert "rule      device-paused" in run("explain", refused.document["trackingId"]).out
        assert "setbacks" not in run("device", "resume", name).document
        assert device.registers().status == 200
    assert run("device", "resume", "absent").code == 1


def test_a_registration_is_moved(service: RunningService, run: Run, lamp: DeviceKey) -> None:
    name = lamp.registration_id
    symmetric_group(service, f"next-{name}")
    run("device", "move", name, "--group", f"next-{name}")
    assert len(run("device", "list", "--group", f"next-{name}", "--json").rows) == 1
    assert run("device", "list", "--group", f"of-{name}", "--json").rows == []
    assert run("device", "move", name, "--group", "absent").code == 1
    run("enroll", "add", name)
    assert run("device", "move", name, "--individual").code == 0
