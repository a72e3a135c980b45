"""A real step-ca, built from Debian's library packages: smallstep publishes it as Go code, and Debian no program of it.

The build takes most of a minute and is kept in the machine's temporary folder, under the packages' versions.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from accredit.authorities.jose import SigningKey, encoded
from accredit.domain.credential import IssuedChain
from support.ca_servers import CAServer, process, root
from support.ports import free_port
from support.programs import missing, need
from support.signing_requests import Key

LIBRARIES = Path("/usr/share/gocode")
_PACKAGE = LIBRARIES / "src" / "github.com" / "smallstep" / "certificates" / "commands"
_MAIN = """package main

import (
	"fmt"
	"os"

	"github.com/smallstep/certificates/commands"
	"github.com/urfave/cli"
)

func main() {
	app := cli.NewApp()
	app.Flags = commands.AppCommand.Flags
	app.Action = commands.AppCommand.Action
	if err := app.Run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
"""
_BUILD_S = 600
_TEMPLATE = """{
  "subject": {{ toJson .Subject }},
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["clientAuth"]
}{{ if hasPrefix "refused" .Subject.CommonName }}{{ fail "this name is not for devices" }}{{ end }}"""


def program() -> Path:
    """Skips where it can't be built."""
    need("go")
    need("gcc")
    if not _PACKAGE.exists():
        missing("Debian's golang-github-smallstep-certificates-dev is not installed")
    stamp = sha256(_MAIN.encode() + str(_PACKAGE.stat().st_mtime_ns).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"accredit-step-ca-{os.getuid()}-{stamp}"
    folder.mkdir(mode=0o700, exist_ok=True)
    built = folder / "step-ca"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            _build(folder, built)
    return built


def _build(folder: Path, built: Path) -> None:
    (folder / "main.go").write_text(_MAIN)
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": str(LIBRARIES),
        "GOCACHE": str(folder / "cache"),
    }
    done = subprocess.run(
        ["go", "build", "-o", "step-ca.new", "main.go"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=_BUILD_S, check=False,
    )  # fmt: skip
    shutil.rmtree(folder / "cache", ignore_errors=True)
    if done.returncode:
        missing(f"step-ca could not be built: {done.stderr[-300:]}")
    (folder / "step-ca.new").rename(built)


@contextmanager
def step_ca(folder: Path) -> Iterator[CAServer]:
    binary = program()
    folder.mkdir(parents=True, exist_ok=True)
    anchor = root("step-ca Root", folder)
    _intermediate(folder, anchor)
    jwk, wrong = _private_jwk("fleet"), _private_jwk("fleet")
    public = {name: jwk[name] for name in ("kty", "crv", "x", "y", "kid")} | {"alg": "ES256", "use": "sig"}
    port = free_port()
    life = {"minTLSCertDuration": "5m", "maxTLSCertDuration": "2160h", "defaultTLSCertDuration": "720h"}
    provisioner = {
        "type": "JWK", "name": "devices", "key": public, "claims": life, "options": {"x509": {"template": _TEMPLATE}},
    }  # fmt: skip
    configuration = {
        "root": str(folder / "root.pem"),
        "crt": str(folder / "intermediate.pem"),
        "key": str(folder / "intermediate.key"),
        "address": f"127.0.0.1:{port}",
        "dnsNames": ["localhost"],
        "db": {"type": "badgerv2", "dataSource": str(folder / "db")},
        "authority": {"provisioners": [provisioner]},
    }
    (folder / "ca.json").write_text(json.dumps(configuration))
    pem = anchor.public_bytes(Encoding.PEM).decode()
    with process(
        [str(binary), "ca.json"], folder, port, {"STEPPATH": str(folder), "HOME": str(folder)}
    ) as pid:
        yield CAServer(
            pid=pid,
            url=f"https://localhost:{port}",
            root_pem=pem,
            settings={
                "rootFingerprint": anchor.fingerprint(hashes.SHA256()).hex(),
                "provisioner": "devices",
            },
            secrets={"provisionerKey": json.dumps(jwk)},
            wrong_secrets={"provisionerKey": json.dumps(wrong)},
            revoked=lambda issued, private: _revoked(folder, port, pem, issued, private),
            tls_pem=pem,
        )


def _private_jwk(kid: str) -> dict[str, str]:
    private = ec.generate_private_key(ec.SECP256R1())
    scalar = private.private_numbers().private_value.to_bytes(32, "big")
    return {**SigningKey(private).public, "d": encoded(scalar), "kid": kid}


def _intermediate(folder: Path, anchor: x509.Certificate) -> None:
    above = load_pem_private_key((folder / "root.key").read_bytes(), None)
    assert isinstance(above, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    usage = anchor.extensions.get_extension_for_class(x509.KeyUsage)
    begins = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "step-ca Devices")]))
        .issuer_name(anchor.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=1825))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage.value, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False)
        .sign(above, hashes.SHA256())
    )
    (folder / "intermediate.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "intermediate.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )


def _revoked(folder: Path, port: int, root_pem: str, issued: IssuedChain, private: Key) -> str | None:
    """Whether it may be renewed, which is what step-ca's revocation ends."""
    shown = folder / "shown.pem"
    chain = [x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in issued.chain]
    key = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    shown.write_bytes(b"".join([*chain, key]))
    context = ssl.create_default_context(cadata=root_pem)
    context.load_cert_chain(shown)
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=60)
    try:
        connection.request("POST", "/1.0/renew", b"")
        status = connection.getresponse().status
    finally:
        connection.close()
    assert status in {201, 401}, status
    return "" if status == 401 else None


if __name__ == "__main__":
    program()
