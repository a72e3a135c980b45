"""`GET /messages/events`: who may read, what a row looks like, paging, waiting. Real store, log and tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from accredit.administration.access import Access
from accredit.domain.access import Realm, Right
from accredit.domain.changes import SaveLinkedHub
from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.domain.secret import Secret
from accredit.fronts.hub_api import _body, routes
from accredit.hub.telemetry import SegmentedTelemetry
from accredit.linked_hubs.configured import ConfiguredHubs
from support.counted_entropy import CountedEntropy
from support.hub_world import HOST, HOSTS, HubWorld, hub_world
from support.linked import embedded

VERSION = "2021-10-01"


@dataclass
class Api:
    """The route behind its gate, and a caller with the policy `service`."""

    world: HubWorld
    telemetry: SegmentedTelemetry
    client: httpx.AsyncClient
    key: Secret
    sent: int = field(default=0)

    async def send(
        self, body: bytes = b"21", content_type: str | None = None, device: str = "lamp-1"
    ) -> None:
        self.sent += 1
        system = {"message-id": str(self.sent)} | ({"content-type": content_type} if content_type else {})
        message = Telemetry(
            DeviceId(device), body, {"room": "5"}, system, '{"type":"sas"}', self.world.clock.now()
        )
        await self.telemetry.append([message])

    async def call(self, token: str | None = None, **parameters: Any) -> httpx.Response:
        shown = token or self.world.token(HOST, key=self.key, policy="service")
        return await self.client.get(
            "/messages/events",
            params={"api-version": VERSION, **parameters},
            headers={"Authorization": shown},
        )

    async def rows(self, **parameters: Any) -> list[Any]:
        answer = await self.call(**parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def numbers(self, **parameters: Any) -> list[int]:
        return [row["sequenceNumber"] for row in await self.rows(**parameters)]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    world = await hub_world(tmp_path)
    telemetry = SegmentedTelemetry(tmp_path / "telemetry", world.clock)
    access = Access(world.store, world.clock, HOSTS, Realm.HUB)
    app = Starlette(
        routes=routes(telemetry, ConfiguredHubs(world.store, HOSTS), access, world.clock, CountedEntropy())
    )
    key = await world.policy("service", Right.SERVICE_CONNECT)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"https://{HOST}") as client:
        yield Api(world, telemetry, client, key)
    await telemetry.close()
    await world.store.close()


class TestRow:
    async def test_it_has_the_members_of_the_contract(self, api: Api) -> None:
        await api.send(b"21")
        assert await api.rows() == [
            {
                "deviceId": "lamp-1",
                "body": "21",
                "properties": {"room": "5"},
                "systemProperties": {"message-id": "1"},
                "enqueuedTimeUtc": "2027-01-15T08:00:00.0000000Z",
                "sequenceNumber": 1,
                "authMethod": '{"type":"sas"}',
                "hub": HOST,
            }
        ]

    @pytest.mark.parametrize(
        ("body", "content_type", "shown"),
        [
            (b'{"t": 21.50}', "application/json", {"t": 21.5}),
            (b'{"t": 21.50}', "application/json; charset=utf-8", {"t": 21.5}),
            (b'{"t": 21.50}', "Application/JSON", {"t": 21.5}),
            (b'{"t": 21.50}', "text/plain", '{"t": 21.50}'),
            (b'{"t": 21.50}', None, '{"t": 21.50}'),
            (b'{"t": ', "application/json", '{"t": '),
            (b"", "application/json", ""),
            (b"NaN", "application/json", "NaN"),
            (b"[" * 5_000, "application/json", "[" * 5_000),
            ("grün".encode(), "text/plain", "grün"),
            (b"\xff\x00", "text/plain", {"base64": "/wA="}),
            (b'"\xff"', "application/json", {"base64": "Iv8i"}),
        ],
    )
    async def test_the_body_is_json_or_text_or_base64(
        self, api: Api, body: bytes, content_type: str | None, shown: Any
    ) -> None:
        await api.send(body, content_type)
        assert [row["body"] for row in await api.rows()] == [shown]

    async def test_numbers_of_a_json_body_are_not_rounded(self, api: Api) -> None:
        await api.send(b'{"n": 12345678901234567890.123456789}', "application/json")
        assert "12345678901234567890.123456789" in (await api.call()).text


class TestPaging:
    async def test_after_and_limit_cut_a_page(self, api: Api) -> None:
        for _ in range(5):
            await api.send()
        assert await api.numbers() == [1, 2, 3, 4, 5]
        assert await api.numbers(after=2) == [3, 4, 5]
        assert await api.numbers(after=2, limit=2) == [3, 4]
        assert await api.numbers(after=5) == []

    async def test_one_hub_alone(self, api: Api) -> None:
        await api.world.store.commit([SaveLinkedHub(embedded("Second.example"), None)])
        for hub in ("", HOST, "Second.example", HOST):
            message = Telemetry(DeviceId("lamp-1"), b"x", {}, {}, "{}", api.world.clock.now(), hub)
            await api.telemetry.append([message])
        assert await api.numbers() == [1, 2, 3, 4]
        assert await api.numbers(hub=HOST.upper()) == [1, 2, 4], "old messages were the first hub's"
        assert await api.numbers(hub="second.example") == [3]
        assert [row["hub"] for row in await api.rows()] == [HOST, HOST, "Second.example", HOST]
        answer = await api.call(hub="third.example")
        assert answer.status_code == 400
        assert "third.example" in answer.json()["message"]

    async def test_one_device_alone(self, api: Api) -> None:
        await api.send(device="lamp-1")
        await api.send(device="lamp-2")
        assert await api.numbers(deviceId="lamp-2") == [2]
        assert await api.numbers(deviceId="LAMP-2") == []

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("after", "-1"),
            ("after", "x"),
            ("after", str(1 << 63)),
            ("after", "٣"),
            ("after", ""),
            ("limit", "0"),
            ("limit", "1001"),
            ("limit", "9" * 5_000),
            ("wait", "21"),
            ("wait", "1.5"),
            ("deviceId", "a b"),
            ("api-version", "1999-01-01"),
        ],
    )
    async def test_a_bad_parameter_is_named(self, api: Api, name: str, value: str) -> None:
        answer = await api.call(**{name: value})
        assert answer.status_code == 400
        assert name in answer.json()["message"]


class TestWait:
    async def test_it_returns_at_once_when_something_is_there(self, api: Api) -> None:
        await api.send()
        assert await asyncio.wait_for(api.numbers(wait=20), 30) == [1]

    async def test_it_returns_with_the_first_message_that_comes(self, api: Api) -> None:
        await api.send()
        waiting = asyncio.ensure_future(api.numbers(after=1, wait=20))
        await _waits(api)
        await api.send()
        assert await asyncio.wait_for(waiting, 30) == [2]

    async def test_another_devices_message_does_not_end_it(self, api: Api) -> None:
        waiting = asyncio.ensure_future(api.numbers(deviceId="lamp-2", wait=20))
        await _waits(api)
        await api.send(device="lamp-1")
        await api.send(device="lamp-2")
        assert await asyncio.wait_for(waiting, 30) == [2]

    @pytest.mark.slow
    async def test_nothing_coming_is_an_empty_page(self, api: Api) -> None:
        assert await api.rows(wait=1) == []

    async def test_a_service_that_stops_ends_it(self, api: Api) -> None:
        waiting = asyncio.ensure_future(api.call(wait=20))
        await _waits(api)
        await api.telemetry.close()
        answer = await asyncio.wait_for(waiting, 30)
        assert answer.status_code == 503
        assert "retry-after" in answer.headers


class TestRights:
    async def test_no_token_is_401(self, api: Api) -> None:
        answer = await api.client.get("/messages/events", params={"api-version": VERSION})
        assert answer.status_code == 401

    async def test_a_policy_without_service_connect_is_401(self, api: Api) -> None:
        key = await api.world.policy("device", Right.DEVICE_CONNECT, Right.REGISTRY_READ)
        answer = await api.call(api.world.token(HOST, key=key, policy="device"))
        assert answer.status_code == 401
        assert answer.json()["message"] == "Unauthorized"

    async def test_a_provisioning_policy_is_401(self, api: Api) -> None:
        key = await api.world.policy("owner", *Right, realm=Realm.PROVISIONING)
        answer = await api.call(api.world.token(HOST, key=key, policy="owner"))
        assert answer.status_code == 401

    async def test_a_wrong_key_is_401(self, api: Api) -> None:
        answer = await api.call(api.world.token(HOST, key=Secret(b"wrong"), policy="service"))
        assert answer.status_code == 401

    async def test_a_device_token_is_401(self, api: Api) -> None:
        await api.world.enroll()
        assert (await api.call(api.world.token())).status_code == 401

    async def test_an_expired_token_is_401(self, api: Api) -> None:
        old = api.world.token(HOST, key=api.key, policy="service", expires_at=api.world.now - 1)
        assert (await api.call(old)).status_code == 401

    async def test_another_hosts_scope_is_401(self, api: Api) -> None:
        other = api.world.token("other.example", key=api.key, policy="service")
        assert (await api.call(other)).status_code == 401

    async def test_without_a_right_nothing_of_the_parameters_is_told(self, api: Api) -> None:
        answer = await api.client.get("/messages/events", params={"after": "x"})
        assert answer.status_code == 401


async def _waits(api: Api) -> None:
    """Return once a call waits for a message."""
    while not api.telemetry._arrivals:
        await asyncio.sleep(0)


@given(body=st.binary(max_size=60), content_type=st.sampled_from(["application/json", "", "text/plain"]))
def test_every_body_can_be_shown(body: bytes, content_type: str) -> None:
    message = Telemetry(DeviceId("d"), body, {}, {"content-type": content_type}, "{}", 0)
    shown = msgspec.json.decode(msgspec.json.encode({"body": _body(message)}))["body"]
    if content_type != "application/json" and isinstance(shown, str):
        assert shown.encode() == body
