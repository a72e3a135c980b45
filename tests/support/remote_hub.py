"""Hubs elsewhere over real HTTPS: the registry API of an embedded hub, and a hub that answers as it is told."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from accredit.administration.access import Access
from accredit.domain.access import Realm, Right
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.secret import Secret
from accredit.egress import Egress, EgressRules, tls_context
from accredit.fronts.https import https_front
from accredit.fronts.hub_registry import routes
from accredit.hub.registry import Registry
from accredit.hub.sessions import Sessions
from accredit.interfaces import Clock
from accredit.linked_hubs import azure
from accredit.linked_hubs.azure import AzureHub
from accredit.linked_hubs.configured import ConfiguredHubs
from support import passing_time
from support.counted_entropy import CountedEntropy
from support.hub_world import HOSTS, HubWorld
from support.tls_service import serving, tls_root

RIGHTS = (Right.REGISTRY_READ, Right.REGISTRY_WRITE, Right.SERVICE_CONNECT)
ANSWER = re.compile(rb"Content-Length: (\d+)\r\n", re.IGNORECASE)


def linked(port: int, key: Secret, policy: str = "dps", **facts: Any) -> LinkedHub:
    text = f"HostName=localhost:{port};SharedAccessKeyName={policy};SharedAccessKey="
    text += base64.b64encode(key.reveal()).decode()
    facts = {"trust_anchors": tls_root().pem().decode()} | facts
    return LinkedHub("localhost", HubKind.AZURE, "e", 1, 1, connection_string=Secret(text.encode()), **facts)


@asynccontextmanager
async def calling(hub: LinkedHub, clock: Clock, **more: Any) -> AsyncIterator[AzureHub]:
    """What calls a linked hub, with a pool of connections of its own; loopback is allowed."""
    rules = more.pop("rules", EgressRules(("127.0.0.0/8",)))
    pool = Egress(rules, tls=tls_context(hub.trust_anchors or ""), resolve=_to_loopback)
    try:
        yield AzureHub(hub, pool, clock, CountedEntropy(), **more)
    finally:
        await pool.close()


async def _to_loopback(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def embedded_api(world: HubWorld) -> AsyncIterator[LinkedHub]:
    """The embedded hub's own registry API, as somebody else links it by the policy `dps`."""
    key = await world.policy("dps", *RIGHTS)
    entropy = CountedEntropy()
    hubs = ConfiguredHubs(world.store, HOSTS)
    registry = Registry(world.store, Sessions(), world.clock, entropy)
    access = Access(world.store, world.clock, HOSTS, Realm.HUB)
    front = https_front(
        routes(registry, hubs, access, world.clock, entropy), world.clock, entropy, websockets={}
    )
    async with serving(front.connection) as listener:
        yield linked(listener.port, key)


class ScriptedHub(asyncio.Protocol):
    """One connection of a hub that gives the next answer of its script to each request; None: it says nothing."""

    def __init__(self, script: list[bytes | None], heard: list[bytes]) -> None:
        self._script = script
        self._heard = heard
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = ANSWER.search(head + b"\r\n")
        if not found or len(body) < (int(length[1]) if length else 0):
            return
        self._heard.append(self._received)
        self._received = b""
        answer = self._script.pop(0)
        if answer == b"":
            self._transport.close()
        elif answer is None:
            passing_time.passes(azure.DEADLINE_S)
        else:
            self._transport.write(answer)


@asynccontextmanager
async def scripted_hub(*script: bytes | None) -> AsyncIterator[tuple[LinkedHub, list[bytes]]]:
    """The hub, and the requests that it has heard."""
    heard: list[bytes] = []
    answers = list(script)
    async with serving(lambda: ScriptedHub(answers, heard)) as listener:
        yield linked(listener.port, Secret(b"k" * 32)), heard


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def refusal(status: int, name: str, **headers: str) -> bytes:
    return answer(status, b'{"Message":"ErrorCode:%s;no","ExceptionMessage":"x"}' % name.encode(), **headers)
