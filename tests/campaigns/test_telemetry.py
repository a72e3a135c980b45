"""Kill the service while devices pour messages into its hub: what was acknowledged is there, in order, and numbers only rise.

The quota is small enough that whole segments are deleted meanwhile in the long form, where only what is newer than the oldest message kept
can be asked for.
"""

from __future__ import annotations

import asyncio
import random
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from accredit.cli.connection import ServiceClient
from accredit.domain.access import Realm
from accredit.wire import mqtt, sas, topics
from support.mqtt_peer import Lost, MqttPeer, Service
from support.running_service import RunningService

WINDOW = 16
"""Messages of one device that are not acknowledged yet."""


@dataclass(frozen=True)
class Scale:
    kills: int
    devices: int
    max_bytes: int
    body_bytes: int


SHORT = Scale(3, 4, 1 << 30, 300)
LONG = Scale(60, 12, 64 << 20, 2_000)


@dataclass
class Sender:
    """One device: numbers its messages, and sends again what was not acknowledged."""

    device_id: str
    key: str
    scale: Scale
    next_number: int = 0
    waiting: dict[int, int] = field(default_factory=dict)
    acknowledged: list[int] = field(default_factory=list)

    async def runs(self, service: Service) -> None:
        """Until the connection is lost."""
        async with await MqttPeer(service).open() as peer:
            name = topics.HubUserName(service.host, self.device_id, parameters={"api-version": "2021-04-12"})
            resource = f"{service.host}/devices/{self.device_id}"
            token = sas.make(resource, b64decode(self.key), int(time.time()) + 3_600, None)
            connect = mqtt.Connect(
                self.device_id,
                topics.format_hub_user_name(name),
                token.encode(),
                clean_session=False,
                keep_alive_s=60,
            )
            if await peer.connects(connect) != 0:
                return
            again = sorted(self.waiting.values())
            self.waiting = {}
            while True:
                while again or len(self.waiting) < WINDOW:
                    self._sends(peer, again.pop(0) if again else None)
                acknowledged = await peer.hear(mqtt.PubAck)
                self.acknowledged.append(self.waiting.pop(acknowledged.packet_id))

    def _sends(self, peer: MqttPeer, number: int | None) -> None:
        if number is None:
            number = self.next_number
            self.next_number += 1
        body = f"{number}:".encode().ljust(self.scale.body_bytes, b".")
        self.waiting[peer.sends(self.device_id, body)] = number


async def _until_lost(sender: Sender, service: Service, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await sender.runs(service)
        except Lost:
            await asyncio.sleep(0.05)


def _enrolled(running: RunningService, scale: Scale) -> list[Sender]:
    api = running.client(Realm.HUB)
    senders = []
    for number in range(scale.devices):
        device_id = f"lamp-{number}"
        made = api.call("PUT", f"/devices/{device_id}", {"deviceId": device_id}).json()
        senders.append(Sender(device_id, made["authentication"]["symmetricKey"]["primaryKey"], scale))
    return senders


@pytest.mark.parametrize(
    "scale",
    [
        pytest.param(SHORT, id="short"),
        pytest.param(LONG, id="long", marks=[pytest.mark.campaign, pytest.mark.timeout(3_600)]),
    ],
)
async def test_no_acknowledged_message_is_lost(
    campaign_folder: Path, seed: int, scale: Scale, tell: Callable[[str], None]
) -> None:
    draw = random.Random(seed)
    running = RunningService(campaign_folder, arguments=["--telemetry-max-bytes", str(scale.max_bytes)])
    with running:
        senders = _enrolled(running, scale)
        service = Service(running.host, running.mqtt_port, running.id_scope, running.trust_root)
        stop = asyncio.Event()
        tasks = [asyncio.create_task(_until_lost(each, service, stop)) for each in senders]
        for kill in range(1, scale.kills + 1):
            before = sum(len(each.acknowledged) for each in senders)
            async with asyncio.timeout(60):
                while sum(len(each.acknowledged) for each in senders) < before + 200:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(draw.uniform(0, 0.3))
            if kill == scale.kills:
                stop.set()
            await asyncio.to_thread(running.kill)
            await asyncio.to_thread(running.start)
            tell(f"kills {kill}, acknowledged {sum(len(each.acknowledged) for each in senders)}")
        await asyncio.gather(*tasks)
        for sender in senders:
            _check(sender, await asyncio.to_thread(_rows, running, sender.device_id))
        everything = [row["sequenceNumber"] for row in await asyncio.to_thread(_rows, running)]
        assert everything == list(range(everything[0], everything[-1] + 1)), "a gap or a repeated number"
    assert "Traceback" not in running.log_text()


def _rows(running: RunningService, device_id: str | None = None) -> list[dict[str, Any]]:
    """All there are, page by page."""
    api = running.client(Realm.HUB)
    asked = {} if device_id is None else {"deviceId": device_id}
    found: list[dict[str, Any]] = []
    while page := _page(api, {"limit": 1_000, "after": found[-1]["sequenceNumber"] if found else 0, **asked}):
        found += page
    return found


def _page(api: ServiceClient, query: dict[str, str | int]) -> list[dict[str, Any]]:
    page: list[dict[str, Any]] = api.call("GET", "/messages/events", query=query).json()
    return page


def _check(sender: Sender, rows: list[dict[str, Any]]) -> None:
    """Each acknowledged message is there from the oldest kept on; first copies are in the order of sending."""
    stored = [int(row["body"].partition(":")[0]) for row in rows]
    assert stored, "every device has sent something"
    first_copies = list(dict.fromkeys(stored))
    assert first_copies == sorted(first_copies)
    lost = {number for number in sender.acknowledged if number > first_copies[0]} - set(stored)
    assert not lost, (
        f"{len(lost)} of {sender.device_id} were acknowledged, but are not there: {sorted(lost)[:5]}"
    )
