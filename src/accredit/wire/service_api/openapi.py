"""The description of the HTTPS APIs for operators (OpenAPI 3.1), made from what the route tables say of themselves.

A route says its summary, the document that it takes and the one that it answers with; the rest, which is the same for
all of them (api-version, errors, tokens), is written here. Nothing is routed here, and no document is read or made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from accredit.values import dataclass
from accredit.wire.api_versions import API_VERSIONS
from accredit.wire.service_api.schemas import ErrorShown

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or a request header. `schema` is its JSON Schema."""

    name: str
    where: str
    sentence: str
    schema: tuple[tuple[str, Any], ...] = (("type", "string"),)


IF_MATCH = Parameter("If-Match", "header", "An etag, or `*` for whatever is there.")
PAGING = (
    Parameter(
        "x-ms-max-item-count",
        "header",
        "Rows of a page, at most 1000.",
        (("type", "integer"), ("minimum", 1), ("maximum", 999_999_999)),
    ),
    Parameter("x-ms-continuation", "header", "What the page before said; it asks for the next one."),
)


@dataclass(frozen=True, slots=True)
class Described:
    """What the description says of one operation.

    `takes` is the document of the body; `answers` the one of a 200, None where the answer is 204. `rows`: the answer
    is a page of them.
    """

    summary: str
    answers: Any = None
    takes: Any = None
    rows: bool = False
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of a route table. `right` is what its token must carry."""

    method: str
    path: str
    right: str
    described: Described


def description(operations: Iterable[Operation], version: str, server: str) -> dict[str, Any]:
    """The whole document; `version` is the product's, `server` the URL that it is for."""
    listed = list(operations)
    kinds = [kind for each in listed for kind in (each.described.takes, each.described.answers) if kind]
    _, components = msgspec.json.schema_components(
        [ErrorShown, *dict.fromkeys(kinds)], ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for each in listed:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "accredit",
            "version": version,
            "summary": "Device provisioning: the service API, and what the embedded hub offers operators.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "security": [{"sharedAccessSignature": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                "Refused": {"description": "Refused, and why.", "content": _content(_reference(ErrorShown))}
            },
            "securitySchemes": {
                "sharedAccessSignature": {"type": "apiKey", "in": "header", "name": "Authorization"},
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described = operation.described
    parameters = [_parameter(each) for each in described.parameters]
    if described.rows:
        parameters += [_parameter(each) for each in PAGING if each not in described.parameters]
    if operation.method in ("PUT", "DELETE") and IF_MATCH not in described.parameters:
        parameters.append(_parameter(IF_MATCH))
    document: dict[str, Any] = {
        "operationId": _name(operation),
        "summary": described.summary,
        "description": f"Needs the right {operation.right}.",
        "tags": [operation.path.split("/")[1]],
        "parameters": [*_in_path(operation.path), *parameters, _API_VERSION],
        "responses": _responses(described),
    }
    if described.takes is not None:
        document["requestBody"] = {"content": _content(_schema(described.takes))}
    return document


_API_VERSION = {
    "name": "api-version",
    "in": "query",
    "required": True,
    "schema": {"type": "string", "enum": sorted(API_VERSIONS)},
}


_SOMETHING: Schema = {"type": "string", "minLength": 1}
_ID: Schema = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{0,127}[A-Za-z0-9-]$"}
_IN_PATH: Mapping[str, Schema] = {
    "id": _ID,
    "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}[A-Za-z0-9]$"},
    "serial": {"type": "string", "pattern": "^([0-9A-Fa-f]{1,40}|[0-9A-Fa-f]{64})$"},
}
"""What the parts of addresses look like; names stand for what every kind of named thing takes."""


def _in_path(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _IN_PATH.get(name, _SOMETHING)}
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.sentence,
        "schema": dict(parameter.schema),
    }


def _responses(described: Described) -> dict[str, Any]:
    if described.answers is None:
        done: dict[str, Any] = {"204": {"description": "Done."}}
    else:
        schema = _schema(described.answers)
        content = _content({"type": "array", "items": schema} if described.rows else schema)
        done = {"200": {"description": "Done.", "content": content}}
    return {**done, "default": {"$ref": "#/components/responses/Refused"}}


def _schema(kind: Any) -> Schema:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
    return schema


def _reference(kind: type) -> Schema:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _content(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _name(operation: Operation) -> str:
    words: Sequence[str] = re.findall(r"\w+", operation.path)
    return "_".join((operation.method.lower(), *words))
