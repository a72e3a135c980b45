"""Identities (`/devices/{id}`): what PUT takes, what answers show, and the same from the other side.

Azure: azure-iothub registry.js, azure-iot-hub protocol/models. Members that a client reads and sends back unchanged
(`generationId`, `connectionState`, dates) are passed over, as are those of modules and of parents.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from accredit.domain.device import HubDevice, HubIdentity
from accredit.domain.errors import Malformed
from accredit.domain.ids import DeviceId
from accredit.domain.secret import Secret
from accredit.values import dataclass
from accredit.wire.service_api.documents import read
from accredit.wire.service_api.keys import key_text, read_key

NEVER = "0001-01-01T00:00:00Z"
"""How Azure writes an instant that was not."""

MAX_REASON_CHARS = 128

SAS, SELF_SIGNED, CERTIFICATE_AUTHORITY = "sas", "selfSigned", "certificateAuthority"
_TYPES = {name.lower(): name for name in (SAS, SELF_SIGNED, CERTIFICATE_AUTHORITY)}
_THUMBPRINT = re.compile(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")


@dataclass(frozen=True, slots=True)
class KeysSent:
    """Type `sas`; a key that was not sent is kept, or made."""

    primary: Secret | None
    secondary: Secret | None


@dataclass(frozen=True, slots=True)
class ThumbprintsSent:
    """Type `selfSigned`: SHA-1 or SHA-256 digests."""

    primary: bytes | None
    secondary: bytes | None


@dataclass(frozen=True, slots=True)
class ChainSent:
    """Type `certificateAuthority`: nothing about the device itself."""


AuthenticationSent = KeysSent | ThumbprintsSent | ChainSent


@dataclass(frozen=True, slots=True)
class DeviceSent:
    """One PUT document; `authentication` is None where none was sent."""

    enabled: bool
    status_reason: str | None
    authentication: AuthenticationSent | None
    iot_edge: bool


class _Keys(msgspec.Struct, rename="camel"):
    primary_key: str | None = None
    secondary_key: str | None = None


class _Thumbprints(msgspec.Struct, rename="camel"):
    primary_thumbprint: str | None = None
    secondary_thumbprint: str | None = None


class _Authentication(msgspec.Struct, rename="camel"):
    type: str | None = None
    symmetric_key: _Keys | None = None
    x509_thumbprint: _Thumbprints | None = msgspec.field(default=None, name="x509Thumbprint")


class _Capabilities(msgspec.Struct, rename="camel"):
    iot_edge: bool | None = None


class _Device(msgspec.Struct, rename="camel"):
    device_id: str | None = None
    status: str | None = None
    status_reason: str | None = None
    authentication: _Authentication | None = None
    capabilities: _Capabilities | None = None


def read_device(body: bytes, device_id: DeviceId) -> DeviceSent:
    """Raises Malformed; `deviceId` in the body must be the address's."""
    document = read(body, _Device)
    if document.device_id not in (None, device_id.text):
        raise Malformed("deviceId in the body is not the one in the address.", rule="id-mismatch")
    status = (document.status or "enabled").lower()
    if status not in ("enabled", "disabled"):
        raise Malformed("status is neither enabled nor disabled.", rule="hub-identity-member")
    reason = document.status_reason
    if reason is not None and len(reason) > MAX_REASON_CHARS:
        raise Malformed(
            f"statusReason has more than {MAX_REASON_CHARS} characters.", rule="hub-identity-member"
        )
    capabilities = document.capabilities
    return DeviceSent(
        enabled=status == "enabled",
        status_reason=reason,
        authentication=None if document.authentication is None else _authentication(document.authentication),
        iot_edge=bool(capabilities is not None and capabilities.iot_edge),
    )


