"""Telemetry of several processes: one JetStream stream of the service, in which every one of them appends and reads.

What is acknowledged to a device is durable in the stream. Subjects name hub and device, so that applications can consume
by groups of their own: a durable consumer of the stream is a group, whose members share its messages.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import quote

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, StorageType, StreamConfig

from accredit.buses.nats import NatsLink
from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.interfaces import StoreUnavailable
from accredit.observe import log

APPEND_S = 5.0
"""How long the stream may take to acknowledge a message; a device whose message is not sends it again."""

_READ_S = 5.0
_LOOK_S = 5.0
_FORGOTTEN_S = 30.0
"""How long the server remembers a reader that did not come back."""

MESSAGE = "Accredit-Message"
"""The header with what belongs to a message beside its body, as JSON."""


def stream_name(id_scope: str) -> str:
    return f"accredit-{id_scope}-telemetry"


def subject(id_scope: str, hub: str, device_id: str) -> str:
    """Each name is one token, percent-encoded where NATS gives a character a meaning."""
    return f"accredit.{id_scope}.telemetry.{_token(hub)}.{_token(device_id)}"


class StreamTelemetry:
    """`interfaces.TelemetryLog` on JetStream. The stream is made when it is first needed."""

    def __init__(
        self, link: NatsLink, id_scope: str, *, max_age_s: float, max_bytes: int, replicas: int = 1
    ) -> None:
        self._link = link
        self._id_scope = id_scope
        self._stream = stream_name(id_scope)
        self._all = f"accredit.{id_scope}.telemetry.>"
        self._config = StreamConfig(
            name=self._stream,
            subjects=[self._all],
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_age=max_age_s,
            max_bytes=max_bytes,
            num_replicas=replicas,
        )
        self._jetstream = JetStreamContext(link.client, timeout=APPEND_S)
        self._made = False
        self._making = asyncio.Lock()

    async def begin(self) -> None:
        """Make the stream now, if that can be done; else the log says why not, and it is tried again when it is needed."""
        try:
            await self._ready()
        except StoreUnavailable as failure:
            log.warning("telemetry-unavailable", reason=str(failure))

    async def append(self, messages: Sequence[Telemetry]) -> int:
        """Return the last one's sequence number once all are durable; raises StoreUnavailable when that is not known."""
        await self._ready()
        try:
            taken = await asyncio.gather(*map(self._publish, messages))
        except (nats.errors.Error, OSError, TimeoutError) as error:
            if isinstance(error, nats.js.errors.NoStreamResponseError):
                self._made = False  # somebody has deleted it
            raise _unavailable(error) from error
        return taken[-1]

    async def read(
        self, device_id: DeviceId | None, after: int, limit: int, hub: tuple[str, str] | None = None
    ) -> Sequence[tuple[int, Telemetry]]:
        await self._ready()
        try:
            return await self._read(device_id, after, limit, hub)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise _unavailable(error) from error

    async def arrival(self, after: int) -> int:
        await self._ready()
        try:
            arriving = await self._link.client.subscribe(self._all)
            try:
                while (newest := await self._newest()) <= after:
                    with suppress(TimeoutError):
                        await arriving.next_msg(timeout=_LOOK_S)
                return newest
            finally:
                with suppress(nats.errors.Error):
                    await arriving.unsubscribe()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise _unavailable(error) from error

    async def close(self) -> None:
        """The link is another's to close."""

    async def _publish(self, message: Telemetry) -> int:
        about = {
            "deviceId": message.device_id.text,
            "hub": message.hub,
            "properties": message.properties,
            "systemProperties": message.system,
            "authMethod": message.auth_method,
            "enqueuedAt": message.enqueued_at,
        }
        taken = await self._jetstream.publish(
            subject(self._id_scope, message.hub, message.device_id.text),
            message.body,
            stream=self._stream,
            headers={MESSAGE: json.dumps(about)},
        )
        return taken.seq

    async def _read(
        self, device_id: DeviceId | None, after: int, limit: int, hub: tuple[str, str] | None
    ) -> list[tuple[int, Telemetry]]:
        wanted = self._all
        if device_id is not None:
            wanted = f"accredit.{self._id_scope}.telemetry.*.{_token(device_id.text)}"
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=_FORGOTTEN_S,
            mem_storage=True,
            num_replicas=1,
        )
        reader = await self._jetstream.pull_subscribe(wanted, stream=self._stream, config=config)
        info = await reader.consumer_info()
        try:
            found: list[tuple[int, Telemetry]] = []
            pending = info.num_pending or 0
            while pending and not found:
                messages = await reader.fetch(min(limit, pending), timeout=_READ_S)
                rows = map(_row, messages)
                found = [row for row in rows if hub is None or row[1].hub in hub]
                pending = messages[-1].metadata.num_pending
            return found
        finally:
            with suppress(nats.errors.Error, TimeoutError):
                await reader.unsubscribe()
                await self._jetstream.delete_consumer(self._stream, info.name)

    async def _newest(self) -> int:
        return (await self._jetstream.stream_info(self._stream)).state.last_seq

    async def _ready(self) -> None:
        """Raises StoreUnavailable."""
        if not self._link.is_up:
            raise StoreUnavailable("NATS, which keeps the telemetry, can't be reached")
        if self._made:
            return
        async with self._making:
            try:
                await self._make()
            except (nats.errors.Error, OSError, TimeoutError) as error:
                raise _unavailable(error) from error
            self._made = True

    async def _make(self) -> None:
        try:
            await self._jetstream.add_stream(self._config)
        except nats.js.errors.BadRequestError:
            # It is there, with other limits: the present settings hold.
            await self._jetstream.update_stream(self._config)


def _row(message: Msg) -> tuple[int, Telemetry]:
    about = json.loads((message.headers or {})[MESSAGE])
    telemetry = Telemetry(
        device_id=DeviceId(about["deviceId"]),
        body=message.data,
        properties=about["properties"],
        system=about["systemProperties"],
        auth_method=about["authMethod"],
        enqueued_at=about["enqueuedAt"],
        hub=about["hub"],
    )
    return message.metadata.sequence.stream, telemetry


def _token(name: str) -> str:
    return quote(name, safe="").replace(".", "%2E") or "-"


def _unavailable(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"the telemetry stream does not answer: {str(error) or type(error).__name__}")
