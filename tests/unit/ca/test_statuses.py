"""CRLs and OCSP of our own CAs, as openssl and pkilint see them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from accredit.authorities.builtin import BuiltInAuthority, Hardware
from accredit.ca.ceremony import Ceremony, Place
from accredit.ca.ocsp import read
from accredit.ca.points import SHARDS, key_id, shard_of
from accredit.ca.serials import ReservedSerials
from accredit.ca.statuses import Statuses
from accredit.domain import changes as c
from accredit.domain.credential import CertificateRecord, RevocationReason
from accredit.domain.errors import UpstreamUnavailable
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.issuance_log import certificate_leaf
from accredit.domain.secret import Secret
from accredit.interfaces import Delivered
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from accredit.values import replace
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.linting import crl_findings
from support.signing_requests import key, order
from support.soft_token import SoftToken
from support.waiting import until

CA = AuthorityName.parse("builtin")
BASE = "http://ca.test:8080"


@contextmanager
def counted(store: SqliteStore) -> Iterator[list[str]]:
    """The SQL that the store reads with meanwhile."""
    texts: list[str] = []
    store._reading.set_trace_callback(texts.append)
    yield texts
    store._reading.set_trace_callback(None)


class World:
    def __init__(self, store: SqliteStore, token: SoftToken | None = None) -> None:
        """With a token, the CA's keys are in it."""
        self.store = store
        self.clock = HandClock()
        self.entropy = CountedEntropy()
        self.record = BuiltInAuthority.found(CA, self.entropy, self.clock)
        hardware = None
        if token is not None:
            ceremony = Ceremony(self.entropy, BASE, token)
            settings, secrets = ceremony.found(CA, int(self.clock.now()), place=Place("hsm"))
            self.record = replace(self.record, settings=settings, secrets=secrets)
            hardware = Hardware(token, ReservedSerials(store, self.clock, self.entropy, "here"))
        self.authority = BuiltInAuthority(self.record, self.entropy, self.clock, BASE, hardware)
        self.statuses = Statuses(store, self.clock, BASE, token)
        self.issuing, self.root = map(self._pem, self.record.settings["certificates"])
        self.key_id = key_id(self.issuing)

    @staticmethod
    def _pem(text: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate(text.encode())

    async def issue(self, name: str) -> x509.Certificate:
        ordered = order(name, since=int(self.clock.now()), private=key(which=hash(name) % 3))
        answer = await self.authority.order(ordered)
        assert isinstance(answer, Delivered)
        issued = answer.issued
        record = CertificateRecord(
            issued,
            CA,
            self.record.version,
            "device/1",
            RegistrationId.parse(name),
            DeviceId(name),
            "g",
            b"c" * 32,
            "op",
            1,
        )
        leaf = certificate_leaf(CA, issued.leaf, issued.sha256, 1)
        await self.store.commit([c.RecordCertificate(record, shared_key=True), c.AppendLeaf(leaf)])
        return x509.load_der_x509_certificate(issued.leaf)

    async def revoke(
        self, leaf: x509.Certificate, reason: RevocationReason = RevocationReason.KEY_COMPROMISE
    ) -> None:
        now = int(self.clock.now())
        await self.store.commit(
            [c.RevokeCertificate(leaf.fingerprint(hashes.SHA256()), now, reason, ca_knows=True)]
        )

    async def crl_of(self, leaf: x509.Certificate) -> x509.CertificateRevocationList:
        der = await self.statuses.crl(self.key_id, shard_of(leaf.serial_number))
        return x509.load_der_x509_crl(der)

    async def asked(self, leaf: x509.Certificate, algorithm, nonce: bytes | None = None) -> ocsp.OCSPResponse:
        builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, self.issuing, algorithm)
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        question = builder.build().public_bytes(Encoding.DER)
        return ocsp.load_der_ocsp_response(await self.statuses.ocsp(question))

    async def asked_of(self, serial: int) -> ocsp.OCSPResponse:
        """About a certificate of the issuing CA that nobody has seen."""
        algorithm = hashes.SHA1()
        leaf = await self.issue(f"of-{serial % 97}")
        known = ocsp.OCSPRequestBuilder().add_certificate(leaf, self.issuing, algorithm).build()
        builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
            known.issuer_name_hash, known.issuer_key_hash, serial, algorithm
        )
        question = builder.build().public_bytes(Encoding.DER)
        return ocsp.load_der_ocsp_response(await self.statuses.ocsp(question))


