"""A small OpenID Connect issuer over TLS on a loopback port: configuration, keys, tokens, and what goes wrong with them."""

from __future__ import annotations

import json
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from support.tls_service import server_identity, tls_root

AUDIENCE = "https://azure-devices-provisioning.net"


@dataclass
class SigningKey:
    """One key of the issuer; RS256 with 2048 bits, or ES256."""

    id: str
    algorithm: str
    private: Any

    @classmethod
    def make(cls, name: str, algorithm: str = "ES256", bits: int = 2048) -> SigningKey:
        made = (
            ec.generate_private_key(ec.SECP256R1())
            if algorithm == "ES256"
            else rsa.generate_private_key(65537, bits)
        )
        return cls(name, algorithm, made)

    @property
    def jwk(self) -> dict[str, Any]:
        kind = ECAlgorithm if self.algorithm == "ES256" else RSAAlgorithm
        document: dict[str, Any] = kind.to_jwk(self.private.public_key(), as_dict=True)
        return {**document, "kid": self.id, "use": "sig", "alg": self.algorithm}


@dataclass
class OIDCIssuer:
    """Use as a context manager. `asked` are the paths that were asked for; `answers` replaces what one answers with."""

    keys: list[SigningKey] = field(default_factory=lambda: [SigningKey.make("first")])
    now: Callable[[], float] = time.time
    asked: list[str] = field(default_factory=list)
    answers: dict[str, tuple[int, bytes, Mapping[str, str]]] = field(default_factory=dict)
    port: int = 0

    def __enter__(self) -> Self:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                status, body, headers = issuer._answer(self.path)
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = _context().wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/tenant"

    @property
    def trust(self) -> str:
        """PEM of the root that its TLS chains to."""
        return tls_root().pem().decode()

    def rotate(self, algorithm: str = "ES256") -> None:
        """A new key in place of all others."""
        self.keys = [SigningKey.make(f"key-{time.monotonic_ns()}", algorithm)]

    def token(
        self,
        *roles: str,
        key: SigningKey | None = None,
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token with these roles; claims that are None are left out."""
        now = int(self.now())
        whole = {
            "iss": self.url, "aud": AUDIENCE, "sub": "somebody", "iat": now, "nbf": now, "exp": now + 600,
            "roles": list(roles), **claims,
        }  # fmt: skip
        signer = key or self.keys[0]
        kept = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(
            kept, signer.private, signer.algorithm, headers={"kid": signer.id, **(headers or {})}
        )

    def settings(self, folder: Path) -> dict[str, str]:
        """The environment of a service that trusts it."""
        trust = folder / "issuer-root.pem"
        trust.write_text(self.trust)
        return {
            "ACCREDIT_OIDC_ISSUER": self.url,
            "ACCREDIT_OIDC_TRUST_FILE": str(trust),
            "ACCREDIT_EGRESS_ALLOW": f"localhost:{self.port}",
        }

    def _answer(self, path: str) -> tuple[int, bytes, Mapping[str, str]]:
        if path in self.answers:
            return self.answers[path]
        documents = {
            "/tenant/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/tenant/keys": {"keys": [key.jwk for key in self.keys]},
        }
        if path not in documents:
            return 404, b"{}", {}
        return 200, json.dumps(documents[path]).encode(), {}


def _context() -> ssl.SSLContext:
    identity = server_identity()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key = identity.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in identity.chain)
    with tempfile.NamedTemporaryFile() as file:
        file.write(key + chain)
        file.flush()
        context.load_cert_chain(file.name)
    return context
