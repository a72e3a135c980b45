"""`/openapi.json`: public, cacheable, complete, and true of every answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from accredit.domain.access import Realm
from support.api_examples import EXAMPLES, EveryRoute, every_route


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[EveryRoute]:
    async with every_route(tmp_path) as everything:
        yield everything


async def _document(world: EveryRoute) -> dict[str, Any]:
    answer = await world.client.get("/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


async def test_it_is_public_and_may_be_kept(world: EveryRoute) -> None:
    answer = await world.client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert "max-age" in answer.headers["cache-control"]
    again = await world.client.get("/openapi.json", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_it_lists_every_row_of_the_tables_and_nothing_else(world: EveryRoute) -> None:
    paths = (await _document(world))["paths"]
    listed = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert listed == {(each.method, each.path) for table in world.tables.values() for each in table}
    names = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(names) == len(set(names))
    assert all(operation["summary"] for methods in paths.values() for operation in methods.values())


@pytest.mark.parametrize(("method", "path"), sorted(EXAMPLES), ids=str)
async def test_answers_are_what_it_says(world: EveryRoute, method: str, path: str) -> None:
    document = await _document(world)
    example = EXAMPLES[method, path]
    realm = Realm.HUB if any(each.path == path for each in world.tables[Realm.HUB]) else Realm.PROVISIONING
    name = "iothubowner" if realm is Realm.HUB else "provisioningserviceowner"
    answer = await world.call(example, method, world.side.token(name, realm))
    assert answer.status_code == example.status, answer.text
    responses = document["paths"][path][method.lower()]["responses"]
    assert str(answer.status_code) in responses or answer.status_code >= 400
    if answer.status_code == 204:
        return
    said = responses.get(str(answer.status_code)) or document["components"]["responses"]["Refused"]
    schema = {**said["content"]["application/json"]["schema"], "components": document["components"]}
    assert [error.message for error in jsonschema_rs.iter_errors(schema, answer.json())] == []
    if example.body is not None and answer.status_code < 400:
        taken = document["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]
        schema = {**taken["schema"], "components": document["components"]}
        assert [error.message for error in jsonschema_rs.iter_errors(schema, example.body)] == []


async def test_it_is_a_document_of_openapi(world: EveryRoute) -> None:
    """Every reference leads somewhere, and every schema is one."""
    document = await _document(world)

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [each for inner in value.values() for each in references(inner)]
        return [each for inner in value for each in references(inner)] if isinstance(value, list) else []

    for reference in references(document):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.validator_for({**schema, "components": document["components"]})
