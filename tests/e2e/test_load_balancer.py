"""Behind HAProxy, which speaks the PROXY protocol: limits and logs see the devices, not the balancer."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from accredit.wire.proxy_protocol import proxied
from support.device_key import derived_key
from support.enrolling import symmetric_group
from support.programs import need
from support.raw_device import DpsDevice
from support.running_service import RunningService, loopback_address

PUBLIC = 18_080

SHIPPED = Path(__file__).parents[2] / "deploy" / "haproxy.cfg"


@pytest.fixture(scope="module")
def balancer() -> str:
    """The address that HAProxy is reached at, and speaks to the service from."""
    return loopback_address()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, balancer: str) -> Iterator[RunningService]:
    """Clients come to the balancer; the command line still speaks to the service itself."""
    listed = f"192.0.2.0/24,{balancer}"
    arguments = ["--proxy-protocol-from", listed, "--public-port", str(PUBLIC)]
    with RunningService(tmp_path_factory.mktemp("balanced"), arguments=arguments) as running:
        yield running


@contextmanager
def haproxy(folder: Path, service: RunningService, balancer: str) -> Iterator[dict[str, tuple[str, int]]]:
    """HAProxy with the file that is shipped, before one node; where each section is reached."""
    need("haproxy")
    behind = {"https": service.https_port, "mqtt": service.mqtt_port, "public": PUBLIC}
    places = {name: (balancer, _free_port(balancer)) for name in behind}
    (folder / "haproxy.cfg").write_text(_adapted(SHIPPED.read_text(), service.host, behind, places))
    process = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(folder / "haproxy.cfg")])
    try:
        for place in places.values():
            _reachable(place)
        yield places
    finally:
        process.terminate()
        process.wait()


def _adapted(text: str, host: str, behind: dict[str, int], places: dict[str, tuple[str, int]]) -> str:
    """The file with one node at these ports, without the resolver of containers, and without what is not served here."""
    parts = {
        part.split(maxsplit=2)[1]: part for part in re.split(r"^(?=listen )", text, flags=re.MULTILINE)[1:]
    }
    kept = [text[: text.index("listen ")].replace(" resolvers containers init-addr none", "")]
    kept[0] = re.sub(r"^resolvers.*?(?=^\S|\Z)", "", kept[0], flags=re.MULTILINE | re.DOTALL)
    for name, port in behind.items():
        part = re.sub(r"bind :\d+", f"bind {places[name][0]}:{places[name][1]}", parts[name])
        part = re.sub(r"(server node1) accredit-1:\d+", rf"\1 {host}:{port} source {places[name][0]}", part)
        kept.append(re.sub(r"^ +server node[23].*\n", "", part, flags=re.MULTILINE))
    return "".join(kept)


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _reachable(place: tuple[str, int]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(place).close()
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens at {place}"
            time.sleep(0.02)
        else:
            return


def _ended(raw: socket.socket) -> bool:
    """Whether nothing is said before the connection is over."""
    try:
        return raw.recv(1) == b""
    except ConnectionError:
        return True


def through(place: tuple[str, int], source: str):
    """A way to open a connection to the balancer from a loopback address of one's own (`channels.Open`)."""

    def opened(service: RunningService, certificate, patience_s: float):
        context = ssl.create_default_context(cafile=str(service.trust_root))
        raw = socket.create_connection(place, timeout=patience_s, source_address=(source, 0))
        return context.wrap_socket(raw, server_hostname=service.host)

    return opened


def test_devices_are_seen_as_themselves_over_mqtt(
    service: RunningService, balancer: str, tmp_path: Path
) -> None:
    master = symmetric_group(service, "line")
    with haproxy(tmp_path, service, balancer) as places:
        for name in ("lamp-1", "lamp-2"):
            source = loopback_address()
            open_ = through(places["mqtt"], source)
            with DpsDevice(service, name, key=derived_key(master, name), over=open_) as device:
                assert device.registers().document["status"] == "assigned"
            assert service.logs("registration", registrationId=name)["source"] == source
        # Health checks are the balancer's own connections (LOCAL), and nothing is wrong with them.
        assert service.log_lines("proxy-header-refused") == []


def test_https_and_the_plain_port_too(service: RunningService, balancer: str, tmp_path: Path) -> None:
    source = loopback_address()
    with haproxy(tmp_path, service, balancer) as places:
        transport = httpx.HTTPTransport(
            local_address=source, verify=ssl.create_default_context(cafile=str(service.trust_root))
        )
        with httpx.Client(transport=transport, trust_env=False, timeout=60) as client:
            host, port = places["https"]
            ready = client.get(f"https://{host}:{port}/readyz", extensions={"sni_hostname": service.host})
            assert ready.json()["status"] == "ready"
            host, port = places["public"]
            assert client.get(f"http://{host}:{port}/ocsp/none").status_code == 200


def test_a_listed_balancer_without_a_header_is_refused(service: RunningService, balancer: str) -> None:
    for port in (service.https_port, service.mqtt_port, PUBLIC):
        with socket.create_connection((service.host, port), 30, source_address=(balancer, 0)) as raw:
            raw.sendall(b"\x16\x03\x01\x00\x05hello")
            assert _ended(raw)
    assert service.logs("proxy-header-refused")["source"] == balancer


def test_nobody_else_is_believed(service: RunningService) -> None:
    with socket.create_connection((service.host, service.mqtt_port), 30) as raw:
        raw.sendall(proxied(("192.0.2.7", 1), (service.host, service.mqtt_port)))
        # It is read as what opens TLS, which it does not.
        assert raw.recv(1) in (b"", b"\x15")
    assert service.logs("tls-handshake-failed")["source"] != "192.0.2.7"
