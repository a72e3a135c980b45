"""The proof for whoever shows an issued certificate: what is asked of the log, and how its refusals are told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from accredit.domain.errors import NotFound, Throttled, UpstreamUnavailable
from accredit.domain.ids import AuthorityName
from accredit.domain.inclusion import Inclusion
from accredit.domain.issuance_log import PlacedLeaf, unknown_leaf
from accredit.domain.tree_head import TreeHead
from accredit.fronts import log_proof
from accredit.interfaces import StoreUnavailable
from accredit.wire.dps_log_proof import log_proof_body
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.scripted_provisioning import ScriptedProvisioning

FOUND = Inclusion(
    PlacedLeaf(unknown_leaf(AuthorityName.parse("myca"), b"c" * 32, 8), 41, 3),
    TreeHead(7, b"r" * 32, 9, b"k" * 32, b"s" * 64),
    [b"\x01" * 32],
)


@asynccontextmanager
async def asking(
    outcome: Inclusion | Exception, *chain: bytes, charges: ScriptedProvisioning | None = None
) -> AsyncIterator[tuple[httpx.Response, list[bytes]]]:
    """The answer to a device that shows this chain, and what the log was asked for."""
    asked: list[bytes] = []

    async def proof_of(digest: bytes) -> Inclusion:
        asked.append(digest)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    app = Starlette(
        routes=log_proof.routes(proof_of, charges or ScriptedProvisioning(), HandClock(), CountedEntropy())
    )

    async def over_tls(scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"] = {"tls": {"client_cert_chain_der": chain}}
        await app(scope, receive, send)

    transport = httpx.ASGITransport(over_tls, client=("192.0.2.7", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="https://here.example") as client:
        yield await client.get("/issuanceLogProof"), asked


async def test_the_certificate_shown_is_the_question() -> None:
    async with asking(FOUND, b"leaf", b"issuer") as (answer, asked):
        assert (answer.status_code, answer.content) == (200, log_proof_body(FOUND))
        assert answer.headers["content-type"].startswith("application/json")
    assert asked == [sha256(b"leaf").digest()]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (NotFound("not ours", rule="log-leaf-unknown"), 404),
        (UpstreamUnavailable("too early", rule="log-leaf-waits", retry_after_s=1), 503),
        (StoreUnavailable("locked"), 503),
    ],
)
async def test_what_there_is_not(failure: Exception, status: int) -> None:
    async with asking(failure, b"leaf") as (answer, _):
        assert answer.status_code == status
        assert ("retry-after" in answer.headers) is (status == 503)
        assert json.loads(answer.content)["trackingId"] == answer.headers["x-ms-request-id"]


async def test_nothing_shown_is_charged_to_the_source() -> None:
    charges = ScriptedProvisioning()
    async with asking(FOUND, charges=charges) as (answer, asked):
        assert answer.status_code == 401
    assert asked == []
    assert [(rule, source) for rule, _, source, _ in charges.unreads] == [("nothing-shown", "192.0.2.7")]
    charges.throttles = Throttled("too much", rule="source-rate", retry_after_s=7)
    async with asking(FOUND, charges=charges) as (answer, _):
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
