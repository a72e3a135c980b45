"""A whole group and a whole authority, revoked with live devices: what the operator types, and what the devices see."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509

from support.device_key import DeviceKey, derived_key
from support.enrolling import issuing, symmetric_group, symmetric_individual
from support.programs import run
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService


def device(service: RunningService, name: str, secret: str, folder: Path) -> tuple[DeviceKey, str]:
    """A device that registered, and the file of its certificate."""
    key = DeviceKey(name, folder)
    with DpsDevice(service, name, key=secret) as speaking:
        answer = speaking.outcome(speaking.registers(clientCertificateCsr=key.csr()))
    return key, key.write(answer.state["issuedClientCertificate"])


def connects(service: RunningService, key: DeviceKey, certificate: str) -> HubDevice:
    return HubDevice(service, key.registration_id, certificate=(certificate, key.file))


def receipt(service: RunningService, *command: str) -> dict:
    return json.loads(service.cli(*command).stdout)


@pytest.fixture
def name(tmp_path: Path) -> str:
    return f"mass-{tmp_path.name.replace('_', '-')[:40]}"


def test_a_group_with_its_live_devices(service: RunningService, name: str, tmp_path: Path) -> None:
    master = symmetric_group(service, name, **issuing())
    ours = [
        device(service, f"{name}-{number}", derived_key(master, f"{name}-{number}"), tmp_path / str(number))
        for number in range(3)
    ]
    alone = device(
        service, f"{name}-alone", symmetric_individual(service, f"{name}-alone", **issuing()), tmp_path
    )
    with ExitStack() as open_ones:
        live = [open_ones.enter_context(connects(service, *each)) for each in (*ours, alone)]
        for each in live:
            each.sends()
        shown = receipt(service, "enroll", "revoke", "--group", name, "--reason", "keyCompromise")
        assert [each.is_closed() for each in live[:3]] == [True] * 3
        live[3].sends()
    assert (shown["status"], shown["enrollmentGroupId"], shown["reason"]) == ("done", name, "keyCompromise")
    assert (shown["devices"], shown["hubIdentities"], shown["certificates"]) == (3, 3, 3)
    assert shown["connectionsCut"] == 3
    assert shown["authorities"] == [
        {"authority": "builtin", "certificates": 3, "revoked": 3, "pending": 0, "unable": 0}
    ]
    with connects(service, *ours[0]) as again:
        assert again.code == 5
    with DpsDevice(service, f"{name}-0", key=derived_key(master, f"{name}-0")) as again:
        answer = again.outcome(again.registers())
        assert answer.document["status"] == "disabled"
    for place, key in (("list", "id"), ("certificates", "serial")):
        rows = service.cli("revocation", place, *([shown["id"]] if key == "serial" else []), "--json").stdout
        assert len({json.loads(row)[key] for row in rows.splitlines()}) >= (3 if key == "serial" else 1)
    assert receipt(service, "revocation", "show", shown["id"], "--wait") == shown
    assert "--group" in service.cli("enroll", "revoke", name, "--reason", "superseded", check=False).stderr


def test_an_authority_whose_devices_are_kept(service: RunningService, name: str, tmp_path: Path) -> None:
    service.put(f"/certificateAuthorities/{name}", {"certificateAuthorityType": "BuiltIn"})
    secret = symmetric_individual(service, name, **issuing(name))
    lamp = device(service, name, secret, tmp_path / "first")
    with connects(service, *lamp) as live:
        live.sends()
        shown = receipt(service, "ca", "revoke", name, "--reason", "cACompromise", "--keep-devices")
        assert live.is_closed()
    assert (shown["devices"], shown["certificates"], shown["keepDevices"]) == (0, 1, True)
    assert [each["onRootCrl"] for each in shown["issuers"]] == [True]
    with connects(service, *lamp) as again:
        assert again.code == 5
    with DpsDevice(service, name, key=secret) as refused:
        assert refused.registers(clientCertificateCsr=DeviceKey(name, tmp_path / "x").csr()).status != 200
    service.cli("ca", "rotate", name)
    with connects(service, *device(service, name, secret, tmp_path / "second")) as live:
        live.sends()


def test_what_openssl_hears_of_its_issuing_ca(service: RunningService, name: str, tmp_path: Path) -> None:
    made = service.put(f"/certificateAuthorities/{name}", {"certificateAuthorityType": "BuiltIn"})
    issuing_ca, root = (x509.load_pem_x509_certificate(text.encode()) for text in made["certificates"])
    for place, text in zip(("issuing", "root"), made["certificates"], strict=True):
        (tmp_path / f"{place}.pem").write_text(text)
    key_id = issuing_ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()
    verify = [
        "openssl", "verify", "-crl_check", "-crl_download", "-CAfile", str(tmp_path / "root.pem"),
        str(tmp_path / "issuing.pem"),
    ]  # fmt: skip
    assert "OK" in run(*verify)
    shown = receipt(
        service, "ca", "revoke", name, "--issuer", key_id, "--reason", "cACompromise", "--no-wait"
    )
    assert shown["issuers"] == [{"keyId": key_id, "onRootCrl": True}]
    assert "certificate revoked" in run(*verify, check=False)
    assert root.subject == issuing_ca.issuer
    assert receipt(service, "revocation", "show", shown["id"], "--wait")["status"] == "done"


def test_an_outside_authority(outside: RunningService, name: str, tmp_path: Path, digicert) -> None:
    outside.put(f"/certificateAuthorities/{name}", digicert.authority)
    secret = symmetric_individual(outside, name, **issuing(name))
    lamp = device(outside, name, secret, tmp_path)
    with connects(outside, *lamp) as live:
        live.sends()
        shown = receipt(outside, "ca", "revoke", name, "--reason", "cACompromise")
        assert live.is_closed()
    assert (shown["devices"], shown["certificates"]) == (1, 1)
    assert shown["authorities"][0]["authority"] == name
    outside.logs("certificate-revoked-outside", registrationId=name, outcome="revoked")
    authority = outside.client().call("GET", f"/certificateAuthorities/{name}").json()
    assert authority["revocationReason"] == "cACompromise"
    assert authority["health"]["status"] == "failing"
    replaced = outside.cli(
        "ca", "add", name, "--type", "DigiCertCertificateAuthority", "--replace", check=False
    )
    assert "revoked" in replaced.stderr
