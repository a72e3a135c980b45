"""EST as devices without an Azure SDK speak it: curl with openssl, and strongSwan's pki, against the running service."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from support.device_key import DeviceKey, authority, derived_key
from support.enrolling import issuing, symmetric_group, symmetric_individual, x509_group
from support.programs import run
from support.raw_device import HubDevice
from support.running_service import RunningService


def password(key: str, label: str) -> str:
    """As the contract says: base64 of the HMAC under the decoded device key."""
    digest = hmac.digest(base64.b64decode(key), f"est:{label}".encode(), "sha256")
    return base64.b64encode(digest).decode()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def certificates(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(self.pem.encode())

    @property
    def pem(self) -> str:
        """By openssl, which is not ours."""
        der = base64.b64decode(self.body, validate=True)
        armoured = f"-----BEGIN PKCS7-----\n{base64.encodebytes(der).decode()}-----END PKCS7-----\n"
        return run("openssl", "pkcs7", "-print_certs", given=armoured)


@dataclass
class Est:
    """curl against one label. `user` is name:password, `certificate` the files to show in TLS."""

    service: RunningService
    label: str
    folder: Path
    user: str | None = None
    certificate: tuple[Path, Path] | None = None

    def call(self, operation: str, *more: str, body: str | None = None, path: str = "") -> Answer:
        heads, out = self.folder / "heads", self.folder / "body"
        url = f"{self.service.url}{path or f'/.well-known/est/{self.label}/{operation}'}"
        command = ["curl", "-sS", "--cacert", str(self.service.trust_root), "-D", str(heads), "-o", str(out)]
        if self.user is not None:
            command += ["-u", self.user]
        if self.certificate is not None:
            command += ["--cert", str(self.certificate[0]), "--key", str(self.certificate[1])]
        if body is not None:
            given = self.folder / "request"
            given.write_text(body)
            command += ["-H", "Content-Type: application/pkcs10", "--data-binary", f"@{given}"]
        out.write_bytes(b"")
        run(*command, *more, url)
        status, *fields = heads.read_text().strip().split("\r\n\r\n")[-1].splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}
        return Answer(int(status.split()[1]), headers, out.read_bytes())

    def enrolls(self, csr: str, *more: str, operation: str = "simpleenroll") -> Answer:
        return self.call(operation, *more, body=body_of(csr))


def body_of(csr_pem: str) -> str:
    """`openssl req -outform DER | base64`, as RFC 7030 wants it."""
    csr = x509.load_pem_x509_csr(csr_pem.encode())
    return base64.encodebytes(csr.public_bytes(Encoding.DER)).decode()


Way = Callable[[RunningService, str, Path], Est]


def by_own_key(service: RunningService, name: str, folder: Path) -> Est:
    key = symmetric_individual(service, name, **issuing())
    return Est(service, name, folder, f"{name}:{password(key, name)}")


def by_group_key(service: RunningService, name: str, folder: Path) -> Est:
    master = symmetric_group(service, "est-line", **issuing())
    return Est(service, "est-line", folder, f"{name}:{password(derived_key(master, name), 'est-line')}")


def by_certificate(service: RunningService, name: str, folder: Path) -> Est:
    root = authority(f"Root of {name}")
    x509_group(service, f"x-{name}", root.pem, **issuing())
    key = DeviceKey(name, folder / "bootstrap")
    shown = key.write(key.issued_by(root).pem)
    return Est(service, f"x-{name}", folder, certificate=(shown, key.file))


@pytest.mark.parametrize("way", [by_own_key, by_group_key, by_certificate])
def test_curl_enrolls_and_the_hub_takes_the_certificate(
    way: Way, service: RunningService, name: str, key: DeviceKey, tmp_path: Path
) -> None:
    est = way(service, name, tmp_path)
    answer = est.enrolls(key.csr())
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert b"\n" not in answer.body
    (leaf,) = answer.certificates
    assert leaf.subject.rfc4514_string() == f"CN={name}"
    chain = est.call("cacerts")
    assert (chain.status, chain.headers["content-type"]) == (200, "application/pkcs7-mime")
    anchors = tmp_path / "cacerts.pem"
    anchors.write_text(chain.pem)
    shown = key.write(answer.pem)
    assert run("openssl", "verify", "-CAfile", str(anchors), str(shown)).strip().endswith("OK")
    with HubDevice(service, name, certificate=(shown, key.file)) as hub:
        hub.sends()
    (row,) = service.certificates(name)
    assert row["status"] == "active"
    # The same CSR gets the same certificate: a lost answer is no loss.
    assert est.enrolls(key.csr()).certificates == [leaf]


def test_csrattrs_recommend_a_key(service: RunningService, name: str, tmp_path: Path) -> None:
    answer = by_own_key(service, name, tmp_path).call("csrattrs")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/csrattrs")
    listing = tmp_path / "attributes"
    listing.write_bytes(base64.b64decode(answer.body))
    shown = run("openssl", "asn1parse", "-inform", "DER", "-in", str(listing))
    assert [word for word in ("prime256v1", "ecdsa-with-SHA256", "id-ecPublicKey") if word not in shown] == []


def strongswan_csr(key: DeviceKey, folder: Path) -> Path:
    made = folder / "strongswan.csr"
    made.write_text(
        run("pki", "--req", "--in", str(key.file), "--type", "ecdsa", "--dn", f"CN={key.registration_id}",
            "--outform", "pem")
    )  # fmt: skip
    return made


def test_strongswan_fetches_the_ca_and_enrolls(
    service: RunningService, name: str, key: DeviceKey, tmp_path: Path
) -> None:
    est = by_own_key(service, name, tmp_path)
    url, trust = f"{service.url}/{name}", str(service.trust_root)
    ca = tmp_path / "ca"
    told = run("pki", "--estca", "--url", url, "--cacert", trust, "--caout", str(ca), "--outform", "pem",
               "--force", check=False)  # fmt: skip
    assert list(tmp_path.glob("ca*")), told
    csr = strongswan_csr(key, tmp_path)
    pem = run("pki", "--est", "--url", url, "--in", str(csr), "--cacert", trust, "--userpass", est.user or "",
              "--outform", "pem")  # fmt: skip
    shown = key.write(pem)
    with HubDevice(service, name, certificate=(shown, key.file)) as hub:
        hub.sends()
