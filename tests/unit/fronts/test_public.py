"""The public port: what it serves over plain sockets, and what it does not."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from accredit.fronts import public
from accredit.fronts.https import https_front
from accredit.fronts.listener import Ceiling, bind
from accredit.fronts.plain import PlainListener
from accredit.fronts.sources import Sources
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock

KEY = "ab" * 20


class Statuses:
    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def issuer(self, key: str) -> bytes | None:
        return b"certificate" if key == KEY else None

    async def crl(self, key: str, shard: int) -> bytes | None:
        return f"crl {shard}".encode() if key == KEY and shard < 16 else None

    async def root_crl(self, key: str) -> bytes | None:
        return b"root crl" if key == KEY else None

    async def ocsp(self, request: bytes) -> bytes:
        self.asked.append(request)
        return b"answer"


@asynccontextmanager
async def served(
    statuses: Statuses, ceiling: int = 10, sources: Sources | None = None
) -> AsyncIterator[tuple[PlainListener, httpx.AsyncClient]]:
    front = https_front(
        public.routes(statuses, {"token-1": "token-1.thumbprint"}.get),
        HandClock(),
        CountedEntropy(),
        websockets={},
    )
    listener = PlainListener(
        "public", bind(["127.0.0.1"], 0, "--public-port"), front.connection, Ceiling(ceiling, sources)
    )
    await listener.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.port}", trust_env=False) as client:
        yield listener, client
    await listener.drain(1.0)


@pytest.mark.parametrize(
    ("path", "status", "content"),
    [
        (f"/crl/{KEY}/3.crl", 200, b"crl 3"),
        (f"/crl/{KEY.upper()}/0.crl", 200, b"crl 0"),
        (f"/crl/{KEY}/16.crl", 404, None),
        (f"/crl/{KEY}/x.crl", 404, None),
        ("/crl/00/3.crl", 404, None),
        (f"/crl/{KEY}/ca.crl", 200, b"root crl"),
        ("/crl/00/ca.crl", 404, None),
        (f"/issuers/{KEY}.cer", 200, b"certificate"),
        ("/issuers/00.cer", 404, None),
        ("/enrollments/dev", 404, None),
        ("/healthz", 404, None),
    ],
)
async def test_what_is_there(path: str, status: int, content: bytes | None) -> None:
    async with served(Statuses()) as (_, client):
        answer = await client.get(path)
        assert answer.status_code == status
        if content is not None:
            assert answer.content == content
            assert answer.headers["content-type"].startswith("application/pkix")


async def test_a_challenge_is_answered_by_its_token() -> None:
    async with served(Statuses()) as (_, client):
        answer = await client.get("/.well-known/acme-challenge/token-1")
        assert (answer.status_code, answer.content) == (200, b"token-1.thumbprint")
        assert (await client.get("/.well-known/acme-challenge/token-2")).status_code == 404


async def test_ocsp_by_post_and_by_get() -> None:
    statuses = Statuses()
    question = bytes(range(255)) * 4
    async with served(statuses) as (_, client):
        posted = await client.post(
            "/ocsp", content=question, headers={"content-type": "application/ocsp-request"}
        )
        text = base64.b64encode(question).decode()
        got = await client.get("/ocsp/" + text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"))
        plain = await client.get("/ocsp/" + text.replace("+", "%2B"))
    assert [each.content for each in (posted, got, plain)] == [b"answer"] * 3
    assert posted.headers["content-type"] == "application/ocsp-response"
    assert statuses.asked == [question] * 3


async def test_a_question_that_is_too_long_is_not_read() -> None:
    statuses = Statuses()
    async with served(statuses) as (_, client):
        assert (await client.post("/ocsp", content=b"x" * 5_000)).status_code == 400
    assert statuses.asked == []


async def test_the_ceiling_holds_here_too() -> None:
    async with served(Statuses(), ceiling=1) as (listener, client):
        assert (await client.get(f"/issuers/{KEY}.cer")).status_code == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_one_address_may_not_have_all_of_it() -> None:
    sources = Sources(HandClock(), 1, 0)
    async with served(Statuses(), sources=sources) as (listener, client):
        assert (await client.get(f"/issuers/{KEY}.cer")).status_code == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        assert sources.refused == 1
