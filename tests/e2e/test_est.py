"""EST as devices without an Azure SDK speak it: curl with openssl, and strongSwan's pki, against the running service."""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, NameOID
from OpenSSL import SSL

from accredit.cli.problem import Problem
from support.device_key import DeviceKey, authority, derived_key
from support.digicert_process import DigiCertProcess
from support.enrolling import issuing, symmetric_group, symmetric_individual, x509_group, x509_individual
from support.est_server import password
from support.programs import need, run
from support.raw_device import HubDevice
from support.running_service import RunningService


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

    def call(
        self,
        operation: str,
        body: str | None = None,
        path: str = "",
        content_type: str = "application/pkcs10",
    ) -> Answer:
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
            command += ["-H", f"Content-Type: {content_type}", "--data-binary", f"@{given}"]
        out.write_bytes(b"")
        run(*command, url)
        status, *fields = heads.read_text().strip().split("\r\n\r\n")[-1].splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}
        return Answer(int(status.split()[1]), headers, out.read_bytes())

    def enrolls(self, csr: str, operation: str = "simpleenroll", **more: str) -> Answer:
        return self.call(operation, body_of(csr), **more)

    def outcome(self, csr: str) -> Answer:
        """The same call until it is answered by something else than "not yet"."""
        answers: list[Answer] = []

        def ended() -> bool:
            answers.append(self.enrolls(csr))
            return answers[-1].status != 202

        until(ended)
        return answers[-1]


def body_of(csr_pem: str) -> str:
    """`openssl req -outform DER | base64`, as RFC 7030 wants it."""
    csr = x509.load_pem_x509_csr(csr_pem.encode())
    return base64.encodebytes(csr.public_bytes(Encoding.DER)).decode()


class LinkedClient:
    """A TLS client that knows its connection's binding."""

    def __init__(self, service: RunningService, version: str) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.load_verify_locations(str(service.trust_root))
        context.set_verify(SSL.VERIFY_PEER)
        context.set_max_proto_version({"TLSv1.2": SSL.TLS1_2_VERSION, "TLSv1.3": SSL.TLS1_3_VERSION}[version])
        self._socket = socket.create_connection((service.host, service.https_port), 10)
        self._socket.settimeout(None)
        self._tls = SSL.Connection(context, self._socket)
        self._tls.set_connect_state()
        self._tls.do_handshake()
        assert self._tls.get_protocol_version_name() == version

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def binding(self) -> bytes:
        if self._tls.get_protocol_version_name() == "TLSv1.2":
            return base64.b64encode(self._tls.get_finished() or b"")
        return base64.b64encode(self._tls.export_keying_material(b"EXPORTER-Channel-Binding", 32, b""))

    def enrolls(self, path: str, user: str, key: DeviceKey, name: str) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, self.binding)
        body = base64.b64encode(builder.sign(key.private, hashes.SHA256()).public_bytes(Encoding.DER))
        credentials = base64.b64encode(user.encode()).decode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/pkcs10\r\nConnection: close\r\n"
            f"Authorization: Basic {credentials}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._tls.sendall(head.encode() + body)
        return self._tls.recv(65_536)


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


def test_strongswan_renews(service: RunningService, name: str, key: DeviceKey, tmp_path: Path) -> None:
    """With --cert it calls simplereenroll."""
    est = by_group_key(service, name, tmp_path)
    old = key.write(est.enrolls(key.csr()).pem, "old.pem")
    newer = DeviceKey(name, tmp_path / "newer")
    csr = strongswan_csr(newer, tmp_path)
    pem = run("pki", "--est", "--url", f"{service.url}/est-line", "--in", str(csr), "--cacert",
              str(service.trust_root), "--cert", str(old), "--key", str(key.file), "--outform", "pem")  # fmt: skip
    new = newer.write(pem)
    # Both stand until the new one is first used.
    with HubDevice(service, name, certificate=(old, key.file)) as hub:
        hub.sends()
    with HubDevice(service, name, certificate=(new, newer.file)) as hub:
        hub.sends()
    with HubDevice(service, name, certificate=(old, key.file)) as hub:
        assert hub.code == 5


