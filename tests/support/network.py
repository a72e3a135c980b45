"""A network of its own for one node of a service, behind a router that can be told to lose packets.

    this machine, with what the service stands on --- router --- the node

Node and router are network namespaces of Linux (ip-netns(8)), joined by pairs of virtual Ethernet devices. What the router
loses is lost silently (`blackhole` of ip-rule(8)): no reset, no ICMP message; connections hang, as over a real network that
is parted. It loses by the address of who is spoken to, which is why every server that the node needs has one of its own.

All addresses are of 10.99.0.0/16, and known to this machine alone.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.programs import missing

_NAMES = "accredit-{pid}-{what}"
_NETWORKS = 250
_CLONE_NEWNET = 0x40000000


class Network:
    """`command` runs a program in it, at `address`. `servers` are two of this machine's addresses as it sees them."""

    def __init__(self, number: int) -> None:
        """Raises subprocess.CalledProcessError where this number is taken."""
        self._router, self._node = (_NAMES.format(pid=os.getpid(), what=what) for what in ("router", "node"))
        self._device = f"accredit{number}"
        base = f"10.99.{number}"
        self.address = f"{base}.6"
        self.servers = (f"{base}.101", f"{base}.102")
        self.command = ("ip", "netns", "exec", self._node)
        _ip("netns", "add", self._router)
        try:
            _ip("netns", "add", self._node)
            self._join(base)
        except BaseException:
            self.close()
            raise

    def _join(self, base: str) -> None:
        router, node = ("-n", self._router), ("-n", self._node)
        _ip("link", "add", self._device, "type", "veth", "peer", "name", "above", "netns", self._router)
        _ip(*router, "link", "add", "below", "type", "veth", "peer", "name", "eth0", "netns", self._node)
        _ip("address", "add", f"{base}.1/30", "dev", self._device)
        for server in self.servers:
            _ip("address", "add", f"{server}/32", "dev", self._device)
        _ip(*router, "address", "add", f"{base}.2/30", "dev", "above")
        _ip(*router, "address", "add", f"{base}.5/30", "dev", "below")
        _ip(*node, "address", "add", f"{self.address}/30", "dev", "eth0")
        for where, device in (
            ((), self._device),
            (router, "above"),
            (router, "below"),
            (node, "eth0"),
            (node, "lo"),
        ):
            _ip(*where, "link", "set", device, "up")
        _ip("route", "add", f"{base}.4/30", "via", f"{base}.2")
        for server in self.servers:
            _ip(*router, "route", "add", f"{server}/32", "via", f"{base}.1")
        _ip(*node, "route", "add", "default", "via", f"{base}.5")
        _ip("netns", "exec", self._router, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")

    def listening(self, port: int) -> socket.socket:
        """A socket of this process that listens at this port of the node's loopback."""

        def made() -> socket.socket:
            with Path(f"/run/netns/{self._node}").open("rb") as namespace:
                # Of this thread alone (setns(2)); a socket stays where it was made.
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            return socket.create_server(("127.0.0.1", port))

        with ThreadPoolExecutor(1) as there:
            return there.submit(made).result()

    @contextmanager
    def parted(self, server: str) -> Iterator[None]:
        """Lose every packet to and from this address, until the block ends."""
        directions = ("to", "from")
        for direction in directions:
            _ip("-n", self._router, "rule", "add", "priority", "1", direction, server, "blackhole")
        try:
            yield
        finally:
            for direction in directions:
                _ip("-n", self._router, "rule", "delete", "priority", "1", direction, server, "blackhole")

    def close(self) -> None:
        """The devices go with the namespaces."""
        for name in (self._router, self._node):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@contextmanager
def network() -> Iterator[Network]:
    """Skips, saying why, where there can be none."""
    made = _made()
    try:
        yield made
    finally:
        made.close()


def _made() -> Network:
    if os.getuid() != 0:
        pytest.skip(
            "network namespaces are root's; test_nodes.py parts a node from the database by a forwarder of its own instead"
        )
    if shutil.which("ip") is None:
        missing("the program ip (iproute2) is not installed")
    _tidy()
    refused = ""
    for number in range(_NETWORKS):
        try:
            return Network((os.getpid() + number) % _NETWORKS)
        except subprocess.CalledProcessError as error:
            refused = error.stderr.strip()
            if "File exists" not in refused:
                break
    pytest.skip(
        f"no network namespace can be made here ({refused}); test_nodes.py parts a node from the database by a forwarder of "
        "its own instead"
    )


def _tidy() -> None:
    """Remove what test processes have left that were killed."""
    for name in re.findall(_NAMES.format(pid=r"\d+", what=r"\w+"), _ip("netns", "list")):
        try:
            os.kill(int(name.split("-")[1]), 0)
        except ProcessLookupError:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout
