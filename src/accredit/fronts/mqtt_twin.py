"""A device's twin over its connection to a hub: `$iothub/twin/` on MQTT.

Requests are answered one after the other, each once, and acknowledged when what they change is durable. Nothing is sent to
who has not subscribed, and no change of desired properties is kept for who is not there: it reads its twin when it comes.

Azure: "Communicate with an IoT hub using MQTT", "Understand and use device twins".
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from accredit.domain.errors import AccreditError, Throttled
from accredit.domain.guid import guid
from accredit.domain.ids import DeviceId
from accredit.fronts.mqtt import MqttLink
from accredit.hub.device_twins import DeviceTwins
from accredit.interfaces import Clock, Entropy, StoreUnavailable
from accredit.observe import log
from accredit.values import dataclass, field
from accredit.wire import device_twins as wire
from accredit.wire import mqtt, topics

MAX_WAITING = 64
"""How many requests of one connection may be unanswered."""

_RETRY_AFTER_S = 1

FILTERS = (topics.TWIN_RESPONSES, topics.DESIRED_CHANGES)


@dataclass(frozen=True, slots=True)
class TwinService:
    """What all connections share. `tasks` are held here, because the event loop holds them weakly."""

    twins: DeviceTwins
    clock: Clock
    entropy: Entropy
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def close(self) -> None:
        """What is not answered is asked again by who connects again."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def tracking_id(self) -> str:
        return guid(self.entropy.token(16))


@dataclass(frozen=True, slots=True)
class _Asked:
    request: topics.GetTwin | topics.ReportProperties
    payload: bytes
    packet_id: int | None


class Twin:
    """The part of one connection that is about the device's twin."""

    def __init__(self, service: TwinService, link: MqttLink, hub: str, device_id: DeviceId) -> None:
        self._service = service
        self._link = link
        self._hub = hub
        self._device_id = device_id
        self._granted: dict[str, int] = {}
        self._stop_listening: Callable[[], None] | None = None
        self._waiting: deque[_Asked] = deque()
        self._at_work = False
        self._closed = False

    def subscribe(self, topic_filter: str, qos: int) -> int:
        """One of FILTERS; the granted QoS."""
        self._granted[topic_filter] = granted = min(qos, 1)
        if topic_filter == topics.DESIRED_CHANGES and self._stop_listening is None:
            changes = self._service.twins.changes
            self._stop_listening = changes.listen(self._hub, self._device_id, self._changed)
        return granted

    def unsubscribe(self, topic_filter: str) -> None:
        self._granted.pop(topic_filter, None)
        if topic_filter == topics.DESIRED_CHANGES:
            self._stop()

    def publish(self, packet: mqtt.Publish) -> None:
        """Raises ProtocolViolation for a topic that asks for nothing, or cannot be answered."""
        asked = _Asked(topics.parse_twin_request(packet.topic), packet.payload, packet.packet_id)
        if len(self._waiting) >= MAX_WAITING:
            refusal = Throttled(
                "Too many requests on this connection are unanswered.",
                rule="connection-requests",
                retry_after_s=_RETRY_AFTER_S,
            )
            self._refuse(asked, refusal)
            return
        self._waiting.append(asked)
        if not self._at_work:
            self._at_work = True
            task = asyncio.get_running_loop().create_task(self._work())
            self._service.tasks.add(task)
            task.add_done_callback(self._service.tasks.discard)

    def closed(self) -> None:
        self._closed = True
        self._waiting.clear()
        self._stop()

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._answered(self._waiting.popleft())
        finally:
            self._at_work = False

    async def _answered(self, asked: _Asked) -> None:
        try:
            match asked.request:
                case topics.GetTwin(rid):
                    device, renewal = await self._service.twins.read(self._hub, self._device_id)
                    self._send(asked, topics.TwinResponse(200, rid), wire.twin_body(device, renewal))
                case topics.ReportProperties(rid, base):
                    change = wire.read_reported(asked.payload)
                    version = await self._service.twins.report(self._hub, self._device_id, change, base)
                    self._send(asked, topics.TwinResponse(204, rid, version), b"")
        except AccreditError as refusal:
            self._refuse(asked, refusal)
        except StoreUnavailable as failure:
            log.warning("store-unavailable", work="twins", reason=str(failure))
            # Not acknowledged: the device sends it again.
            self._link.close("the twin can't be read or changed now")
        except Exception:  # noqa: BLE001 - whatever it is, the device gets an answer, without its text
            tracking_id = self._service.tracking_id()
            log.exception("twin-failed", trackingId=tracking_id, source=self._link.source)
            status, body = wire.defect(tracking_id, self._service.clock.now())
            self._send(asked, topics.TwinResponse(status, asked.request.rid), body)

    def _refuse(self, asked: _Asked, refusal: AccreditError) -> None:
        tracking_id = self._service.tracking_id()
        log.info(
            "twin-refused",
            deviceId=self._device_id.text,
            trackingId=tracking_id,
            rule=refusal.rule,
            evidence=refusal.evidence or refusal.message,
        )
        status, body = wire.problem(refusal, tracking_id, self._service.clock.now())
        self._send(asked, topics.TwinResponse(status, asked.request.rid), body)

    def _send(self, asked: _Asked, response: topics.TwinResponse, body: bytes) -> None:
        if self._closed:
            return
        if asked.packet_id is not None:
            self._link.acknowledge(asked.packet_id)
        granted = self._granted.get(topics.TWIN_RESPONSES)
        if granted is not None:
            self._link.send(topics.format_twin_response(response), body, granted)

    def _changed(self, change: dict[str, Any], version: int) -> None:
        granted = self._granted.get(topics.DESIRED_CHANGES)
        if granted is not None and not self._closed:
            topic = topics.format_desired_change(version)
            self._link.send(topic, wire.desired_body(change, version), granted)

    def _stop(self) -> None:
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None