@pytest.fixture
async def world(tmp_path):
    store = await SqliteStore.open(tmp_path / "state.db", Sealer([Secret(b"m" * 32)]))
    made = World(store)
    await store.commit([c.SaveAuthority(made.record, None)])
    yield made
    await store.close()


def distribution(leaf: x509.Certificate) -> str:
    (point,) = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    return point.full_name[0].value


class TestPoints:
    async def test_a_leaf_names_where_it_is_asked_about(self, world):
        leaf = await world.issue("pump-1")
        assert distribution(leaf) == f"{BASE}/crl/{world.key_id}/{leaf.serial_number % SHARDS}.crl"
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        assert [each.access_location.value for each in access] == [
            f"{BASE}/ocsp", f"{BASE}/issuers/{world.key_id}.cer",
        ]  # fmt: skip
        assert await world.statuses.issuer(world.key_id) == world.issuing.public_bytes(Encoding.DER)


class TestCRL:
    async def test_lists_what_was_revoked_and_only_that(self, world):
        good, bad = await world.issue("pump-1"), await world.issue("pump-2")
        assert len(list(await world.crl_of(bad))) == 0
        await world.revoke(bad)
        entry = (await world.crl_of(bad)).get_revoked_certificate_by_serial_number(bad.serial_number)
        assert (
            entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
            is x509.ReasonFlags.key_compromise
        )
        assert (await world.crl_of(good)).get_revoked_certificate_by_serial_number(good.serial_number) is None

    async def test_an_unspecified_reason_is_left_out(self, world):
        leaf = await world.issue("pump-1")
        await world.revoke(leaf, RevocationReason.UNSPECIFIED)
        (entry,) = await world.crl_of(leaf)
        assert len(entry.extensions) == 0

    async def test_is_signed_and_scoped_as_its_leaves_say(self, world):
        leaf = await world.issue("pump-1")
        crl = await world.crl_of(leaf)
        assert crl.is_signature_valid(world.issuing.public_key())
        assert crl.issuer == world.issuing.subject
        scope = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
        assert scope.critical
        assert scope.value.only_contains_user_certs
        assert scope.value.full_name[0].value == distribution(leaf)
        assert crl.next_update_utc.timestamp() > world.clock.now()

    async def test_the_number_grows_and_the_list_is_kept_until_something_changes(self, world):
        leaf = await world.issue("pump-1")
        first, again = await world.crl_of(leaf), await world.crl_of(leaf)
        assert first.public_bytes(Encoding.DER) == again.public_bytes(Encoding.DER)
        await world.revoke(leaf)
        second = await world.crl_of(leaf)
        world.clock.advance(4 * 86_400)
        third = await world.crl_of(leaf)
        numbers = [
            each.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            for each in (first, second, third)
        ]
        assert numbers == sorted(set(numbers))

    async def test_a_long_one_is_not_made_again_at_once(self, world):
        world.statuses = Statuses(world.store, world.clock, BASE, entries_per_s=1)
        first, *others = [await world.issue(f"pump-{number}") for number in range(3)]
        shard = shard_of(first.serial_number)
        await world.revoke(first)

        async def length() -> int:
            return len(list(x509.load_der_x509_crl(await world.statuses.crl(world.key_id, shard))))

        assert await length() == 1
        for leaf in others:
            await world.revoke(leaf)
        kept = await world.statuses.crl(world.key_id, shard)
        assert await world.statuses.crl(world.key_id, shard) == kept
        assert await length() == 1
        world.clock.advance(1)
        assert await length() == sum(shard_of(each.serial_number) == shard for each in (first, *others))
        assert await world.statuses.crl(world.key_id, shard) != kept

    async def test_an_entry_goes_after_its_certificates_end(self, world):
        leaf = await world.issue("pump-1")
        await world.revoke(leaf)
        world.clock.advance(31 * 86_400)
        assert len(list(await world.crl_of(leaf))) == 1
        world.clock.advance(30 * 86_400)
        assert len(list(await world.crl_of(leaf))) == 0

    async def test_each_reads_its_own_entries_alone(self, world):
        leaves = [await world.issue(f"device-{number}") for number in range(20)]
        for leaf in leaves:
            await world.revoke(leaf)
        found: list[int] = []
        for shard in range(SHARDS):
            with counted(world.store) as texts:
                listed = x509.load_der_x509_crl(await world.statuses.crl(world.key_id, shard))
            assert sum("AND revoked_shard =" in text for text in texts) == 1
            found += [each.serial_number for each in listed]
        assert sorted(found) == sorted(leaf.serial_number for leaf in leaves)
        with counted(world.store) as texts:
            for shard in range(SHARDS):
                await world.statuses.crl(world.key_id, shard)
        assert not any("revoked_shard" in text for text in texts)

    @pytest.mark.parametrize(("key", "shard"), [("00" * 20, 0), (None, SHARDS), (None, -1)])
    async def test_what_is_not_there(self, world, key, shard):
        assert await world.statuses.crl(key or world.key_id, shard) is None
        assert await world.statuses.issuer("00") is None

    async def test_openssl_refuses_the_revoked_one(self, world, tmp_path):
        good, bad = await world.issue("pump-1"), await world.issue("pump-2")
        await world.revoke(bad)
        assert "OK" in await verified(world, good, tmp_path)
        assert "certificate revoked" in await verified(world, bad, tmp_path)

    @pytest.mark.parametrize("count", [0, 3])
    async def test_the_linter_finds_nothing(self, world, count):
        leaf = await world.issue("pump-0")
        for number in range(count):
            await world.revoke(await world.issue(f"pump-x{number}"))
        for shard in range(SHARDS):
            found = crl_findings(await world.statuses.crl(world.key_id, shard))
            assert [each for each in found if not each.startswith("INFO")] == []
        assert leaf


