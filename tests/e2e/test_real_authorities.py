"""One device, moved from one real CA to the next by its enrollment, and revoked at the last: there too."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.domain.credential import IssuedChain
from accredit.policy.delivered import check_delivered
from support.device_key import DeviceKey
from support.enrolling import issuing, symmetric_individual
from support.raw_device import DpsDevice, HubDevice
from support.real_authorities import RealCA, RealCAs, running
from support.running_service import RunningService
from support.signing_requests import order

NAME = "device-moving"
WITHIN_S = 120.0


@pytest.fixture(scope="module")
def cas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCAs]:
    with running(tmp_path_factory.mktemp("cas")) as started:
        yield started


@pytest.fixture
def open_service(tmp_path: Path) -> Iterator[RunningService]:
    environment = {"ACCREDIT_EGRESS_ALLOW": "127.0.0.0/8"}
    with RunningService(tmp_path / "service", environment=environment) as started:
        yield started
    assert "Traceback" not in started.log_text()


def put(service: RunningService, name: str, ca: RealCA) -> None:
    """As an operator does: the members in the body, the secrets among them."""
    record = ca.record()
    secrets = {member: secret.reveal().decode() for member, secret in record.secrets.items()}
    body = {"certificateAuthorityType": ca.kind, **record.settings, **secrets}
    shown = service.put(f"/certificateAuthorities/{name}", body)
    assert not secrets.keys() & shown.keys()


def provisioned(service: RunningService, ca: RealCA, authority: str, folder: Path) -> tuple[DeviceKey, str]:
    secret = symmetric_individual(service, NAME, **issuing(authority))
    key = DeviceKey(NAME, folder)
    names = [(x509.SubjectAlternativeName([x509.DNSName(NAME)]), False)] if ca.wants_dns_name else []
    ends = time.monotonic() + WITHIN_S
    with DpsDevice(service, NAME, key=secret) as device:
        answer = device.registers(clientCertificateCsr=key.csr(extensions=names))
        while answer.status == 202 and time.monotonic() < ends:
            answer = device.polls(answer.document["operationId"])
    return key, answer.state["issuedClientCertificate"]


@pytest.mark.timeout(900)
def test_a_device_moves_from_ca_to_ca_and_is_revoked_at_the_last(
    open_service: RunningService, cas: RealCAs, tmp_path: Path
) -> None:
    held: list[tuple[DeviceKey, str]] = []
    for name in ("Vault", "StepCa", "AcmePebble", "Cfssl"):
        ca = cas.get(name)
        put(open_service, name, ca)
        key, pem = provisioned(open_service, ca, name, tmp_path / name)
        chain = x509.load_pem_x509_certificates(pem.encode())
        assert chain[0].issuer != chain[0].subject
        assert chain[0].public_key() == key.private.public_key()
        # There is no moment without a good certificate: the one before is good until this one is used.
        for one, text in [*held[-1:], (key, pem)]:
            with HubDevice(open_service, NAME, certificate=(one.write(text), one.file)) as live:
                live.sends()
        held.append((key, pem))
    receipt = json.loads(open_service.cli("device", "revoke", NAME, "--reason", "keyCompromise").stdout)
    assert len(receipt["certificates"]) >= 1
    key, pem = held[-1]
    assert until_revoked(ca, issued(key, pem), key) == "1"


def issued(key: DeviceKey, pem: str) -> IssuedChain:
    found = [each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(pem.encode())]
    return check_delivered(order(NAME, private=key.private), found, (), None, int(time.time()))


def until_revoked(ca: RealCA, chain: IssuedChain, key: DeviceKey) -> str | None:
    """The CA is told after the commit; `WITHIN_S` is the test's own patience."""
    ends = time.monotonic() + WITHIN_S
    while (told := ca.server.revoked(chain, key.private)) is None and time.monotonic() < ends:
        time.sleep(0.05)
    return told
