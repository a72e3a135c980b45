"""Which ports a service gets, and what it does when it can't have one. What the system says is handed in."""

from __future__ import annotations

import socket

import pytest

from accredit.app.ports import HTTPS_FALLBACK_PORT, bound, own_address
from accredit.config import load
from accredit.fronts.listener import PortBusy, PortForbidden, bind


class System:
    """Gives a socket for every port but those it refuses."""

    def __init__(self, **refused):
        self.refused = {int(port.strip("_")): error for port, error in refused.items()}
        self.asked = []
        self.made = []

    def bind(self, hosts, port, option):
        self.asked.append((tuple(hosts), port, option))
        if port in self.refused:
            raise self.refused[port](f"Port {port} can't be had.", port)
        self.made.append(socket.socket())
        return [self.made[-1]]

    def open(self):
        return [each for each in self.made if each.fileno() != -1]

    def close(self):
        for each in self.made:
            each.close()


@pytest.fixture
def system():
    made = []

    def of(**refused):
        made.append(System(**refused))
        return made[-1]

    yield of
    for each in made:
        each.close()


def test_the_default_ports_on_loopback(system):
    machine = system()
    sockets = bound(load({}, {}), machine.bind)
    assert machine.asked == [
        (("127.0.0.1", "::1"), 443, "--https-port"),
        (("127.0.0.1", "::1"), 8883, "--mqtt-port"),
        (("127.0.0.1", "::1"), 8080, "--public-port"),
    ]
    assert (sockets.https, sockets.mqtt, sockets.amqp) == ([machine.made[0]], [machine.made[1]], [])


def test_no_public_port_where_it_is_switched_off(system):
    machine = system()
    assert bound(load({"public_port": 0}, {}), machine.bind).public == []


def test_amqp_where_it_is_served(system):
    machine = system()
    sockets = bound(load({}, {}), machine.bind, amqp=True)
    assert machine.asked[2] == (("127.0.0.1", "::1"), 5671, "--amqp-port")
    assert list(sockets) == machine.made


def test_an_implicit_443_without_the_privilege_falls_back_and_says_so(system, log_lines):
    machine = system(_443=PortForbidden)
    bound(load({}, {}), machine.bind)
    assert [port for _, port, _ in machine.asked] == [443, HTTPS_FALLBACK_PORT, 8883, 8080]
    (line,) = log_lines
    assert (line["event"], line["log_level"]) == ("https-port-fallback", "warning")
    assert "443" in line["reason"]
    assert "8443" in line["reason"]
    assert "--https-port" in line["remedy"]


@pytest.mark.parametrize(
    ("flags", "environment"), [({"https_port": 443}, {}), ({}, {"ACCREDIT_HTTPS_PORT": "443"})]
)
def test_an_explicit_one_never_does(system, flags, environment):
    machine = system(_443=PortForbidden)
    with pytest.raises(PortForbidden):
        bound(load(flags, environment), machine.bind)
    assert len(machine.asked) == 1


def test_a_port_that_somebody_has_is_no_missing_privilege(system):
    machine = system(_443=PortBusy)
    with pytest.raises(PortBusy):
        bound(load({}, {}), machine.bind)
    assert len(machine.asked) == 1


def test_the_fallback_may_be_taken_too(system):
    machine = system(_443=PortForbidden, _8443=PortBusy)
    with pytest.raises(PortBusy) as refused:
        bound(load({}, {}), machine.bind)
    assert refused.value.port == HTTPS_FALLBACK_PORT


@pytest.mark.parametrize("error", [PortBusy, PortForbidden])
@pytest.mark.parametrize(("port", "made"), [("_8883", 1), ("_5671", 2)])
def test_all_or_none(system, error, port, made):
    machine = system(**{port: error})
    with pytest.raises(error):
        bound(load({}, {}), machine.bind, amqp=True)
    assert machine.open() == []
    assert len(machine.made) == made


def test_on_this_machine(configured):
    sockets = bound(configured())
    try:
        ports = [each.getsockname()[1] for each in sockets]
        assert len(set(ports)) == 2
        with pytest.raises(PortBusy, match=r"--mqtt-port"):
            bound(configured(mqtt_port=ports[1]))
        with pytest.raises(PortBusy):
            bind(("127.0.0.1",), ports[0], "--https-port")
    finally:
        for each in sockets:
            each.close()


@pytest.mark.parametrize(
    ("bound_to", "address"),
    [
        ((), "127.0.0.1"),
        (("192.0.2.1", "::1"), "192.0.2.1"),
        (("0.0.0.0",), "127.0.0.1"),  # noqa: S104 - read, not bound
        (("::", "0.0.0.0"), "::1"),  # noqa: S104 - read, not bound
    ],
)
def test_where_this_machine_reaches_it(bound_to, address):
    assert own_address(bound_to) == address
