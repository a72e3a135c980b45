"""One call against real TLS servers: what arrives, what is taken for an answer, and where it does not go."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from functools import partial

import pytest

from accredit.domain.allocation import Webhook
from accredit.domain.secret import Secret
from accredit.egress import MAX_CONNECTIONS, Egress, EgressRules
from accredit.interfaces import Said, Silent, Unusable
from accredit.webhooks.calls import MAX_PLACES, Webhooks
from accredit.wire.webhooks import MAX_ANSWER_BYTES, is_signed
from support.hand_clock import HandClock
from support.https_peer import Heard, answering, client_trust, serving_tls
from support.passing_time import PATIENCE_S, silence
from support.waiting import until

SECRET = Secret(b"the webhook's secret")
LISTED = EgressRules(("127.0.0.0/8",), public_only=True)


@asynccontextmanager
async def calling(rules=LISTED, trust=None):
    connect = partial(Egress, rules, tls=trust or client_trust(), max_answer_bytes=MAX_ANSWER_BYTES)
    webhooks = Webhooks(connect, HandClock(), PATIENCE_S)
    try:
        yield webhooks
    finally:
        await webhooks.close()


@asynccontextmanager
async def asked(reply, rules=LISTED, secret=SECRET, url="https://localhost:{port}/allocate?code=1"):
    """Ask a server that replies so; yields the answer and what the server heard."""
    async with serving_tls(reply) as (port, heard), calling(rules) as webhooks:
        webhook = Webhook(url.format(port=port), "2021-10-01", secret)
        yield await webhooks.ask(webhook, "op-1", b'{"a":1}'), heard


async def test_it_is_posted_and_signed() -> None:
    async with asked(answering(200, b'{"useDefault":true}')) as (answer, heard):
        assert answer == Said(b'{"useDefault":true}')
        (call,) = heard
        assert call.start.startswith(b"POST /allocate?code=1 ")
        assert json.loads(call.body) == {"a": 1}
        assert call.headers["x-accredit-operation"] == "op-1"
        timestamp, signature = call.headers["x-accredit-timestamp"], call.headers["x-accredit-signature"]
        assert int(timestamp) == int(HandClock().now())
        assert is_signed(SECRET, timestamp, call.body, signature)


async def test_without_a_secret_it_is_not() -> None:
    async with asked(answering(200, b"{}"), secret=None) as (answer, heard):
        assert answer == Said(b"{}")
        assert "x-accredit-signature" not in heard[0].headers


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_some_statuses_may_pass(status: int) -> None:
    async with asked(answering(status, b"", ("Retry-After", "7"))) as (answer, _):
        assert answer == Silent(f"it answered {status}", 7)
    async with asked(answering(status, b"")) as (answer, _):
        assert answer == Silent(f"it answered {status}", None)


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 400, 401, 404])
async def test_others_will_not_and_a_redirect_is_not_followed(status: int) -> None:
    async with asked(answering(status, b"", ("Location", "https://127.0.0.1/"))) as (answer, heard):
        assert answer == Unusable(f"it answered {status}", "webhook-refused")
        assert len(heard) == 1


@pytest.mark.parametrize("kind", ["text/html", "text/plain; charset=utf-8", ""])
async def test_what_is_not_json_is_no_answer(kind: str) -> None:
    async with asked(answering(200, b"{}", ("Content-Type", kind))) as (answer, _):
        assert isinstance(answer, Unusable)
        assert answer.rule == "webhook-answer"


async def test_a_long_answer_is_cut() -> None:
    async with asked(answering(200, b'"' + b"x" * 10_000_000 + b'"')) as (answer, _):
        assert answer == Silent(f"the answer is longer than {MAX_ANSWER_BYTES} bytes", None)


async def test_a_hang_ends() -> None:
    async def hangs(_: Heard, __: asyncio.StreamWriter) -> None:
        await silence()

    async with asked(hangs) as (answer, _):
        assert isinstance(answer, Silent)
        assert "no answer within" in answer.reason


async def test_a_connection_that_ends_is_silence() -> None:
    async def ends(_: Heard, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with asked(ends) as (answer, _):
        assert isinstance(answer, Silent)


@pytest.mark.parametrize(
    ("rules", "url"),
    [
        (EgressRules(public_only=True), "https://localhost:{port}/"),
        (EgressRules(("10.0.0.0/8",), public_only=True), "https://127.0.0.1:{port}/"),
        (LISTED, "http://127.0.0.1:{port}/"),
    ],
)
async def test_where_it_may_not_go_it_does_not(rules: EgressRules, url: str) -> None:
    async with asked(answering(200, b"{}"), rules=rules, url=url) as (answer, heard):
        assert isinstance(answer, Unusable)
        assert answer.rule == "webhook-egress-refused"
        assert heard == []


@pytest.mark.parametrize("url", ["https://", "https://user@localhost/", "ftp://localhost/", "https://a b/"])
async def test_what_is_no_address_is_not_called(url: str) -> None:
    async with calling() as webhooks:
        answer = await webhooks.ask(Webhook(url, "2021-10-01", None), "op-1", b"{}")
        assert isinstance(answer, Unusable)


async def test_nobody_there_is_silence() -> None:
    async with serving_tls(answering(200, b"{}")) as (port, _):
        pass
    async with calling() as webhooks:
        webhook = Webhook(f"https://localhost:{port}/", "2021-10-01", None)
        assert isinstance(await webhooks.ask(webhook, "op-1", b"{}"), Silent)


async def test_a_server_that_nobody_vouches_for_hears_nothing() -> None:
    async with (
        serving_tls(answering(200, b"{}")) as (port, heard),
        calling(trust=ssl.create_default_context()) as webhooks,
    ):
        webhook = Webhook(f"https://localhost:{port}/", "2021-10-01", SECRET)
        assert isinstance(await webhooks.ask(webhook, "op-1", b"{}"), Silent)
        assert heard == []


async def test_many_at_once_wait_for_their_turn_and_one_that_hangs_keeps_nobody_else() -> None:
    gate = asyncio.Event()

    async def waits(heard: Heard, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await answering(200, b"{}")(heard, writer)

    async with (
        serving_tls(waits) as (slow, heard),
        serving_tls(answering(200, b"{}")) as (quick, _),
        calling() as webhooks,
    ):
        hook = Webhook(f"https://localhost:{slow}/", "2021-10-01", None)
        asking = [
            asyncio.ensure_future(webhooks.ask(hook, f"op-{number}", b"{}"))
            for number in range(MAX_CONNECTIONS + 5)
        ]
        await until(lambda: len(heard) == MAX_CONNECTIONS)
        other = Webhook(f"https://localhost:{quick}/", "2021-10-01", None)
        assert await webhooks.ask(other, "op-x", b"{}") == Said(b"{}")
        assert len(heard) == MAX_CONNECTIONS
        gate.set()
        assert await asyncio.gather(*asking) == [Said(b"{}")] * len(asking)


async def test_beyond_a_number_of_places_they_share() -> None:
    made: list[Egress] = []

    def connect() -> Egress:
        made.append(Egress(EgressRules(public_only=True), tls=client_trust()))
        return made[-1]

    webhooks = Webhooks(connect, HandClock())
    try:
        for port in range(1, MAX_PLACES + 20):
            hook = Webhook(f"https://127.0.0.1:{port}/", "2021-10-01", None)
            assert isinstance(await webhooks.ask(hook, "op-1", b"{}"), Unusable)
        assert len(made) == MAX_PLACES + 1
        await webhooks.ask(Webhook("https://127.0.0.1:1/", "2021-10-01", None), "op-1", b"{}")
        assert len(made) == MAX_PLACES + 1
    finally:
        await webhooks.close()