async def verified(world: World, leaf: x509.Certificate, folder: Path) -> str:
    pem = Encoding.PEM
    (folder / "anchors.pem").write_bytes(world.root.public_bytes(pem))
    (folder / "issuing.pem").write_bytes(world.issuing.public_bytes(pem))
    (folder / "leaf.pem").write_bytes(leaf.public_bytes(pem))
    (folder / "list.pem").write_bytes((await world.crl_of(leaf)).public_bytes(pem))
    ran = subprocess.run(
        ["openssl", "verify", "-crl_check", "-extended_crl", "-attime", str(int(world.clock.now()) + 1),
         "-CAfile", "anchors.pem", "-untrusted", "issuing.pem", "-CRLfile", "list.pem", "leaf.pem"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()], ids=["SHA-1", "SHA-256"])
class TestOCSP:
    async def test_good_then_revoked(self, world, algorithm):
        leaf = await world.issue("pump-1")
        good = await world.asked(leaf, algorithm)
        assert good.certificate_status is ocsp.OCSPCertStatus.GOOD
        assert good.serial_number == leaf.serial_number
        await world.revoke(leaf, RevocationReason.CESSATION_OF_OPERATION)
        bad = await world.asked(leaf, algorithm)
        assert bad.certificate_status is ocsp.OCSPCertStatus.REVOKED
        assert bad.revocation_reason is x509.ReasonFlags.cessation_of_operation
        assert bad.revocation_time_utc.timestamp() == int(world.clock.now())

    async def test_is_kept_until_something_changes_or_half_its_life_is_gone(self, world, algorithm):
        leaf = await world.issue("pump-1")
        first, again = await world.asked(leaf, algorithm), await world.asked(leaf, algorithm)
        assert first.signature == again.signature
        world.clock.advance(13 * 3_600)
        assert (await world.asked(leaf, algorithm)).signature != first.signature

    async def test_a_nonce_comes_back(self, world, algorithm):
        leaf = await world.issue("pump-1")
        answer = await world.asked(leaf, algorithm, b"n" * 16)
        assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 16
        assert (await world.asked(leaf, algorithm, b"m" * 16)).signature != answer.signature
        too_long = await world.asked(leaf, algorithm, b"n" * 129)
        assert too_long.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST

    async def test_of_what_was_never_issued_nothing_is_said(self, world, algorithm):
        leaf = await world.issue("pump-1")
        stranger = BuiltInAuthority.found(CA, CountedEntropy(b"other"), world.clock)
        other = World._pem(stranger.settings["certificates"][0])
        question = ocsp.OCSPRequestBuilder().add_certificate(leaf, other, algorithm).build()
        answer = ocsp.load_der_ocsp_response(await world.statuses.ocsp(question.public_bytes(Encoding.DER)))
        assert answer.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED
        never = await world.asked(world.root, algorithm)
        assert never.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED

    @pytest.mark.parametrize("revoked", [False, True])
    async def test_openssl_reads_it(self, world, algorithm, tmp_path, revoked):
        leaf = await world.issue("pump-1")
        if revoked:
            await world.revoke(leaf)
        answer = await world.asked(leaf, algorithm)
        (tmp_path / "answer.der").write_bytes(answer.public_bytes(Encoding.DER))
        for name, certificate in (("root", world.root), ("issuing", world.issuing), ("leaf", leaf)):
            (tmp_path / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        digest = ["-sha256"] if isinstance(algorithm, hashes.SHA256) else []
        ran = subprocess.run(
            ["openssl", "ocsp", "-respin", "answer.der", "-no_nonce", "-issuer", "issuing.pem", *digest, "-cert",
             "leaf.pem", "-CAfile", "root.pem", "-verify_other", "issuing.pem", "-validity_period", "999999999"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "Response verify OK" in ran.stderr + ran.stdout, ran.stderr
        assert f"leaf.pem: {'revoked' if revoked else 'good'}" in ran.stdout
        if revoked:
            assert "Reason: keyCompromise" in ran.stdout


class TestInAToken:
    """The CA's key is in a token, which is slow, and may be away."""

    @pytest.fixture
    def token(self) -> SoftToken:
        return SoftToken()

    @pytest.fixture
    async def mine(self, tmp_path, token):
        store = await SqliteStore.open(tmp_path / "t.db", Sealer([Secret(b"k" * 32)]))
        made = World(store, token)
        await store.commit([c.SaveAuthority(made.record, None)])
        yield made
        await store.close()

    async def test_many_questions_at_once_buy_one_signature(self, mine, token):
        leaf = await mine.issue("pump-1")
        before, token.held = token.signatures, asyncio.Event()
        nonces = [None, b"n" * 16, b"m" * 16]
        asking = [asyncio.create_task(mine.asked(leaf, hashes.SHA256(), nonce)) for nonce in nonces]
        asking += [asyncio.create_task(mine.statuses.crl(mine.key_id, 3)) for _ in nonces]
        await until(lambda: token.waiting == 2)
        token.held.set()
        answers = await asyncio.gather(*asking)
        assert token.signatures == before + 2
        assert len({answer.signature for answer in answers[:3]}) == 1
        assert list(answers[1].extensions) == []
        assert x509.load_der_x509_crl(answers[-1]).is_signature_valid(mine.issuing.public_key())

    async def test_while_it_is_away_what_is_ready_serves_until_its_end(self, mine, token):
        leaf = await mine.issue("pump-1")
        shard = shard_of(leaf.serial_number)
        ready = await mine.statuses.crl(mine.key_id, shard), await mine.asked(leaf, hashes.SHA256())
        token.away = True
        mine.clock.advance(13 * 3_600)
        assert (await mine.asked(leaf, hashes.SHA256())).signature == ready[1].signature
        mine.clock.advance(12 * 3_600)
        later = await mine.asked(leaf, hashes.SHA256())
        assert later.response_status is ocsp.OCSPResponseStatus.TRY_LATER
        mine.clock.advance(5 * 86_400)
        assert await mine.statuses.crl(mine.key_id, shard) == ready[0]
        mine.clock.advance(86_400)
        with pytest.raises(UpstreamUnavailable, match="away"):
            await mine.statuses.crl(mine.key_id, shard)

    async def test_what_is_ready_does_not_hide_a_revocation(self, mine, token):
        leaf = await mine.issue("pump-1")
        await mine.statuses.crl(mine.key_id, shard_of(leaf.serial_number))
        await mine.revoke(leaf)
        token.away = True
        with pytest.raises(UpstreamUnavailable, match="away"):
            await mine.statuses.crl(mine.key_id, shard_of(leaf.serial_number))

    async def test_a_number_that_was_lost_is_revoked(self, mine):
        await mine.issue("pump-1")
        lost = 1 << 126 | 5
        await mine.store.commit([c.ReserveSerials(CA, (lost,), "gone", 1, 2, 2_000_000_000)])
        unknown = await mine.asked_of(lost)
        assert unknown.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED
        await mine.store.commit([c.LoseSerial(CA, lost, 3)])
        answer = await mine.asked_of(lost)
        assert answer.certificate_status is ocsp.OCSPCertStatus.REVOKED
        assert answer.serial_number == lost
        listed = x509.load_der_x509_crl(await mine.statuses.crl(mine.key_id, shard_of(lost)))
        assert listed.get_revoked_certificate_by_serial_number(lost) is not None

    async def test_the_root_s_list_is_signed_there_too(self, mine, token):
        before = token.signatures
        root = key_id(mine.root)
        listed = x509.load_der_x509_crl(await mine.statuses.root_crl(root))
        assert listed.is_signature_valid(mine.root.public_key())
        assert await mine.statuses.root_crl(root)
        assert token.signatures == before + 1


@given(st.binary(max_size=300))
def test_whatever_is_asked_is_answered_or_malformed(data: bytes) -> None:
    asked = read(data)
    assert asked is None or asked.serial is not None


def test_a_question_that_is_too_long() -> None:
    assert read(b"\x30" * 5_000) is None
