"""How long it takes from the call that revokes to the end of each live connection, as the devices see it.

Each device has a connection to the hub by TLS 1.2 with its issued certificate. Some are revoked one after the other, then
all that are left by one call that revokes their group.
"""

from __future__ import annotations

import asyncio
import resource
import secrets
import ssl
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvloop

from accredit.simulation.mqtt_peer import HUB_API_VERSION
from accredit.wire import mqtt, topics
from accredit.wire.mqtt_packets import encode
from benchmarks.hub import provisioned
from benchmarks.service import Measured, service

LIVE = 1_000
ONE_BY_ONE = 100
AT_ONCE = 32
GIVE_UP_S = 60.0


@dataclass(frozen=True, slots=True)
class Closing:
    """Milliseconds from the call to the end of a connection."""

    p50_ms: float
    p99_ms: float
    max_ms: float


class _Session(asyncio.Protocol):
    """Connected until the hub ends it; `ended` has the instant."""

    def __init__(self, host: str, device_id: str) -> None:
        loop = asyncio.get_running_loop()
        self.admitted: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[float] = loop.create_future()
        name = topics.HubUserName(host, device_id, parameters={"api-version": HUB_API_VERSION})
        self._connect = mqtt.Connect(
            device_id, topics.format_hub_user_name(name), clean_session=False, keep_alive_s=600
        )
        self._decoder = mqtt.Decoder(max_packet_bytes=1_024)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(encode(self._connect))

    def data_received(self, data: bytes) -> None:
        for packet in self._decoder.feed(data):
            if isinstance(packet, mqtt.ConnAck):
                self.admitted.set_result(packet.code)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(time.perf_counter())
        if not self.admitted.done():
            self.admitted.set_exception(exc or RuntimeError("the hub closed the connection"))


def revoke_to_close() -> dict[str, Any]:
    """Over a service of its own: 100 devices one after the other beside 1,000 others, then these by their group."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with (
        service(None, "--source-connections", "0", "--source-connections-per-second", "0") as running,
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_measured(running, Path(folder)))


async def _measured(running: Measured, folder: Path) -> dict[str, Any]:
    group = f"revoked-{secrets.token_hex(4)}"
    devices, _ = await provisioned(running, folder, LIVE + ONE_BY_ONE, group)
    sessions = await _connected(running, devices)
    api = await asyncio.to_thread(running.api)
    alone = []
    for device_id, _ in devices[:ONE_BY_ONE]:
        began = time.perf_counter()
        path = f"/registrations/{device_id}/revoke"
        await asyncio.to_thread(api.call, "POST", path, {"reason": "superseded"})
        alone.append(await asyncio.wait_for(sessions[device_id].ended, GIVE_UP_S) - began)
    left = [sessions[device_id].ended for device_id, _ in devices[ONE_BY_ONE:]]
    if any(each.done() for each in left):
        raise RuntimeError("connections of devices that nobody revoked have ended")
    began = time.perf_counter()
    path = f"/enrollmentGroups/{group}/revoke"
    shown = (await asyncio.to_thread(api.call, "POST", path, {"reason": "superseded"})).json()
    async with asyncio.timeout(GIVE_UP_S):
        together = [await each - began for each in left]
        while shown["status"] == "running":
            await asyncio.sleep(0.05)
            shown = (await asyncio.to_thread(api.call, "GET", f"/revocations/{shown['id']}")).json()
    if shown["connectionsCut"] != LIVE or shown["devices"] != LIVE:
        raise RuntimeError(f"the receipt of the group says {shown}")
    done_s = time.perf_counter() - began
    return {"live": LIVE, "one": _closing(alone), "group": _closing(together), "groupDoneS": done_s}


async def _connected(running: Measured, devices: Sequence[tuple[str, ssl.SSLContext]]) -> dict[str, _Session]:
    loop = asyncio.get_running_loop()
    sessions: dict[str, _Session] = {}
    waiting = iter(devices)

    async def worker() -> None:
        for device_id, context in waiting:
            _, session = await loop.create_connection(
                partial(_Session, running.host, device_id),
                running.host, running.mqtt_port, ssl=context, server_hostname=running.host,
            )  # fmt: skip
            if await session.admitted:
                raise RuntimeError(f"CONNACK {session.admitted.result()} of the hub")
            sessions[device_id] = session

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return sessions


def _closing(seconds: Sequence[float]) -> dict[str, float]:
    ms = sorted(each * 1000 for each in seconds)
    return asdict(Closing(ms[len(ms) // 2], ms[int(len(ms) * 0.99)], ms[-1]))


if __name__ == "__main__":
    print(revoke_to_close())
