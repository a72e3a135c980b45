"""A witness at a URL: what it is sent, what counts as taken, and where it is not looked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accredit.domain.tree_head import TreeHead
from accredit.egress import Egress, EgressRules
from accredit.wire.service_api.tree import read_head
from accredit.witness import NotTaken
from accredit.witnesses.url import WitnessUrl
from support.https_peer import Heard, Reply, answering, client_trust, serving_tls
from support.passing_time import PATIENCE_S, silence

HEAD = TreeHead.sign(7, b"r" * 32, 1_800_000_000, Ed25519PrivateKey.from_private_bytes(bytes(32)))
LISTED = EgressRules(("127.0.0.0/8",))


@asynccontextmanager
async def witness(
    reply: Reply, rules: EgressRules = LISTED, call_s: float = 30.0
) -> AsyncIterator[tuple[WitnessUrl, list[Heard]]]:
    async with serving_tls(reply) as (port, heard):
        made = WitnessUrl(f"https://localhost:{port}/heads/token", Egress(rules, tls=client_trust()), call_s)
        try:
            yield made, heard
        finally:
            await made.close()


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_a_success_is_taken(status: int) -> None:
    async with witness(answering(status, b"")) as (made, heard):
        await made.take(HEAD)
        assert await made.last() is None
        assert "token" not in made.name
    (call,) = heard
    assert call.start == b"POST /heads/token HTTP/1.1"
    assert call.headers["content-type"] == "application/json"
    assert read_head(call.body) == HEAD


@pytest.mark.parametrize("status", [400, 401, 404, 409, 500, 503])
async def test_anything_else_is_not(status: int) -> None:
    async with witness(answering(status, b"{}")) as (made, _):
        with pytest.raises(NotTaken, match=f"it answered {status}"):
            await made.take(HEAD)


async def test_a_redirect_is_not_followed() -> None:
    async with serving_tls(answering(200, b"")) as (elsewhere, heard):
        moved = answering(307, b"", ("Location", f"https://localhost:{elsewhere}/heads"))
        async with witness(moved) as (made, _):
            with pytest.raises(NotTaken, match="it answered 307"):
                await made.take(HEAD)
        assert heard == []


async def test_a_place_that_the_rules_forbid_is_not_called() -> None:
    async with witness(answering(200, b""), EgressRules()) as (made, heard):
        with pytest.raises(NotTaken, match="loopback"):
            await made.take(HEAD)
        assert heard == []


async def test_silence_is_no_answer() -> None:
    async def silent(_: Heard, writer: asyncio.StreamWriter) -> None:
        await silence()

    async with witness(silent, call_s=PATIENCE_S) as (made, _):
        with pytest.raises(NotTaken, match="no answer within"):
            await made.take(HEAD)
