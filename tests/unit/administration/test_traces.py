"""Decision traces as the operator reads them, and the registrations that are paused."""

from __future__ import annotations

import pytest

from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef

DEVICE = EnrollmentRef(EnrollmentKind.INDIVIDUAL, "dev-1")


async def test_one_by_its_tracking_id(side):
    await side.refuse("dev-1", "t-1")
    answer = await side.call("GET", "/decisionTraces/t-1")
    assert answer.json() == {
        "trackingId": "t-1",
        "registrationId": "dev-1",
        "tracedDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
        "asked": "register",
        "source": "192.0.2.7",
        "enrollment": "individual/dev-1",
        "steps": [{"subject": "the device", "outcome": "showed a SAS token"}],
        "rule": "csr-signature",
        "reason": "It proves nothing.",
        "evidence": "seen",
        "hint": "do",
        "errorCode": 400004,
    }


async def test_what_is_not_kept_here_is_said_so(side):
    answer = await side.call("GET", "/decisionTraces/none")
    assert (answer.status_code, answer.json()["errorCode"]) == (404, 404201)
    assert "No decision trace of this tracking id is kept here" in answer.json()["message"]
    assert "until it restarts" in answer.json()["message"]


async def test_those_of_one_device_and_of_all_in_pages(side):
    for number in range(5):
        await side.refuse(f"dev-{number % 2}", f"t-{number}")
    one = await side.call("GET", "/decisionTraces?registrationId=DEV-1")
    assert [row["trackingId"] for row in one.json()] == ["t-1", "t-3"]
    first = await side.call("GET", "/decisionTraces", headers={"x-ms-max-item-count": "3"})
    rest = await side.call(
        "GET", "/decisionTraces", headers={"x-ms-continuation": first.headers["x-ms-continuation"]}
    )
    assert [row["trackingId"] for row in (*first.json(), *rest.json())] == [f"t-{n}" for n in range(5)]


@pytest.mark.parametrize("path", ["/decisionTraces", "/decisionTraces/t-1"])
async def test_who_may_read_registrations_may_read_them(side, path):
    await side.refuse("dev-1", "t-1")
    assert (await side.call("GET", path, policy="RegistrationStatusRead")).status_code == 200
    assert (await side.call("GET", path, policy="EnrollmentRead")).status_code == 401


class TestPaused:
    async def test_it_is_shown_with_the_registration(self, side):
        await side.register("dev-1", DEVICE)
        assert "setbacks" not in (await side.call("GET", "/registrations/dev-1")).json()
        await side.refuse("dev-1", "t-1")
        expected = {
            "failures": 20,
            "rule": "csr-signature",
            "reason": "It proves nothing.",
            "trackingId": "t-1",
            "firstDateTimeUtc": "2027-01-15T07:59:00.0000000Z",
            "lastDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
            "pausedDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
        }
        assert (await side.call("GET", "/registrations/dev-1")).json()["setbacks"] == expected
        (row,) = (await side.call("POST", "/registrations/query")).json()
        assert row["setbacks"] == expected

    async def test_one_call_resumes_it(self, side):
        await side.register("dev-1", DEVICE)
        await side.refuse("dev-1", "t-1")
        answer = await side.call("POST", "/registrations/DEV-1/resume", policy="RegistrationStatusWrite")
        assert answer.status_code == 200
        assert "setbacks" not in answer.json()
        assert "setbacks" not in (await side.call("GET", "/registrations/dev-1")).json()
        assert (await side.call("POST", "/registrations/dev-1/resume")).status_code == 200

    async def test_nobody_of_that_name(self, side):
        assert (await side.call("POST", "/registrations/dev-9/resume")).status_code == 404

    async def test_reading_is_not_enough(self, side):
        await side.register("dev-1", DEVICE)
        answer = await side.call("POST", "/registrations/dev-1/resume", policy="RegistrationStatusRead")
        assert answer.status_code == 401
