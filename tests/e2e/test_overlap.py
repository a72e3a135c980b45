"""Which certificates are good at the hub while one takes the place of another, and which never are."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.device_key import DeviceKey
from support.digicert_process import DigiCertProcess
from support.enrolling import issuing, symmetric_individual, x509_individual
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService

GOOD, REFUSED = 0, 5
LIFE_S = 12
"""Long enough for a busy machine to connect with it."""


class Lamp:
    """One device, however many keys it has in the course of its life."""

    def __init__(self, service: RunningService, name: str, folder: Path, authority: str = "builtin") -> None:
        self.service = service
        self.name = name
        self.secret = symmetric_individual(service, name, **issuing(authority))
        self._folder = folder

    def new_key(self, label: str) -> DeviceKey:
        return DeviceKey(self.name, self._folder / label)

    def certified(self, key: DeviceKey) -> tuple[Path, Path]:
        """Certificate and key files of what the service gives for this key now."""
        with DpsDevice(self.service, self.name, key=self.secret) as device:
            answer = device.outcome(device.registers(clientCertificateCsr=key.csr()))
        assert answer.document["status"] == "assigned", answer
        return key.write(answer.state["issuedClientCertificate"]), key.file

    def connects(self, certificate: tuple[Path, Path]) -> int:
        with HubDevice(self.service, self.name, certificate=certificate) as device:
            if device.code == GOOD:
                device.sends()
            return device.code

    def is_refused_by(self, rule: str, certificate: tuple[Path, Path]) -> None:
        assert self.connects(certificate) == REFUSED
        self.service.logs("hub-connect-refused", clientId=self.name, rule=rule)

    def statuses(self) -> list[str]:
        """Of its certificates, the oldest first."""
        rows = sorted(self.service.certificates(self.name), key=lambda row: row["issuedAt"])
        return [row["status"] for row in rows]


@pytest.fixture
def lamp(service: RunningService, name: str, tmp_path: Path) -> Lamp:
    return Lamp(service, name, tmp_path)


class TestRenewal:
    def test_the_old_one_is_good_until_the_new_one_is_used(self, lamp: Lamp) -> None:
        old = lamp.certified(lamp.new_key("old"))
        assert lamp.connects(old) == GOOD
        new = lamp.certified(lamp.new_key("new"))
        assert sorted(lamp.statuses()) == ["active", "pending"]
        assert lamp.connects(old) == GOOD
        assert lamp.connects(new) == GOOD
        assert sorted(lamp.statuses()) == ["active", "retired"]
        lamp.is_refused_by("hub-certificate-retired", old)
        assert lamp.connects(new) == GOOD

    def test_the_connection_of_the_old_one_ends_with_it(self, lamp: Lamp) -> None:
        old = lamp.certified(lamp.new_key("old"))
        with HubDevice(lamp.service, lamp.name, certificate=old) as device:
            device.sends()
            assert lamp.connects(lamp.certified(lamp.new_key("new"))) == GOOD
            assert device.is_closed()

    def test_a_retired_one_that_is_given_back_is_good_again(self, lamp: Lamp) -> None:
        key = lamp.new_key("first")
        first = lamp.certified(key)
        assert lamp.connects(first) == GOOD
        second = lamp.certified(lamp.new_key("second"))
        assert lamp.connects(second) == GOOD
        lamp.is_refused_by("hub-certificate-retired", first)

        before = first[0].read_bytes()
        assert lamp.certified(key)[0].read_bytes() == before
        assert lamp.connects(second) == GOOD
        assert lamp.connects(first) == GOOD
        lamp.is_refused_by("hub-certificate-retired", second)
        assert len(lamp.statuses()) == 2

    def test_two_may_wait_to_be_used_and_a_third_pushes_the_oldest_out(self, lamp: Lamp) -> None:
        used = lamp.certified(lamp.new_key("used"))
        assert lamp.connects(used) == GOOD
        waiting = [lamp.certified(lamp.new_key(label)) for label in ("a", "b", "c")]
        assert sorted(lamp.statuses()) == ["active", "pending", "pending", "superseded"]
        lamp.is_refused_by("hub-certificate-superseded", waiting[0])
        assert lamp.connects(used) == GOOD
        assert lamp.connects(waiting[1]) == GOOD
        assert lamp.connects(waiting[2]) == GOOD
        lamp.is_refused_by("hub-certificate-retired", waiting[1])

    def test_a_registration_without_a_request_leaves_it_bound(self, lamp: Lamp) -> None:
        certificate = lamp.certified(lamp.new_key("only"))
        with DpsDevice(lamp.service, lamp.name, key=lamp.secret) as device:
            assert device.registers().document["status"] == "assigned"
        assert lamp.connects(certificate) == GOOD
        assert lamp.statuses() == ["active"]


class TestTheBootstrapCredential:
    def test_a_key_ends_at_the_hub_with_the_first_certificate(self, lamp: Lamp) -> None:
        with DpsDevice(lamp.service, lamp.name, key=lamp.secret) as device:
            device.registers()
        with HubDevice(lamp.service, lamp.name, key=lamp.secret) as device:
            assert device.code == GOOD
        lamp.certified(lamp.new_key("only"))
        with HubDevice(lamp.service, lamp.name, key=lamp.secret) as device:
            assert device.code == REFUSED

    @pytest.mark.slow
    def test_it_does_not_where_the_operator_allows_both(self, name: str, tmp_path: Path) -> None:
        both = {"ACCREDIT_ALLOW_BOOTSTRAP_AT_HUB": "true"}
        with RunningService(tmp_path / "both", environment=both) as service:
            lamp = Lamp(service, name, tmp_path)
            assert lamp.connects(lamp.certified(lamp.new_key("only"))) == GOOD
            with HubDevice(service, name, key=lamp.secret) as device:
                assert device.code == GOOD


class TestStrangers:
    def test_another_devices_certificate(self, lamp: Lamp, service: RunningService, tmp_path: Path) -> None:
        lamp.certified(lamp.new_key("only"))
        other = Lamp(service, f"other-than-{lamp.name}", tmp_path)
        its_own = other.certified(other.new_key("only"))
        assert lamp.connects(its_own) == REFUSED
        assert other.connects(its_own) == GOOD

    def test_a_self_signed_one_with_its_name_and_with_its_key(self, lamp: Lamp) -> None:
        key = lamp.new_key("only")
        issued = lamp.certified(key)
        forged = (key.write(key.self_signed().pem, "forged.pem"), key.file)
        assert lamp.connects(forged) == REFUSED
        assert lamp.connects(issued) == GOOD

    def test_nothing_at_all(self, lamp: Lamp) -> None:
        lamp.certified(lamp.new_key("only"))
        with HubDevice(lamp.service, lamp.name) as device:
            assert device.code == REFUSED

    def test_a_device_that_never_registered(self, service: RunningService, key: DeviceKey) -> None:
        certificate = key.self_signed().pem
        x509_individual(service, key.registration_id, certificate)
        shown = (key.write(certificate), key.file)
        with HubDevice(service, key.registration_id, certificate=shown) as device:
            assert device.code == REFUSED


@pytest.mark.slow
def test_a_certificate_ends_with_its_life(name: str, tmp_path: Path) -> None:
    """The connection too, and then the device's key opens the hub again."""
    with DigiCertProcess(tmp_path, "--validity-s", str(LIFE_S)) as fake:
        environment = {"ACCREDIT_DIGICERT_URL": fake.url}
        with RunningService(tmp_path / "service", environment=environment) as service:
            service.put("/certificateAuthorities/myca1", fake.authority)
            lamp = Lamp(service, name, tmp_path, "myca1")
            certificate = lamp.certified(lamp.new_key("only"))
            with HubDevice(service, name, certificate=certificate) as device:
                assert device.code == GOOD
                device.sends()
                assert device.is_closed()
            deadline = time.monotonic() + 60
            while lamp.statuses() != ["expired"]:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            lamp.is_refused_by("hub-certificate-expired", certificate)
            with HubDevice(service, name, key=lamp.secret) as device:
                assert device.code == GOOD
