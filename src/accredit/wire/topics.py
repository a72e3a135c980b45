"""The topic grammars of DPS and of IoT Hub's device-to-cloud messages, and the user names that lead to either.

Parse and format are inverse functions. Device and module ids stand in topics as they are, never percent-encoded; a
property bag is everything behind `messages/events/`, since the Python SDK leaves `/` raw in values. Not here: what a
topic's sender may do, and what a CONNECT without such a user name is answered.

Azure: "Communicate with DPS using MQTT", "Communicate with an IoT hub using MQTT".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import quote, unquote

from accredit.values import dataclass, field
from accredit.wire.mqtt_packets import ProtocolViolation

DPS_RESPONSES = "$dps/registrations/res/#"
"""The one filter that a DPS device may subscribe to."""

MAX_REQUEST_ID_CHARS = 256

_REGISTER = "$dps/registrations/PUT/iotdps-register/?"
_STATUS = "$dps/registrations/GET/iotdps-get-operationstatus/?"
_RESPONSE = re.compile(r"\$dps/registrations/res/([0-9]{3})/\?\$rid=([^&]*)(?:&retry-after=([0-9]{1,9}))?")
_TELEMETRY = re.compile(r"devices/([^/]+)(?:/modules/([^/]+))?/messages/events(?:/(.*))?", re.DOTALL)

# What would make a response topic ambiguous to the SDKs' parsers (which cut at `$`) or no topic name at all.
_WILD = re.compile(r"[\x00-\x1f\x7f$+#&]")

SYSTEM_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "$.mid": "message-id",
        "$.cid": "correlation-id",
        "$.uid": "user-id",
        "$.to": "to",
        "$.ct": "content-type",
        "$.ce": "content-encoding",
        "$.exp": "absolute-expiry-time",
        "$.ctime": "creation-time-utc",
        "$.on": "iothub-outputname",
        "$.ifid": "iothub-interface-id",
        "$.sub": "dt-subject",
        "$.schema": "iothub-message-schema",
    }
)
"""Keys of a property bag that are system properties, and their names. Any other key is the application's."""

_SYSTEM_NAMES = {name: key for key, name in SYSTEM_KEYS.items()}


# DPS requests and responses.


@dataclass(frozen=True, slots=True)
class Register:
    """PUT iotdps-register. `rid` is the client's own text, kept as it was written for the answer."""

    rid: str


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """GET iotdps-get-operationstatus."""

    rid: str
    operation_id: str


@dataclass(frozen=True, slots=True)
class Response:
    """A response's topic; `retry_after_s` where the device should ask again."""

    status: int
    rid: str
    retry_after_s: int | None = None


def parse_dps_request(topic: str) -> Register | StatusQuery:
    """Raises ProtocolViolation for any other topic. Parameters come in any order, and unknown ones are passed over."""
    if topic.startswith(_REGISTER):
        return Register(_rid(_parameters(topic[len(_REGISTER) :])))
    if topic.startswith(_STATUS):
        parameters = _parameters(topic[len(_STATUS) :])
        operation_id = parameters.get("operationId")
        if operation_id is None:
            raise ProtocolViolation("a status query without operationId")
        return StatusQuery(_rid(parameters), _decoded(operation_id))
    raise ProtocolViolation("a topic that is not of the device provisioning service")


def format_dps_request(request: Register | StatusQuery) -> str:
    if isinstance(request, Register):
        return f"{_REGISTER}$rid={_tame(request.rid)}"
    return f"{_STATUS}$rid={_tame(request.rid)}&operationId={quote(request.operation_id, safe='')}"


def parse_dps_response(topic: str) -> Response:
    """Raises ProtocolViolation for any other topic."""
    found = _RESPONSE.fullmatch(topic)
    if found is None:
        raise ProtocolViolation("a topic that is not a response of the device provisioning service")
    status, rid, retry_after = found.groups()
    return Response(int(status), rid, None if retry_after is None else int(retry_after))


def format_dps_response(response: Response) -> str:
    """`$rid` first and once, as the C#, Java and Python SDKs' parsers need it."""
    topic = f"$dps/registrations/res/{response.status}/?$rid={_tame(response.rid)}"
    return topic if response.retry_after_s is None else f"{topic}&retry-after={response.retry_after_s}"


def _rid(parameters: dict[str, str]) -> str:
    rid = parameters.get("$rid")
    if rid is None:
        raise ProtocolViolation("a request without $rid")
    if len(rid) > MAX_REQUEST_ID_CHARS:
        raise ProtocolViolation("a $rid that is too long")
    return _tame(rid)


def _tame(rid: str) -> str:
    return _WILD.sub(lambda found: f"%{ord(found[0]):02X}", rid)


def _parameters(query: str) -> dict[str, str]:
    """The parameters by decoded name, their values as written; of equal names the first counts."""
    parameters: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        parameters.setdefault(_decoded(name), value)
    return parameters


