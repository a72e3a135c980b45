"""A CA that answers every single call with rubbish, from the first one on: no connector believes it, follows it, or breaks.

What is spoiled after a CA has signed is in `test_outside_authority.py` and `test_vendor_authorities.py`; here nothing was ever signed,
so that the steps before an order (directories, log-ins, descriptions) meet the same.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from accredit.administration.authority_types import TYPES
from accredit.domain.credential import RevocationReason
from accredit.domain.errors import UpstreamRejected, UpstreamUnavailable
from accredit.egress import Egress, EgressRules, tls_context
from accredit.interfaces import Deferred, FindsOrder, Pending, PollsOrder, Rejected, Revokes, Unknown
from support.hand_clock import HandClock
from support.https_peer import Heard, Reply, answering, serving_tls
from support.signing_requests import order
from support.small_issuer import Issuer, new_key, pem
from support.tls_service import tls_root
from support.vendor_authorities import connected, issued_by, record

NOW = 1_800_000_000
HUGE_BYTES = 100_000_000
SECRET = "the-secret-of-the-connector"
ARN = "arn:aws:acm-pca:eu-central-1:123456789012:certificate-authority/11111111-2222-3333-4444-555555555555"


def _private_pem() -> str:
    return new_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _digicert(flavour: str, **more: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    members = {"profileName": "profile", "flavour": flavour, "baseUrl": "{url}", **more}
    return "DigiCertCertificateAuthority", members, {"apiKey": SECRET}


KINDS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "Acme": ("Acme", {"directoryUrl": "{url}/directory"}, {"accountKey": "k" * 32}),
    "AwsPrivateCa": (
        "AwsPrivateCa",
        {"arn": ARN, "accessKeyId": "AKID", "endpointUrl": "{url}"},
        {"secretAccessKey": SECRET},
    ),
    "Cfssl": ("Cfssl", {"url": "{url}"}, {"authKey": "00" * 16}),
    "Cmp": ("Cmp", {"url": "{url}/pkix", "reference": "1", "recipient": "CN=CA"}, {"secret": SECRET}),
    "DigiCertOne": _digicert("one"),
    "DigiCertMpki": _digicert("mpki"),
    "DigiCertCertCentral": _digicert("certcentral", organizationId="7"),
    "Ejbca": (
        "Ejbca",
        {
            "url": "{url}",
            "certificateProfile": "p",
            "endEntityProfile": "e",
            "certificateAuthority": "ca",
            "clientCertificate": "",
        },
        {"clientKey": _private_pem()},
    ),
    "Est": ("Est", {"url": "{url}", "username": "ra"}, {"password": SECRET}),
    "StepCa": (
        "StepCa",
        {"url": "{url}", "rootFingerprint": "00" * 32, "provisioner": "accredit"},
        {"provisionerKey": _private_pem()},
    ),
    "Vault": ("Vault", {"url": "{url}", "role": "device"}, {"token": SECRET}),
    "VaultAppRole": ("Vault", {"url": "{url}", "role": "device", "roleId": "role"}, {"secretId": SECRET}),
}


def test_every_outside_type_is_here() -> None:
    assert {kind for kind, _, _ in KINDS.values()} == TYPES.keys() - {"BuiltIn"}


@pytest.fixture(params=KINDS, ids="as-{}".format)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def placed(members: Mapping[str, Any], url: str) -> dict[str, Any]:
    return {name: str(value).format(url=url) for name, value in members.items()}


@asynccontextmanager
async def facing(
    kind: str, *replies: Reply, trusted: bool = True
) -> AsyncIterator[tuple[AsyncIterator[Any], list[Heard]]]:
    """For each reply a connector before a server that replies so to everything, and what that server hears."""
    kind_name, members, secrets = KINDS[kind]
    present = [replies[0]]

    async def reply(call: Heard, writer: asyncio.StreamWriter) -> None:
        await present[0](call, writer)

    async with serving_tls(reply) as (port, heard):
        anchors = tls_root().pem().decode() if trusted else pem(Issuer("Somebody", NOW).root)
        settings = {**placed(members, f"https://localhost:{port}"), "trustAnchors": anchors}
        tls = tls_context(anchors)

        async def each() -> AsyncIterator[Any]:
            for present[0] in replies:
                pool = Egress(EgressRules(("127.0.0.0/8", "::1")), tls=tls)
                made = record(kind_name, settings, secrets)
                async with connected(made, HandClock(NOW), egress=pool) as authority:
                    yield authority

        yield each(), heard


async def huge(_: Heard, writer: asyncio.StreamWriter) -> None:
    """100 MB, for as long as somebody reads."""
    writer.write(
        b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % HUGE_BYTES
    )
    block = b"[" * 1_000_000
    for _ in range(HUGE_BYTES // len(block)):
        writer.write(block)
        await writer.drain()
        huge.sent += len(block)  # type: ignore[attr-defined]


HALF = pem(Issuer("Somebody", NOW).root)[:300]
REPLIES: dict[str, Reply] = {
    "html": answering(200, b"<html>Please log in</html>", ("Content-Type", "text/html")),
    "json of another kind": answering(200, json.dumps([{"a": 1}, None, "x"]).encode()),
    "deep json": answering(200, b'{"a":' * 50_000),
    "half a pem": answering(200, HALF.encode(), ("Content-Type", "application/x-pem-file")),
    "nothing": answering(200, b""),
    "no content": answering(204, b""),
    "not utf-8": answering(200, b'["\xff\xfe"]'),
    "a teapot": answering(418, b"short and stout", ("Content-Type", "text/plain")),
    "a server's fault": answering(500, b"{}"),
    "another media type": answering(200, b"GIF89a" + bytes(100), ("Content-Type", "image/gif")),
}


async def stands(authority: Any) -> list[str]:
    """Go through all that the connector can do; returns what it said. Nothing may be delivered, or raised but what is promised."""
    said: list[str] = []
    answer = await authority.order(order())
    assert isinstance(answer, Rejected | Deferred | Unknown), answer
    said.append(answer.reason)
    if isinstance(authority, PollsOrder):
        polled = await authority.poll(order(), "https://localhost:1/handle")
        assert isinstance(polled, Rejected | Deferred | Unknown | Pending), polled
    calls = [authority.probe]
    if isinstance(authority, FindsOrder):
        calls.append(lambda: authority.find(order()))
    if isinstance(authority, Revokes):
        issued = issued_by(Issuer("Somebody", NOW), NOW, "reference-1")
        calls.append(lambda: authority.revoke(issued, RevocationReason.SUPERSEDED))
    for number, call in enumerate(calls):
        try:
            found = await call()
        except (UpstreamRejected, UpstreamUnavailable) as refusal:
            said.append(refusal.message)
        else:
            assert number, f"a probe that found nothing amiss: {found}"
    return said


async def test_rubbish_is_not_believed(kind: str) -> None:
    async with facing(kind, *REPLIES.values()) as (authorities, heard):
        names = iter(REPLIES)
        async for authority in authorities:
            before, name = len(heard), next(names)
            said = await stands(authority)
            assert len(heard) > before, name
            assert SECRET not in " ".join(said), name
    assert next(names, None) is None


async def test_a_hundred_megabytes_are_not_read(kind: str) -> None:
    huge.sent = 0  # type: ignore[attr-defined]
    async with facing(kind, huge) as (authorities, heard):
        async for authority in authorities:
            assert isinstance(await authority.order(order()), Rejected | Deferred | Unknown)
            with pytest.raises((UpstreamRejected, UpstreamUnavailable)):
                await authority.probe()
    assert heard
    # What a socket's buffers hold beyond the limit was sent, and is read by nobody.
    assert huge.sent < HUGE_BYTES / 2 * len(heard)  # type: ignore[attr-defined]


async def test_a_redirect_to_another_host_leads_nowhere(kind: str) -> None:
    async with serving_tls(answering(200, b"{}")) as (elsewhere, heard_there):
        place = ("Location", f"https://127.0.0.1:{elsewhere}/here")
        async with facing(kind, *(answering(status, b"", place) for status in (302, 307))) as (
            authorities,
            heard,
        ):
            async for authority in authorities:
                assert SECRET not in " ".join(await stands(authority))
    assert heard
    assert heard_there == []


async def test_tls_of_an_unknown_root_hears_nothing(kind: str) -> None:
    async with facing(kind, answering(200, b"{}"), trusted=False) as (authorities, heard):
        async for authority in authorities:
            answer = await authority.order(order())
            assert isinstance(answer, Deferred), "nothing can have been signed"
            assert "certificate" in answer.reason.lower()
            with pytest.raises(UpstreamUnavailable):
                await authority.probe()
    assert heard == []
