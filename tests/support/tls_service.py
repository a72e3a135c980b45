"""A front behind a real TLS listener on a free loopback port, and clients of the standard library's `ssl` for it."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from accredit.ca.server_identity import ServerIdentity, TLSRoot, make_root, make_server
from accredit.fronts.handshakes import Handshakes
from accredit.fronts.listener import Ceiling, Listener, bind
from accredit.fronts.tls import TLSLimits, TLSTransport
from accredit.fronts.tls_context import server_context
from support.pki import Entity

TLS12 = ssl.TLSVersion.TLSv1_2
TLS13 = ssl.TLSVersion.TLSv1_3
TRICKLE_S = 0.005


@functools.cache
def tls_root() -> TLSRoot:
    return make_root("test root", int(time.time()))


@functools.cache
def server_identity(name: str = "localhost") -> ServerIdentity:
    return make_server(tls_root(), [name, "127.0.0.1"], int(time.time()))


@asynccontextmanager
async def serving(
    front: Callable[[], asyncio.BaseProtocol],
    limits: TLSLimits | None = None,
    ceiling: Ceiling | None = None,
    handshakes: Handshakes | None = None,
) -> AsyncIterator[Listener]:
    """A listener for `front` until the block ends; then what is still open is cut."""
    identity = server_identity()
    context = server_context(identity.chain, identity.key)
    sockets = bind(["127.0.0.1"], 0, "--test-port")
    listener = Listener(
        "test",
        sockets,
        lambda: context,
        front,
        ceiling=ceiling or Ceiling(100),
        limits=limits,
        handshakes=handshakes,
    )
    await listener.start()
    try:
        yield listener
    finally:
        await listener.drain(0.0)


def client_context(
    version: ssl.TLSVersion = TLS13, credential: Path | None = None, ciphers: str | None = None
) -> ssl.SSLContext:
    """A client that trusts the test root and speaks just this version; `credential` is a PEM file of key and chain."""
    context = ssl.create_default_context(cadata=tls_root().pem().decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.minimum_version = context.maximum_version = version
    if credential is not None:
        context.load_cert_chain(credential)
    if ciphers is not None:
        context.set_ciphers(ciphers)
    return context


def credential_file(folder: Path, leaf: Entity, *issuers: Entity) -> Path:
    """Key and chain of a client in one PEM file, as `ssl` wants to read it."""
    key = leaf.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    path = folder / "credential.pem"
    path.write_text(key + "".join(each.pem for each in (leaf, *issuers)))
    return path


async def connected(
    port: int, context: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(
        "127.0.0.1", port, ssl=context or client_context(), server_hostname="localhost"
    )


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a client's end, whatever the server did to it."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def said_at_once(port: int, data: bytes, trickle: bytes = b"") -> bytes:
    """What comes back until the server ends the connection; for a thread. No deadline can fall before these bytes.

    They travel in one segment with the last word of the handshake, so that the front has them when it begins. `trickle`
    follows again and again.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    received = bytearray()
    with socket.create_connection(("127.0.0.1", port)) as raw:

        def read_on() -> None:
            if found := raw.recv(65_536):
                incoming.write(found)
            else:
                incoming.write_eof()

        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                read_on()
        tls.write(data)
        raw.sendall(outgoing.read())
        raw.settimeout(TRICKLE_S if trickle else None)
        while True:
            try:
                received += (chunk := tls.read(65_536))
                if not chunk:
                    return bytes(received)
            except ssl.SSLWantReadError:
                try:
                    read_on()
                except TimeoutError:
                    tls.write(trickle)
                    raw.sendall(outgoing.read())


class Recorder(asyncio.Protocol):
    """Echoes, and remembers what its transport told it."""

    def __init__(self) -> None:
        self.transport: TLSTransport
        self.received = bytearray()
        self.told: list[str] = []
        self.ended = asyncio.Event()
        self.heard = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TLSTransport)
        self.transport = transport
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.heard.set()
        self.transport.write(data)

    def eof_received(self) -> bool | None:
        self.told.append("eof")
        return None

    def pause_writing(self) -> None:
        self.told.append("pause")
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.told.append("resume")
        self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.ended.set()


class Fronts:
    """Makes fronts of one kind and keeps them for the test to look at."""

    def __init__(self, kind: type[Recorder] = Recorder) -> None:
        self.kind = kind
        self.made: list[Recorder] = []

    def __call__(self) -> Recorder:
        self.made.append(self.kind())
        return self.made[-1]


async def echoed(port: int, context: ssl.SSLContext) -> ssl.SSLObject:
    """One exchange; the connection's TLS as the client saw it."""
    reader, writer = await connected(port, context)
    try:
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        return writer.get_extra_info("ssl_object")
    finally:
        await closed(writer)