# Renewal of certificates over a hub.

CREDENTIAL_RESPONSES = "$iothub/credentials/res/#"
"""What a device of a hub subscribes to for the answers."""

CREDENTIALS = "$iothub/credentials/"
_ISSUE = f"{CREDENTIALS}POST/issueCertificate/?"
_CREDENTIAL_RESPONSE = re.compile(r"\$iothub/credentials/res/([0-9]{3})/\?\$rid=([^&]*)")


def parse_credential_request(topic: str) -> str:
    """The request's name. Raises ProtocolViolation for any other topic, and for one without a name to answer to."""
    if not topic.startswith(_ISSUE):
        raise ProtocolViolation("a topic that asks for nothing about credentials")
    return _rid(_parameters(topic[len(_ISSUE) :]))


def format_credential_request(rid: str) -> str:
    return f"{_ISSUE}$rid={_tame(rid)}"


def parse_credential_response(topic: str) -> Response:
    """Raises ProtocolViolation for any other topic."""
    found = _CREDENTIAL_RESPONSE.fullmatch(topic)
    if found is None:
        raise ProtocolViolation("a topic that is no response about credentials")
    return Response(int(found[1]), found[2])


def format_credential_response(response: Response) -> str:
    """Nothing follows `$rid`: the Java and C# SDKs take all that does for a part of it."""
    return f"{CREDENTIALS}res/{response.status}/?$rid={_tame(response.rid)}"


# Twins.

TWINS = "$iothub/twin/"
TWIN_RESPONSES, DESIRED_CHANGES = f"{TWINS}res/#", f"{TWINS}PATCH/properties/desired/#"
"""What a device of a hub subscribes to for the answers, and for changes of its desired properties."""
_GET_TWIN = f"{TWINS}GET/?"
_REPORT = f"{TWINS}PATCH/properties/reported/?"
_DESIRED = f"{TWINS}PATCH/properties/desired/?$version="
_TWIN_RESPONSE = re.compile(r"\$iothub/twin/res/([0-9]{3})/\?\$rid=([^&]*)(?:&\$version=([0-9]{1,18}))?")
_VERSION = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class GetTwin:
    rid: str


@dataclass(frozen=True, slots=True)
class ReportProperties:
    """`version` is what the reported properties must have, where the device says so."""

    rid: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class TwinResponse:
    """`version` is the new one of the reported properties."""

    status: int
    rid: str
    version: int | None = None


def parse_twin_request(topic: str) -> GetTwin | ReportProperties:
    """Raises ProtocolViolation for any other topic, and for one without a name to answer to."""
    if topic.startswith(_GET_TWIN):
        return GetTwin(_rid(_parameters(topic[len(_GET_TWIN) :])))
    if topic.startswith(_REPORT):
        parameters = _parameters(topic[len(_REPORT) :])
        version = parameters.get("$version")
        if version is not None and not _VERSION.fullmatch(version):
            raise ProtocolViolation("a $version that is no number")
        return ReportProperties(_rid(parameters), None if version is None else int(version))
    raise ProtocolViolation("a topic that asks for nothing about twins")


def format_twin_request(request: GetTwin | ReportProperties) -> str:
    if isinstance(request, GetTwin):
        return f"{_GET_TWIN}$rid={_tame(request.rid)}"
    version = "" if request.version is None else f"&$version={request.version}"
    return f"{_REPORT}$rid={_tame(request.rid)}{version}"


def parse_twin_response(topic: str) -> TwinResponse:
    """Raises ProtocolViolation for any other topic."""
    found = _TWIN_RESPONSE.fullmatch(topic)
    if found is None:
        raise ProtocolViolation("a topic that is no response about twins")
    status, rid, version = found.groups()
    return TwinResponse(int(status), rid, None if version is None else int(version))


def format_twin_response(response: TwinResponse) -> str:
    """`$rid` first: the Java SDK takes what stands before `$version` for it."""
    version = "" if response.version is None else f"&$version={response.version}"
    return f"{TWINS}res/{response.status}/?$rid={_tame(response.rid)}{version}"


def parse_desired_change(topic: str) -> int:
    """The version of the desired properties. Raises ProtocolViolation for any other topic."""
    version = topic.removeprefix(_DESIRED)
    if version == topic or not _VERSION.fullmatch(version):
        raise ProtocolViolation("a topic that is no change of desired properties")
    return int(version)


def format_desired_change(version: int) -> str:
    return f"{_DESIRED}{version}"


# Device-to-cloud messages.


@dataclass(frozen=True, slots=True)
class TelemetryTopic:
    """A telemetry topic. `properties` are the application's, None for a key without a value; `system` has full names."""

    device_id: str
    module_id: str | None = None
    properties: dict[str, str | None] = field(default_factory=dict)
    system: dict[str, str] = field(default_factory=dict)


