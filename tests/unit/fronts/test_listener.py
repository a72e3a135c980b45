"""Binding, the ceiling and draining, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

import pytest

from accredit.fronts.listener import (
    LOOPBACK,
    CannotListen,
    Ceiling,
    PortBusy,
    PortForbidden,
    bind,
)
from accredit.fronts.tls import TLSTransport
from support.logs import capture_logs
from support.tls_service import closed, connected, serving


def has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def has_privileged_ports() -> bool:
    setting = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    return not setting.exists() or int(setting.read_text()) > 1


@contextlib.contextmanager
def unprivileged():
    """Without root's privileges, for a test that runs as root."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(was)


@contextlib.contextmanager
def bound(*hosts: str, port: int = 0):
    sockets = bind(hosts, port, "--mqtt-port")
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


class TestBind:
    def test_loopback_is_both_families_at_one_port(self) -> None:
        with bound(*LOOPBACK) as sockets:
            families = {each.family for each in sockets}
            assert len({each.getsockname()[1] for each in sockets}) == 1
            assert socket.AF_INET in families
            assert (socket.AF_INET6 in families) == has_ipv6_loopback()

    def test_a_busy_port_is_told_with_its_remedies(self) -> None:
        with bound("127.0.0.1") as (taken,):
            port = taken.getsockname()[1]
            with pytest.raises(PortBusy) as refusal:
                bind(["127.0.0.1"], port, "--mqtt-port")
        assert refusal.value.port == port
        assert f"Port {port} on 127.0.0.1 is in use by another process" in str(refusal.value)
        assert "--mqtt-port" in str(refusal.value)

    def test_a_port_taken_on_all_addresses_is_busy_too(self) -> None:
        with bound("0.0.0.0") as (taken,), pytest.raises(PortBusy):
            bind(["127.0.0.1"], taken.getsockname()[1], "--mqtt-port")

    @pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no ::1")
    def test_a_port_taken_on_the_second_host_frees_the_first(self) -> None:
        with bound("::1") as (taken,):
            port = taken.getsockname()[1]
            with pytest.raises(PortBusy):
                bind(LOOPBACK, port, "--mqtt-port")
        with bound("127.0.0.1", port=port):
            pass

    def test_a_port_just_left_can_be_taken_again(self) -> None:
        with bound("127.0.0.1") as (listening,):
            port = listening.getsockname()[1]
            listening.setblocking(True)
            with socket.create_connection(("127.0.0.1", port)) as client:
                accepted, _ = listening.accept()
                accepted.close()  # our side closes first: the kernel keeps the pair in TIME_WAIT
                assert client.recv(1) == b""
        with bound("127.0.0.1", port=port):
            pass

    @pytest.mark.skipif(not has_privileged_ports(), reason="this system has no privileged ports")
    def test_a_forbidden_port_is_told_with_its_remedies(self) -> None:
        with unprivileged(), pytest.raises(PortForbidden, match="privilege") as refusal:
            bind(["127.0.0.1"], 1, "--https-port")
        assert refusal.value.port == 1
        assert "--https-port" in str(refusal.value)

    def test_an_address_that_is_not_ours_is_told(self) -> None:
        with pytest.raises(CannotListen, match="--bind") as refusal:
            bind(["192.0.2.1"], 0, "--https-port")
        assert not isinstance(refusal.value, PortBusy)

    def test_accepted_sockets_are_kept_alive_and_not_delayed(self) -> None:
        with bound("127.0.0.1") as (listening,):
            listening.setblocking(True)
            with socket.create_connection(listening.getsockname()):
                accepted, _ = listening.accept()
                with accepted:
                    assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_no_second_process_can_bind_beside_us(self) -> None:
        with bound("127.0.0.1") as (listening,):
            assert not listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TLSTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Finishing(Echo):
    """A front with a last word, when it is let to say it."""

    stubborn = False

    def drain(self) -> None:
        if not self.stubborn:
            self.transport.write(b"goodbye")
            self.transport.close()


class Stubborn(Finishing):
    stubborn = True


async def greeted(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await connected(port)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    return reader, writer


class TestCeiling:
    async def test_connections_above_it_are_turned_away_until_one_leaves(self) -> None:
        ceiling = Ceiling(2)
        with capture_logs() as logs:
            async with serving(Echo, ceiling=ceiling) as listener:
                _, first = await greeted(listener.port)
                _, second = await greeted(listener.port)
                for _ in range(3):
                    with pytest.raises(OSError):
                        await connected(listener.port)
                assert (listener.connections, listener.accepted, ceiling.refused) == (2, 2, 3)
                await closed(first)
                while ceiling.open == 2:
                    await asyncio.sleep(0)
                _, third = await greeted(listener.port)
                await closed(second)
                await closed(third)
        assert [each["event"] for each in logs] == ["connections-at-ceiling"]
        assert ceiling.open == 0

    async def test_two_listeners_share_one(self) -> None:
        ceiling = Ceiling(1)
        async with serving(Echo, ceiling=ceiling) as first, serving(Echo, ceiling=ceiling) as second:
            _, writer = await greeted(first.port)
            with pytest.raises(OSError):
                await connected(second.port)
            await closed(writer)


class TestDrain:
    async def test_a_front_may_finish_and_new_connections_are_refused(self) -> None:
        async with serving(Finishing) as listener:
            reader, writer = await greeted(listener.port)
            await listener.drain(10)
            assert await reader.read() == b"goodbye"
            await closed(writer)
            assert listener.connections == 0

    async def test_nobody_can_connect_any_more(self) -> None:
        async with serving(Echo) as listener:
            port = listener.port
            await listener.drain(10)
            with pytest.raises(OSError):
                await connected(port)

    async def test_a_front_without_a_last_word_is_closed(self) -> None:
        async with serving(Echo) as listener:
            reader, writer = await greeted(listener.port)
            await listener.drain(10)
            assert await reader.read() == b""
            await closed(writer)

    async def test_a_handshake_in_progress_is_closed(self) -> None:
        async with serving(Echo) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            while not listener.connections:
                await asyncio.sleep(0)
            await listener.drain(10)
            assert await reader.read() == b""
            await closed(writer)

    async def test_who_does_not_finish_is_cut_at_the_deadline(self) -> None:
        with capture_logs() as logs:
            async with serving(Stubborn) as listener:
                reader, writer = await greeted(listener.port)
                await listener.drain(0.01)
                assert listener.connections == 0
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
                await closed(writer)
        assert [each["event"] for each in logs] == ["connections-cut"]
        assert logs[0]["count"] == 1
