"""Ports and host names as SDKs have them built in: one name without a port, a certificate for it, on each port."""

from __future__ import annotations

import socket
import ssl

import pytest

from support.enrolling import symmetric_individual
from support.raw_device import DpsDevice
from support.running_service import RunningService


@pytest.mark.parametrize("port", ["mqtt_port", "https_port"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_the_certificate_is_for_the_host_that_the_sdk_names(
    service: RunningService, port: str, version: ssl.TLSVersion
) -> None:
    """Checklist 18: mqtt_transport.py pins TLS 1.2 and checks the host name; rhea and AmqpClientConnection.cs send it as SNI."""
    context = ssl.create_default_context(cafile=str(service.trust_root))
    context.minimum_version = context.maximum_version = version
    assert context.check_hostname
    with (
        socket.create_connection((service.host, getattr(service, port)), timeout=40) as plain,
        context.wrap_socket(plain, server_hostname=service.host) as secured,
    ):
        assert secured.version() in {"TLSv1.2", "TLSv1.3"}


@pytest.mark.parametrize("port", ["mqtt_port", "https_port"])
def test_a_name_that_is_not_the_services_is_for_the_client_to_refuse(
    service: RunningService, port: str
) -> None:
    """Checklist 18: the host name check of mqtt_transport.py, the other way round. The handshake itself is not refused by SNI."""
    context = ssl.create_default_context(cafile=str(service.trust_root))
    with (
        socket.create_connection((service.host, getattr(service, port)), timeout=40) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"),
    ):
        context.wrap_socket(plain, server_hostname="other.example")


def test_the_hub_is_named_without_a_port(service: RunningService, name: str) -> None:
    """Checklist 18: mqtt_transport.py, prov_transport_mqtt_client.c and the rest add their own port to assignedHub."""
    with DpsDevice(service, name, key=symmetric_individual(service, name)) as device:
        hub = device.registers().state["assignedHub"]
    assert hub == service.host == service.info()["hub"]
    assert ":" not in hub
