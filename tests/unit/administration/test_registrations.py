"""Registrations: read, moved, deleted, listed."""

from __future__ import annotations

from typing import Any

import pytest

from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from support.service_side import ServiceSide

DEV = EnrollmentRef(EnrollmentKind.INDIVIDUAL, "dev-1")
LINE = EnrollmentRef(EnrollmentKind.GROUP, "line-1")
OTHER = EnrollmentRef(EnrollmentKind.GROUP, "line-2")


async def test_the_document(side: ServiceSide) -> None:
    await side.register("Dev-1", LINE)
    answer = await side.call("GET", "/registrations/DEV-1")
    assert answer.json() == {
        "registrationId": "Dev-1",
        "createdDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
        "assignedHub": "Hub-A.example",
        "deviceId": "Dev-1",
        "status": "assigned",
        "substatus": "initialAssignment",
        "lastUpdatedDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
        "etag": '"etag-of-Dev-1"',
        "enrollmentGroupId": "line-1",
    }
    assert answer.headers["etag"] == '"etag-of-Dev-1"'


class TestMove:
    @pytest.mark.parametrize(
        ("body", "target"),
        [({"enrollmentGroupId": "LINE-2"}, OTHER), ({"individual": True}, DEV)],
    )
    async def test_it_changes_hands(
        self, side: ServiceSide, body: dict[str, Any], target: EnrollmentRef
    ) -> None:
        await side.put("/enrollmentGroups/line-2")
        await side.put("/enrollments/dev-1")
        before = await side.register("dev-1", LINE)
        side.clock.advance(7)
        answer = await side.call("POST", "/registrations/dev-1/move", body)
        assert answer.status_code == 200
        after = await side.store.registration(before.registration_id)
        assert after is not None
        assert after.enrollment == target
        assert after.etag != before.etag
        assert (after.created_at, after.updated_at) == (before.created_at, before.updated_at + 7)
        assert (after.device_id, after.hub, after.status) == (before.device_id, before.hub, before.status)

    @pytest.mark.parametrize(
        "body", [{"enrollmentGroupId": "nowhere"}, {"individual": True}, {}, {"individual": False}, None]
    )
    async def test_to_nowhere(self, side: ServiceSide, body: Any) -> None:
        before = await side.register("dev-1", LINE)
        assert (await side.call("POST", "/registrations/dev-1/move", body)).status_code == 400
        assert await side.store.registration(before.registration_id) == before

    async def test_of_nothing(self, side: ServiceSide) -> None:
        await side.put("/enrollments/dev-1")
        answer = await side.call("POST", "/registrations/dev-1/move", {"individual": True})
        assert answer.status_code == 404

    async def test_under_a_condition(self, side: ServiceSide) -> None:
        await side.put("/enrollments/dev-1")
        await side.register("dev-1", LINE)
        body = {"individual": True}
        assert (await side.call("POST", "/registrations/dev-1/move", body, etag="other")).status_code == 412
        assert (
            await side.call("POST", "/registrations/dev-1/move", body, etag='"etag-of-dev-1"')
        ).status_code == 200


class TestQueries:
    async def test_of_one_group_and_of_all(self, side: ServiceSide) -> None:
        await side.put("/enrollmentGroups/line-1")
        for name in ("a", "b", "c"):
            await side.register(name, LINE)
        await side.register("d", OTHER)
        await side.register("dev-1", DEV)
        group = await side.call("POST", "/registrations/LINE-1/query")
        assert {row["registrationId"] for row in group.json()} == {"a", "b", "c"}
        every = await side.call("POST", "/registrations/query", {"query": "SELECT * FROM registrations"})
        assert {row["registrationId"] for row in every.json()} == {"a", "b", "c", "d", "dev-1"}

    async def test_a_group_that_is_gone_and_left_registrations(self, side: ServiceSide) -> None:
        await side.register("a", LINE)
        assert len((await side.call("POST", "/registrations/line-1/query")).json()) == 1

    async def test_a_group_without_any(self, side: ServiceSide) -> None:
        await side.put("/enrollmentGroups/line-1")
        answer = await side.call("POST", "/registrations/line-1/query")
        assert (answer.status_code, answer.json()) == (200, [])

    async def test_a_group_that_never_was(self, side: ServiceSide) -> None:
        assert (await side.call("POST", "/registrations/line-1/query")).status_code == 404


async def test_a_deleted_registration_is_gone(side: ServiceSide) -> None:
    await side.register("dev-1", LINE)
    assert (await side.call("DELETE", "/registrations/dev-1")).status_code == 204
    assert (await side.call("GET", "/registrations/dev-1")).status_code == 404
