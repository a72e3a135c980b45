"""Rotation, an offline root, and an issuing CA that its root revoked: what signs, and what answers for what was signed."""

from __future__ import annotations

import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from accredit.authorities.builtin import BuiltInAuthority
from accredit.ca import hierarchy, holdings, keys
from accredit.ca.ceremony import Ceremony
from accredit.ca.points import key_id, shard_of
from accredit.ca.statuses import Statuses
from accredit.domain import changes as c
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import CertificateRecord, IssuedChain, RevocationReason
from accredit.domain.errors import Conflict, Malformed, NotFound
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.secret import Secret
from accredit.interfaces import Delivered, Rejected
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.linting import findings
from support.signing_requests import order

CA = AuthorityName.parse("plant")
BASE = "http://ca.test:8080"
COMPROMISE = RevocationReason.CA_COMPROMISE


class World:
    """One built-in authority in a store, and its public port."""

    def __init__(self, store: SqliteStore) -> None:
        self.store, self.clock, self.entropy = store, HandClock(), CountedEntropy()
        self.ceremony = Ceremony(self.entropy, BASE)
        self.statuses = Statuses(store, self.clock, BASE)
        self.etags = 0

    @property
    def now(self) -> int:
        return int(self.clock.now())

    async def found(self, *facts: str) -> AuthorityRecord:
        settings, secrets = self.ceremony.found(CA, self.now, *facts)
        return await self.save(AuthorityRecord(CA, "BuiltIn", settings, secrets, "v", "e0", 0, 0), None)

    async def save(self, record: AuthorityRecord, replaces: str | None) -> AuthorityRecord:
        self.etags += 1
        saved = AuthorityRecord(
            CA, "BuiltIn", record.settings, record.secrets, "v", f"e{self.etags}", 0, self.now
        )
        await self.store.commit([c.SaveAuthority(saved, replaces)])
        return saved

    async def rotated(self, record: AuthorityRecord, *facts: str, new_root: bool = False) -> AuthorityRecord:
        return await self.save(self.ceremony.rotate(record, self.now, *facts, new_root=new_root), record.etag)

    async def answer(self, record: AuthorityRecord, name: str = "pump-1"):
        authority = BuiltInAuthority(record, self.entropy, self.clock, BASE)
        return await authority.order(order(name, since=self.now))

    async def issue(self, record: AuthorityRecord, name: str = "pump-1") -> IssuedChain:
        answer = await self.answer(record, name)
        assert isinstance(answer, Delivered)
        issued = answer.issued
        where = (RegistrationId.parse(name), DeviceId(name), "g", b"c" * 32, "op", 1)
        row = CertificateRecord(issued, CA, "v", "device/1", *where)
        await self.store.commit([c.RecordCertificate(row, shared_key=True)])
        return issued

    async def asked(self, issued: IssuedChain, issuer: bytes) -> ocsp.OCSPResponse:
        leaf, above = map(x509.load_der_x509_certificate, (issued.leaf, issuer))
        question = ocsp.OCSPRequestBuilder().add_certificate(leaf, above, hashes.SHA256()).build()
        return ocsp.load_der_ocsp_response(await self.statuses.ocsp(question.public_bytes(Encoding.DER)))


@pytest.fixture
async def world(tmp_path):
    store = await SqliteStore.open(tmp_path / "state.db", Sealer([Secret(b"m" * 32)]))
    yield World(store)
    await store.close()


def issuer_of(issued: IssuedChain) -> x509.Certificate:
    return x509.load_der_x509_certificate(issued.chain[1])


def verified(issued: IssuedChain, tmp_path, now: int) -> str:
    for file, der in zip(("leaf", "issuing", "root"), issued.chain, strict=True):
        pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
        (tmp_path / file).write_bytes(pem)
    command = [
        "openssl",
        "verify",
        "-x509_strict",
        "-attime",
        str(now),
        "-CAfile",
        "root",
        "-untrusted",
        "issuing",
    ]
    answer = subprocess.run([*command, "leaf"], capture_output=True, text=True, check=False, cwd=tmp_path)
    return answer.stdout + answer.stderr


