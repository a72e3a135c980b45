"""A registration that takes its time, or comes to nothing, as each SDK lives it on each wire: poll, and be told.

The SDKs wait two or three seconds before they ask again, so all of them wait at the same time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from support.device_key import DeviceKey
from support.device_sdks import CLIENTS, Client, DeviceSdk, Proof
from support.digicert_process import DigiCertProcess
from support.enrolling import issuing, symmetric_individual
from support.node_client import NodeClient, needs_node_clients
from support.running_service import RunningService, needs_port_443

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2:DeprecationWarning"),
]


@pytest.fixture
def slow(digicert: DigiCertProcess) -> Iterator[DigiCertProcess]:
    digicert.misbehaves(delay_s=1.5)
    yield digicert
    digicert.misbehaves(delay_s=0)


@pytest.fixture
async def sdks(outside: RunningService) -> AsyncIterator[dict[Client, DeviceSdk]]:
    """Every SDK on every wire, against the service beside an outside CA."""
    needs_port_443(outside)
    needs_node_clients()
    with NodeClient("device", outside) as node:
        yield {client: client.made(outside, lambda: node) for client in CLIENTS}


async def all_at_once(
    sdks: dict[Client, DeviceSdk], run: Callable[[Client, DeviceSdk], Awaitable[Any]]
) -> None:
    async with asyncio.TaskGroup() as tasks:
        for client, sdk in sdks.items():
            tasks.create_task(run(client, sdk), name=str(client))


async def test_each_polls_until_it_has_its_certificate(
    outside: RunningService, slow: DigiCertProcess, sdks: dict[Client, DeviceSdk], name: str, tmp_path: Path
) -> None:
    async def run(client: Client, sdk: DeviceSdk) -> None:
        key = DeviceKey(f"{name}-{client}", tmp_path)
        secret = symmetric_individual(outside, key.registration_id, **issuing("myca1"))
        told = await sdk.register(key.registration_id, Proof(key=secret), {"clientCertificateCsr": key.csr()})
        assert (told.status, told.hub, told.device_id) == ("assigned", outside.host, key.registration_id)
        leaf = x509.load_pem_x509_certificates(told.payload["issuedClientCertificate"].encode())[0]
        assert leaf.public_key() == key.private.public_key()
        assert len(slow.signed(key.registration_id)) == 1

    await all_at_once(sdks, run)


TURNED_DOWN = {
    "Python": "failed registration status with a status code of 200",
    "Node": "registration failed",
}
SWITCHED_OFF = {
    # `az iot` and others look for this text.
    "Python": "invalid registration status disabled with a status code of 200",
    "Node": "status is disabled",
}
UNAUTHORIZED = {
    "Python": "register request returned a service error status code 401",
    # Over AMQP it passes on what the service said.
    "Node": "UnauthorizedError|amqp:unauthorized-access",
}
"""What each SDK makes of it, in its own words: patterns."""


async def test_each_is_told_when_the_ca_turns_it_down(
    outside: RunningService,
    digicert: DigiCertProcess,
    sdks: dict[Client, DeviceSdk],
    name: str,
    tmp_path: Path,
) -> None:
    digicert.misbehaves(*["turned-down"] * len(sdks), delay_s=1)

    async def run(client: Client, sdk: DeviceSdk) -> None:
        key = DeviceKey(f"{name}-{client}", tmp_path)
        secret = symmetric_individual(outside, key.registration_id, **issuing("myca1"))
        asked = sdk.register(key.registration_id, Proof(key=secret), {"clientCertificateCsr": key.csr()})
        await is_told(TURNED_DOWN[client.sdk], asked)

    await all_at_once(sdks, run)
    digicert.misbehaves(delay_s=0)


async def test_each_is_told_that_it_is_switched_off(
    outside: RunningService, sdks: dict[Client, DeviceSdk], name: str, tmp_path: Path
) -> None:
    async def run(client: Client, sdk: DeviceSdk) -> None:
        key = DeviceKey(f"{name}-{client}", tmp_path)
        members = {**issuing(), "provisioningStatus": "disabled"}
        secret = symmetric_individual(outside, key.registration_id, **members)
        asked = sdk.register(key.registration_id, Proof(key=secret), {"clientCertificateCsr": key.csr()})
        await is_told(SWITCHED_OFF[client.sdk], asked)
        assert outside.certificates(key.registration_id) == []

    await all_at_once(sdks, run)


async def test_each_is_told_of_a_wrong_key(
    outside: RunningService, sdks: dict[Client, DeviceSdk], name: str
) -> None:
    async def run(client: Client, sdk: DeviceSdk) -> None:
        registration_id = f"{name}-{client}"
        symmetric_individual(outside, registration_id)
        await is_told(UNAUTHORIZED[client.sdk], sdk.register(registration_id, Proof(key="d3Jvbmc=")))
        assert outside.logs("registration", registrationId=registration_id)["rule"] == "sas-signature"

    await all_at_once(sdks, run)


async def is_told(pattern: str, asked: Awaitable[Any]) -> None:
    """The SDK raises, and says this, or its cause does."""
    with pytest.raises(Exception) as raised:
        await asked
    assert re.search(pattern, f"{raised.value}\n{raised.value.__cause__}")
