"""A device's messages over HTTPS: headers to properties, batches, every refusal. Real store, telemetry log and routes."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from accredit.fronts import hub_device_api
from accredit.fronts.https import application
from accredit.fronts.mqtt_hub import HubConversations
from accredit.hub.appending import InFlight
from accredit.hub.messages import MAX_MESSAGE_BYTES
from accredit.hub.sessions import Sessions
from accredit.hub.telemetry import SegmentedTelemetry
from accredit.provisioning.limits import Limits, Terms
from support.counted_entropy import CountedEntropy
from support.hub_world import HOST, HubWorld, hub_world
from support.troubled_disk import TroubledDisk

PATH = "/devices/lamp-1/messages/events"


class Shown:
    """The ASGI application with a client's chain in each request, as the TLS transport puts it there."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.chain: tuple[bytes, ...] = ()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"] = {"tls": {"client_cert_chain_der": self.chain}}
        await self.app(scope, receive, send)


@dataclass
class Api:
    world: HubWorld
    telemetry: SegmentedTelemetry
    in_flight: InFlight
    hub: HubConversations
    disk: TroubledDisk
    shown: Shown
    client: httpx.AsyncClient

    async def post(
        self,
        body: bytes = b"x",
        *,
        path: str = PATH,
        version: str | None = "2021-04-12",
        token: str | None = "",
        **headers: str,
    ) -> httpx.Response:
        """With the device's own token, unless another (or None) is given; `_` in a header's name stands for `-`."""
        # Node writes a header's characters as the bytes of Latin-1.
        said = {name.replace("_", "-"): value.encode("latin-1") for name, value in headers.items()}
        if token is not None:
            said["authorization"] = (token or self.world.token()).encode()
        query = {} if version is None else {"api-version": version}
        return await self.client.post(path, content=body, params=query, headers=said)

    async def stored(self) -> list[Any]:
        return [message for _, message in await self.telemetry.read(None, 0, 1_000)]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    world = await hub_world(tmp_path)
    disk = TroubledDisk()
    telemetry = SegmentedTelemetry(tmp_path / "telemetry", world.clock, disk=disk)
    in_flight = InFlight(telemetry)
    hub = HubConversations(world.identities(), Sessions(), telemetry, world.clock, in_flight)
    await world.enroll()
    entropy = CountedEntropy()
    shown = Shown(application(hub_device_api.routes(hub, entropy), world.clock, entropy))
    transport = httpx.ASGITransport(shown)
    async with httpx.AsyncClient(transport=transport, base_url=f"https://{HOST}") as client:
        yield Api(world, telemetry, in_flight, hub, disk, shown, client)
    await telemetry.close()
    await world.store.close()


def refused(response: httpx.Response) -> tuple[int, int]:
    body = response.json()
    assert response.headers["iothub-errorcode"] == str(body["errorCode"])
    assert body["trackingId"] == response.headers["x-ms-request-id"]
    return response.status_code, body["errorCode"]


class TestOneMessage:
    async def test_headers_become_properties(self, api: Api) -> None:
        """azure-iot-device-http http.js: sendEvent."""
        answer = await api.post(
            b'{"a":1}',
            iothub_to=PATH,
            iothub_app_line="7/ä",
            IoTHub_MessageId="m-1",
            IoTHub_CorrelationId="a b/c=d&e",
            IoTHub_UserId="me",
            IoTHub_Expiry="2026-01-01T00:00:00Z",
            IoTHub_Ack="full",
            iothub_contenttype="application/json",
            iothub_contentencoding="utf-8",
            iothub_interface_id="urn:azureiot:Security:SecurityAgent:1",
            dt_subject="part",
            user_agent="azure-iot-device/1.18.4",
        )
        assert (answer.status_code, answer.content) == (204, b"")
        (message,) = await api.stored()
        assert (message.device_id.text, message.body) == ("lamp-1", b'{"a":1}')
        assert message.properties == {"line": "7/ä", "iothub-ack": "full"}
        said = {
            name: value
            for name, value in message.system.items()
            if not name.startswith(("iothub-conn", "iothub-enq", "iothub-message"))
        }
        assert said == {
            "to": PATH,
            "message-id": "m-1",
            "correlation-id": "a b/c=d&e",
            "user-id": "me",
            "absolute-expiry-time": "2026-01-01T00:00:00Z",
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "iothub-interface-id": "urn:azureiot:Security:SecurityAgent:1",
            "dt-subject": "part",
        }

    async def test_a_certificate_needs_no_header(self, api: Api) -> None:
        leaf = await api.world.issue()
        api.shown.chain = leaf.chain
        assert (await api.post(token=None)).status_code == 204
        (message,) = await api.stored()
        assert "x509CertificateAuthority" in message.auth_method

    async def test_fixed_segments_compare_without_case(self, api: Api) -> None:
        assert (await api.post(path="/Devices/lamp-1/Messages/Events/")).status_code == 204

    async def test_nothing_of_it_stays_in_memory(self, api: Api) -> None:
        await api.post(bytes(100_000))
        assert api.in_flight.bytes == 0


