"""CAs whose keys are in a PKCS#11 token, on a real service: every signature through it, and what its absence does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.ca.points import SHARDS, key_id, shard_of
from accredit.ca.serials import BATCH
from support.device_key import DeviceKey
from support.enrolling import issuing, symmetric_individual
from support.linting import complaints, findings, pair_findings
from support.programs import run
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService
from support.soft_hsm import SoftHsm

TOKEN = "plant"
WITHIN_S = 60.0

_numbers = count(1)


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    made = SoftHsm(tmp_path_factory.mktemp("hsm") / "hsm")
    made.make_token(TOKEN)
    return made


@pytest.fixture(scope="module")
def service(hsm: SoftHsm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    environment = hsm.environment | {"ACCREDIT_PATIENCE_MS": "400"}
    with RunningService(tmp_path_factory.mktemp("service"), environment=environment) as started:
        started.cli("ca", "init", "plant", "--token", TOKEN)
        yield started
    assert "Traceback" not in started.log_text()


class Lamp:
    """A device of an authority."""

    def __init__(self, service: RunningService, folder: Path, authority: str = "plant") -> None:
        self.service = service
        self.name = f"lamp-{next(_numbers)}"
        self.key = DeviceKey(self.name, folder)
        self.secret = symmetric_individual(service, self.name, **issuing(authority))
        self.folder = folder

    def registers(self, authority_away: bool = False) -> str | None:
        """Its certificate and those above in PEM; None while it is `assigning`."""
        with DpsDevice(self.service, self.name, key=self.secret) as device:
            answer = device.registers(clientCertificateCsr=self.key.csr())
            ends = time.monotonic() + WITHIN_S
            while answer.status == 202 and not authority_away and time.monotonic() < ends:
                answer = device.polls(answer.document["operationId"])
            return None if answer.status == 202 else answer.state["issuedClientCertificate"]

    def files(self, pem: str) -> tuple[Path, Path, Path]:
        """Leaf, issuing CA and root, each in a file of its own."""
        leaf, above = x509.load_pem_x509_certificates(pem.encode())[:2]
        shown = self.service.client().call("GET", f"/certificateAuthorities/{self.authority()}").json()
        root = x509.load_pem_x509_certificate(shown["certificates"][-1].encode())
        paths = []
        for name, certificate in (("leaf", leaf), ("issuing", above), ("root", root)):
            paths.append(self.folder / f"{name}.pem")
            paths[-1].write_bytes(certificate.public_bytes(Encoding.PEM))
        return paths[0], paths[1], paths[2]

    def authority(self) -> str:
        return str(self.service.certificates(self.name)[0]["authority"])


@pytest.fixture
def lamp(service: RunningService, tmp_path: Path) -> Lamp:
    return Lamp(service, tmp_path)


def shown(service: RunningService, name: str = "plant") -> dict:
    return service.client().call("GET", f"/certificateAuthorities/{name}").json()


def test_it_says_where_its_key_is(service: RunningService) -> None:
    told = shown(service)
    assert told["tokenLabel"] == TOKEN
    issuing_ca = x509.load_pem_x509_certificate(told["certificates"][0].encode())
    assert f"CN={told['keyLabel']}" == issuing_ca.subject.rfc4514_string()
    assert told["health"]["status"] == "healthy"
    assert "issuingKey" not in str(told)


def test_openssl_and_pkilint_take_all_that_it_signs(lamp: Lamp) -> None:
    pem = lamp.registers()
    leaf, issuing_ca, root = lamp.files(pem)
    certificates = [x509.load_pem_x509_certificate(path.read_bytes()) for path in (leaf, issuing_ca, root)]
    ders = [each.public_bytes(Encoding.DER) for each in certificates]
    assert complaints(ders[0]) == []
    assert [each for each in findings(ders[1]) if not each.startswith("INFO")] == []
    assert pair_findings(ders[1], ders[0]) == []
    with HubDevice(lamp.service, lamp.name, certificate=(lamp.key.write(pem), lamp.key.file)) as hub:
        hub.sends()
    verify = [
        "openssl", "verify", "-x509_strict", "-crl_check", "-extended_crl", "-crl_download", "-CAfile", str(root),
        "-untrusted", str(issuing_ca), str(leaf),
    ]  # fmt: skip
    ocsp = [
        "openssl", "ocsp", "-issuer", str(issuing_ca), "-cert", str(leaf), "-CAfile", str(root),
        "-verify_other", str(issuing_ca), "-url", f"http://{lamp.service.host}:8080/ocsp",
    ]  # fmt: skip
    assert "OK" in run(*verify)
    assert ": good" in run(*ocsp)
    lamp.service.cli("device", "revoke", lamp.name, "--reason", "keyCompromise")
    assert "certificate revoked" in run(*verify, check=False)
    assert ": revoked" in run(*ocsp)
    (row,) = lamp.service.certificates(lamp.name)
    assert row["status"] == "revoked"


def test_an_offline_root(service: RunningService, lamp: Lamp, tmp_path: Path) -> None:
    steps = service.cli("ca", "init", "site", "--offline-root", "--token", TOKEN).stdout
    assert f"stays in the token {TOKEN}" in steps
    (tmp_path / "site.csr").write_text(service.cli("ca", "csr", "site").stdout)
    subprocess.run(
        """
        openssl req -in site.csr -noout -verify
        openssl req -x509 -newkey rsa:2048 -nodes -keyout root.key -days 7300 -subj "/CN=site root" -out root.pem \
          -addext basicConstraints=critical,CA:TRUE,pathlen:1 -addext keyUsage=critical,keyCertSign,cRLSign
        printf '%s\\n' basicConstraints=critical,CA:TRUE,pathlen:0 keyUsage=critical,digitalSignature,keyCertSign,cRLSign \
          subjectKeyIdentifier=hash authorityKeyIdentifier=keyid > issuing.ext
        openssl x509 -req -in site.csr -CA root.pem -CAkey root.key -CAcreateserial -days 1826 -extfile issuing.ext -out issuing.pem
        cat issuing.pem root.pem > site.pem
        """,
        shell=True, check=True, cwd=tmp_path, capture_output=True, timeout=60,
    )  # fmt: skip
    service.cli("ca", "activate", "site", "--certificate", str(tmp_path / "site.pem"))
    mine = Lamp(service, tmp_path, "site")
    leaf, issuing_ca, root = mine.files(mine.registers())
    assert "OK" in run("openssl", "verify", "-CAfile", str(root), "-untrusted", str(issuing_ca), str(leaf))


def test_into_a_token_and_out_of_it(service: RunningService, tmp_path: Path) -> None:
    service.cli("ca", "init", "moving")
    assert "tokenLabel" not in shown(service, "moving")
    first = Lamp(service, tmp_path / "first", "moving").registers()
    service.cli("ca", "rotate", "moving", "--token", TOKEN, "--algorithm", "P-384")
    inside = shown(service, "moving")
    assert (inside["tokenLabel"], inside["algorithm"]) == (TOKEN, "P-384")
    second = Lamp(service, tmp_path / "second", "moving").registers()
    service.cli("ca", "rotate", "moving", "--token", "")
    outside = shown(service, "moving")
    assert "tokenLabel" not in outside
    third = Lamp(service, tmp_path / "third", "moving").registers()
    issuers = [x509.load_pem_x509_certificates(pem.encode())[1] for pem in (first, second, third)]
    assert len({key_id(each) for each in issuers}) == 3
    assert len(outside["earlierIssuers"]) == 2


def test_a_key_that_was_there_before(service: RunningService, hsm: SoftHsm) -> None:
    label = shown(service)["keyLabel"]
    refused = service.cli("ca", "rotate", "plant", "--token", TOKEN, "--token-key", label, check=False)
    assert "issuing CA's of this authority already" in refused.stderr
    missing = service.cli("ca", "init", "other", "--token", TOKEN, "--token-key", "nothing", check=False)
    assert "no private keys labelled nothing" in missing.stderr
    away = service.cli("ca", "init", "other", "--token", "elsewhere", check=False)
    assert "no tokens of this label" in away.stderr


def test_an_order_waits_for_a_token_that_was_pulled_out(
    service: RunningService, hsm: SoftHsm, lamp: Lamp
) -> None:
    hsm.pull()
    try:
        assert lamp.registers(authority_away=True) is None
        health = shown(service)["health"]
        assert health["status"] == "failing"
        assert TOKEN in health["reason"]
        service.logs("ca-deferred")
        with service.https() as anyone:
            ready = anyone.get("/readyz")
        assert ready.status_code == 200
        assert TOKEN in ready.json()["warnings"][0]
        issuing_ca = x509.load_pem_x509_certificate(shown(service)["certificates"][0].encode())
        asked_for = {shard_of(int(row["serial"], 16)) for row in service.certificates()}
        shard = min(set(range(SHARDS)) - asked_for)  # whose list is not ready
        crl = httpx.get(f"http://{service.host}:8080/crl/{key_id(issuing_ca)}/{shard}.crl", trust_env=False)
        assert (crl.status_code, crl.headers["retry-after"]) == (503, "5")
    finally:
        hsm.put_back()
    # It is the same operation, which the device only polls.
    assert lamp.registers() is not None
    assert len(service.certificates(lamp.name)) == 1


def reserved(service: RunningService) -> set[str]:
    """The numbers that `accredit cert orphans` tells of as given to a token, and never seen again."""
    rows = service.rows("cert", "orphans")
    mine = [row for row in rows if row["kind"] == "reserved" and row["authority"] == "plant"]
    assert all(row["revokedAtItsCa"] for row in mine)
    return {row["serial"] for row in mine}


def test_after_a_stop_in_order_nothing_is_in_doubt(service: RunningService, lamp: Lamp) -> None:
    assert lamp.registers() is not None
    assert service.stop() == 0
    service.start()
    assert reserved(service) == set()
    assert lamp.registers() is not None


def test_after_a_crash_what_was_reserved_is_revoked(service: RunningService, lamp: Lamp) -> None:
    issued = x509.load_pem_x509_certificates(lamp.registers().encode())
    assert reserved(service) == set()
    assert [row for row in service.certificates() if row["authority"] == "plant"]
    service.kill()
    service.start()
    lost = reserved(service)
    # Of the batch that this process had, those that are certificates by now are no orphans.
    assert BATCH - 2 <= len(lost) < BATCH
    service.logs("serial-lost", serial=min(lost))
    listed = set()
    for shard in range(SHARDS):
        answer = run(
            "curl", "-sS", f"http://{service.host}:8080/crl/{key_id(issued[1])}/{shard}.crl", "-o",
            str(lamp.folder / "crl"),
        )  # fmt: skip
        assert answer == ""
        crl = x509.load_der_x509_crl((lamp.folder / "crl").read_bytes())
        assert crl.is_signature_valid(issued[1].public_key())
        listed |= {f"{each.serial_number:X}" for each in crl}
    assert lost <= listed
    assert f"{issued[0].serial_number:X}" not in listed
