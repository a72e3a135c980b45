"""Bulk operations: four modes, two kinds, a verdict for each document."""

from __future__ import annotations

from typing import Any

import pytest

from accredit.interfaces import StoreUnavailable
from support.service_side import ServiceSide, service_side

KINDS = pytest.mark.parametrize("group", [False, True])


def _base(group: bool) -> str:
    return "/enrollmentGroups" if group else "/enrollments"


def _document(name: str, group: bool, **members: Any) -> dict[str, Any]:
    return {
        "enrollmentGroupId" if group else "registrationId": name,
        "attestation": {"type": "symmetricKey"},
        **members,
    }


async def _bulk(side: ServiceSide, mode: str, group: bool, *documents: dict[str, Any]) -> Any:
    member = "enrollmentGroups" if group else "enrollments"
    answer = await side.call("POST", _base(group), {"mode": mode, member: list(documents)})
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert result["isSuccessful"] is (not result["errors"])
    return result["errors"]


async def _status(side: ServiceSide, name: str, group: bool) -> str | None:
    answer = await side.call("GET", f"{_base(group)}/{name}")
    return answer.json()["provisioningStatus"] if answer.status_code == 200 else None


@KINDS
@pytest.mark.parametrize("mode", ["create", "CREATE"])
async def test_create(side: ServiceSide, group: bool, mode: str) -> None:
    await side.put(f"{_base(group)}/there")
    errors = await _bulk(side, mode, group, *(_document(name, group) for name in ("a", "There", "b")))
    noun = "enrollmentGroupId" if group else "registrationId"
    assert [(error[noun], error["errorCode"]) for error in errors] == [("There", 409001)]
    assert "exists already" in errors[0]["errorStatus"]
    assert await _status(side, "a", group) == await _status(side, "b", group) == "enabled"


async def test_what_names_one_id_twice_is_done_in_its_order(side: ServiceSide) -> None:
    errors = await _bulk(side, "create", False, *(_document(name, False) for name in ("a", "A", "b")))
    assert [(error["registrationId"], error["errorCode"]) for error in errors] == [("A", 409001)]


@KINDS
async def test_update(side: ServiceSide, group: bool) -> None:
    made = (await side.put(f"{_base(group)}/there")).json()
    off = {"provisioningStatus": "disabled", "etag": "long gone"}
    errors = await _bulk(
        side, "update", group, *(_document(name, group, **off) for name in ("there", "absent"))
    )
    assert [error["errorCode"] for error in errors] == [404201]
    assert await _status(side, "there", group) == "disabled"
    assert await _status(side, "absent", group) is None
    revealed = await side.call("POST", f"{_base(group)}/there/attestationmechanism")
    assert revealed.json() == made["attestation"]


@KINDS
@pytest.mark.parametrize("mode", ["updateIfMatchETag", "updateIfMatchEtag", "updateifmatchetag"])
async def test_update_by_etag(side: ServiceSide, group: bool, mode: str) -> None:
    etags = [(await side.put(f"{_base(group)}/{name}")).json()["etag"] for name in ("fits", "old", "none")]
    errors = await _bulk(
        side,
        mode,
        group,
        _document("fits", group, provisioningStatus="disabled", etag=etags[0]),
        _document("old", group, provisioningStatus="disabled", etag=etags[0]),
        _document("none", group, provisioningStatus="disabled"),
        _document("absent", group, etag=etags[0]),
    )
    assert [error["errorCode"] for error in errors] == [412001, 400004, 404201]
    assert await _status(side, "fits", group) == "disabled"
    assert await _status(side, "old", group) == await _status(side, "none", group) == "enabled"


@KINDS
async def test_delete_needs_no_more_than_the_id(side: ServiceSide, group: bool) -> None:
    await side.put(f"{_base(group)}/there")
    noun = "enrollmentGroupId" if group else "registrationId"
    errors = await _bulk(side, "delete", group, {noun: "absent"}, {noun: "THERE", "etag": "any"})
    assert [(error[noun], error["errorCode"]) for error in errors] == [("absent", 404201)]
    assert await _status(side, "there", group) is None


async def test_a_document_that_does_not_fit_spoils_no_other(side: ServiceSide) -> None:
    errors = await _bulk(
        side,
        "create",
        False,
        _document("a", False),
        _document("b", False, provisioningStatus="maybe"),
        _document("c", False, deviceId=5),
        _document("query", False),
        _document("a", False),
        _document("d", False),
    )
    assert [error["errorCode"] for error in errors] == [400004, 400004, 400004, 409001]
    assert await _status(side, "d", False) == "enabled"


async def test_nothing_to_do_is_done(side: ServiceSide) -> None:
    assert await _bulk(side, "create", False) == []


@pytest.mark.parametrize(
    "body",
    [
        {"mode": "replace", "enrollments": []},
        {"mode": "create"},
        {"mode": "create", "enrollments": None},
        {"enrollments": []},
        {"mode": "create", "enrollmentGroups": [{"enrollmentGroupId": "a"}]},
        {"mode": "create", "enrollments": [{"enrollmentGroupId": "a"}]},
        {"mode": "create", "enrollments": ["a"]},
        {"mode": "create", "enrollments": [{"registrationId": "no id"}]},
        {"mode": "create", "enrollments": [_document(f"d-{n}", False) for n in range(11)]},
        [],
    ],
)
async def test_what_is_no_bulk_operation_is_refused_whole(side: ServiceSide, body: Any) -> None:
    answer = await side.call("POST", "/enrollments", body)
    assert answer.status_code == 400
    assert (await side.call("POST", "/enrollments/query")).json() == []


class _Full:
    """A store that commits the first unit alone."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._left = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, unit: Any) -> None:
        if not self._left:
            raise StoreUnavailable("disk full")
        self._left -= 1
        await self._store.commit(unit)


async def test_a_store_that_fails_half_way_fails_what_is_left(side: ServiceSide) -> None:
    half = service_side(_Full(side.store))  # type: ignore[arg-type]
    async with half.client:
        errors = await _bulk(half, "create", False, *(_document(name, False) for name in "abc"))
    assert [(error["registrationId"], error["errorCode"]) for error in errors] == [
        ("b", 503001),
        ("c", 503001),
    ]
    assert await _status(side, "a", False) == "enabled"
