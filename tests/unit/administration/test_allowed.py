"""The list of a group, and the quota that stands beside it."""

from __future__ import annotations

import pytest

LIST = "/enrollmentGroups/Line/allowedRegistrationIds"


async def listed(side) -> list[str]:
    return [row["registrationId"] for row in (await side.call("GET", LIST)).json()]


@pytest.fixture
async def group(side):
    return (await side.put("/enrollmentGroups/Line")).json()


async def test_added_removed_and_listed(side, group):
    assert await listed(side) == []
    assert (await side.call("POST", LIST, {"add": ["B", "a", "c"]})).status_code == 204
    assert (await side.call("POST", LIST, {"add": ["d"], "remove": ["b", "z"]})).status_code == 204
    assert await listed(side) == ["a", "c", "d"]


async def test_many_in_pages(side, group):
    names = [f"dev-{number:04}" for number in range(1_000)]
    await side.call("POST", LIST, {"add": names})
    first = await side.call("GET", LIST, headers={"x-ms-max-item-count": "600"})
    rest = await side.call("GET", LIST, headers={"x-ms-continuation": first.headers["x-ms-continuation"]})
    assert [row["registrationId"] for row in (*first.json(), *rest.json())[:1_000]] == names[:700]


@pytest.mark.parametrize(
    "body", [{"add": ["a", "b c"]}, {"add": "a"}, {"allow": ["a"]}, ["a"], {"add": [1]}, {"remove": [""]}]
)
async def test_what_is_no_list_of_ids(side, group, body):
    assert (await side.call("POST", LIST, body)).status_code == 400
    assert await listed(side) == []


async def test_no_group_no_list(side):
    assert (await side.call("GET", LIST)).status_code == 404
    assert (await side.call("POST", LIST, {"add": ["a"]})).status_code == 404


async def test_replacing_the_group_keeps_it_and_deleting_does_not(side, group):
    await side.call("POST", LIST, {"add": ["a"]})
    await side.put("/enrollmentGroups/Line", etag="*", allowedRegistrationIdsOnly=True)
    assert await listed(side) == ["a"]
    await side.call("DELETE", "/enrollmentGroups/Line")
    await side.put("/enrollmentGroups/Line")
    assert await listed(side) == []


class TestQuota:
    async def test_shown_as_it_was_put(self, side):
        quota = {"maxRegistrations": 5, "registrationsPerMinute": 60}
        made = await side.put("/enrollmentGroups/g", quota=quota, allowedRegistrationIdsOnly=True)
        assert made.json()["quota"] == quota
        read = (await side.call("GET", "/enrollmentGroups/g")).json()
        assert (read["quota"], read["allowedRegistrationIdsOnly"]) == (quota, True)

    @pytest.mark.parametrize(
        "member", [{"quota": {}}, {"quota": None}, {"allowedRegistrationIdsOnly": False}]
    )
    async def test_none(self, side, member):
        made = await side.put("/enrollmentGroups/g", **member)
        assert made.status_code == 200
        assert "quota" not in made.json()
        assert "allowedRegistrationIdsOnly" not in made.json()

    @pytest.mark.parametrize(
        "quota",
        [{"maxRegistrations": 0}, {"maxRegistrations": -1}, {"registrationsPerMinute": 10**12},
         {"maxRegistrations": "5"}, {"most": 5}, 5],
    )  # fmt: skip
    async def test_what_is_none(self, side, quota):
        assert (await side.put("/enrollmentGroups/g", quota=quota)).status_code == 400

    @pytest.mark.parametrize(
        "member", [{"quota": {"maxRegistrations": 1}}, {"allowedRegistrationIdsOnly": True}]
    )
    async def test_not_on_an_individual_enrollment(self, side, member):
        answer = await side.put("/enrollments/dev-1", **member)
        assert answer.status_code == 400
        assert "for enrollment groups" in answer.json()["message"]
