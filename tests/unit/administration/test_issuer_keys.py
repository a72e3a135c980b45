"""The issuer's keys over real TLS: asked for late, kept, rotated, and not asked for too often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from accredit.administration.issuer_keys import FRESH_S, KEPT_S, REFETCH_S, IssuerKeys
from accredit.domain.errors import Unauthenticated, UpstreamUnavailable
from accredit.egress import Egress, EgressRules, tls_context
from support.hand_clock import HandClock
from support.oidc_issuer import OIDCIssuer, SigningKey

CONFIGURATION = "/tenant/.well-known/openid-configuration"
KEYS = "/tenant/keys"


@pytest.fixture
def issuer() -> Iterator[OIDCIssuer]:
    with OIDCIssuer() as running:
        yield running


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@asynccontextmanager
async def _keys(
    issuer: OIDCIssuer, clock: HandClock, *, allow: str = "localhost", trust: str | None = None, url: str = ""
) -> AsyncIterator[IssuerKeys]:
    pem = issuer.trust if trust is None else trust
    egress = Egress(EgressRules((allow,)), tls=tls_context(pem), max_answer_bytes=256 * 1024)
    try:
        yield IssuerKeys(issuer.url, url, egress, clock)
    finally:
        await egress.close()


async def test_nothing_is_asked_before_a_token_comes(issuer: OIDCIssuer, clock: HandClock) -> None:
    async with _keys(issuer, clock) as keys:
        assert issuer.asked == []
        found = await asyncio.gather(*(keys.key("first") for _ in range(5)))
    assert {key.id for key in found} == {"first"}
    assert issuer.asked == [CONFIGURATION, KEYS]


async def test_a_keys_url_that_is_named_needs_no_discovery(issuer: OIDCIssuer, clock: HandClock) -> None:
    async with _keys(issuer, clock, url=f"{issuer.url}/keys") as keys:
        assert (await keys.key("first")).algorithm == "ES256"
    assert issuer.asked == [KEYS]


async def test_a_new_key_is_found_and_the_old_one_ends(issuer: OIDCIssuer, clock: HandClock) -> None:
    async with _keys(issuer, clock) as keys:
        await keys.key("first")
        issuer.rotate("RS256")
        clock.advance(REFETCH_S)
        assert (await keys.key(issuer.keys[0].id)).algorithm == "RS256"
        with pytest.raises(Unauthenticated) as refusal:
            await keys.key("first")
    assert refusal.value.rule == "bearer-key"


async def test_invented_key_ids_make_it_ask_no_more_than_once_in_a_while(
    issuer: OIDCIssuer, clock: HandClock
) -> None:
    async with _keys(issuer, clock) as keys:
        await keys.key("first")
        for number in range(50):
            with pytest.raises(Unauthenticated):
                await keys.key(f"invented-{number}")
        assert issuer.asked.count(KEYS) == 1
        clock.advance(REFETCH_S)
        for number in range(50):
            with pytest.raises(Unauthenticated):
                await keys.key(f"invented-{number}")
    assert issuer.asked.count(KEYS) == 2


async def test_withdrawn_keys_end_within_the_hour(issuer: OIDCIssuer, clock: HandClock) -> None:
    async with _keys(issuer, clock) as keys:
        await keys.key("first")
        issuer.rotate()
        clock.advance(FRESH_S)
        await keys.key("first")
        clock.advance(1)
        with pytest.raises(Unauthenticated):
            await keys.key("first")


async def test_known_keys_serve_while_the_issuer_is_away(issuer: OIDCIssuer, clock: HandClock) -> None:
    async with _keys(issuer, clock) as keys:
        await keys.key("first")
        issuer.answers[CONFIGURATION] = (503, b"{}", {})
        clock.advance(KEPT_S)
        assert (await keys.key("first")).id == "first"
        clock.advance(REFETCH_S)
        with pytest.raises(UpstreamUnavailable) as refusal:
            await keys.key("first")
        assert refusal.value.retry_after_s == REFETCH_S
        del issuer.answers[CONFIGURATION]
        clock.advance(REFETCH_S)
        assert (await keys.key("first")).id == "first"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (CONFIGURATION, (404, b"{}", {})),
        (CONFIGURATION, (302, b"", {"location": "https://localhost/elsewhere"})),
        (CONFIGURATION, (200, b"not JSON", {})),
        (CONFIGURATION, (200, b'{"issuer":"https://elsewhere","jwks_uri":"https://elsewhere/keys"}', {})),
        (KEYS, (200, b"[]", {})),
        (KEYS, (500, b"", {})),
        (KEYS, (200, b" " * 300 * 1024, {})),
    ],
)
async def test_an_issuer_that_answers_otherwise(
    issuer: OIDCIssuer, clock: HandClock, path: str, answer: tuple[int, bytes, dict[str, str]]
) -> None:
    issuer.answers[path] = answer
    async with _keys(issuer, clock) as keys:
        for _ in range(3):
            with pytest.raises(UpstreamUnavailable):
                await keys.key("first")
    assert issuer.asked.count(CONFIGURATION) == 1


async def test_keys_are_taken_by_https_alone(issuer: OIDCIssuer, clock: HandClock) -> None:
    body = b'{"issuer":"%s","jwks_uri":"http://localhost/keys"}' % issuer.url.encode()
    issuer.answers[CONFIGURATION] = (200, body, {})
    async with _keys(issuer, clock) as keys:
        with pytest.raises(UpstreamUnavailable):
            await keys.key("first")
    assert issuer.asked == [CONFIGURATION]


@pytest.mark.parametrize("difference", [{"allow": "elsewhere.example"}, {"trust": ""}])
async def test_the_rules_of_egress_and_tls_hold(
    issuer: OIDCIssuer, clock: HandClock, difference: dict[str, str]
) -> None:
    async with _keys(issuer, clock, **difference) as keys:
        with pytest.raises(UpstreamUnavailable):
            await keys.key("first")
    assert issuer.asked == []


async def test_several_keys_at_once(issuer: OIDCIssuer, clock: HandClock) -> None:
    issuer.keys.append(SigningKey.make("second", "RS256"))
    async with _keys(issuer, clock) as keys:
        assert [(await keys.key(name)).algorithm for name in ("first", "second")] == ["ES256", "RS256"]
