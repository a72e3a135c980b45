"""The hub's registry API: who may call, what is created, replaced, merged and refused. Real store, real tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from accredit.administration.access import Access
from accredit.administration.bearers import Bearers
from accredit.administration.issuer_keys import IssuerKeys
from accredit.domain.access import Realm, Right
from accredit.domain.changes import SaveHubDevice, SaveLinkedHub
from accredit.domain.device import HubDevice
from accredit.domain.errors import AccreditError, Throttled
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.secret import Secret
from accredit.egress import Egress, EgressRules, tls_context
from accredit.fronts.https import application
from accredit.fronts.hub_registry import RegistryCalls, routes, table
from accredit.hub.registry import Registry
from accredit.hub.sessions import Sessions
from accredit.linked_hubs.configured import ConfiguredHubs
from accredit.policy.access import NEEDED
from accredit.policy.bearer import ROLE_RIGHTS, Role, Trusted
from accredit.values import replace
from accredit.wire import sas
from support.counted_entropy import CountedEntropy
from support.hub_world import HOST, HOSTS, LAMP, HubWorld, hub_world
from support.linked import embedded
from support.oidc_issuer import AUDIENCE, OIDCIssuer

SECOND = "second.example"
EVERY = (Right.REGISTRY_READ, Right.REGISTRY_WRITE, Right.SERVICE_CONNECT, Right.DEVICE_CONNECT)


@dataclass
class Api:
    world: HubWorld
    sessions: Sessions
    client: httpx.AsyncClient
    key: Secret

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        if_match: str | None = None,
        host: str = HOST,
        token: str | None = None,
        version: str | None = "2021-04-12",
    ) -> httpx.Response:
        headers = {"Host": host} if if_match is None else {"Host": host, "If-Match": if_match}
        headers["Authorization"] = token or self.world.token(host, key=self.key, policy="iothubowner")
        separator = "&" if "?" in path else "?"
        address = path if version is None else f"{path}{separator}api-version={version}"
        return await self.client.request(method, address, json=body, headers=headers)

    async def made(self, name: str = "dev-1", host: str = HOST, **members: Any) -> Any:
        answer = await self.call("PUT", f"/devices/{name}", {"deviceId": name, **members}, host=host)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def stored(self, name: str = "dev-1", hub: str = FIRST_HUB) -> HubDevice | None:
        return await self.world.store.hub_device(hub, DeviceId(name))

    def connect(self, name: str = "dev-1", hub: str = FIRST_HUB) -> list[str]:
        """A device's connection; why it ended appears in the list."""
        ended: list[str] = []
        self.sessions.open(DeviceId(name), ended.append, hub)
        return ended


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    world = await hub_world(tmp_path)
    await world.store.commit([SaveLinkedHub(embedded(SECOND), None)])
    key = await world.policy("iothubowner", *EVERY)
    entropy, sessions = CountedEntropy(), Sessions()
    hubs = ConfiguredHubs(world.store, HOSTS)
    access = Access(world.store, world.clock, HOSTS, Realm.HUB)
    registry = Registry(world.store, sessions, world.clock, entropy)
    app = application(routes(registry, hubs, access, world.clock, entropy), world.clock, entropy)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"https://{HOST}") as client:
        yield Api(world, sessions, client, key)
    await world.store.close()


def error(answer: httpx.Response) -> tuple[int, str]:
    """Status and name, which stand in the body and in the header."""
    name = answer.headers["iothub-errorcode"]
    assert answer.json()["Message"].startswith(f"ErrorCode:{name};")
    assert answer.json()["ExceptionMessage"].startswith("Tracking ID:")
    return answer.status_code, name


