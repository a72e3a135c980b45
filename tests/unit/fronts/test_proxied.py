"""Whose a connection is: what a listed balancer says, required of it and of nobody else."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network

import pytest

from accredit.fronts.proxied import MAX_PENDING, HeaderFirst, Proxies
from accredit.wire.proxy_protocol import local, proxied
from support.logs import capture_logs

CLIENT, SERVICE = ("192.0.2.7", 40_000), ("198.51.100.1", 8883)


class Told(asyncio.Protocol):
    """Says on the wire whom it sees, and gives back what it hears."""

    def connection_made(self, transport):
        self.transport = transport
        peer, here = (transport.get_extra_info(name) for name in ("peername", "sockname"))
        transport.write(f"{peer[0]} {here[0]} {transport.get_extra_info('nothing', 'default')}\n".encode())

    def data_received(self, data):
        self.transport.write(data)


@pytest.fixture
def log_lines():
    with capture_logs() as lines:
        yield lines


@pytest.fixture
async def serve():
    """Make a server whose balancers are these networks; returns how to open a connection to it."""
    servers = []

    async def serving(*networks, header_s=10.0):
        proxies = Proxies([ip_network(each) for each in networks], header_s)
        server = await asyncio.get_running_loop().create_server(proxies.behind(Told), "127.0.0.1", 0)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        return proxies, lambda: asyncio.open_connection("127.0.0.1", port)

    yield serving
    for server in servers:
        server.close()


async def test_a_listed_balancer_s_word_counts(serve):
    _, connect = await serve("127.0.0.0/8")
    reader, writer = await connect()
    writer.write(proxied(CLIENT, SERVICE) + b"hello")
    assert await reader.readline() == b"192.0.2.7 198.51.100.1 default\n"
    assert await reader.readexactly(5) == b"hello"
    writer.write(b"more")
    assert await reader.readexactly(4) == b"more"
    writer.close()


async def test_a_header_may_come_in_pieces(serve):
    _, connect = await serve("127.0.0.1")
    reader, writer = await connect()
    for byte in proxied(CLIENT, SERVICE):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    assert (await reader.readline()).startswith(b"192.0.2.7 ")
    writer.close()


async def test_a_health_check_is_the_balancer_s_own(serve):
    _, connect = await serve("127.0.0.1")
    reader, writer = await connect()
    writer.write(local())
    assert (await reader.readline()).startswith(b"127.0.0.1 127.0.0.1 ")
    writer.close()


async def test_from_anybody_else_no_byte_is_read_as_a_header(serve):
    _, connect = await serve("192.0.2.0/24")
    reader, writer = await connect()
    assert (await reader.readline()).startswith(b"127.0.0.1 ")
    header = proxied(CLIENT, SERVICE)
    writer.write(header)
    assert await reader.readexactly(len(header)) == header
    writer.close()


@pytest.mark.parametrize(
    "said", [b"\x16\x03\x01 a ClientHello", b"GET / HTTP/1.1\r\n", b"PROXY TCP4 1.2.3.4"]
)
async def test_a_listed_balancer_must_send_one(serve, said, log_lines):
    _, connect = await serve("127.0.0.1")
    reader, writer = await connect()
    writer.write(said)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    (line,) = [line for line in log_lines if line["event"] == "proxy-header-refused"]
    assert line["source"] == "127.0.0.1"
    writer.close()


async def test_silence_is_cut(serve, log_lines):
    proxies, connect = await serve("127.0.0.1", header_s=0.05)
    reader, writer = await connect()
    writer.write(proxied(CLIENT, SERVICE)[:20])
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    assert log_lines[-1]["reason"] == "it did not come in time"
    assert not proxies._pending
    writer.close()


async def test_who_goes_without_a_word_leaves_nothing(serve, log_lines):
    proxies, connect = await serve("127.0.0.1")
    _, writer = await connect()
    while not proxies._pending:
        await asyncio.sleep(0)
    writer.close()
    while proxies._pending:
        await asyncio.sleep(0.001)
    assert not [line for line in log_lines if line["event"] == "proxy-header-refused"]


async def test_a_stop_cuts_those_that_have_said_nothing(serve):
    proxies, connect = await serve("127.0.0.1")
    reader, writer = await connect()
    while not proxies._pending:
        await asyncio.sleep(0)
    proxies.abort()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()


async def test_only_so_many_may_wait(serve, log_lines):
    proxies, connect = await serve("127.0.0.1")
    proxies._pending |= {HeaderFirst(Told, proxies) for _ in range(MAX_PENDING)}
    reader, writer = await connect()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    assert log_lines[-1]["reason"] == "too many connections wait for theirs"
    writer.close()


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::5", True),
        ("fe80::1%eth0", False),
        ("11.1.2.3", False),
        ("", False),
        ("a name", False),
    ],
)
def test_addresses_are_compared_as_what_they_are(address, trusted):
    assert Proxies([ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]).trusts(address) is trusted


def test_without_balancers_nothing_stands_in_between():
    assert Proxies(()).behind(Told) is Told
