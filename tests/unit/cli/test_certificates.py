"""`accredit cert` and `accredit log` on a device that has its certificate."""

from __future__ import annotations

from collections.abc import Callable

from support.command import Ran
from support.device_key import DeviceKey

Run = Callable[..., Ran]

CERT_LIST = {
    "serial", "sha256", "authority", "registrationId", "deviceId", "status", "notBefore", "notAfter",
}  # fmt: skip


def test_its_certificate_is_listed_and_shown(run: Run, lamp: DeviceKey) -> None:
    (row,) = run("cert", "list", "--registration-id", lamp.registration_id, "--json").rows
    assert row.keys() >= CERT_LIST
    assert row["serial"] == row["serial"].upper()
    assert row["sha256"] == row["sha256"].lower()
    assert (row["authority"], row["status"]) == ("builtin", "active")
    assert row["registrationId"] == row["deviceId"] == lamp.registration_id
    assert row in run("cert", "list", "--json").rows
    for spelling in (row["serial"], row["serial"].lower(), row["sha256"]):
        assert "BEGIN CERTIFICATE" in run("cert", "show", spelling).document["certificate"]
    assert row["serial"] in run("cert", "list").out
    assert run("cert", "show", "00").code == 1
    assert "hex" in run("cert", "show", "not-hex").sentence


def test_the_log_agrees_with_the_certificates(run: Run, lamp: DeviceKey) -> None:
    ran = run("log", "verify")
    assert ran.code == 0
    count = len(run("cert", "list", "--json").rows)
    assert f"{count} leaves" in ran.out
