"""What Azure's SDKs insist on, beyond what a document of the protocol says: one line each, with the files that show it.

A test that holds the service to a line says `Checklist N` in its docstring; tests/wire_scripts/test_checklist.py fails
for a line that no test holds. `awaits` is what has to be there first.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]

_CITED = re.compile(r"[Cc]hecklist (\d+)")


@dataclass(frozen=True)
class Line:
    claim: str
    files: tuple[str, ...]
    awaits: str = ""


LINES = {
    1: Line(
        "The topic of an answer over MQTT has `/?`, `$rid` first, no other `$`, and `retry-after` in whole seconds and lower case",
        ("ProvisioningChannelHandlerAdapter.cs", "mqtt_topic_provisioning.py"),
    ),
    2: Line(
        "The PUBACK comes before the answer; CONNACK never says that a session is present",
        ("ProvisioningChannelHandlerAdapter.cs",),
    ),
    3: Line(
        "WebSocket at `/$iothub/websocket` and at `/`, the subprotocol in any case and echoed as offered",
        ("ProvisioningTransportHandlerMqtt.cs", "MqttConnection.java", "prov_transport_mqtt_ws_client.c"),
    ),
    4: Line(
        "A token's `skn` may be missing or empty; the signature covers `sr` as it was written",
        ("abstract_provisioning_device_client.py", "shared_access_signature.js", "RegisterTask.java"),
    ),
    5: Line(
        "A register call may have an empty body, or one without the registration id",
        ("PublishRegisterAsync", "RegisterDeviceAsync"),
    ),
    6: Line("Every answer over MQTT is JSON, of errors too", ("mqtt.js",)),
    7: Line("Every answer over HTTPS is `application/json`", ("rest_api_client.js",)),
    8: Line(
        "PUT answers 200 for a creation too, DELETE 204",
        ("provisioning_service_client.py", "individual_enrollment_operations.py"),
    ),
    9: Line(
        "`x-ms-continuation` and `x-ms-item-type` in lower case; no continuation on the last page",
        ("Query.cs", "QueryResult.cs", "query.js"),
    ),
    10: Line("`se` is in seconds", ("rest_api_client.js",)),
    11: Line(
        "Addresses match in any case, and with a slash at their end",
        ("provisioningserviceclient.js", "provisioning_service_client.c"),
    ),
    12: Line("An etag goes back through If-Match as it was read", ("ContractApiHttp.cs",)),
    13: Line(
        "AMQP: X.509 without SASL, a body in one Data section, the correlation id echoed, `retry-after` in both spellings",
        ("AmqpAuthStrategyX509.cs", "prov_transport_amqp_common.c", "ContractAPIAmqp.java", "amqp.js"),
    ),
    14: Line(
        "TPM over AMQP: two data challenges, 0x80 and 0xC1",
        ("AmqpsProvisioningSaslHandler.java",),
    ),
    15: Line(
        "TPM over HTTPS: 401 with `authenticationKey` and `keyName` and without `status`; the final state has its own key",
        ("prov_device_ll_client.c", "HttpAuthStrategyTpm.cs"),
    ),
    16: Line(
        "A state in every final answer, with id and status; certificateInfo whole or not at all",
        ("ProvisioningChannelHandlerAdapter.cs", "RegistrationOperationStatusParser.java"),
    ),
    17: Line(
        "Statuses are spelled exactly, in lower case",
        ("ProvisioningChannelHandlerAdapter.cs", "pipeline_stages_provisioning.py"),
    ),
    18: Line(
        "The standard ports, a host name without a port, and a certificate for that name",
        ("mqtt_transport.py", "AmqpClientConnection.cs"),
    ),
    19: Line(
        "A register call is answered soon, whatever a CA or a webhook takes",
        ("ReadTimeoutSeconds", "constant.py", "constants.js"),
    ),
    20: Line("Dates are ISO 8601 in UTC", ("DeviceRegistrationResult.cs", "msrest")),
    21: Line("No member is null", ("RegistrationOperationStatusParser.java",)),
    22: Line(
        "`info` of an error, if any, is a map from text to text",
        ("ProvisioningErrorDetails.cs", "ProvisioningErrorParser.java"),
    ),
    23: Line("Every status from 429 on says when to come back", ("pipeline_stages_provisioning.py",)),
    24: Line("Several register calls on one connection", ("provisioning_device_client.py",)),
    25: Line(
        "`assigned` comes with deviceId, assignedHub and substatus",
        ("registration_result.py",),
    ),
}


@dataclass(frozen=True)
class Holding:
    """A test that holds the service to a line; `text` is what its docstrings say."""

    name: str
    text: str


@cache
def holding() -> dict[int, list[Holding]]:
    """The tests that say so, by the number of the line."""
    found: dict[int, list[Holding]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        if "node_modules" in path.parts or not _CITED.search(source := path.read_text()):
            continue
        file = path.relative_to(TESTS.parent).as_posix()
        for name, text in _documented(ast.parse(source)):
            for number in dict.fromkeys(map(int, _CITED.findall(text))):
                found[number].append(Holding(f"{file}::{name}", text))
    return found


def _documented(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Each test's name, and its own docstring with its class's behind it."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            about = ast.get_docstring(node) or ""
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and inner.name.startswith(
                    "test"
                ):
                    yield f"{node.name}::{inner.name}", f"{ast.get_docstring(inner) or ''}\n{about}"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield node.name, ast.get_docstring(node) or ""