class TestBatch:
    async def batch(self, api: Api, *messages: dict[str, Any]) -> httpx.Response:
        return await api.post(json.dumps(messages).encode(), content_type=hub_device_api.BATCH)

    async def test_bodies_in_base64_unless_told_otherwise(self, api: Api) -> None:
        """http.js constructBatchBody and C# ToJson leave `base64Encoded` out."""
        answer = await self.batch(
            api,
            {"body": base64.b64encode(b"\x00one").decode(), "properties": {"iothub-app-Line": "7"}},
            {"body": "two", "base64Encoded": False, "properties": {"iothub-messageid": "m2"}},
        )
        assert answer.status_code == 204
        one, two = await api.stored()
        assert (one.body, one.properties) == (b"\x00one", {"Line": "7"})
        assert (two.body, two.system["message-id"]) == (b"two", "m2")

    @pytest.mark.parametrize(
        "body", [b"", b"{}", b"[1]", b'[{"body":"%%%"}]', b'[{"properties":{}}]', b"[" * 5000]
    )
    async def test_what_is_no_batch(self, api: Api, body: bytes) -> None:
        assert refused(await api.post(body, content_type=hub_device_api.BATCH)) == (400, 400004)
        assert await api.stored() == []

    async def test_many_are_stored_in_their_order_by_one_write(self, api: Api) -> None:
        before = api.disk.synced
        parts = [{"body": str(number), "base64Encoded": False} for number in range(600)]
        assert (await self.batch(api, *parts)).status_code == 204
        assert [message.body for message in await api.stored()] == [b"%d" % number for number in range(600)]
        assert api.disk.synced == before + 1

    async def test_all_or_none_of_a_batch_that_is_too_large(self, api: Api) -> None:
        half = "x" * (MAX_MESSAGE_BYTES // 2 + 1)
        parts = [{"body": half, "base64Encoded": False}] * 2
        assert (await self.batch(api, *parts)).status_code == 400
        assert await api.stored() == []


class TestRefusals:
    async def test_without_an_api_version(self, api: Api) -> None:
        assert refused(await api.post(version=None)) == (400, 400004)

    async def test_no_proof(self, api: Api) -> None:
        assert refused(await api.post(token=None)) == (401, 401002)

    @pytest.mark.parametrize(
        "terms",
        [{"resource": f"{HOST}/devices/lamp-2"}, {"resource": "other/devices/lamp-1"}, {"expires_at": 1}],
    )
    async def test_a_token_that_is_not_good(self, api: Api, terms: dict[str, Any]) -> None:
        assert refused(await api.post(token=api.world.token(**terms))) == (401, 401002)

    @pytest.mark.parametrize("token", ["nonsense", "Bearer x", "SharedAccessSignature sr="])
    async def test_a_header_that_is_no_token(self, api: Api, token: str) -> None:
        assert refused(await api.post(token=token)) == (401, 401002)

    @pytest.mark.parametrize("device", ["lamp-9", "LAMP-1", "...", "%20"])
    async def test_no_such_device(self, api: Api, device: str) -> None:
        assert refused(await api.post(path=f"/devices/{device}/messages/events")) == (401, 401002)

    @pytest.mark.parametrize("size", [MAX_MESSAGE_BYTES + 1, hub_device_api.MAX_BODY_BYTES + 1])
    async def test_a_giant(self, api: Api, size: int) -> None:
        assert refused(await api.post(bytes(size))) == (400, 400004)
        assert await api.stored() == []

    async def test_a_hub_that_holds_enough(self, api: Api) -> None:
        api.in_flight.bytes = api.in_flight.max_bytes
        answer = await api.post()
        assert refused(answer) == (429, 429001)
        assert int(answer.headers["retry-after"]) > 0

    async def test_a_store_that_is_gone(self, api: Api) -> None:
        await api.telemetry.close()
        answer = await api.post()
        assert answer.status_code in (500, 503)
        assert answer.json()["errorCode"] // 1000 == answer.status_code

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    async def test_another_method(self, api: Api, method: str) -> None:
        assert (await api.client.request(method, PATH)).status_code == 405


async def test_proofs_that_fail_too_often_are_slowed(api: Api) -> None:
    api.hub.counts = Limits(api.world.clock, Terms(failed_proofs_per_minute=1))
    bad = api.world.token(f"{HOST}/devices/lamp-2")
    assert refused(await api.post(token=bad)) == (401, 401002)
    slowed = await api.post(token=bad)
    assert refused(slowed) == (429, 429001)
    assert int(slowed.headers["retry-after"]) > 0
    assert (await api.post()).status_code == 204, "a right proof is evaluated"
