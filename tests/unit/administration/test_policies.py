"""Policies: made, replaced, rotated, removed; and that somebody can always change them."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode

import pytest

from accredit.domain.access import Realm
from accredit.wire import sas
from support.service_side import HOST, OWNER, PROVISIONING_RIGHTS, ServiceSide


def _signed(side: ServiceSide, key: str, name: str) -> dict[str, str]:
    token = sas.make(HOST, b64decode(key), int(side.clock.now()) + 60, name)
    return {"Authorization": token}


@pytest.mark.parametrize(
    ("base", "rights"), [("/policies", ["EnrollmentRead"]), ("/hubPolicies", ["ServiceConnect"])]
)
async def test_a_policy_is_made_with_two_keys_that_are_not_shown_again(
    side: ServiceSide, base: str, rights: list[str]
) -> None:
    made = (await side.call("PUT", f"{base}/tool", {"rights": rights})).json()
    assert made["rights"] == rights
    keys = {made["primaryKey"], made["secondaryKey"]}
    assert {len(b64decode(key)) for key in keys} == {32}
    assert len(keys) == 2
    read = await side.call("GET", f"{base}/tool")
    assert read.json() == {name: value for name, value in made.items() if not name.endswith("Key")}
    listed = await side.call("GET", base)
    assert read.json() in listed.json()
    assert not any(key in read.text + listed.text for key in keys)


async def test_its_keys_open_what_its_rights_allow(side: ServiceSide) -> None:
    made = (await side.call("PUT", "/policies/tool", {"rights": ["enrollmentread"]})).json()
    await side.put("/enrollments/dev-1")
    for key in ("primaryKey", "secondaryKey"):
        shown = _signed(side, made[key], "tool")
        assert (await side.call("GET", "/enrollments/dev-1", headers=shown)).status_code == 200
        assert (await side.call("DELETE", "/enrollments/dev-1", headers=shown)).status_code == 401


async def test_given_keys_are_taken_and_a_replace_without_keys_keeps_them(side: ServiceSide) -> None:
    key = b64encode(b"k" * 40).decode()
    await side.call("PUT", "/policies/tool", {"rights": ["EnrollmentRead"], "primaryKey": key})
    replaced = await side.call(
        "PUT", "/policies/tool", {"name": "tool", "rights": ["EnrollmentRead", "EnrollmentWrite"]}, etag="*"
    )
    assert replaced.json()["primaryKey"] == key
    assert replaced.json()["rights"] == ["EnrollmentRead", "EnrollmentWrite"]
    read = (await side.call("GET", "/policies/tool")).json()
    again = await side.call("PUT", "/policies/tool", read, etag=read["etag"])
    assert again.json()["primaryKey"] == key


@pytest.mark.parametrize("which", ["primary", "secondary"])
async def test_rotation_ends_the_old_key_and_leaves_the_other(side: ServiceSide, which: str) -> None:
    made = (await side.call("PUT", "/policies/tool", {"rights": ["EnrollmentRead"]})).json()
    side.clock.advance(5)
    rotated = (await side.call("POST", "/policies/tool/rotate", {"key": which})).json()
    other = "secondary" if which == "primary" else "primary"
    assert rotated[f"{which}Key"] != made[f"{which}Key"]
    assert rotated[f"{other}Key"] == made[f"{other}Key"]
    assert rotated["etag"] != made["etag"]
    assert rotated["lastUpdatedDateTimeUtc"] > rotated["createdDateTimeUtc"] == made["createdDateTimeUtc"]
    for key, status in (
        (made[f"{which}Key"], 401),
        (rotated[f"{which}Key"], 404),
        (made[f"{other}Key"], 404),
    ):
        answer = await side.call("GET", "/enrollments/absent", headers=_signed(side, key, "tool"))
        assert answer.status_code == status


async def test_rotation_obeys_etags(side: ServiceSide) -> None:
    made = (await side.call("PUT", "/policies/tool", {"rights": ["EnrollmentRead"]})).json()
    body = {"key": "primary"}
    assert (await side.call("POST", "/policies/tool/rotate", body, etag='"other"')).status_code == 412
    assert (await side.call("POST", "/policies/tool/rotate", body, etag=made["etag"])).status_code == 200
    assert (await side.call("POST", "/policies/tool/rotate", body, etag=made["etag"])).status_code == 412
    assert (await side.call("POST", "/policies/absent/rotate", body)).status_code == 404


class TestTheLastOne:
    async def test_neither_goes_nor_loses_the_right(self, side: ServiceSide) -> None:
        assert (await side.call("DELETE", "/policies/ServiceConfig")).status_code == 204
        for answer in (
            await side.call("DELETE", f"/policies/{OWNER}"),
            await side.call("PUT", f"/policies/{OWNER}", {"rights": ["EnrollmentRead"]}, etag="*"),
        ):
            assert answer.status_code == 409
            assert "last policy with ServiceConfig" in answer.json()["message"]
        others = [str(right) for right in PROVISIONING_RIGHTS]
        narrower = await side.call("PUT", f"/policies/{OWNER}", {"rights": others[:2]}, etag="*")
        assert narrower.status_code == 200

    async def test_of_two_who_remove_each_others_at_once_one_wins(self, side: ServiceSide) -> None:
        answers = await asyncio.gather(
            side.call("DELETE", f"/policies/{OWNER}"), side.call("DELETE", "/policies/ServiceConfig")
        )
        assert sorted(answer.status_code for answer in answers) == [204, 409]
        left = await side.store.policies(Realm.PROVISIONING)
        assert sum("ServiceConfig" in policy.rights for policy in left) == 1

    async def test_policies_of_the_hub_may_all_go(self, side: ServiceSide) -> None:
        for policy in await side.store.policies(Realm.HUB):
            assert (await side.call("DELETE", f"/hubPolicies/{policy.name}")).status_code == 204
        assert (await side.call("GET", "/hubPolicies")).json() == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rights": []},
        {"rights": ["ServiceConnect"]},
        {"rights": ["Everything"]},
        {"rights": "EnrollmentRead"},
        {"rights": ["EnrollmentRead"], "name": "other"},
        {"rights": ["EnrollmentRead"], "primaryKey": "c2hvcnQ="},
        {"rights": ["EnrollmentRead"], "primaryKey": "no base64"},
        {"rights": ["EnrollmentRead"], "right": 1},
    ],
)
async def test_documents_that_do_not_fit(side: ServiceSide, body: dict[str, object]) -> None:
    assert (await side.call("PUT", "/policies/tool", body)).status_code == 400
    assert (await side.call("GET", "/policies/tool")).status_code == 404


@pytest.mark.parametrize("body", [{}, {"key": "both"}, {"key": None}, None])
async def test_rotations_that_name_no_key(side: ServiceSide, body: object) -> None:
    assert (await side.call("POST", f"/policies/{OWNER}/rotate", body)).status_code == 400


@pytest.mark.parametrize("name", ["a b", "-a", "a" * 65, "%C3%A4"])
async def test_names_that_a_token_could_not_carry(side: ServiceSide, name: str) -> None:
    answer = await side.call("PUT", f"/policies/{name}", {"rights": ["EnrollmentRead"]})
    assert answer.status_code == 400


async def test_there_are_only_so_many_and_they_are_listed_in_pages(side: ServiceSide) -> None:
    present = len(await side.store.policies(Realm.PROVISIONING))
    for number in range(100 - present):
        answer = await side.call("PUT", f"/policies/p-{number}", {"rights": ["EnrollmentRead"]})
        assert answer.status_code == 200
    full = await side.call("PUT", "/policies/one-more", {"rights": ["EnrollmentRead"]})
    assert full.status_code == 409
    assert (
        await side.call("PUT", "/policies/p-1", {"rights": ["EnrollmentRead"]}, etag="*")
    ).status_code == 200
    names: list[str] = []
    headers = {"x-ms-max-item-count": "30"}
    while True:
        page = await side.call("GET", "/policies", headers=headers)
        names += [row["name"] for row in page.json()]
        if "x-ms-continuation" not in page.headers:
            break
        headers["x-ms-continuation"] = page.headers["x-ms-continuation"]
    assert len(names) == len(set(names)) == 100
