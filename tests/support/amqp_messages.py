"""DPS's messages over AMQP, as a device sends them."""

from __future__ import annotations

from typing import Any

from accredit.wire import amqp_message as m
from accredit.wire import amqp_types as t


def request(operation: str, body: bytes | None = b"", **more: Any) -> bytes:
    """A register or status message; `correlation`, `operation_id`, `force` and `value` where the SDK sends them."""
    application = {"iotdps-operation-type": t.string(operation)}
    if "operation_id" in more:
        application["iotdps-operation-id"] = t.string(more["operation_id"])
    if "force" in more:
        application["iotdps-forceRegistration"] = t.boolean(more["force"])
    properties = m.Properties(correlation_id=more["correlation"]) if "correlation" in more else None
    return m.encode(body, value=more.get("value"), properties=properties, application=application)


def register(body: bytes = b"{}", **more: Any) -> bytes:
    return request("iotdps-register", body, **more)
