"""A second `accredit` as an EST server, and before it what a registration authority is: one credential for many devices.

Our EST server knows devices, each by its own password. The gateway takes the one password that a connector has and puts
the device's own in its place; what it does not know passes as it came.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from accredit.domain.credential import IssuedChain
from accredit.domain.secret import Secret
from accredit.values import replace
from accredit.wire import est
from support.ca_proxy import Call, CAProxy
from support.ca_servers import CAServer
from support.device_key import derived_key
from support.enrolling import issuing, symmetric_group
from support.running_service import RunningService
from support.signing_requests import Key

LABEL = "est-line"
USER, PASSWORD = "ra", "one-for-all"  # noqa: S105 - a test's


class Gateway(CAProxy):
    """`master` is the group's key, base64."""

    def __init__(self, upstream: str, trust_pem: str, master: str) -> None:
        super().__init__(upstream, lambda _, path, __: path.endswith("/simpleenroll"), trust_pem)
        self._master = master

    def issues(self, call: Call, answer: bytes) -> bool:
        return self.signs(call.method, call.path, call.body)

    def passed(self, call: Call) -> tuple[int, dict[str, str], bytes]:
        known = est.basic(USER, Secret(PASSWORD.encode())).reveal().decode()
        if call.method == "POST" and call.headers.get("authorization") == known:
            name = _common_name(call.body)
            own = est.basic(name, Secret(password(derived_key(self._master, name), LABEL).encode()))
            call = replace(call, headers={**call.headers, "authorization": own.reveal().decode()})
        return super().passed(call)


def password(key: str, label: str) -> str:
    """As the contract says: base64 of the HMAC under the decoded device key."""
    digest = hmac.digest(base64.b64decode(key), f"est:{label}".encode(), "sha256")
    return base64.b64encode(digest).decode()


def _common_name(body: bytes) -> str:
    request = x509.load_der_x509_csr(base64.b64decode(body))
    (name,) = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value)


@contextmanager
def est_server(folder: Path) -> Iterator[tuple[CAServer, Gateway]]:
    with RunningService(folder, environment={"ACCREDIT_KEY_REUSE": "allow"}) as service:
        master = symmetric_group(service, LABEL, idPattern="device-.*", **issuing())
        with service.https() as http:
            told = http.get(f"{est.WELL_KNOWN}/{LABEL}/cacerts").raise_for_status()
        root = x509.load_der_x509_certificate(_root(est.certificates(told.content)))
        server = CAServer(
            url=service.url,
            root_pem=root.public_bytes(Encoding.PEM).decode(),
            settings={"label": LABEL, "username": USER},
            secrets={"password": PASSWORD},
            wrong_secrets={"password": "not-that-one"},
            revoked=_never,
            tls_pem=service.trust,
        )
        with Gateway(service.url, service.trust, master) as gateway:
            yield server, gateway


def _root(chain: tuple[bytes, ...]) -> bytes:
    parsed = {der: x509.load_der_x509_certificate(der) for der in chain}
    return next(der for der, each in parsed.items() if each.subject == each.issuer)


def _never(issued: IssuedChain, key: Key) -> str | None:
    raise AssertionError("nothing is revoked over EST")
