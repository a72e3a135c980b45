"""The floors that a provisioning is held against, measured in the same run: what can't be done for less.

Each is a TLS 1.2 handshake plus one verification of a CSR's signature plus one P-256 signature.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto

from accredit.ca.server_identity import ServerIdentity, TLSRoot, make_root, make_server
from accredit.fronts.tls_context import server_context
from benchmarks.cpu import cpu_seconds
from benchmarks.fleet import Exchanges, client_context, shake_hands
from benchmarks.service import HOST


def verify_and_sign_us(rounds: int = 2_000) -> float:
    """CPU microseconds to check one CSR's signature and to make one P-256 signature."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    algorithm = ec.ECDSA(hashes.SHA256())
    data = b"x" * 500
    began = time.thread_time_ns()
    for _ in range(rounds):
        assert csr.is_signature_valid
        key.sign(data, algorithm)
    return (time.thread_time_ns() - began) / rounds / 1000


def in_memory_us(rounds: int = 1_000) -> float:
    """CPU microseconds of the server's side of a handshake between memory BIOs."""
    root, identity = _identity()
    server_side = server_context(identity.chain, identity.key)
    client_side = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client_side.set_max_proto_version(SSL.TLS1_2_VERSION)
    store = client_side.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(root.certificate))
    spent = 0
    for _ in range(rounds):
        server, client = SSL.Connection(server_side, None), SSL.Connection(client_side, None)
        server.set_accept_state()
        client.set_connect_state()
        done = {client: False, server: False}
        while not all(done.values()):
            for end, other in ((client, server), (server, client)):
                began = time.thread_time_ns()
                if not done[end]:
                    try:
                        end.do_handshake()
                        done[end] = True
                    except SSL.WantReadError:
                        pass
                try:
                    data = end.bio_read(16_384)
                except SSL.WantReadError:
                    data = b""
                if end is server:
                    spent += time.thread_time_ns() - began
                if data:
                    began = time.thread_time_ns()
                    other.bio_write(data)
                    if other is server:
                        spent += time.thread_time_ns() - began
    return spent / rounds / 1000


def openssl_server_us(count: int, at_once: int) -> float:
    """CPU microseconds of `openssl s_server` per TLS 1.2 connection."""
    with _openssl_server() as (pid, folder, port):
        return _per_handshake(pid, [client_context(str(folder / "root.pem"))], port, count, at_once)


def openssl_mutual_us(count: int, at_once: int, contexts: Sequence[ssl.SSLContext], issuers: Path) -> float:
    """The same where the client shows a certificate, which `openssl s_server` verifies up to one of `issuers` (PEM).

    `contexts` are the clients', with their certificates.
    """
    flags = ("-Verify", "3", "-verify_return_error", "-partial_chain", "-CAfile", str(issuers))
    with _openssl_server(*flags) as (pid, folder, port):
        for context in contexts:
            context.load_verify_locations(folder / "root.pem")
        return _per_handshake(pid, contexts, port, count, at_once)


@contextmanager
def _openssl_server(*flags: str) -> Iterator[tuple[int, Path, int]]:
    """Its process, the folder with the root that clients trust, and its port."""
    root, identity = _identity()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "root.pem").write_bytes(root.pem())
        _write_identity(identity, folder)
        port = _free_port()
        server = subprocess.Popen(
            ["openssl", "s_server", "-accept", f"{HOST}:{port}", "-cert", folder / "cert.pem", "-key", folder / "key.pem",
             "-tls1_2", "-quiet", "-no_ticket", "-no_cache", *flags],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield server.pid, folder, port
        finally:
            server.kill()
            server.wait()


def bare_server_us(count: int, at_once: int, exchanges: Exchanges = ()) -> float:
    """CPU microseconds per connection of the smallest accept, handshake, close server on this stack.

    With `exchanges`, of one that also answers them.
    """
    root, identity = _identity()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "root.pem").write_bytes(root.pem())
        _write_identity(identity, folder)
        port = _free_port()
        server = subprocess.Popen([sys.executable, "-m", "benchmarks.bare_server", str(port), str(folder)])
        try:
            trust = client_context(str(folder / "root.pem"))
            return _per_handshake(server.pid, [trust], port, count, at_once, exchanges)
        finally:
            server.kill()
            server.wait()


def _per_handshake(
    pid: int,
    contexts: Sequence[ssl.SSLContext],
    port: int,
    count: int,
    at_once: int,
    exchanges: Exchanges = (),
) -> float:
    _await_port(port)
    asyncio.run(shake_hands(50, HOST, port, contexts, 1, exchanges))
    before = cpu_seconds(pid)
    asyncio.run(shake_hands(count, HOST, port, contexts, at_once, exchanges))
    return (cpu_seconds(pid) - before) / count * 1e6


def _identity() -> tuple[TLSRoot, ServerIdentity]:
    now = int(time.time())
    root = make_root("floor", now)
    return root, make_server(root, [HOST], now)


def _write_identity(identity: ServerIdentity, folder: Path) -> None:
    (folder / "cert.pem").write_bytes(identity.certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        identity.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError("the server did not listen")


__all__ = ["bare_server_us", "in_memory_us", "openssl_mutual_us", "openssl_server_us", "verify_and_sign_us"]
