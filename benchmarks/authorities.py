"""What a certificate costs a CA: ours beside cfssl, OpenBao and step-ca, in one run on one machine.

Each certificate is ordered over a TLS 1.2 connection of its own, one after the other (cfssl's database takes no two at once), and the CPU time is the CA's process's. Ours does more for
it: that figure is the whole provisioning of a device by MQTT (`provisioning.py`), on disk before the answer. cfssl writes
each certificate into its SQLite file, step-ca into its database, OpenBao into its own (raft). A CA that can't be had here is
left out.
"""

from __future__ import annotations

import base64
import hmac
import http.client
import json
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from accredit.authorities.jose import SigningKey
from accredit.ca.server_identity import make_root, make_server
from benchmarks.cpu import cpu_seconds
from support import ca_servers, step_ca_server
from support.ports import free_port

WARM = 20
_HOST = "localhost"


@dataclass(frozen=True)
class _Target:
    """`ask` makes the path, headers and body that order one certificate for a CSR and its name."""

    pid: int
    port: int
    trust: ssl.SSLContext
    ask: Callable[[str, str], tuple[str, dict[str, str], bytes]]


def cpu_per_certificate_us(count: int) -> dict[str, float]:
    """Microseconds of CPU for one certificate, by the name of the CA."""
    found: dict[str, float] = {}
    for name, started in {"cfssl": _cfssl, "OpenBao": _openbao, "step-ca": _step_ca}.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                with started(Path(folder)) as target:
                    found[name] = _measured(target, count)
            except pytest.skip.Exception as reason:
                print(f"{name} is left out: {reason}")
    return found


def _measured(target: _Target, count: int) -> float:
    key = ec.generate_private_key(ec.SECP256R1())
    csrs = [(name, _csr(name, key)) for name in (f"device-{number}" for number in range(count))]
    for one in csrs[:WARM]:
        _order(target, *one)
    before = cpu_seconds(target.pid)
    for one in csrs:
        _order(target, *one)
    return (cpu_seconds(target.pid) - before) / count * 1e6


def _order(target: _Target, name: str, csr: str) -> None:
    path, headers, body = target.ask(name, csr)
    connection = http.client.HTTPSConnection(_HOST, target.port, context=target.trust, timeout=20)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status not in {200, 201} or b"BEGIN CERTIFICATE" not in text:
        raise RuntimeError(f"{path} answered {answer.status} {text[:200]!r}")


def _csr(name: str, key: ec.EllipticCurvePrivateKey) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


@contextmanager
def _cfssl(folder: Path) -> Iterator[_Target]:
    certificate, key, trust = _tls_files(folder)

    def ask(name: str, csr: str) -> tuple[str, dict[str, str], bytes]:
        inner = {"certificate_request": csr, "profile": "device", "subject": {"CN": name}, "hosts": []}
        text = json.dumps(inner).encode()
        token = hmac.digest(bytes.fromhex(ca_servers.CFSSL_KEY), text, "sha256")
        parts = {
            "token": base64.b64encode(token).decode(),
            "request": base64.b64encode(text).decode(),
        }
        return "/api/v1/cfssl/authsign", {}, json.dumps(parts).encode()

    with ca_servers.cfssl(folder / "ca", "-tls-cert", certificate, "-tls-key", key) as server:
        yield _Target(server.pid, int(server.url.rpartition(":")[2]), trust, ask)


@contextmanager
def _openbao(folder: Path) -> Iterator[_Target]:
    certificate, key, trust = _tls_files(folder)
    port = free_port()
    listener = folder / "listener.json"
    settings = {"address": f"127.0.0.1:{port}", "tls_cert_file": certificate, "tls_key_file": key}
    kept = folder / "kept"
    kept.mkdir()
    configuration = {
        "listener": [{"tcp": settings}],
        "storage": {"raft": {"path": str(kept), "node_id": "bench"}},
        "cluster_addr": f"https://127.0.0.1:{free_port()}",
        "api_addr": f"https://127.0.0.1:{port}",
    }
    listener.write_text(json.dumps(configuration))

    def ask(name: str, csr: str) -> tuple[str, dict[str, str], bytes]:
        body = {"csr": csr, "common_name": name, "exclude_cn_from_sans": True}
        return "/v1/pki_int/sign/device", {"X-Vault-Token": ca_servers.BAO_TOKEN}, json.dumps(body).encode()

    with ca_servers.openbao(folder / "ca", f"-config={listener}") as (plain, _):
        yield _Target(_listening_on(plain), port, trust, ask)


@contextmanager
def _step_ca(folder: Path) -> Iterator[_Target]:
    with step_ca_server.step_ca(folder / "ca") as server:
        signer = SigningKey.read(server.secrets["provisionerKey"].encode())
        audience = f"{server.url}/1.0/sign"

        def ask(name: str, csr: str) -> tuple[str, dict[str, str], bytes]:
            now = int(time.time())
            claims = {
                "iss": "devices", "aud": audience, "sub": name, "sans": [], "iat": now, "nbf": now - 60,
                "exp": now + 300, "jti": uuid4().hex,
            }  # fmt: skip
            body = {"csr": csr, "ott": signer.compact({"kid": signer.kid}, claims)}
            return "/1.0/sign", {}, json.dumps(body).encode()

        trust = _client(server.tls_pem)
        yield _Target(server.pid, int(server.url.rpartition(":")[2]), trust, ask)


def _tls_files(folder: Path) -> tuple[str, str, ssl.SSLContext]:
    """A P-256 certificate as our own service has, for a CA that brings none."""
    now = int(time.time())
    root = make_root("bench", now)
    identity = make_server(root, [_HOST], now)
    certificate, key = folder / "tls.pem", folder / "tls.key"
    certificate.write_bytes(identity.certificate.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        identity.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(certificate), str(key), _client(root.pem().decode())


def _client(trust_pem: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=trust_pem)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def _listening_on(port: int) -> int:
    """The process that listens on this port of loopback (Linux)."""
    wanted = f"{socket.htonl(0x7F000001):08X}:{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    inode = next(fields[9] for fields in map(str.split, lines) if fields[1] == wanted and fields[3] == "0A")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(link.readlink().name == f"socket:[{inode}]" for link in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue
    raise RuntimeError(f"nobody listens on {port}")
