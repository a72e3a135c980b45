"""Twins (`/twins/{id}`) as the service side sees them: tags, desired properties, and what stands around them.

Azure: azure-iot-hub protocol/models/twin_py3.py, azure-iothub twin.js. `$metadata` has one instant for all desired
properties, and one for all reported ones.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from accredit.domain.device import DeviceData, HubDevice, TwinVersions
from accredit.values import dataclass
from accredit.wire.hub_service.devices import (
    NEVER,
    authentication_type,
    connection_state,
    status,
    thumbprints_document,
)
from accredit.wire.instants import iso
from accredit.wire.service_api.documents import free_form, read

_ETAG_BYTES = 8


@dataclass(frozen=True, slots=True)
class TwinSent:
    """One PATCH or PUT document; None where a half was not sent."""

    tags: dict[str, Any] | None
    desired: dict[str, Any] | None


class _Properties(msgspec.Struct):
    desired: dict[str, Any] | None = None


class _Twin(msgspec.Struct):
    tags: dict[str, Any] | None = None
    properties: _Properties | None = None


class _Capabilities(msgspec.Struct, rename="camel"):
    iot_edge: bool | None = None


class _Present(_Twin):
    capabilities: _Capabilities | None = None


def read_twin(body: bytes) -> TwinSent:
    """Raises Malformed. What a client has read and sends back (`$version`, `reported`, `etag`) is passed over."""
    document = read(body, _Twin)
    desired = document.properties.desired if document.properties is not None else None
    return TwinSent(free_form(document.tags, "tags"), free_form(_own(desired), "properties.desired"))


def _own(properties: dict[str, Any] | None) -> dict[str, Any] | None:
    """Without `$metadata` and `$version`."""
    if properties is None:
        return None
    return {name: value for name, value in properties.items() if not name.startswith("$")}


def etag(versions: TwinVersions) -> str:
    """Base64 of a big-endian counter, as Azure's twins have it (`AAAAAAAAAAE=`)."""
    return base64.b64encode(versions.etag.to_bytes(_ETAG_BYTES, "big")).decode()


def etag_number(text: str) -> int | None:
    """The counter behind an etag; None when it can't be one of ours."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return int.from_bytes(raw, "big") if len(raw) == _ETAG_BYTES else None


def twin_document(device: HubDevice, *, connected: bool) -> dict[str, Any]:
    twin, reported = device.twin, device.reported
    changed = iso(twin.updated_at) if twin.desired > 1 or device.data.desired else NEVER
    return {
        "deviceId": device.device_id.text,
        "etag": etag(twin),
        "deviceEtag": device.etag,
        "status": status(device),
        "statusReason": device.status_reason,
        "statusUpdateTime": NEVER,
        "connectionState": connection_state(connected=connected),
        "lastActivityTime": NEVER,
        "cloudToDeviceMessageCount": 0,
        "authenticationType": authentication_type(device),
        "x509Thumbprint": thumbprints_document(device),
        "version": twin.version,
        "tags": device.data.tags,
        "properties": {
            "desired": {
                **device.data.desired,
                "$metadata": {"$lastUpdated": changed, "$lastUpdatedVersion": twin.desired},
                "$version": twin.desired,
            },
            "reported": {
                **reported.properties,
                "$metadata": {"$lastUpdated": iso(reported.updated_at) if reported.updated_at else NEVER},
                "$version": reported.version,
            },
        },
        "capabilities": {"iotEdge": device.data.iot_edge},
    }


# The other side: what we read from a hub elsewhere, and send to it.


def read_present_twin(body: bytes) -> DeviceData:
    """What a hub's answer says of a device; raises Malformed when it can't be read."""
    document = read(body, _Present)
    desired = _own(document.properties.desired) if document.properties is not None else None
    edge = document.capabilities is not None and bool(document.capabilities.iot_edge)
    return DeviceData(
        free_form(document.tags, "tags") or {}, free_form(desired, "properties.desired") or {}, edge
    )


def data_document(data: DeviceData) -> dict[str, Any]:
    """For PUT: these tags and desired properties, and no others."""
    return {"tags": data.tags, "properties": {"desired": data.desired}}
