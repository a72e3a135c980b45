"""What the description makes of a row of a route table."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from accredit.wire.api_versions import API_VERSIONS
from accredit.wire.service_api.openapi import IF_MATCH, PAGING, Described, Operation, Parameter, description


class Lamp(msgspec.Struct):
    """A lamp."""

    colour: str


class LampTaken(msgspec.Struct):
    watts: int


def described(method: str, path: str, **facts: Any) -> dict[str, Any]:
    row = Operation(method, path, "EnrollmentRead", Described("A lamp.", **facts))
    operation: dict[str, Any] = description([row], "1.0", "https://x")["paths"][path][method.lower()]
    return operation


def parameters(operation: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["in"] for each in operation["parameters"]}


def test_two_methods_of_one_path_stand_together() -> None:
    rows = [Operation(method, "/lamps", "r", Described("x")) for method in ("GET", "POST")]
    document = description(rows, "1.2", "https://dps.example")
    assert document["paths"]["/lamps"].keys() == {"get", "post"}
    assert (document["info"]["version"], document["servers"]) == ("1.2", [{"url": "https://dps.example"}])


def test_the_parts_of_the_path_are_parameters_with_their_grammar() -> None:
    operation = described("GET", "/lamps/{id}/x/{serial}/{other}")
    in_path = {each["name"]: each["schema"] for each in operation["parameters"] if each["in"] == "path"}
    assert in_path.keys() == {"id", "serial", "other"}
    assert "pattern" in in_path["id"]
    assert in_path["other"] == {"type": "string", "minLength": 1}
    assert operation["operationId"] == "get_lamps_id_x_serial_other"
    assert operation["tags"] == ["lamps"]


def test_every_operation_needs_a_version() -> None:
    (version,) = described("GET", "/lamps")["parameters"]
    assert (version["name"], version["required"]) == ("api-version", True)
    assert version["schema"]["enum"] == sorted(API_VERSIONS)


@pytest.mark.parametrize(
    ("method", "conditional"), [("GET", False), ("POST", False), ("PUT", True), ("DELETE", True)]
)
def test_what_changes_by_etag(method: str, conditional: bool) -> None:
    assert ("If-Match" in parameters(described(method, "/lamps"))) is conditional


def test_what_a_row_says_itself_is_not_said_twice() -> None:
    colour = Parameter("colour", "query", "Which.")
    operation = described("PUT", "/lamps", rows=True, answers=Lamp, parameters=(colour, IF_MATCH, PAGING[0]))
    names = [each["name"] for each in operation["parameters"]]
    assert names == ["colour", "If-Match", "x-ms-max-item-count", "x-ms-continuation", "api-version"]


def test_documents_are_referred_to_and_stand_once() -> None:
    rows = [
        Operation("GET", "/lamps", "r", Described("Lamps.", answers=Lamp, rows=True)),
        Operation("PUT", "/lamps/{id}", "r", Described("One.", answers=Lamp, takes=LampTaken)),
    ]
    document = description(rows, "1", "https://x")
    lamp = {"$ref": "#/components/schemas/Lamp"}
    listed, put = document["paths"]["/lamps"]["get"], document["paths"]["/lamps/{id}"]["put"]
    assert listed["responses"]["200"]["content"]["application/json"]["schema"] == {
        "type": "array",
        "items": lamp,
    }
    assert put["responses"]["200"]["content"]["application/json"]["schema"] == lamp
    taken = put["requestBody"]["content"]["application/json"]["schema"]
    assert taken == {"$ref": "#/components/schemas/LampTaken"}
    assert document["components"]["schemas"].keys() == {"ErrorShown", "Lamp", "LampTaken"}
    assert document["components"]["schemas"]["Lamp"]["required"] == ["colour"]


def test_without_an_answer_there_is_no_content() -> None:
    operation = described("DELETE", "/lamps/{id}")
    assert operation["responses"].keys() == {"204", "default"}
    assert "requestBody" not in operation