class TestRotation:
    @pytest.mark.parametrize("new_root", [False, True])
    async def test_both_answer_for_their_own_leaves(self, world, tmp_path, new_root):
        record = await world.found()
        old = await world.issue(record, "pump-1")
        record = await world.rotated(record, new_root=new_root)
        new = await world.issue(record, "pump-2")
        assert issuer_of(old).subject != issuer_of(new).subject
        assert (old.chain[2] == new.chain[2]) is not new_root
        for issued, other in ((old, new), (new, old)):
            answer = await world.asked(issued, issued.chain[1])
            assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD
            assert "leaf: OK" in verified(issued, tmp_path, world.now)
            foreign = await world.asked(issued, other.chain[1])
            assert foreign.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED
            key = key_id(issuer_of(issued))
            assert await world.statuses.issuer(key) == issued.chain[1]
            crl = x509.load_der_x509_crl(await world.statuses.crl(key, shard_of(issued.serial)))
            assert crl.is_signature_valid(issuer_of(issued).public_key())

    async def test_a_leaf_of_before_can_still_be_revoked(self, world):
        record = await world.found()
        old = await world.issue(record)
        await world.rotated(record)
        await world.store.commit([c.RevokeCertificate(old.sha256, world.now, COMPROMISE, ca_knows=True)])
        der = await world.statuses.crl(key_id(issuer_of(old)), shard_of(old.serial))
        assert x509.load_der_x509_crl(der).get_revoked_certificate_by_serial_number(old.serial)
        answer = await world.asked(old, old.chain[1])
        assert answer.certificate_status is ocsp.OCSPCertStatus.REVOKED

    async def test_another_algorithm(self, world, tmp_path):
        record = await world.rotated(await world.found(), "P-384")
        assert record.settings["algorithm"] == "P-384"
        assert "leaf: OK" in verified(await world.issue(record), tmp_path, world.now)
        with pytest.raises(Malformed, match="algorithm is not one of"):
            world.ceremony.rotate(record, world.now, "P-521")

    async def test_what_has_ended_is_let_go(self, world):
        record = await world.rotated(await world.found(), new_root=True)
        assert len(record.secrets) == 4
        world.clock.advance(hierarchy.ISSUING_VALIDITY_S)
        record = await world.rotated(record)
        assert record.settings["earlierIssuers"] == []
        assert set(record.secrets) == {"issuingKey", "rootKey"}

    async def test_the_chains_of_both_are_told(self, world):
        first = await world.found()
        second = await world.rotated(first)
        told = BuiltInAuthority(second, world.entropy, world.clock).chain()
        both = [
            x509.load_pem_x509_certificate(text.encode()).public_bytes(Encoding.DER)
            for text in (*second.settings["certificates"], first.settings["certificates"][0])
        ]
        assert list(told) == both


@pytest.mark.parametrize("algorithm", [each for each in keys.ALGORITHMS if not each.startswith("RSA-4")])
async def test_each_algorithm_signs_leaves_lists_and_answers(world, algorithm):
    record = await world.found(algorithm)
    issued = await world.issue(record)
    leaf = x509.load_der_x509_certificate(issued.leaf)
    leaf.verify_directly_issued_by(issuer_of(issued))
    crl = x509.load_der_x509_crl(await world.statuses.crl(key_id(issuer_of(issued)), shard_of(issued.serial)))
    assert crl.signature_algorithm_oid == leaf.signature_algorithm_oid
    answer = await world.asked(issued, issued.chain[1])
    assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD
    assert answer.signature_algorithm_oid == leaf.signature_algorithm_oid


