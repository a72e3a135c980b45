"""One act revokes a device everywhere: its live connection, its credentials, what third parties hear of its certificate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from support.device_key import DeviceKey, derived_key
from support.enrolling import issuing, symmetric_group, symmetric_individual
from support.programs import run
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService


@dataclass
class Device:
    """A device with its certificate, and what it proves itself with to get another."""

    service: RunningService
    key: DeviceKey
    secret: str
    pem: str

    @property
    def name(self) -> str:
        return self.key.registration_id

    def registers(self, key: DeviceKey | None = None):
        with DpsDevice(self.service, self.name, key=self.secret) as device:
            return device.outcome(device.registers(clientCertificateCsr=(key or self.key).csr()))

    def connects(self, **credential) -> HubDevice:
        shown = credential or {"certificate": (self.key.write(self.pem), self.key.file)}
        return HubDevice(self.service, self.name, **shown)

    def revoked(self, reason: str = "keyCompromise") -> dict:
        return json.loads(self.service.cli("device", "revoke", self.name, "--reason", reason).stdout)

    @property
    def chain(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(self.pem.encode())


@pytest.fixture(params=["individual", "group"])
def device(request: pytest.FixtureRequest, service: RunningService, tmp_path: Path) -> Device:
    name = f"revoked-{request.param}-{tmp_path.name.replace('_', '-')[:40]}"
    if request.param == "group":
        secret = derived_key(symmetric_group(service, f"of-{name}", **issuing()), name)
    else:
        secret = symmetric_individual(service, name, **issuing())
    key = DeviceKey(name, tmp_path)
    made = Device(service, key, secret, "")
    made.pem = made.registers().state["issuedClientCertificate"]
    return made


def test_its_connection_ends_and_nothing_of_it_opens_anything(device: Device) -> None:
    with device.connects() as live:
        live.sends()
        receipt = device.revoked()
        assert live.is_closed()
    assert receipt["connectionCut"]
    assert receipt["registrationId"] == device.name
    assert receipt["hub"] == device.service.host
    (certificate,) = receipt["certificates"]
    assert (certificate["authority"], certificate["atAuthority"]) == ("builtin", "revoked")
    with device.connects() as again:
        assert again.code == 5
    with device.connects(key=device.secret) as again:
        assert again.code == 5
    assert device.registers().document["status"] == "disabled"
    (row,) = device.service.certificates(device.name)
    assert row["status"] == "revoked"


def test_twice_is_as_once(device: Device) -> None:
    device.revoked()
    again = device.revoked("cessationOfOperation")
    assert again["certificates"] == []
    (row,) = device.service.certificates(device.name)
    assert row["revocationReason"] == "keyCompromise"


def test_a_device_that_is_let_in_again_needs_a_new_key(device: Device, tmp_path: Path) -> None:
    device.revoked()
    device.service.cli("device", "readmit", device.name)
    assert "revoked" in str(device.registers().document)
    fresh = DeviceKey(device.name, tmp_path / "fresh")
    answer = device.registers(fresh)
    certificate = fresh.write(answer.state["issuedClientCertificate"])
    with HubDevice(device.service, device.name, certificate=(certificate, fresh.file)) as live:
        live.sends()
    with device.connects() as old:
        assert old.code == 5


class TestThirdParties:
    """openssl, over the addresses that stand in the certificate."""

    @pytest.fixture
    def folder(self, device: Device, tmp_path: Path) -> Path:
        leaf, issuing_ca = device.chain
        builtin = device.service.client().call("GET", "/certificateAuthorities/builtin").json()
        root = x509.load_pem_x509_certificate(builtin["certificates"][-1].encode())
        for name, certificate in (("leaf", leaf), ("issuing", issuing_ca), ("root", root)):
            (tmp_path / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        return tmp_path

    def ocsp(self, device: Device, folder: Path, *options: str) -> str:
        (url,) = run("openssl", "x509", "-in", str(folder / "leaf.pem"), "-noout", "-ocsp_uri").split()
        assert url == f"http://{device.service.host}:8080/ocsp"
        return run(
            "openssl", "ocsp", "-issuer", str(folder / "issuing.pem"), "-cert", str(folder / "leaf.pem"),
            "-CAfile", str(folder / "root.pem"), "-verify_other", str(folder / "issuing.pem"), "-url", url, *options,
        )  # fmt: skip

    @pytest.mark.parametrize("options", [(), ("-no_nonce",)], ids=["nonce", "no-nonce"])
    def test_ocsp(self, device: Device, folder: Path, options: tuple[str, ...]) -> None:
        assert ": good" in self.ocsp(device, folder, *options)
        device.revoked()
        heard = self.ocsp(device, folder, *options)
        assert ": revoked" in heard
        assert "Reason: keyCompromise" in heard

    def test_crl(self, device: Device, folder: Path) -> None:
        command = [
            "openssl", "verify", "-crl_check", "-extended_crl", "-crl_download", "-CAfile", str(folder / "root.pem"),
            "-untrusted", str(folder / "issuing.pem"), str(folder / "leaf.pem"),
        ]  # fmt: skip
        assert "OK" in run(*command)
        device.revoked()
        assert "certificate revoked" in run(*command, check=False)


@pytest.fixture
def outside_device(outside: RunningService, tmp_path: Path) -> Device:
    name = f"outside-{tmp_path.name.replace('_', '-')[:40]}"
    secret = symmetric_individual(outside, name, **issuing("myca1"))
    key = DeviceKey(name, tmp_path)
    made = Device(outside, key, secret, "")
    made.pem = made.registers().state["issuedClientCertificate"]
    return made


def test_an_outside_ca_is_told_afterwards(outside_device: Device) -> None:
    receipt = outside_device.revoked()
    (certificate,) = receipt["certificates"]
    assert certificate["authority"] == "myca1"
    assert certificate["atAuthority"] == "pending"
    told = outside_device.service.logs("certificate-revoked-outside", registrationId=outside_device.name)
    assert told["authority"] == "myca1"