class TestIdentities:
    async def test_made_with_keys_of_its_own(self, api: Api) -> None:
        made = await api.made(status="enabled", capabilities={"iotEdge": True})
        assert made["authentication"]["type"] == "sas"
        keys = made["authentication"]["symmetricKey"]
        assert len(keys["primaryKey"]) == len(keys["secondaryKey"]) == 44
        assert keys["primaryKey"] != keys["secondaryKey"]
        assert made["generationId"].isdigit()
        read = await api.call("GET", "/devices/dev-1")
        assert read.json() == made
        assert read.headers["etag"] == f'"{made["etag"]}"'
        assert read.headers["content-type"].startswith("application/json")

    async def test_its_key_opens_the_hub(self, api: Api) -> None:
        made = await api.made()
        stored = await api.stored()
        assert stored is not None
        assert stored.keys is not None
        token = api.world.token(f"{HOST}/devices/dev-1", key=stored.keys.primary)
        admission = await api.world.identities().authenticate(DeviceId("dev-1"), (), sas.parse(token))
        assert admission.generation_id == made["generationId"]

    async def test_made_once(self, api: Api) -> None:
        await api.made()
        again = await api.call("PUT", "/devices/dev-1", {"deviceId": "dev-1"})
        assert error(again) == (409, "DeviceAlreadyExists")

    async def test_of_many_who_make_it_one_does(self, api: Api) -> None:
        calls = [api.call("PUT", "/devices/dev-1", {"deviceId": "dev-1"}) for _ in range(20)]
        answers = await asyncio.gather(*calls)
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19

    @pytest.mark.parametrize("name", ["a%2Bb%23", "100%25", "what%3F", "it's(*)!,=@$;"])
    async def test_ids_that_a_hub_allows(self, api: Api, name: str) -> None:
        answer = await api.call("PUT", f"/devices/{name}", {})
        assert answer.status_code == 200, answer.text
        assert (await api.call("GET", f"/devices/{name}")).json() == answer.json()
        assert (await api.call("GET", f"/twins/{name}")).status_code == 200

    async def test_ids_differ_by_case(self, api: Api) -> None:
        await api.made()
        assert error(await api.call("GET", "/devices/Dev-1")) == (404, "DeviceNotFound")

    @pytest.mark.parametrize("if_match", ["*", '"*"', "{etag}", '"{etag}"', 'W/"{etag}"'])
    async def test_replaced(self, api: Api, if_match: str) -> None:
        made = await api.made()
        condition = if_match.replace("{etag}", made["etag"])
        sent = {**made, "status": "disabled", "statusReason": "lost"}
        answer = await api.call("PUT", "/devices/dev-1", sent, if_match=condition)
        assert answer.status_code == 200, answer.text
        changed = answer.json()
        assert changed["etag"] != made["etag"]
        assert {**changed, "etag": 0} == {**sent, "etag": 0}

    async def test_a_replace_without_keys_keeps_them(self, api: Api) -> None:
        made = await api.made()
        for authentication in (None, {"type": "sas"}, {"symmetricKey": {"primaryKey": ""}}):
            body = {"deviceId": "dev-1", "authentication": authentication}
            answer = await api.call("PUT", "/devices/dev-1", body, if_match="*")
            assert answer.json()["authentication"] == made["authentication"]

    async def test_another_etag(self, api: Api) -> None:
        await api.made()
        for method in ("PUT", "DELETE"):
            answer = await api.call(method, "/devices/dev-1", {}, if_match='"other"')
            assert error(answer) == (412, "PreconditionFailed")

    async def test_replacing_what_is_not_there(self, api: Api) -> None:
        assert error(await api.call("PUT", "/devices/x", {}, if_match="*")) == (404, "DeviceNotFound")
        assert error(await api.call("PUT", "/devices/x", {}, if_match='"e"')) == (412, "PreconditionFailed")

    @pytest.mark.parametrize("if_match", [None, "*", "{etag}"])
    async def test_deleted(self, api: Api, if_match: str | None) -> None:
        made = await api.made()
        condition = if_match and if_match.replace("{etag}", made["etag"])
        answer = await api.call("DELETE", "/devices/dev-1", if_match=condition)
        assert (answer.status_code, answer.content) == (204, b"")
        assert error(await api.call("DELETE", "/devices/dev-1", if_match="*")) == (404, "DeviceNotFound")
        assert error(await api.call("GET", "/twins/dev-1")) == (404, "DeviceNotFound")

    async def test_listed_and_counted(self, api: Api) -> None:
        for name in ("c", "a", "b"):
            await api.made(name, status="disabled" if name == "a" else "enabled")
        await api.made("d", host=SECOND)
        for path in ("/devices", "/devices/"):
            rows = (await api.call("GET", path)).json()
            assert [row["deviceId"] for row in rows] == ["a", "b", "c"]
        assert len((await api.call("GET", "/devices?top=2")).json()) == 2
        assert (await api.call("GET", "/statistics/devices")).json() == {
            "totalDeviceCount": 3,
            "enabledDeviceCount": 2,
            "disabledDeviceCount": 1,
        }

    @pytest.mark.parametrize("top", ["0", "-1", "x", "1.5", "9" * 10])
    async def test_a_bad_top(self, api: Api, top: str) -> None:
        assert error(await api.call("GET", f"/devices?top={top}")) == (400, "ArgumentInvalid")

    async def test_a_bad_document(self, api: Api) -> None:
        answer = await api.call("PUT", "/devices/x", {"authentication": {"type": "magic"}})
        assert error(answer) == (400, "ArgumentInvalid")
        assert "authentication.type" in answer.json()["Message"]
        assert await api.stored("x") is None


