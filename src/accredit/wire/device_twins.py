"""Twins as devices see them: two objects with their versions, and what is told of a change or a refusal.

Azure: "Understand and use device twins", "Communicate with an IoT hub using MQTT". The Node SDK takes an answer for a success
unless its body has an `errorCode`, whatever the topic says.
"""

from __future__ import annotations

from typing import Any

import msgspec

from accredit.domain.credential import RenewalWindow
from accredit.domain.device import HubDevice
from accredit.domain.errors import AccreditError, Malformed
from accredit.wire.dps_renewal import renewal_shown
from accredit.wire.hub_service import errors
from accredit.wire.instants import iso
from accredit.wire.service_api.documents import free_form, read

RENEWAL = "certificateRenewal"
"""The desired property that says when the device's certificate is best renewed, as the register answer does under this name."""


def twin_body(device: HubDevice, renewal: RenewalWindow | None) -> bytes:
    """`renewal` stands among the desired properties, unless the operator has one of its name."""
    told = {} if renewal is None else {RENEWAL: msgspec.to_builtins(renewal_shown(renewal))}
    return msgspec.json.encode(
        {
            "desired": {**told, **device.data.desired, "$version": device.twin.desired},
            "reported": {**device.reported.properties, "$version": device.reported.version},
        }
    )


def desired_body(change: dict[str, Any], version: int) -> bytes:
    """What changed: null is what was removed."""
    return msgspec.json.encode({**change, "$version": version})


def read_reported(body: bytes) -> dict[str, Any]:
    """What a device reports. Raises Malformed."""
    document = read(body, dict[str, Any])
    reported = free_form(document, "properties.reported")
    assert reported is not None
    for name in ("$version", "$metadata"):
        if name in reported:
            raise Malformed(f"{name} is the hub's own.", rule="twin-limit")
    return reported


def problem(refusal: AccreditError, tracking_id: str, now: float) -> tuple[int, bytes]:
    """Status and body of an answer to what was refused."""
    return _problem(errors.of(refusal), refusal.message, tracking_id, now)


def defect(tracking_id: str, now: float) -> tuple[int, bytes]:
    """Status and body of an answer to what met a defect of ours."""
    return _problem(errors.INTERNAL, "Internal error", tracking_id, now)


def _problem(error: errors.HubError, message: str, tracking_id: str, now: float) -> tuple[int, bytes]:
    members = {
        "errorCode": error.code,
        "message": message,
        "trackingId": tracking_id,
        "timestampUtc": iso(now),
    }
    return error.http, msgspec.json.encode(members)
