"""A hub elsewhere that misbehaves: what each answer, and each silence, is taken for. Real TLS, a scripted server."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Any

import pytest

from accredit.domain.device import DeviceData, HubIdentity
from accredit.domain.errors import AccreditError, Malformed, UpstreamRejected, UpstreamUnavailable
from accredit.domain.evidence import DeviceKeys
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.secret import Secret
from accredit.egress import EgressRules
from accredit.linked_hubs.azure import DEADLINE_S, AzureHub
from accredit.values import replace
from support.hand_clock import HandClock
from support.passing_time import passes
from support.remote_hub import answer, calling, refusal, scripted_hub
from support.waiting import until

LAMP = DeviceId("lamp-1")
KEYS = DeviceKeys(Secret(b"the primary key ."), Secret(b"the secondary key"))
IDENTITY = HubIdentity(LAMP, KEYS, (), None)
DEVICE = answer(200, b'{"deviceId":"lamp-1","etag":"e1","status":"enabled"}')
TWIN = answer(200, b'{"tags":{},"properties":{"desired":{}}}')


async def outcome(*script: bytes | None, call: str = "put", **more: Any) -> AccreditError | list[bytes]:
    """What the call raised, or the requests that it made."""
    async with (
        scripted_hub(*script) as (where, heard),
        calling(where, HandClock(), **more) as hub,
    ):
        try:
            await _called(hub, call)
        except AccreditError as error:
            return error
    return heard


async def _called(hub: AzureHub, call: str) -> object:
    match call:
        case "put":
            return await hub.put(IDENTITY)
        case "data":
            return await hub.data(LAMP)
        case "probe":
            return await hub.probe()
        case _:
            return await hub.delete(LAMP)


CALLS = ["put", "data", "delete", "probe"]


class TestRefused:
    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("status", [401, 403])
    async def test_who_is_not_let_in(self, call: str, status: int) -> None:
        error = await outcome(refusal(status, "IotHubUnauthorizedAccess"), call=call)
        assert isinstance(error, UpstreamRejected)
        assert error.rule == "hub-refused"
        assert "policy" in error.hint
        assert "IotHubUnauthorizedAccess" in error.evidence

    @pytest.mark.parametrize(
        ("call", "status"),
        [
            (call, status)
            for call in CALLS
            for status in (400, 405, 302, 204, 413)
            if (call, status) != ("delete", 204)
        ],
    )
    async def test_what_was_not_asked_for(self, call: str, status: int) -> None:
        error = await outcome(answer(status, b"" if status == 204 else b"no <b>"), call=call)
        assert isinstance(error, UpstreamRejected)
        assert error.rule == "hub-answer"

    @pytest.mark.parametrize("call", ["data", "delete", "probe"])
    async def test_a_404_of_somebody_else_says_nothing_about_a_device(self, call: str) -> None:
        """A proxy's page, or a hub that is gone."""
        for raw in (answer(404, b"<html>not here</html>"), refusal(404, "IotHubNotFound")):
            error = await outcome(raw, call=call)
            assert isinstance(error, UpstreamRejected)
            assert error.rule == "hub-answer"

    async def test_an_address_that_is_not_allowed(self) -> None:
        error = await outcome(rules=EgressRules())
        assert isinstance(error, UpstreamRejected)
        assert error.rule == "hub-egress-refused"
        assert "ACCREDIT_EGRESS_ALLOW" in error.hint


class TestNotNow:
    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
    async def test_try_again(self, call: str, status: int) -> None:
        error = await outcome(refusal(status, "ThrottlingException", Retry_After="17"), call=call)
        assert isinstance(error, UpstreamUnavailable)
        assert (error.rule, error.retry_after_s) == ("hub-unavailable", 17)

    @pytest.mark.parametrize("said", ["", "soon", "-5"])
    async def test_a_time_that_can_t_be_read(self, said: str) -> None:
        error = await outcome(answer(429, Retry_After=said))
        assert isinstance(error, UpstreamUnavailable)
        assert error.retry_after_s >= 1

    @pytest.mark.parametrize("call", CALLS)
    async def test_no_answer(self, call: str) -> None:
        error = await outcome(None, call=call)
        assert isinstance(error, UpstreamUnavailable)
        assert "no answer within" in error.message

    @pytest.mark.parametrize("raw", [b"", b"SSH-2.0-x\r\n\r\n"])
    async def test_no_usable_answer(self, raw: bytes) -> None:
        error = await outcome(raw)
        assert isinstance(error, UpstreamUnavailable)

    async def test_an_answer_that_does_not_go_on(self) -> None:
        head = b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n"
        async with scripted_hub(head) as (where, heard), calling(where, HandClock()) as hub:
            putting = asyncio.create_task(hub.put(IDENTITY))
            await until(lambda: heard)
            passes(DEADLINE_S)
            with pytest.raises(UpstreamUnavailable, match="no answer within"):
                await putting

    async def test_an_answer_without_an_end(self) -> None:
        error = await outcome(answer(200, b"x" * 2_000_000), call="data")
        assert isinstance(error, UpstreamUnavailable)
        assert "longer than" in error.message

    async def test_nobody_listens(self) -> None:
        async with scripted_hub() as (where, _):
            pass
        async with calling(where, HandClock()) as hub:
            with pytest.raises(UpstreamUnavailable):
                await hub.delete(LAMP)

    async def test_a_certificate_that_nobody_vouches_for(self) -> None:
        async with scripted_hub(DEVICE) as (where, heard):
            async with calling(replace(where, trust_anchors=None), HandClock()) as hub:
                with pytest.raises(UpstreamUnavailable, match="certificate verify failed"):
                    await hub.delete(LAMP)
            assert heard == [], "the token was not shown to a stranger"


