"""`accredit demo`: one device, narrated, from its key to its first messages on the hub, with the stock Azure SDK.

Everything is real and nothing stays: a service of its own in a throw-away folder, the service API for what the
operator does, the unmodified SDK for what the device does. It ends at the first thing that is not so.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from accredit.app.data_folder import DataFolder
from accredit.cli.connection import ServiceClient
from accredit.cli.local import client, state
from accredit.cli.problem import Problem
from accredit.domain.access import Realm
from accredit.values import dataclass

if TYPE_CHECKING:
    from rich.console import Console

MESSAGES = 10
MQTT_PORT = 8883
"""The SDKs have this port built in."""

READY_S = 60.0

_DEVICE = "mydevice1"


@dataclass(frozen=True, slots=True)
class _Scene:
    """Where the demo plays: `host` is the service's name for devices."""

    folder: Path
    host: str
    console: Console

    def step(self, number: int, text: str) -> None:
        self.console.print(f"\n[bold cyan]{number}.[/] [bold]{text}[/]")

    def say(self, text: str) -> None:
        self.console.print(f"   {text}", highlight=False)


def demo() -> None:
    """Watch one device get its certificate and use it."""
    try:
        import azure.iot.device  # noqa: F401, PLC0415 - only the demo needs the SDK
    except ImportError:
        raise Problem(
            "The demo drives the stock Azure SDK, which is not installed; run `pip install 'accredit[demo]'`."
        ) from None
    began = time.monotonic()
    from rich.console import Console  # noqa: PLC0415 - only what tells needs it

    console = Console(width=110, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="accredit-demo-") as folder:
        scene = _Scene(Path(folder), _free_host(), console)
        with _running(scene):
            _play(scene)
    took = time.monotonic() - began
    console.print(f"\n[bold green]Done[/] in {took:.1f} s; nothing is left running.", highlight=False)
    console.print(_NEXT, highlight=False, markup=False)


def _free_host() -> str:
    """localhost, or on Linux another loopback address when something listens on the MQTT port there."""
    candidates = ["127.0.0.1", *(f"127.0.0.{n}" for n in range(2, 20) if sys.platform == "linux")]
    for address in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, MQTT_PORT))
            except OSError:
                continue
            return "localhost" if address == "127.0.0.1" else address
    raise Problem(f"Port {MQTT_PORT}, which the SDKs have built in, is in use; stop the service that has it.")