class TestOfflineRoot:
    def signed(self, world, record: AuthorityRecord) -> tuple[x509.Certificate, ...]:
        """What the root does on its own machine."""
        root = hierarchy.make_root("Plant root", world.now, CountedEntropy(b"root"), path_length=1)
        request = x509.load_pem_x509_csr(record.settings["request"].encode())
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(root.certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(root.certificate.not_valid_before_utc)
            .not_valid_after(root.certificate.not_valid_after_utc)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.public_key()), critical=False)
        )
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        for extension in request.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        return builder.sign(root.key, hashes.SHA256()), root.certificate

    async def test_nothing_is_signed_until_it_is_activated(self, world, tmp_path):
        record = await world.found("P-256", "offline")
        refused = await world.answer(record)
        assert isinstance(refused, Rejected)
        assert refused.rule == "ca-not-activated"
        assert set(record.secrets) == {"pendingKey"}
        active = await world.save(
            world.ceremony.activate(record, self.signed(world, record), world.now), record.etag
        )
        assert "request" not in active.settings
        assert set(active.secrets) == {"issuingKey"}
        assert "leaf: OK" in verified(await world.issue(active), tmp_path, world.now)
        with pytest.raises(Conflict, match="waits"):
            world.ceremony.activate(active, self.signed(world, record), world.now)

    async def test_a_rotation_waits_too_and_the_old_one_signs_meanwhile(self, world):
        record = await world.found("P-256", "offline")
        active = world.ceremony.activate(record, self.signed(world, record), world.now)
        active = await world.save(active, record.etag)
        old = await world.issue(active, "pump-1")
        waiting = await world.rotated(active)
        assert issuer_of(await world.issue(waiting, "pump-2")) == issuer_of(old)
        again = await world.save(
            world.ceremony.activate(waiting, self.signed(world, waiting), world.now), waiting.etag
        )
        assert issuer_of(await world.issue(again, "pump-3")) != issuer_of(old)
        assert (await world.asked(old, old.chain[1])).certificate_status is ocsp.OCSPCertStatus.GOOD

    async def test_the_certificate_of_another_key(self, world):
        record = await world.found("P-256", "offline")
        other = await world.save(world.ceremony.rotate(record, world.now), record.etag)
        with pytest.raises(Malformed, match="not that of the CSR"):
            world.ceremony.activate(other, self.signed(world, record), world.now)

    async def test_its_root_s_list_is_not_made_here(self, world):
        record = await world.found("P-256", "offline")
        active = await world.save(
            world.ceremony.activate(record, self.signed(world, record), world.now), record.etag
        )
        root = holdings.read(active).current.root
        assert await world.statuses.root_crl(key_id(root)) is None
        assert await world.statuses.issuer(key_id(root)) == root.public_bytes(Encoding.DER)


class TestRevokedIssuer:
    async def test_the_one_of_now(self, world, tmp_path):
        record = await world.found()
        issued = await world.issue(record)
        issuing, root = issuer_of(issued), x509.load_der_x509_certificate(issued.chain[2])
        empty = x509.load_der_x509_crl(await world.statuses.root_crl(key_id(root)))
        assert len(empty) == 0
        revoked = world.ceremony.revoke(record, key_id(issuing), COMPROMISE, world.now)
        revoked = await world.save(revoked, record.etag)
        refused = await world.answer(revoked)
        assert isinstance(refused, Rejected)
        assert refused.rule == "ca-not-activated"
        der = await world.statuses.root_crl(key_id(root))
        crl = x509.load_der_x509_crl(der)
        assert crl.is_signature_valid(root.public_key())
        assert crl.get_revoked_certificate_by_serial_number(issuing.serial_number)
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        assert number > empty.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        scope = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
        assert (scope.critical, scope.value.only_contains_ca_certs) == (True, True)
        point = issuing.extensions.get_extension_for_class(x509.CRLDistributionPoints).value[0].full_name
        assert scope.value.full_name == point
        (tmp_path / "crl").write_bytes(crl.public_bytes(Encoding.PEM))
        (tmp_path / "root").write_bytes(root.public_bytes(Encoding.PEM))
        (tmp_path / "ca").write_bytes(issuing.public_bytes(Encoding.PEM))
        command = [
            "openssl",
            "verify",
            "-attime",
            str(world.now),
            "-CAfile",
            "root",
            "-crl_check",
            "-CRLfile",
            "crl",
        ]
        seen = subprocess.run([*command, "ca"], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert "certificate revoked" in seen.stdout + seen.stderr
        after = await world.rotated(revoked)
        fresh = await world.issue(after, "pump-2")
        assert issuer_of(fresh) != issuing
        assert issued.chain[1] not in BuiltInAuthority(after, world.entropy, world.clock).chain()

    async def test_one_of_before_twice(self, world):
        record = await world.found()
        issuing = holdings.read(record).current
        record = await world.rotated(record)
        record = world.ceremony.revoke(record, issuing.key_id, COMPROMISE, world.now)
        again = world.ceremony.revoke(record, issuing.key_id, RevocationReason.SUPERSEDED, world.now + 9)
        assert again.settings == record.settings
        (held,) = holdings.read(record).earlier
        assert (held.revoked.revoked_at, held.revoked.reason) == (world.now, COMPROMISE)

    async def test_one_that_is_not_there(self, world):
        with pytest.raises(NotFound):
            world.ceremony.revoke(await world.found(), "00", COMPROMISE, world.now)


async def test_a_list_of_roots_is_clean(world):
    record = await world.found()
    issuing = holdings.read(record).current.issuer
    assert findings(issuing.der) == ["INFO pkix.subject_key_identifier_method_1_identified"]