class TestConnections:
    @pytest.mark.parametrize(
        "change",
        [
            {"status": "disabled"},
            {"authentication": {"symmetricKey": {"primaryKey": "bmV3IG5ldyBuZXcgbmV3IG5ldw=="}}},
            {"authentication": {"x509Thumbprint": {"primaryThumbprint": "ab" * 32}}},
            {"authentication": {"type": "certificateAuthority"}},
        ],
    )
    async def test_who_loses_access_is_cut(self, api: Api, change: dict[str, Any]) -> None:
        await api.made()
        ended, elsewhere = api.connect(), api.connect(hub=SECOND)
        assert (await api.call("GET", "/devices/dev-1")).json()["connectionState"] == "Connected"
        assert (await api.call("PUT", "/devices/dev-1", change, if_match="*")).status_code == 200
        assert len(ended) == 1
        assert elsewhere == []

    async def test_who_keeps_it_stays(self, api: Api) -> None:
        made = await api.made()
        ended = api.connect()
        changed = {**made, "capabilities": {"iotEdge": True}, "statusReason": "x"}
        assert (await api.call("PUT", "/devices/dev-1", changed, if_match="*")).status_code == 200
        assert ended == []

    async def test_deleting_cuts(self, api: Api) -> None:
        await api.made()
        ended = api.connect()
        await api.call("DELETE", "/devices/dev-1")
        assert len(ended) == 1


class TestRegistered:
    """Identities that provisioning made."""

    async def test_its_certificates_are_its_credentials(self, api: Api) -> None:
        await api.world.enroll()
        assert (await api.call("GET", "/devices/lamp-1")).json()["authentication"]["type"] == "sas"
        old, new = await api.world.issue(), await api.world.issue()
        shown = (await api.call("GET", "/devices/lamp-1")).json()["authentication"]
        assert shown["type"] == "selfSigned"
        assert shown["x509Thumbprint"] == {
            "primaryThumbprint": sha256(new.der).hexdigest().upper(),
            "secondaryThumbprint": sha256(old.der).hexdigest().upper(),
        }
        assert shown["symmetricKey"] == {"primaryKey": None, "secondaryKey": None}

    async def test_sent_back_as_shown_nothing_of_them_changes(self, api: Api) -> None:
        await api.world.enroll()
        await api.world.issue()
        shown = (await api.call("GET", "/devices/lamp-1")).json()
        before = await api.stored("lamp-1")
        ended = api.connect("lamp-1")
        answer = await api.call("PUT", "/devices/lamp-1", {**shown, "statusReason": "seen"}, if_match="*")
        assert answer.status_code == 200
        after = await api.stored("lamp-1")
        assert before is not None
        assert after is not None
        assert (after.keys, after.thumbprint, after.registration_id) == (
            before.keys, None, before.registration_id,
        )  # fmt: skip
        assert (after.status_reason, ended) == ("seen", [])

    async def test_a_registration_takes_over_what_was_made_by_hand(self, api: Api) -> None:
        made = await api.made("lamp-1")
        await api.call("PATCH", "/twins/lamp-1", {"tags": {"a": 1}})
        await api.world.enroll()
        stored = await api.stored("lamp-1")
        assert stored is not None
        assert str(stored.registration_id) == "lamp-1"
        assert stored.generation_id == made["generationId"]