class TestRenewal:
    @pytest.fixture
    def held(self, service: RunningService, name: str, key: DeviceKey, tmp_path: Path) -> Est:
        """The device shows the certificate that it was issued."""
        est = by_own_key(service, name, tmp_path)
        shown = key.write(est.enrolls(key.csr()).pem)
        return Est(service, name, tmp_path, certificate=(shown, key.file))

    def test_with_a_new_key(self, held: Est, name: str, tmp_path: Path) -> None:
        newer = DeviceKey(name, tmp_path / "newer")
        answer = held.enrolls(newer.csr(), operation="simplereenroll")
        (leaf,) = answer.certificates
        assert leaf.public_key() == newer.private.public_key()
        assert [row["status"] for row in held.service.certificates(name)] == ["active", "pending"]
        # Showing the new one uses it, as the hub would.
        newest = Est(held.service, name, tmp_path, certificate=(newer.write(answer.pem), newer.file))
        assert newest.enrolls(newer.csr(), operation="simplereenroll").certificates == [leaf]
        assert held.enrolls(newer.csr(), operation="simplereenroll").status == 401

    def test_by_openssls_request_for_the_same_names(self, held: Est, name: str, tmp_path: Path) -> None:
        assert held.certificate is not None
        pem, key = held.certificate
        csr = run(
            "openssl", "x509", "-x509toreq", "-copy_extensions", "copy", "-in", str(pem), "-key", str(key)
        )
        assert "BEGIN CERTIFICATE REQUEST" in csr
        assert held.enrolls(csr, operation="simplereenroll").status == 200

    @pytest.mark.parametrize("subject", ["/O=Acme/CN={}", "/CN={}/OU=x", "/O=none"])
    def test_another_subject(self, held: Est, name: str, tmp_path: Path, subject: str) -> None:
        newer = DeviceKey(name, tmp_path / "newer")
        csr = run("openssl", "req", "-new", "-key", str(newer.file), "-subj", subject.format(name))
        answer = held.enrolls(csr, operation="simplereenroll")
        assert (answer.status, b"subject" in answer.body) == (400, True)

    def test_a_password_renews_nothing(self, held: Est, name: str, key: DeviceKey, tmp_path: Path) -> None:
        held.certificate = None
        held.user = "dev:secret"
        answer = held.enrolls(key.csr(), operation="simplereenroll")
        assert (answer.status, "www-authenticate" in answer.headers) == (401, True)

    def test_a_revoked_certificate(self, held: Est, name: str, tmp_path: Path) -> None:
        held.service.cli("device", "revoke", name, "--reason", "keyCompromise")
        newer = DeviceKey(name, tmp_path / "newer")
        assert held.enrolls(newer.csr(), operation="simplereenroll").status in {401, 403}

    def test_a_certificate_of_elsewhere(self, held: Est, key: DeviceKey, tmp_path: Path) -> None:
        strange = key.write(key.issued_by(authority("Elsewhere")).pem, "strange.pem")
        held.certificate = (strange, key.file)
        assert held.enrolls(key.csr(), operation="simplereenroll").status == 401