class TestUnreadable:
    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b'{"tags":[]}', b"[" * 50_000])
    async def test_a_twin(self, body: bytes) -> None:
        error = await outcome(answer(200, body), call="data")
        assert isinstance(error, UpstreamRejected)
        assert error.rule == "hub-answer"

    @pytest.mark.parametrize("body", [b"", b"[]", b'{"deviceId":"lamp-1"}', b'{"etag":5}', b"[" * 50_000])
    async def test_an_identity(self, body: bytes) -> None:
        error = await outcome(refusal(409, "DeviceAlreadyExists"), answer(200, body))
        assert isinstance(error, UpstreamRejected)
        assert error.rule == "hub-answer"


class TestPut:
    async def test_the_requests_of_a_new_device(self) -> None:
        heard = await outcome(DEVICE)
        assert isinstance(heard, list)
        (request,) = heard
        head, _, body = request.partition(b"\r\n\r\n")
        assert head.startswith(b"PUT /devices/lamp-1?api-version=2021-04-12 HTTP/1.1\r\n")
        assert b"if-match" not in head.lower()
        assert b"SharedAccessSignature sr=localhost&sig=" in head
        assert b"&skn=dps" in head
        assert b'"type":"sas"' in body

    async def test_one_that_exists_is_replaced_under_its_etag(self) -> None:
        heard = await outcome(refusal(409, "DeviceAlreadyExists"), DEVICE, DEVICE)
        assert isinstance(heard, list)
        assert [request.split(b" ")[0] for request in heard] == [b"PUT", b"GET", b"PUT"]
        assert b'If-Match: "e1"\r\n' in heard[2]

    async def test_changed_meanwhile_it_is_read_again(self) -> None:
        taken, changed = refusal(409, "DeviceAlreadyExists"), refusal(412, "PreconditionFailed")
        heard = await outcome(taken, DEVICE, changed, taken, DEVICE, DEVICE)
        assert isinstance(heard, list)
        assert len(heard) == 6

    async def test_deleted_meanwhile_it_is_made(self) -> None:
        heard = await outcome(refusal(409, "DeviceAlreadyExists"), refusal(404, "DeviceNotFound"), DEVICE)
        assert isinstance(heard, list)
        assert [request.split(b" ")[0] for request in heard] == [b"PUT", b"GET", b"PUT"]

    async def test_a_fight_is_given_up(self) -> None:
        fight = (refusal(409, "DeviceAlreadyExists"), DEVICE, refusal(412, "PreconditionFailed"))
        error = await outcome(*fight * 4)
        assert isinstance(error, UpstreamUnavailable)
        assert error.rule == "hub-unavailable"

    async def test_the_twin_is_put_whole(self) -> None:
        async with scripted_hub(DEVICE, TWIN) as (where, heard), calling(where, HandClock()) as hub:
            await hub.put(HubIdentity(LAMP, KEYS, (), DeviceData({"a": 1})))
        assert heard[1].startswith(b"PUT /twins/lamp-1?")
        assert b'If-Match: "*"\r\n' in heard[1]

    async def test_ids_are_encoded(self) -> None:
        async with scripted_hub(answer(204)) as (where, heard), calling(where, HandClock()) as hub:
            await hub.delete(DeviceId("a%b/?#"))
        assert heard[0].startswith(b"DELETE /devices/a%25b%2F%3F%23?api-version=")


async def test_no_secret_is_in_an_error() -> None:
    echo = b64encode(KEYS.primary.reveal())
    for script in ([answer(400, b"bad key " + echo)], [refusal(401, "X")], [None]):
        error = await outcome(*script)
        assert isinstance(error, AccreditError)
        shown = repr(error) + error.message + error.hint + error.evidence
        assert echo.decode() not in shown
        assert "SharedAccess" not in shown


def test_a_connection_string_that_can_t_be_used() -> None:
    hub = LinkedHub("x", HubKind.AZURE, "e", 1, 1, connection_string=Secret(b"HostName=x"))
    nothing: Any = None
    with pytest.raises(Malformed):
        AzureHub(hub, nothing, nothing, nothing)
