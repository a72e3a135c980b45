"""Trust bundles: what a replace keeps, what a delete needs, and the enrollments that name them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from support import pki
from support.service_side import ServiceSide

PATH = "/trustBundles/Roots"


async def put(side: ServiceSide, *roots: str, etag: str | None = None) -> httpx.Response:
    sent = {"certificates": [{"certificate": pki.root(name).pem} for name in roots]}
    return await side.call("PUT", PATH, sent, etag=etag)


async def test_created_read_replaced_deleted(side: ServiceSide) -> None:
    created = await put(side, "A", "B")
    first = created.json()
    assert created.headers["etag"] == first["etag"]
    assert (await side.call("GET", "/trustBundles/rOOTS")).json() == first
    assert (await put(side, "C")).status_code == 409
    side.clock.advance(5)
    second = (await put(side, "C", etag=first["etag"])).json()
    assert [one["metadata"]["subjectName"] for one in second["certificates"]] == ["CN=C"]
    assert (second["id"], second["createdDateTime"]) == ("Roots", first["createdDateTime"])
    assert second["lastModifiedDateTime"] != first["lastModifiedDateTime"]
    assert (await put(side, "D", etag=first["etag"])).status_code == 412
    assert (await side.call("DELETE", PATH, etag=first["etag"])).status_code == 412
    assert (await side.call("DELETE", PATH, etag=second["etag"])).status_code == 204
    assert (await side.call("GET", PATH)).status_code == 404
    assert (await side.call("DELETE", PATH)).status_code == 404
    assert (await put(side, "E", etag='"gone"')).status_code == 412


async def test_listed(side: ServiceSide) -> None:
    assert (await side.call("GET", "/trustBundles")).json() == []
    shown = (await put(side, "A")).json()
    assert (await side.call("GET", "/trustBundles")).json() == [shown]


@pytest.mark.parametrize("path", ["/enrollments/dev-1", "/enrollmentGroups/line-1"])
async def test_an_enrollment_names_what_is_there(side: ServiceSide, path: str) -> None:
    refused = await side.put(path, trustBundleId="roots")
    assert refused.status_code == 400
    assert "trustBundleId" in refused.json()["message"]
    await put(side, "A")
    assert (await side.put(path, trustBundleId="roots")).json()["trustBundleId"] == "roots"
    assert (await side.call("GET", path)).json()["trustBundleId"] == "roots"
    assert (await side.put(path, etag="*", trustBundleId="a b")).status_code == 400


@pytest.mark.parametrize("nothing", [None, ""])
async def test_naming_none(side: ServiceSide, nothing: Any) -> None:
    assert "trustBundleId" not in (await side.put("/enrollments/dev-1", trustBundleId=nothing)).json()


async def test_a_bundle_that_is_named_is_not_deleted(side: ServiceSide) -> None:
    await put(side, "A")
    await side.put("/enrollments/dev-1", trustBundleId="ROOTS")
    await side.put("/enrollmentGroups/line-1", trustBundleId="Roots")
    refused = await side.call("DELETE", PATH)
    assert refused.status_code == 409
    assert "2 enrollments" in refused.json()["message"]
    assert (await put(side, "B", etag="*")).status_code == 200
    await side.call("DELETE", "/enrollments/dev-1")
    assert "1 enrollments" in (await side.call("DELETE", PATH, etag="*")).json()["message"]
    await side.put("/enrollmentGroups/line-1", etag="*")
    assert (await side.call("DELETE", PATH)).status_code == 204
