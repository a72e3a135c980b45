"""The built-in CA as an authority: what it is made of, and when it does not sign."""

import asyncio

import pytest
from cryptography import x509

from accredit.authorities.builtin import CLOCK_RETRY_S, TYPE, BuiltInAuthority, Hardware
from accredit.ca import hierarchy, keys
from accredit.ca.ceremony import Ceremony, Place
from accredit.ca.serials import BATCH, ReservedSerials
from accredit.ca.token_keys import RETRY_S
from accredit.domain.credential import Profile
from accredit.domain.ids import AuthorityName, RegistrationId
from accredit.domain.secret import Secret
from accredit.interfaces import Deferred, Delivered, Rejected, Unknown
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from accredit.values import replace
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.signing_requests import order
from support.soft_token import SoftToken
from support.troubled_store import TroubledStore
from support.waiting import until

NAME = AuthorityName.parse("Builtin")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def record(clock):
    return BuiltInAuthority.found(NAME, CountedEntropy(), clock)


@pytest.fixture
def authority(record, clock):
    return BuiltInAuthority(record, CountedEntropy(b"serials"), clock)


class TestFound:
    def test_the_record(self, record, clock):
        assert record.name == NAME
        assert record.type == TYPE == "BuiltIn"
        assert record.created_at == record.updated_at == int(clock.now())
        assert record.version != record.etag

    def test_settings_are_public_and_secrets_are_not(self, record):
        assert set(record.settings) == {"certificates", "algorithm", "root"}
        assert set(record.secrets) == {"issuingKey", "rootKey"}
        assert "PRIVATE" not in repr(record)
        assert record.secrets["issuingKey"].reveal() not in repr(record).encode("unicode_escape")

    def test_the_certificates_are_the_issuing_ca_s_and_the_root_s(self, record):
        issuing, root = (
            x509.load_pem_x509_certificate(pem.encode()) for pem in record.settings["certificates"]
        )
        issuing.verify_directly_issued_by(root)
        assert issuing.public_key() == keys.load(record.secrets["issuingKey"]).public_key()
        assert root.public_key() == keys.load(record.secrets["rootKey"]).public_key()

    def test_two_foundings_share_nothing(self, record, clock):
        other = BuiltInAuthority.found(NAME, CountedEntropy(b"other"), clock)
        assert other.version != record.version
        assert other.secrets["issuingKey"] != record.secrets["issuingKey"]


class TestLoading:
    def test_it_carries_the_record_s_name_and_version(self, record, authority):
        assert authority.name is record.name
        assert authority.version == record.version
        assert authority.in_process

    def test_another_ca_s_key(self, record, clock):
        wrong = replace(record, secrets=record.secrets | {"issuingKey": record.secrets["rootKey"]})
        with pytest.raises(ValueError, match="not the certificate's"):
            BuiltInAuthority(wrong, CountedEntropy(), clock)

    def test_another_ca_s_root(self, record, clock):
        stranger = hierarchy.make("other", int(clock.now()), CountedEntropy())
        issuing, _ = record.settings["certificates"]
        wrong = replace(record, settings={"certificates": [issuing, stranger.root.pem]})
        with pytest.raises(ValueError):
            BuiltInAuthority(wrong, CountedEntropy(), clock)

    def test_another_root_of_the_same_name(self, record, clock):
        impostor = BuiltInAuthority.found(NAME, CountedEntropy(), clock)
        issuing, _ = record.settings["certificates"]
        _, root = impostor.settings["certificates"]
        wrong = replace(record, settings={"certificates": [issuing, root]})
        with pytest.raises(ValueError, match="did not sign"):
            BuiltInAuthority(wrong, CountedEntropy(), clock)


class TestOrder:
    async def test_the_chain_ends_at_its_own_root(self, record, authority):
        answer = await authority.order(order())
        assert isinstance(answer, Delivered)
        pems = [x509.load_pem_x509_certificate(pem.encode()) for pem in record.settings["certificates"]]
        assert [x509.load_der_x509_certificate(der) for der in answer.issued.chain[1:]] == pems
        assert answer.issued.ca_reference is None

    async def test_the_life_counts_from_the_clock(self, authority, clock):
        clock.advance(1000.75)
        ordered = order()
        answer = await authority.order(ordered)
        assert isinstance(answer, Delivered)
        assert answer.issued.not_after == int(clock.now()) + ordered.profile.validity_s

    async def test_an_id_that_is_too_long(self, authority):
        answer = await authority.order(replace(order(), registration_id=RegistrationId.parse("x" * 65)))
        assert isinstance(answer, Rejected)
        assert answer.rule == "id-too-long-for-certificate"

    async def test_after_the_issuing_ca_s_end(self, authority, clock):
        clock.advance(hierarchy.ISSUING_VALIDITY_S - 1)
        assert isinstance(await authority.order(order()), Delivered)
        clock.advance(1)
        answer = await authority.order(order())
        assert isinstance(answer, Rejected)
        assert answer.rule == "ca-expired"

    async def test_a_clock_that_went_back(self, authority, clock):
        """The certificate would outlive its issuer at the front end; waiting helps."""
        clock.advance(-hierarchy.BACKDATE_S)
        assert isinstance(await authority.order(order()), Delivered)
        clock.advance(-1)
        answer = await authority.order(order())
        assert isinstance(answer, Deferred)
        assert answer.retry_after_s == CLOCK_RETRY_S