class TestSlowAuthority:
    """202 with Retry-After while an outside CA takes its time; the same call again gets the outcome."""

    @pytest.fixture
    def _slow(self, digicert: DigiCertProcess) -> Iterator[None]:
        digicert.misbehaves("pending", pending_lists=1000)
        yield
        digicert.misbehaves(pending_lists=1)

    @pytest.fixture
    def est(self, outside: RunningService, name: str, tmp_path: Path) -> Est:
        key = symmetric_individual(outside, f"est-{name}", **issuing("myca1"))
        label = f"est-{name}"
        return Est(outside, label, tmp_path, f"{label}:{password(key, label)}")

    @pytest.mark.usefixtures("_slow")
    def test_curl_asks_again(self, est: Est, digicert: DigiCertProcess, tmp_path: Path) -> None:
        csr = DeviceKey(est.label, tmp_path).csr()
        first = est.enrolls(csr)
        assert (first.status, int(first.headers["retry-after"]) > 0) == (202, True)
        digicert.release()
        (leaf,) = est.outcome(csr).certificates
        assert leaf.subject.rfc4514_string() == f"CN={est.label}"
        assert len(digicert.signed(est.label)) == 1

    @pytest.mark.usefixtures("_slow")
    def test_strongswan_polls_without_the_label(
        self, est: Est, digicert: DigiCertProcess, tmp_path: Path
    ) -> None:
        key = DeviceKey(est.label, tmp_path)
        csr = strongswan_csr(key, tmp_path)
        need("pki")
        with subprocess.Popen(
            ["pki", "--est", "--url", f"{est.service.url}/{est.label}", "--in", str(csr), "--cacert",
             str(est.service.trust_root), "--userpass", est.user or "", "--outform", "pem", "--interval", "1",
             "--maxpolltime", "60"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as client:  # fmt: skip
            until(lambda: est.label in est.service.cli("device", "list").stdout)
            digicert.release()
            pem, complaints = client.communicate(timeout=180)
        assert "BEGIN CERTIFICATE" in pem, complaints
        with HubDevice(est.service, est.label, certificate=(key.write(pem), key.file)) as hub:
            hub.sends()

    def test_a_ca_that_says_no(self, est: Est, digicert: DigiCertProcess, tmp_path: Path) -> None:
        digicert.misbehaves("refuse-403")
        csr = DeviceKey(est.label, tmp_path).csr()
        answer = est.outcome(csr)
        assert (answer.status, answer.headers["content-type"]) == (502, "text/plain; charset=utf-8")
        # The very same call hears it again, and orders nothing.
        assert est.enrolls(csr).status == 502
        assert digicert.signed(est.label) == []


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A second service, that may call the first."""
    folder = tmp_path_factory.mktemp("below")
    with RunningService(folder, environment={"ACCREDIT_EGRESS_ALLOW": "127.0.0.0/8"}) as running:
        yield running


class TestOneTimePassword:
    """`accredit enroll otp`: for one CSR of one device, whatever it is enrolled by."""

    @pytest.fixture
    def est(self, service: RunningService, name: str, tmp_path: Path) -> Est:
        symmetric_individual(service, name, **issuing())
        shown = service.cli("enroll", "otp", name).stdout.strip()
        return Est(service, name, tmp_path, f"{name}:{shown}")

    def test_one_csr_and_its_repeats(self, est: Est, name: str, key: DeviceKey, tmp_path: Path) -> None:
        csr = key.csr()
        (leaf,) = est.enrolls(csr).certificates
        repeated = est.enrolls(csr)
        assert repeated.certificates == [leaf]
        replayed = est.enrolls(DeviceKey(name, tmp_path / "other").csr())
        assert (replayed.status, replayed.headers["www-authenticate"][:5]) == (401, "Basic")
        with HubDevice(est.service, name, certificate=(key.write(repeated.pem), key.file)) as hub:
            hub.sends()
        # Its certificate is in use: the password has done its work.
        assert est.enrolls(csr).status == 401

    def test_two_csrs_at_once(self, est: Est, name: str, tmp_path: Path) -> None:
        csrs = [DeviceKey(name, tmp_path / str(number)).csr() for number in range(6)]
        ways = [Est(est.service, name, tmp_path / str(number), est.user) for number in range(6)]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda way, csr: way.enrolls(csr).status, ways, csrs))
        assert sorted(answers) == [200, 401, 401, 401, 401, 401]
        assert len(est.service.certificates(name)) == 1

    def test_a_newer_one_ends_it(self, est: Est, name: str, key: DeviceKey) -> None:
        est.service.cli("enroll", "otp", name)
        assert est.enrolls(key.csr()).status == 401

    def test_for_a_device_with_a_certificate(
        self, service: RunningService, name: str, key: DeviceKey, tmp_path: Path
    ) -> None:
        bootstrap = key.self_signed()
        x509_individual(service, name, bootstrap.pem, **issuing())
        shown = service.cli("enroll", "otp", name).stdout.strip()
        newer = DeviceKey(name, tmp_path / "newer")
        assert Est(service, name, tmp_path, f"{name}:{shown}").enrolls(newer.csr()).status == 200
        # The certificate that it was enrolled with opens the hub as before, while the new one is not good yet there.
        assert service.certificates(name)[0]["status"] == "pending"

    def test_for_nobody(self, service: RunningService, name: str) -> None:
        unknown = service.cli("enroll", "otp", "nobody-at-all", check=False)
        assert (unknown.returncode, "no such enrollment" in unknown.stderr) == (1, True)
        symmetric_individual(service, name)
        assert "issues no certificates" in service.cli("enroll", "otp", name, check=False).stderr

    def test_only_its_hash_is_kept(self, est: Est) -> None:
        secret = (est.user or "").partition(":")[2].encode()
        kept = [
            path for path in est.service.data.rglob("*") if path.is_file() and secret in path.read_bytes()
        ]
        assert (kept, secret.decode() in est.service.log_text()) == ([], False)


class TestAsAnAuthority:
    """One `accredit` orders from another by EST, over TLS and with a PUT that asks it first."""

    def settings(self, above: Est) -> dict[str, str]:
        user, _, secret = (above.user or "").partition(":")
        return {
            "certificateAuthorityType": "Est",
            "url": above.service.url,
            "label": above.label,
            "username": user,
            "password": secret,
            "trustAnchors": above.service.trust + above.call("cacerts").pem,
        }

    def test_a_device_gets_the_other_ones_certificate(
        self, service: RunningService, below: RunningService, name: str, key: DeviceKey, tmp_path: Path
    ) -> None:
        above = by_own_key(service, name, tmp_path)
        stored = below.put(f"/certificateAuthorities/above-{name}", self.settings(above))
        assert "password" not in stored
        device = symmetric_individual(below, name, **issuing(f"above-{name}"))
        est = Est(below, name, tmp_path, f"{name}:{password(device, name)}")
        answer = est.outcome(key.csr())
        assert answer.certificates == above.enrolls(key.csr()).certificates
        (here,), (there,) = below.certificates(name), service.certificates(name)
        assert (here["serial"], here["sha256"]) == (there["serial"], there["sha256"])
        assert est.call("cacerts").certificates == above.call("cacerts").certificates

    def test_a_put_that_reaches_nothing_stores_nothing(
        self, service: RunningService, below: RunningService, name: str, tmp_path: Path
    ) -> None:
        wrong = self.settings(by_own_key(service, name, tmp_path)) | {"label": "nobody"}
        with pytest.raises(Problem, match="404"):
            below.put("/certificateAuthorities/wrong", wrong)
        assert "wrong" not in below.cli("ca", "list").stdout


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class TestBadInput:
    """What a stranger or a broken device sends; the service stays well, which the fixture `service` holds at its end."""

    @pytest.fixture
    def est(self, service: RunningService, name: str, tmp_path: Path) -> Est:
        return by_own_key(service, name, tmp_path)

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ("", 400),
            ("not base64!", 400),
            ("AAAA", 400),
            (base64.b64encode(b"\x30\x03\x02\x01\x00").decode(), 400),
            ("A" * 20_000, 413),
            ("A" * 3_000_000, 413),
        ],
    )
    def test_bodies(self, est: Est, body: str, status: int) -> None:
        assert est.call("simpleenroll", body=body).status == status

    def test_no_proof_of_possession(self, est: Est, key: DeviceKey) -> None:
        """The signature is over something else."""
        der = bytearray(base64.b64decode(body_of(key.csr())))
        der[-1] ^= 1
        answer = est.call("simpleenroll", body=base64.b64encode(bytes(der)).decode())
        assert (answer.status, b"does not verify" in answer.body) == (400, True)

    def test_another_content_type(self, est: Est, key: DeviceKey) -> None:
        answer = est.enrolls(key.csr(), content_type="application/json")
        assert answer.status == 400

    def test_another_devices_name(self, est: Est, key: DeviceKey) -> None:
        assert est.enrolls(key.csr("somebody-else")).status == 400

    @pytest.mark.parametrize("user", [None, "x", "{}:", "{}:wrong", "other:wrong"])
    def test_credentials(self, est: Est, name: str, key: DeviceKey, user: str | None) -> None:
        est.user = None if user is None else user.format(name) + ("" if ":" in user else ":")
        answer = est.enrolls(key.csr())
        assert (answer.status, answer.headers["www-authenticate"][:5]) == (401, "Basic")

    def test_labels(self, est: Est, key: DeviceKey) -> None:
        for label in ("nobody", "%2e%2e", "a b", "x" * 200):
            est.label = label.replace(" ", "%20")
            assert est.call("cacerts").status in {400, 404}
            assert est.enrolls(key.csr()).status in {400, 401, 404}


class TestChannelBinding:
    """RFC 7030, 3.5: a CSR may be linked to its connection by challengePassword; curl can't know the value, so it is wrong."""

    def test_a_wrong_one_is_refused(
        self, service: RunningService, name: str, key: DeviceKey, tmp_path: Path
    ) -> None:
        est = by_own_key(service, name, tmp_path)
        config = tmp_path / "req.cnf"
        config.write_text(
            "[req]\nprompt=no\ndistinguished_name=dn\nattributes=at\n"
            f"[dn]\nCN={name}\n[at]\nchallengePassword=bm90IHRoZSBiaW5kaW5n\n"
        )
        csr = run("openssl", "req", "-new", "-key", str(key.file), "-config", str(config))
        answer = est.enrolls(csr)
        assert (answer.status, b"channel binding" in answer.body) == (400, True)

    @pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
    def test_the_right_one_is_taken(
        self, service: RunningService, name: str, key: DeviceKey, tmp_path: Path, version: str
    ) -> None:
        """By OpenSSL's own export of the binding, through pyOpenSSL as a client."""
        est = by_own_key(service, name, tmp_path)
        assert est.user is not None
        with LinkedClient(service, version) as client:
            assert client.enrolls(f"/.well-known/est/{name}/simpleenroll", est.user, key, name).startswith(
                b"HTTP/1.1 200"
            )