class TestTwins:
    async def test_a_patch_is_merged(self, api: Api) -> None:
        await api.made()
        fresh = (await api.call("GET", "/twins/dev-1")).json()
        first = {"tags": {"a": 1, "b": {"x": 1}}, "properties": {"desired": {"on": True}}}
        patched = (await api.call("PATCH", "/twins/dev-1", first)).json()
        assert patched["tags"] == first["tags"]
        assert patched["properties"]["desired"]["on"] is True
        assert patched["properties"]["desired"]["$version"] == 2
        assert (patched["version"], patched["etag"]) == (fresh["version"] + 1, "AAAAAAAAAAI=")
        again = (await api.call("PATCH", "/twins/dev-1", {"tags": {"a": None, "b": {"y": 2}}})).json()
        assert again["tags"] == {"b": {"x": 1, "y": 2}}
        assert again["properties"]["desired"]["$version"] == 2, "the desired properties were not touched"
        assert (await api.call("GET", "/twins/dev-1")).json() == again

    async def test_a_put_replaces_each_half_that_it_names(self, api: Api) -> None:
        await api.made()
        full = {"tags": {"a": 1}, "properties": {"desired": {"b": 2}}}
        await api.call("PATCH", "/twins/dev-1", full)
        put = (await api.call("PUT", "/twins/dev-1", {"properties": {"desired": {"c": 3, "d": None}}})).json()
        assert put["tags"] == {"a": 1}
        assert {k: v for k, v in put["properties"]["desired"].items() if k[0] != "$"} == {"c": 3}
        emptied = (await api.call("PUT", "/twins/dev-1", {"tags": {}})).json()
        assert emptied["tags"] == {}

    async def test_a_twin_that_was_read_can_be_sent_back(self, api: Api) -> None:
        await api.made()
        await api.call("PATCH", "/twins/dev-1", {"tags": {"a": 1}, "properties": {"desired": {"b": 2}}})
        read = (await api.call("GET", "/twins/dev-1")).json()
        sent = await api.call("PUT", "/twins/dev-1", read, if_match=f'"{read["etag"]}"')
        assert sent.json()["tags"] == {"a": 1}
        assert sent.json()["properties"]["desired"]["b"] == 2

    async def test_its_etag_guards_it(self, api: Api) -> None:
        await api.made()
        etag = (await api.call("GET", "/twins/dev-1")).headers["etag"]
        assert (await api.call("PATCH", "/twins/dev-1", {"tags": {"a": 1}}, if_match=etag)).status_code == 200
        for stale in (etag, '"x"', ""):
            answer = await api.call("PATCH", "/twins/dev-1", {"tags": {"a": 2}}, if_match=stale)
            assert error(answer) == (412, "PreconditionFailed")
        assert (
            await api.call("PATCH", "/twins/dev-1", {"tags": {"a": 3}}, if_match='"*"')
        ).status_code == 200

    async def test_of_many_changes_none_is_lost(self, api: Api) -> None:
        await api.made()
        calls = [api.call("PATCH", "/twins/dev-1", {"tags": {f"t{n}": n}}) for n in range(6)]
        answers = await asyncio.gather(*calls)
        assert {answer.status_code for answer in answers} == {200}
        twin = (await api.call("GET", "/twins/dev-1")).json()
        assert len(twin["tags"]) == 6
        assert twin["version"] == 8

    async def test_limits(self, api: Api) -> None:
        await api.made()
        answer = await api.call("PATCH", "/twins/dev-1", {"tags": {"a b": 1}})
        assert error(answer) == (400, "ArgumentInvalid")
        assert (await api.call("GET", "/twins/dev-1")).json()["tags"] == {}

    async def test_identity_and_twin_do_not_overwrite_each_other(self, api: Api) -> None:
        made = await api.made()
        await api.call("PATCH", "/twins/dev-1", {"tags": {"a": 1}})
        answer = await api.call("PUT", "/devices/dev-1", made, if_match=made["etag"])
        assert answer.status_code == 200, "a twin's change leaves the identity's etag alone"
        assert (await api.call("GET", "/twins/dev-1")).json()["tags"] == {"a": 1}


class TestSeveralHubs:
    async def test_each_has_its_own(self, api: Api) -> None:
        here, there = await api.made(), await api.made(host=SECOND)
        assert here["authentication"] != there["authentication"]
        await api.call("DELETE", "/devices/dev-1")
        assert (await api.call("GET", "/devices/dev-1", host=SECOND)).json() == there
        assert (await api.call("GET", "/devices/dev-1", host=f"{SECOND}:8443")).json() == there

    async def test_a_token_is_for_one_hub(self, api: Api) -> None:
        await api.made(host=SECOND)
        elsewhere = api.world.token(HOST, key=api.key, policy="iothubowner")
        answer = await api.call("GET", "/devices/dev-1", host=SECOND, token=elsewhere)
        assert error(answer) == (401, "IotHubUnauthorizedAccess")

    async def test_any_other_name_means_the_first(self, api: Api) -> None:
        await api.made()
        token = api.world.token("localhost", key=api.key, policy="iothubowner")
        answer = await api.call("GET", "/devices/dev-1", host="192.0.2.1", token=token)
        assert answer.status_code == 200


