"""Where an AMQP link leads, and whom PLAIN's user name means: addresses of DPS and of a hub's device side.

An address is a path, or an absolute URI of which the path counts (C#, C). Ids in a hub's addresses are percent-encoded by
some SDKs; fixed segments compare without regard to case, since C# and C write `messages/deviceBound`. Parse and format
are inverse functions. Not here: whether somebody may use an address.

Azure: IoT Hub, "AMQP support"; DPS: C AMQP_ADDRESS_FMT, C# AmqpClientConnection.cs, Node amqp.js.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import assert_never
from urllib.parse import quote, unquote

from accredit.values import dataclass

MAX_ADDRESS_CHARS = 2_048

CBS = "$cbs"


class Purpose(StrEnum):
    """What a link of a hub's device is for; the value is the path below the device."""

    EVENTS = "messages/events"
    DEVICE_BOUND = "messages/devicebound"
    METHODS = "methods/devicebound"
    TWIN = "twin"


@dataclass(frozen=True, slots=True)
class Registration:
    """`{idScope}/registrations/{registrationId}`: of DPS."""

    id_scope: str
    registration_id: str


@dataclass(frozen=True, slots=True)
class Device:
    """`/devices/{deviceId}[/modules/{moduleId}]/{purpose}`: of a hub."""

    device_id: str
    purpose: Purpose
    module_id: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """`$cbs`: of a hub, for tokens."""


Address = Registration | Device | Token

_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_PURPOSES = {purpose.value: purpose for purpose in Purpose}


def parse(text: str) -> Address | None:
    """None for an address of no known form."""
    if len(text) > MAX_ADDRESS_CHARS:
        return None
    path = _AUTHORITY.sub("", text, count=1)
    if path.strip("/").lower() == CBS:
        return Token()
    segments = path.strip("/").split("/")
    if len(segments) == 3 and segments[1].lower() == "registrations" and all(segments):
        scope, registration = _decoded(segments[0]), _decoded(segments[2])
        return None if scope is None or registration is None else Registration(scope, registration)
    return _device(segments)


def _device(segments: list[str]) -> Device | None:
    if len(segments) < 3 or segments[0].lower() != "devices":
        return None
    rest, module_id = segments[2:], None
    if len(rest) > 2 and rest[0].lower() == "modules":
        module_id, rest = _decoded(rest[1]), rest[2:]
        if not module_id:
            return None
    device_id = _decoded(segments[1])
    purpose = _PURPOSES.get("/".join(rest).lower())
    return None if not device_id or purpose is None else Device(device_id, purpose, module_id)


def _decoded(segment: str) -> str | None:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return None


def format_address(address: Address) -> str:
    """As the Node SDK writes it."""
    match address:
        case Registration(id_scope, registration_id):
            return f"{quote(id_scope, safe='')}/registrations/{quote(registration_id, safe='')}"
        case Device(device_id, purpose, module_id):
            module = "" if module_id is None else f"/modules/{quote(module_id, safe='')}"
            return f"/devices/{quote(device_id, safe='')}{module}/{purpose}"
        case Token():
            return CBS
        case _:
            assert_never(address)


# Users of PLAIN.


@dataclass(frozen=True, slots=True)
class HubUser:
    """`{deviceId}@sas.{hubName}` of a device, or `{policy}@sas.root.{hubName}` of a service."""

    name: str
    hub_name: str
    service: bool


def parse_user(user: str) -> Registration | HubUser | None:
    """None for a user name of no known form."""
    if len(user) > MAX_ADDRESS_CHARS:
        return None
    name, at, realm = user.rpartition("@sas.")
    if at and name and realm:
        root = realm.startswith("root.")
        return HubUser(name, realm.removeprefix("root."), root)
    # Nothing is encoded here: the C#, C and Node SDKs write the two names as they are.
    parts = user.split("/")
    if len(parts) == 3 and parts[1].lower() == "registrations" and all(parts):
        return Registration(parts[0], parts[2])
    return None


def format_user(user: Registration | HubUser) -> str:
    if isinstance(user, Registration):
        return f"{user.id_scope}/registrations/{user.registration_id}"
    return f"{user.name}@sas.{'root.' if user.service else ''}{user.hub_name}"