def parse_telemetry(topic: str) -> TelemetryTopic:
    """Raises ProtocolViolation for any other topic, and for a property bag that does not decode to UTF-8."""
    found = _TELEMETRY.fullmatch(topic)
    if found is None:
        raise ProtocolViolation("a topic that is not of a device-to-cloud message")
    device_id, module_id, bag = found.groups()
    telemetry = TelemetryTopic(device_id, module_id)
    if module_id is not None and bag:
        # Azure: the Node SDK closes a module's bag with a slash.
        bag = bag.removesuffix("/")
    for part in bag.split("&") if bag else ():
        raw_key, equals, raw_value = part.partition("=")
        key, value = _decoded(raw_key), _decoded(raw_value)
        name = SYSTEM_KEYS.get(key)
        if name is not None:
            telemetry.system[name] = value
        elif key:
            telemetry.properties[key] = value if equals else None
    return telemetry


def format_telemetry(telemetry: TelemetryTopic) -> str:
    bag = [_pair(_SYSTEM_NAMES[name], value) for name, value in telemetry.system.items()]
    bag += [_pair(key, value) for key, value in telemetry.properties.items()]
    module = "" if telemetry.module_id is None else f"/modules/{telemetry.module_id}"
    return f"devices/{telemetry.device_id}{module}/messages/events/{'&'.join(bag)}"


def _pair(key: str, value: str | None) -> str:
    encoded = quote(key, safe="")
    return encoded if value is None else f"{encoded}={quote(value, safe='')}"


def _decoded(text: str) -> str:
    """Percent-decoded; a `+` stays a `+`."""
    if "%" not in text:
        return text
    try:
        return _unquoted(text) if len(text) <= _REPEATED_CHARS else unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ProtocolViolation("a topic that is not UTF-8 when decoded") from None


_REPEATED_CHARS = 64


@lru_cache(maxsize=1_024)
def _unquoted(text: str) -> str:
    # A device writes the same keys, and mostly the same content type, into each of its topics.
    return unquote(text, errors="strict")


# User names.


@dataclass(frozen=True, slots=True)
class DpsUserName:
    """`{idScope}/registrations/{registrationId}/api-version=...&ClientVersion=...`, the query perhaps behind a `?`.

    `client_version` is kept as it was sent: most SDKs percent-encode it, the C SDK does not.
    """

    id_scope: str
    registration_id: str
    api_version: str | None = None
    client_version: str | None = None


@dataclass(frozen=True, slots=True)
class HubUserName:
    """`{host}/{deviceId}[/{moduleId}][/?api-version=...]`; `parameters` by lower-case name."""

    host: str
    device_id: str
    module_id: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def api_version(self) -> str | None:
        return self.parameters.get("api-version")


def names_dps(user_name: str) -> bool:
    """Whether the user name leads to DPS; a hub is meant by every other."""
    parts = user_name.split("/", 3)
    return len(parts) > 2 and parts[1] == "registrations" and parts[2] != ""


def parse_dps_user_name(user_name: str) -> DpsUserName | None:
    """None when it has another form. Parameter names are compared without regard to case."""
    parts = user_name.split("/", 3)
    if len(parts) < 3 or parts[1] != "registrations" or not parts[0] or not parts[2]:
        return None
    query = parts[3].removeprefix("?") if len(parts) > 3 else ""
    api_version = client_version = None
    for part in query.split("&"):
        key, _, value = part.partition("=")
        key = key.lower()
        if key == "api-version":
            api_version = unquote(value)
        elif key == "clientversion":
            client_version = value
    return DpsUserName(parts[0], parts[2], api_version, client_version)


def format_dps_user_name(name: DpsUserName) -> str:
    query = [] if name.api_version is None else [f"api-version={quote(name.api_version, safe='')}"]
    if name.client_version is not None:
        query.append(f"ClientVersion={name.client_version}")
    return f"{name.id_scope}/registrations/{name.registration_id}/{'&'.join(query)}"


def parse_hub_user_name(user_name: str) -> HubUserName | None:
    """None when it has another form. Parameters are parted by `&` alone: the Node SDK leaves a raw `;` in `model-id`."""
    path, _, query = user_name.partition("/?")
    parts = path.removesuffix("/").split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        return None
    module_id = parts[2] if len(parts) == 3 else None
    return HubUserName(parts[0], parts[1], module_id, _user_name_parameters(query))


def format_hub_user_name(name: HubUserName) -> str:
    module = "" if name.module_id is None else f"/{name.module_id}"
    query = "&".join(_pair(key, value) for key, value in name.parameters.items())
    return f"{name.host}/{name.device_id}{module}/?{query}"


def _user_name_parameters(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        # What does not decode is an agent's odd product name, no reason to turn a device away.
        parameters.setdefault(unquote(name).lower(), unquote(value))
    return parameters