class TestGate:
    @pytest.mark.parametrize("right", EVERY)
    async def test_each_right_opens_its_calls_and_no_others(self, api: Api, right: Right) -> None:
        key = await api.world.policy(right.value, right)
        await api.made()
        token = api.world.token(HOST, key=key, policy=right.value)
        for method, path, call, _ in table(RegistryCalls(Any)):  # type: ignore[arg-type]
            answer = await api.call(method, path.replace("{id}", "dev-1"), {}, token=token)
            assert (answer.status_code != 401) == (NEEDED[call] is right), (method, path)

    async def test_each_role_opens_its_calls_and_no_others(self, api: Api) -> None:
        await api.made()
        with OIDCIssuer(now=api.world.clock.now) as issuer:
            egress = Egress(EgressRules(("localhost",)), tls=tls_context(issuer.trust))
            trusted = Trusted(issuer.url, {AUDIENCE}, "roles", {role.value: role for role in Role})
            bearers = Bearers(IssuerKeys(issuer.url, "", egress, api.world.clock), trusted)
            access = Access(api.world.store, api.world.clock, HOSTS, Realm.HUB, bearers=bearers)
            hubs, entropy = ConfiguredHubs(api.world.store, HOSTS), CountedEntropy()
            registry = Registry(api.world.store, api.sessions, api.world.clock, entropy)
            app = application(
                routes(registry, hubs, access, api.world.clock, entropy), api.world.clock, entropy
            )
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url=f"https://{HOST}") as client:
                asked = replace(api, client=client)
                for method, path, call, _ in table(RegistryCalls(Any)):  # type: ignore[arg-type]
                    for role in Role:
                        answer = await asked.call(
                            method, path.replace("{id}", "dev-1"), {}, token=f"Bearer {issuer.token(role)}"
                        )
                        assert (answer.status_code != 401) == (NEEDED[call] in ROLE_RIGHTS[role]), (
                            method,
                            path,
                        )
            await egress.close()

    async def test_a_policy_of_provisioning_opens_nothing(self, api: Api) -> None:
        key = await api.world.policy("owner", *Right, realm=Realm.PROVISIONING)
        token = api.world.token(HOST, key=key, policy="owner")
        assert (await api.call("GET", "/devices", token=token)).status_code == 401

    @pytest.mark.parametrize("version", [None, "", "yesterday", "2021-04-12x"])
    async def test_an_api_version_is_needed(self, api: Api, version: str | None) -> None:
        assert error(await api.call("GET", "/devices", version=version)) == (400, "InvalidProtocolVersion")

    @pytest.mark.parametrize("version", ["2016-11-14", "2020-09-30", "2025-08-01-preview"])
    async def test_any_will_do(self, api: Api, version: str) -> None:
        assert (await api.call("GET", "/devices", version=version)).status_code == 200

    async def test_a_store_that_can_t_answer(self, api: Api) -> None:
        token = api.world.token(HOST, key=api.key, policy="iothubowner")
        await api.world.store.close()
        answer = await api.call("GET", "/devices/dev-1", token=token)
        assert error(answer) == (503, "ServiceUnavailable")
        assert answer.headers["retry-after"] == "5"


async def test_who_is_not_let_in_is_counted_and_calls_are_not(api: Api) -> None:
    seen: list[str] = []

    class Counted:
        def service_call(self) -> None:
            raise AssertionError("a hub's calls are not those of the provisioning service")

        def failed(self, refusal: AccreditError, source: str) -> AccreditError:
            seen.append(refusal.rule)
            return Throttled("Too many.", rule="failed-proofs", retry_after_s=7)

    world, hubs = api.world, ConfiguredHubs(api.world.store, HOSTS)
    access = Access(world.store, world.clock, HOSTS, Realm.HUB)
    registry = Registry(world.store, api.sessions, world.clock, CountedEntropy())
    counted = routes(registry, hubs, access, world.clock, CountedEntropy(), Counted())
    transport = httpx.ASGITransport(application(counted, world.clock, CountedEntropy()))
    async with httpx.AsyncClient(transport=transport, base_url=f"https://{HOST}") as client:
        stranger = Api(world, api.sessions, client, Secret(b"wrong"))
        answer = await stranger.call("GET", "/devices")
        assert error(answer) == (429, "ThrottlingException")
        assert answer.headers["retry-after"] == "7"
        assert seen == ["sas-signature"]
        assert (await Api(world, api.sessions, client, api.key).call("GET", "/devices")).status_code == 200


async def test_a_twin_that_a_registration_replaces_counts_on(api: Api) -> None:
    await api.world.enroll()
    before = await api.stored("lamp-1")
    assert before is not None
    await api.world.store.commit([SaveHubDevice(before)])
    twin = (await api.call("GET", f"/twins/{LAMP}")).json()
    assert (twin["version"], twin["etag"]) == (3, "AAAAAAAAAAI=")
