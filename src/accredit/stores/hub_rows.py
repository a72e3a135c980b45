"""The rows of hubs: which are linked, and the identities and twins of the embedded ones, to columns and back.

As in `sealed_rows.py` a row has one envelope, bound to it by its table and natural key.
"""

from __future__ import annotations

from typing import Any

import msgspec

from accredit.domain.device import DeviceData, HubDevice, Reported, TwinVersions
from accredit.domain.evidence import DeviceKeys
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.domain.linked_hub import FIRST_HUB, HubKind, LinkedHub
from accredit.domain.release import Release
from accredit.domain.secret import Secret
from accredit.seal import Sealer
from accredit.stores.rows import Row
from accredit.stores.sealed_rows import joined, json_text, parted


def linked_hub_values(hub: LinkedHub, sealer: Sealer) -> tuple[Any, ...]:
    """For INSERT_LINKED_HUB; the key stands last."""
    sealed = None
    if hub.connection_string is not None:
        sealed = sealer.seal(hub.connection_string.reveal(), "linked_hubs", hub.key, "sealed")
    return (
        hub.name,
        hub.kind.value,
        hub.location,
        hub.weight,
        hub.apply_allocation_policy,
        hub.trust_anchors,
        sealed,
        hub.etag,
        hub.created_at,
        hub.updated_at,
        hub.key,
    )


def linked_hub(row: Row, sealer: Sealer) -> LinkedHub:
    (key, name, kind, location, weight, applies, trust_anchors, sealed, etag, created_at, updated_at) = row
    return LinkedHub(
        name=name,
        kind=HubKind(kind),
        etag=etag,
        created_at=created_at,
        updated_at=updated_at,
        location=location,
        weight=weight,
        apply_allocation_policy=bool(applies),
        connection_string=None
        if sealed is None
        else Secret(sealer.open(sealed, "linked_hubs", key, "sealed")),
        trust_anchors=trust_anchors,
        first=key == FIRST_HUB,
    )


def release_values(release: Release) -> tuple[Any, ...]:
    return release.hub, release.device_id.text, release.created_at


def release(row: Row) -> Release:
    (hub, device_id, created_at) = row
    return Release(hub, DeviceId(device_id), created_at)


def hub_device_values(device: HubDevice, sealer: Sealer) -> tuple[Any, ...]:
    """For INSERT_HUB_DEVICE."""
    owner = device.registration_id
    return (
        device.hub,
        device.device_id.text,
        None if owner is None else owner.key,
        None if owner is None else owner.text,
        device.generation_id,
        device.etag,
        device.created_at,
        device.updated_at,
        device.enabled,
        device.status_reason,
        sealed_keys(device, sealer),
        device.thumbprint,
        device.secondary_thumbprint,
        device.data.iot_edge,
        *twin_values(device.data, device.twin),
    )


def twin_values(data: DeviceData, twin: TwinVersions) -> tuple[Any, ...]:
    return (
        json_text(data.tags),
        json_text(data.desired),
        twin.etag,
        twin.version,
        twin.desired,
        twin.updated_at,
    )


def sealed_keys(device: HubDevice, sealer: Sealer) -> bytes | None:
    if device.keys is None:
        return None
    keys = joined(device.keys.primary, device.keys.secondary)
    return sealer.seal(keys, "hub_devices", _place(device.hub, device.device_id.text), "sealed")


def hub_device(row: Row, sealer: Sealer) -> HubDevice:
    (hub, device_id, key, text, generation_id, etag, created_at, updated_at, enabled, reason, *rest) = row
    (sealed, thumbprint, secondary_thumbprint, iot_edge, tags, desired, *rest) = rest
    (*versions, reported, reported_version, reported_at) = rest
    keys = None
    if sealed is not None:
        keys = DeviceKeys(*parted(sealer.open(sealed, "hub_devices", _place(hub, device_id), "sealed")))
    return HubDevice(
        device_id=DeviceId(device_id),
        registration_id=None if key is None else RegistrationId(text, key),
        generation_id=generation_id,
        etag=etag,
        created_at=created_at,
        updated_at=updated_at,
        enabled=bool(enabled),
        keys=keys,
        thumbprint=thumbprint,
        secondary_thumbprint=secondary_thumbprint,
        data=DeviceData(msgspec.json.decode(tags), msgspec.json.decode(desired), bool(iot_edge)),
        twin=TwinVersions(*versions),
        status_reason=reason,
        hub=hub,
        reported=Reported(msgspec.json.decode(reported), reported_version, reported_at),
    )


def reported_values(reported: Reported) -> tuple[Any, ...]:
    return json_text(reported.properties), reported.version, reported.updated_at


def _place(hub: str, device_id: str) -> str:
    # No device id has a slash in it.
    return device_id if hub == FIRST_HUB else f"{hub}/{device_id}"