class TestInAToken:
    """Its key is in a token: what that may have signed and lost is never signed again under the same number."""

    @pytest.fixture
    async def store(self, tmp_path):
        opened = await SqliteStore.open(tmp_path / "a.db", Sealer([Secret(b"k" * 32)]))
        yield opened
        await opened.close()

    @pytest.fixture
    def token(self):
        return SoftToken()

    @pytest.fixture
    def in_token(self, record, clock, token):
        ceremony = Ceremony(CountedEntropy(), None, token)
        settings, secrets = ceremony.found(NAME, int(clock.now()), place=Place("hsm"))
        return replace(record, settings=settings, secrets=secrets)

    def reserved(self, store, clock):
        return ReservedSerials(store, clock, CountedEntropy(b"serials"), "here")

    @pytest.fixture
    def serials(self, store, clock):
        return self.reserved(store, clock)

    @pytest.fixture
    def mine(self, in_token, clock, token, serials):
        return BuiltInAuthority(in_token, CountedEntropy(), clock, hardware=Hardware(token, serials))

    async def lost(self, store):
        return {each.serial for shard in range(16) for each in await store.revoked(NAME, shard, 0)}

    async def test_it_needs_an_intent(self, mine, authority):
        assert not mine.in_process
        assert authority.in_process

    async def test_the_number_is_on_record_before_it_is_signed(self, mine, store):
        answer = await mine.order(order("device-1"))
        assert isinstance(answer, Delivered)
        assert answer.issued.serial in {each.serial for each in await store.reserved_serials()}
        leaf, issuer = (x509.load_der_x509_certificate(each) for each in answer.issued.chain[:2])
        leaf.verify_directly_issued_by(issuer)

    async def test_nothing_is_signed_while_no_number_can_be_reserved(self, in_token, store, clock, token):
        before = token.signatures
        serials = self.reserved(TroubledStore(store, fails_at=1), clock)
        mine = BuiltInAuthority(in_token, CountedEntropy(), clock, hardware=Hardware(token, serials))
        answer = await mine.order(order("device-1"))
        assert isinstance(answer, Deferred)
        assert token.signatures == before

    async def test_while_it_is_away_orders_wait_and_use_up_nothing(self, mine, store, token):
        token.away = True
        for _ in range(3):
            answer = await mine.order(order("device-1"))
            assert isinstance(answer, Deferred)
            assert answer.retry_after_s == RETRY_S
        token.away = False
        assert isinstance(await mine.order(order("device-1")), Delivered)
        assert await self.lost(store) == set()
        assert len(await store.reserved_serials()) == BATCH

    async def test_what_may_have_been_signed_is_unknown_and_its_number_revoked(self, mine, store, token):
        token.breaks_off = 1
        assert isinstance(await mine.order(order("device-1")), Unknown)
        (gone,) = await self.lost(store)
        answer = await mine.order(order("device-1"))
        assert answer.issued.serial != gone
        assert await self.lost(store) == {gone}

    async def test_names_that_do_not_fit_use_up_nothing(self, mine, store):
        too_long = Profile("long", subject=(("O", "{registrationId}" * 5),))
        answer = await mine.order(replace(order("a" * 40), profile=too_long))
        assert isinstance(answer, Rejected)
        assert isinstance(await mine.order(order("device-1")), Delivered)
        assert len(await store.reserved_serials()) == BATCH

    async def test_an_order_that_was_broken_off_stays_in_doubt(self, mine, store, serials, token):
        token.held = asyncio.Event()
        ordering = asyncio.create_task(mine.order(order("device-1")))
        await until(lambda: token.waiting)
        ordering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ordering
        token.held = None
        answer = await mine.order(order("device-1"))
        assert len(await store.reserved_serials()) == BATCH
        await serials.close()
        assert len({each.serial for each in await store.reserved_serials()} - {answer.issued.serial}) == 1
