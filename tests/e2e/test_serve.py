"""`accredit serve` as an operator meets it: its start, what keeps it from starting, its end, and what a restart keeps."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from support.device_key import DeviceKey
from support.enrolling import issuing, symmetric_individual
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService, accredit, loopback_address


def refusal(folder: Path, *arguments: str) -> str:
    """The one sentence of a `serve` that does not start."""
    ran = accredit(
        "serve",
        "--data-dir",
        str(folder),
        "--https-port",
        "0",
        "--mqtt-port",
        "0",
        "--amqp-port",
        "0",
        "--public-port",
        "0",
        *arguments,
    )
    assert ran.returncode == 1, ran
    assert "Traceback" not in ran.stderr
    sentence = ran.stderr.strip().splitlines()[-1]
    assert sentence.endswith("."), ran.stderr
    return sentence


class TestWhatKeepsItFromStarting:
    """Beside its settings, which `tests/unit/cli/test_serve.py` has."""

    def test_a_master_key_that_is_not_one(self, tmp_path: Path) -> None:
        key = tmp_path / "key"
        key.write_bytes(b"short")
        key.chmod(0o600)
        assert str(key) in refusal(tmp_path / "data", "--master-key-file", str(key))

    def test_a_tls_certificate_that_is_not_there(self, tmp_path: Path) -> None:
        absent = str(tmp_path / "absent.pem")
        told = refusal(
            tmp_path / "data", "--tls-certificate-file", absent, "--tls-key-file", absent,
            "--host", "127.0.0.1", "--bind", "127.0.0.1",
        )  # fmt: skip
        assert absent in told

    def test_a_data_folder_that_is_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("")
        assert str(path) in refusal(path)

    def test_a_port_that_somebody_has(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            told = accredit(
                "serve", "--data-dir", str(tmp_path), "--bind", "127.0.0.1", "--host", "127.0.0.1",
                "--https-port", port, "--mqtt-port", "0", "--amqp-port", "0", "--public-port", "0",
            )  # fmt: skip
        assert told.returncode == 1
        assert port in told.stderr
        assert "--https-port" in told.stderr
        assert "Traceback" not in told.stderr

    def test_another_service_on_its_ports(self, service: RunningService, tmp_path: Path) -> None:
        told = accredit(
            "serve", "--data-dir", str(tmp_path), "--bind", service.host, "--host", service.host,
            "--https-port", str(service.https_port), "--mqtt-port", "0", "--amqp-port", "0", "--public-port", "0",
        )  # fmt: skip
        assert told.returncode == 1
        assert str(service.https_port) in told.stderr.splitlines()[-1]

    def test_another_service_on_its_data_folder(self, service: RunningService) -> None:
        told = refusal(service.data)
        assert str(service.data) in told
        assert "Another accredit service" in told
        with service.https() as http:
            assert http.get("/readyz").status_code == 200


def test_an_unknown_variable_is_only_named(tmp_path: Path) -> None:
    """Orchestrators inject such."""
    with RunningService(tmp_path, environment={"ACCREDIT_SERVICE_HOST": "10.0.0.1"}) as service:
        assert service.logs("unknown-setting")["variable"] == "ACCREDIT_SERVICE_HOST"


class TestHealth:
    def test_alive_and_ready_without_token_and_version(self, service: RunningService) -> None:
        with service.https() as http:
            assert http.get("/healthz").json() == {"status": "ok"}
            assert http.get("/readyz").json() == {"status": "ready"}

    def test_every_other_place_is_answered_in_the_form_of_the_api(self, service: RunningService) -> None:
        with service.https() as http:
            for method, path, status in (
                ("GET", "/", 404),
                ("GET", "/nothing/here", 404),
                ("POST", "/healthz", 405),
                ("GET", "/enrollments/x?api-version=2021-10-01", 401),
                ("GET", "/messages/events?api-version=2021-10-01", 401),
            ):
                answer = http.request(method, path)
                assert answer.status_code == status, (method, path)
                assert answer.json()["errorCode"] // 1000 == status


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service whose starts and ends belong to this module."""
    with RunningService(tmp_path_factory.mktemp("own")) as running:
        yield running
    assert "Traceback" not in running.log_text()