@contextmanager
def _running(scene: _Scene) -> Iterator[None]:
    """The service as a process of its own, stopped gracefully at the end whatever happens."""
    arguments = [
        "serve",
        "--data-dir",
        str(scene.folder / "data"),
        "--https-port",
        "0",
        "--public-port",
        "0",
        "--amqp-port",
        "0",
        "--host",
        scene.host,
    ]
    arguments += ["--bind", "127.0.0.1" if scene.host == "localhost" else scene.host]
    output = scene.folder / "service.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCREDIT_")}
    with output.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "accredit", *arguments], stdout=sink, stderr=sink, env=environment
        )
    try:
        _await_ready(scene, process, output)
        yield
    except BaseException:
        scene.console.print(output.read_text()[-3000:], style="dim", highlight=False, markup=False)
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def _await_ready(scene: _Scene, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + READY_S
    folder = DataFolder(scene.folder / "data")
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Problem(f"The service did not start: {output.read_text().strip().splitlines()[-1]}")
        if folder.read_running() is not None:
            return
        time.sleep(0.02)
    raise Problem(f"The service was not ready within {READY_S:.0f} s.")


def _play(scene: _Scene) -> None:
    data = scene.folder / "data"
    here = state(data)
    service = client(data, None, None)
    scene.step(1, "The service runs")
    scene.say(f"hub and device endpoint {scene.host}, id scope {here.id_scope}, state in a throw-away folder")

    scene.step(2, "The operator adds a certificate authority and enrolls a device, by the service API")
    service.call("PUT", "/certificateAuthorities/myca1", {"certificateAuthorityType": "BuiltIn"})
    scene.say("PUT /certificateAuthorities/myca1   a CA of the service's own: P-256 root and intermediate")
    enrollment = {
        "registrationId": _DEVICE,
        "attestation": {"type": "symmetricKey"},
        "clientCertificateIssuancePolicy": {"certificateAuthorityName": "myca1"},
    }
    answer = service.call("PUT", f"/enrollments/{_DEVICE}", enrollment).json()
    key = answer["attestation"]["symmetricKey"]["primaryKey"]
    scene.say(f"PUT /enrollments/{_DEVICE}          attested by a symmetric key that the service made")

    scene.step(3, "The device makes its own key, which never leaves it, and a certificate signing request")
    key_file, csr = _key_and_csr(scene.folder)
    scene.say(f"P-256 key in {key_file.name}; CSR for CN={_DEVICE}, {len(csr)} bytes of PEM")

    trust = here.folder.trust_root.read_text()
    device = _Device(scene.host, here.id_scope, key, trust, scene.folder)
    scene.step(4, "It provisions over MQTT with the stock azure-iot-device SDK")
    began = time.monotonic()
    assigned = asyncio.run(device.provision(csr))
    milliseconds = (time.monotonic() - began) * 1000
    scene.say(
        f"register() took {milliseconds:.0f} ms: assigned to hub {assigned['hub']} as {assigned['deviceId']}"
    )

    scene.step(5, "It has its client certificate, with the chain")
    _show_chain(scene, assigned["chain"], csr)

    scene.step(6, f"It connects to the hub with that certificate and sends {MESSAGES} messages at once")
    asyncio.run(device.send(assigned, key_file))
    scene.say("every message was acknowledged, which means it is on disk")

    scene.step(7, "What the hub received")
    _show_messages(scene, client(data, None, None, Realm.HUB))


def _key_and_csr(folder: Path) -> tuple[Path, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    path = folder / "device.key"
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _DEVICE)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return path, csr.public_bytes(serialization.Encoding.PEM).decode()


class _Device:
    """The device's side: nothing here but the stock SDK."""

    def __init__(self, host: str, id_scope: str, key: str, trust: str, folder: Path) -> None:
        self._host = host
        self._id_scope = id_scope
        self._key = key
        self._trust = trust
        self._folder = folder

    async def provision(self, csr: str) -> dict[str, str]:
        from azure.iot.device.aio import ProvisioningDeviceClient  # noqa: PLC0415 - only the demo needs the SDK

        sdk = ProvisioningDeviceClient.create_from_symmetric_key(
            provisioning_host=self._host,
            registration_id=_DEVICE,
            id_scope=self._id_scope,
            symmetric_key=self._key,
            server_verification_cert=self._trust,
        )
        # A released SDK has no field for a CSR, so it travels in the custom payload.
        sdk.provisioning_payload = {"clientCertificateCsr": csr}
        result = await asyncio.wait_for(sdk.register(), 30)
        if result is None or result.status != "assigned":
            raise Problem(f"The device was not assigned: {result}.")
        registration = result.registration_state
        payload: Any = json.loads(registration.response_payload)
        return {
            "hub": registration.assigned_hub,
            "deviceId": registration.device_id,
            "chain": payload["issuedClientCertificate"],
        }

    async def send(self, assigned: dict[str, str], key_file: Path) -> None:
        from azure.iot.device import X509, Message  # noqa: PLC0415 - only the demo needs the SDK
        from azure.iot.device.aio import IoTHubDeviceClient  # noqa: PLC0415 - only the demo needs the SDK

        certificate = self._folder / "device.pem"
        certificate.write_text(assigned["chain"])
        sdk = IoTHubDeviceClient.create_from_x509_certificate(
            x509=X509(cert_file=str(certificate), key_file=str(key_file)),
            hostname=assigned["hub"],
            device_id=assigned["deviceId"],
            server_verification_cert=self._trust,
        )
        await asyncio.wait_for(sdk.connect(), 30)
        messages = []
        for number in range(1, MESSAGES + 1):
            message = Message(json.dumps({"temperature": 20 + number / 10}))
            message.message_id = f"message-{number}"
            message.content_type = "application/json"
            message.content_encoding = "utf-8"
            message.custom_properties["run"] = "demo"
            messages.append(message)
        await asyncio.wait_for(asyncio.gather(*(sdk.send_message(message) for message in messages)), 30)
        await sdk.shutdown()


def _show_chain(scene: _Scene, pem: str, csr: str) -> None:
    """Say what was issued, having checked it: our key, our name, and a chain that verifies."""
    chain = x509.load_pem_x509_certificates(pem.encode())
    request = x509.load_pem_x509_csr(csr.encode())
    if chain[0].public_key() != request.public_key():
        raise Problem("The certificate is not for the device's key.")
    if chain[0].subject != request.subject:
        raise Problem(f"The certificate is for {chain[0].subject.rfc4514_string()}, not for the device.")
    for certificate, issuer in pairwise(chain):
        certificate.verify_directly_issued_by(issuer)
    for certificate in chain:
        scene.say(
            f"{certificate.subject.rfc4514_string()}  signed by {certificate.issuer.rfc4514_string()}, "
            f"good until {certificate.not_valid_after_utc:%Y-%m-%d}"
        )


def _show_messages(scene: _Scene, service: ServiceClient) -> None:
    rows = service.call("GET", "/messages/events", query={"deviceId": _DEVICE, "limit": 100}).json()
    for row in rows:
        scene.say(
            f"#{row['sequenceNumber']:<3} {row['deviceId']}  {json.dumps(row['body'])}  {row['properties']}"
        )
    if len(rows) != MESSAGES:
        raise Problem(f"The hub has {len(rows)} messages instead of {MESSAGES}.")


_NEXT = """
What to try next:

  .venv/bin/accredit serve --data-dir .data &             # the service, on the default ports
  .venv/bin/accredit info --data-dir .data                # where it answers, and its keys
  .venv/bin/accredit enroll add mydevice1 --ca builtin --data-dir .data
  .venv/bin/accredit cert list --data-dir .data           # every certificate it issued
  .venv/bin/accredit log verify --data-dir .data          # the issuance log agrees with them

docs/quick-start.md goes on from there; docs/walk-with-curl.md does it all with curl and openssl."""