def _authentication(sent: _Authentication) -> AuthenticationSent:
    thumbprints = sent.x509_thumbprint or _Thumbprints()
    primary = _thumbprint(thumbprints.primary_thumbprint, "primaryThumbprint")
    secondary = _thumbprint(thumbprints.secondary_thumbprint, "secondaryThumbprint")
    if sent.type is None:
        kind = SELF_SIGNED if primary or secondary else SAS
    else:
        kind = _TYPES.get(sent.type.lower(), "")
    if kind == CERTIFICATE_AUTHORITY:
        return ChainSent()
    if kind == SELF_SIGNED:
        if primary is None and secondary is None:
            raise Malformed(
                "authentication of type selfSigned needs a thumbprint.", rule="hub-identity-member"
            )
        return ThumbprintsSent(primary, secondary)
    if kind != SAS:
        raise Malformed(
            f"authentication.type is not one of {', '.join(_TYPES.values())}.", rule="hub-identity-member"
        )
    keys = sent.symmetric_key or _Keys()
    return KeysSent(read_key(keys.primary_key, "primaryKey"), read_key(keys.secondary_key, "secondaryKey"))


def _thumbprint(text: str | None, member: str) -> bytes | None:
    if not text:
        return None
    if not _THUMBPRINT.fullmatch(text):
        raise Malformed(f"{member} is not the hex of a SHA-1 or SHA-256.", rule="certificate-thumbprint")
    return bytes.fromhex(text)


def authentication_type(device: HubDevice) -> str:
    if device.thumbprint is not None or device.secondary_thumbprint is not None:
        return SELF_SIGNED
    return SAS if device.keys is not None else CERTIFICATE_AUTHORITY


def thumbprints_document(device: HubDevice) -> dict[str, str | None]:
    return {
        "primaryThumbprint": _hex(device.thumbprint),
        "secondaryThumbprint": _hex(device.secondary_thumbprint),
    }


def device_document(device: HubDevice, *, connected: bool) -> dict[str, Any]:
    """As every answer shows it, keys included: who may read the registry may read them (Azure)."""
    keys = device.keys
    return {
        "deviceId": device.device_id.text,
        "generationId": device.generation_id,
        "etag": device.etag,
        "connectionState": connection_state(connected=connected),
        "status": status(device),
        "statusReason": device.status_reason,
        "connectionStateUpdatedTime": NEVER,
        "statusUpdatedTime": NEVER,
        "lastActivityTime": NEVER,
        "cloudToDeviceMessageCount": 0,
        "authentication": {
            "symmetricKey": {
                "primaryKey": None if keys is None else key_text(keys.primary),
                "secondaryKey": None if keys is None else key_text(keys.secondary),
            },
            "x509Thumbprint": thumbprints_document(device),
            "type": authentication_type(device),
        },
        "capabilities": {"iotEdge": device.data.iot_edge},
    }


def status(device: HubDevice) -> str:
    return "enabled" if device.enabled else "disabled"


def connection_state(*, connected: bool) -> str:
    return "Connected" if connected else "Disconnected"


def _hex(digest: bytes | None) -> str | None:
    return None if digest is None else digest.hex().upper()


# The other side: what we send to a hub elsewhere.


class PresentDevice(msgspec.Struct, rename="camel"):
    """What an answer of a hub must hold so that the identity can be replaced."""

    device_id: str
    etag: str
    status: str | None = None
    status_reason: str | None = None
    capabilities: dict[str, Any] | None = None


def identity_document(identity: HubIdentity, present: PresentDevice | None) -> dict[str, Any]:
    """For PUT: the credentials, and of a `present` identity what is not said to change."""
    keys, thumbprints = identity.keys, (*identity.thumbprints, None, None)[:2]
    if identity.thumbprints:
        authentication: dict[str, Any] = {
            "type": SELF_SIGNED,
            "x509Thumbprint": {
                "primaryThumbprint": _hex(thumbprints[0]),
                "secondaryThumbprint": _hex(thumbprints[1]),
            },
        }
    elif keys is not None:
        authentication = {
            "type": SAS,
            "symmetricKey": {"primaryKey": key_text(keys.primary), "secondaryKey": key_text(keys.secondary)},
        }
    else:
        raise ValueError("an identity at a hub needs keys or a thumbprint")
    document: dict[str, Any] = {"deviceId": identity.device_id.text, "authentication": authentication}
    if present is None:
        document["status"] = "enabled"
    else:
        document |= {"status": present.status or "enabled", "statusReason": present.status_reason}
        document["etag"] = present.etag
    if identity.data is not None:
        document["capabilities"] = {"iotEdge": identity.data.iot_edge}
    elif present is not None and present.capabilities is not None:
        document["capabilities"] = present.capabilities
    return document