def identity(service: RunningService) -> tuple[object, ...]:
    """What the first start made, and no later one may change."""
    keys = {
        each: (policy.rights, policy.primary.reveal(), policy.secondary.reveal())
        for each, policy in service.state.policies.items()
    }
    authority = service.client().call("GET", "/certificateAuthorities/builtin").json()
    del authority["health"]  # it says when the CA was asked
    return service.id_scope, keys, service.trust, authority


@pytest.mark.slow
class TestARestart:
    @pytest.mark.parametrize(
        "ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda each: each.name
    )
    def test_changes_nothing(self, own: RunningService, key: DeviceKey, ending: signal.Signals) -> None:
        name = key.registration_id
        secret = symmetric_individual(own, name, **issuing())
        before = identity(own)
        with DpsDevice(own, name, key=secret) as device:
            answer = device.registers(clientCertificateCsr=key.csr())
        issued = answer.state["issuedClientCertificate"]
        certificate = (key.write(issued), key.file)
        with HubDevice(own, name, certificate=certificate) as device:
            device.sends()
            assert own.process is not None
            own.process.send_signal(ending)
            code = own.process.wait(timeout=60)
            assert code == (-ending if ending is signal.SIGKILL else 0)
            assert device.is_closed()
        own.start()
        assert identity(own) == before
        with DpsDevice(own, name, key=secret) as device:
            again = device.registers(clientCertificateCsr=key.csr())
            assert again.state["issuedClientCertificate"] == issued
            assert device.polls(str(answer.document["operationId"])).status in {200, 404}
        with HubDevice(own, name, certificate=certificate) as device:
            assert device.code == 0
            device.sends()
        assert len(own.telemetry(name)) == 2
        assert len(own.certificates(name)) == 1

    def test_under_another_name_keeps_the_root(self, tmp_path: Path) -> None:
        with RunningService(tmp_path) as first:
            trust, scope = first.trust, first.id_scope
        with RunningService(tmp_path, host=loopback_address()) as second:
            assert (second.trust, second.id_scope) == (trust, scope)
            with second.https() as http:
                assert http.get("/healthz").status_code == 200


class TestWhatItLeavesOnTheDisk:
    def test_the_folder_is_its_owners_alone(self, service: RunningService) -> None:
        assert stat.S_IMODE(os.stat(service.data).st_mode) == 0o700
        assert stat.S_IMODE(os.stat(service.data / "master.key").st_mode) == 0o600

    def test_the_trust_root_is_a_root(self, service: RunningService) -> None:
        root = x509.load_pem_x509_certificate(service.trust_root.read_bytes())
        root.verify_directly_issued_by(root)

    def test_no_secret_is_in_the_database_or_the_log(self, service: RunningService, key: DeviceKey) -> None:
        secret = symmetric_individual(service, key.registration_id, **issuing())
        with DpsDevice(service, key.registration_id, key=secret) as device:
            device.registers(clientCertificateCsr=key.csr())
        owner = service.info()["provisioningServiceConnectionString"].split("SharedAccessKey=")[1]
        written = service.log_text().encode()
        for path in service.data.glob("*.db*"):
            written += path.read_bytes()
        for text in (secret, owner):
            assert text.encode() not in written
        assert b"SharedAccessSignature" not in written


def test_a_silent_connection_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with RunningService(tmp_path) as service:
        with socket.create_connection((service.host, service.mqtt_port)), service.https() as http:
            assert http.get("/healthz").status_code == 200
            assert service.stop() == 0
        # Those that have something in hand are given ten seconds, and then this line.
        assert service.log_lines("connections-cut") == []
