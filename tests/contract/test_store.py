"""What every store promises (`interfaces.Store`, `domain/changes.py`), whichever it is."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import get_args

import pytest

from accredit.domain import changes as c
from accredit.domain.access import Realm, Right
from accredit.domain.ca_certificate import Purpose, VerificationCode
from accredit.domain.credential import CRL_SHARDS, STRAY, CertificateStatus, RevocationReason, Revoked
from accredit.domain.custody import LostOrder, OrphanKind
from accredit.domain.device import BindingState, DeviceData, Reported, TwinVersions
from accredit.domain.enrollment import (
    CaReferences,
    EnrollmentKind,
    EnrollmentRef,
    LeafCertificates,
    ReprovisionPolicy,
    SigningCertificates,
    TpmKeys,
)
from accredit.domain.errors import Malformed
from accredit.domain.ids import (
    AuthorityName,
    CaCertificateName,
    CertificateProfileName,
    DeviceId,
    GroupId,
    RegistrationId,
    TrustBundleName,
)
from accredit.domain.issuance_log import unknown_leaf
from accredit.domain.linked_hub import FIRST_HUB
from accredit.domain.mass_revocation import (
    AtAuthority,
    AuthorityTally,
    MassRevocation,
    Progress,
    RevokedIssuer,
    Tally,
)
from accredit.domain.one_time_password import OneTimePassword
from accredit.domain.registration import DataFate, OperationState, Phase, Status
from accredit.domain.release import Release
from accredit.domain.secret import Secret
from accredit.domain.tpm import TpmKey, TpmProof
from accredit.domain.tree_head import TreeHead
from accredit.domain.witness import Witnessed
from accredit.interfaces import HubUsers, Page, Stale, Store, StoreUnavailable
from accredit.policy.chains import subject_sha256
from accredit.seal import Sealer
from accredit.stores.postgresql.store import PostgresqlStore
from accredit.stores.sqlite import SqliteStore
from accredit.values import replace
from support import pki
from support import stored_values as some
from support.linked import embedded
from support.stored_values import BUILTIN, FLEET, NOW, binding, digest, individual, secret

SEALER = Sealer([Secret(bytes(range(32)))])
PUMP = RegistrationId.parse("pump-1")


Opener = Callable[[], Awaitable[Store]]


def sqlite(request: pytest.FixtureRequest) -> Opener:
    folder = request.getfixturevalue("tmp_path")
    return lambda: SqliteStore.open(folder / "accredit.db", SEALER)


def postgresql(request: pytest.FixtureRequest) -> Opener:
    url = request.getfixturevalue("postgres").emptied()
    return lambda: PostgresqlStore.open(url, SEALER)


class Place:
    """Where one store's data lies; `reopened` closes the store that is open and opens it again."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self.store: Store

    async def opened(self) -> Store:
        self.store = await self._opener()
        return self.store

    async def reopened(self) -> Store:
        await self.store.close()
        return await self.opened()


@pytest.fixture(params=[sqlite, postgresql], ids=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    place = Place(request.param(request))
    await place.opened()
    yield place
    await place.store.close()


@pytest.fixture
async def store(place: Place) -> Store:
    return place.store


async def stale(store: Store, *unit: c.Change) -> c.Change:
    """The change for which this unit is refused."""
    with pytest.raises(Stale) as caught:
        await store.commit(unit)
    return caught.value.change


async def walk(read: Callable[[str | None], Awaitable[Page]]) -> list[Sequence]:
    pages, cursor = [], None
    while True:
        page = await read(cursor)
        pages.append(list(page.rows))
        cursor = page.cursor
        if cursor is None:
            return pages


async def listed_by(store: Store, authority: AuthorityName, now: int) -> list[Revoked]:
    """What all CRLs of the authority list."""
    return [each for shard in range(CRL_SHARDS) for each in await store.revoked(authority, shard, now)]


async def states(store: Store, device: str = "Pump-1", owner: str | None = None) -> dict[bytes, str]:
    return {
        each.sha256: each.state.value
        for each in await store.bindings(RegistrationId.parse(owner or device), DeviceId(device))
    }


class TestState:
    async def test_a_secret_is_kept_and_replaced(self, store):
        assert await store.state("root") is None
        await store.commit([c.SaveState("root", Secret(b"one"), None)])
        assert await store.state("root") == Secret(b"one")
        await store.commit([c.SaveState("root", Secret(b"two"), Secret(b"one"))])
        assert await store.state("root") == Secret(b"two")

    @pytest.mark.parametrize("replaces", [None, Secret(b"other"), Secret(b"")])
    async def test_it_must_be_what_is_replaced(self, store, replaces):
        await store.commit([c.SaveState("root", Secret(b"one"), None)])
        change = c.SaveState("root", Secret(b"two"), replaces)
        assert await stale(store, change) is change
        assert await store.state("root") == Secret(b"one")

    async def test_nothing_can_t_be_replaced(self, store):
        await stale(store, c.SaveState("root", Secret(b"two"), Secret(b"one")))
        assert await store.state("root") is None


class TestPolicies:
    async def test_names_are_unique_within_a_realm(self, store):
        ours = some.policy(rights=frozenset({Right.ENROLLMENT_READ, Right.SERVICE_CONFIG}))
        theirs = some.policy(Realm.HUB, rights=frozenset())
        assert await store.policy(Realm.PROVISIONING, "owner") is None
        await store.commit([c.SavePolicy(ours), c.SavePolicy(theirs), c.SavePolicy(some.policy(name="a"))])
        assert await store.policy(Realm.PROVISIONING, "owner") == ours
        assert await store.policy(Realm.HUB, "owner") == theirs
        assert [each.name for each in await store.policies(Realm.PROVISIONING)] == ["a", "owner"]
        assert list(await store.policies(Realm.HUB)) == [theirs]

    async def test_it_must_not_exist(self, store):
        await store.commit([c.SavePolicy(some.policy())])
        assert isinstance(await stale(store, c.SavePolicy(some.policy())), c.SavePolicy)

    async def test_replaced_and_deleted_by_its_etag(self, store):
        await store.commit([c.SavePolicy(some.policy(etag="1")), c.SavePolicy(some.policy(name="b"))])
        changed = some.policy(etag="2", rights=frozenset({Right.ENROLLMENT_READ}), created_at=1, updated_at=2)
        await stale(store, c.SavePolicy(changed, replaces="other"))
        await store.commit([c.SavePolicy(changed, replaces="1")])
        assert await store.policy(Realm.PROVISIONING, "owner") == changed
        await stale(store, c.DeletePolicy(Realm.PROVISIONING, "owner", "1"))
        await store.commit([c.DeletePolicy(Realm.PROVISIONING, "owner", "2")])
        assert await store.policy(Realm.PROVISIONING, "owner") is None

    async def test_the_last_one_that_configures_stays_so(self, store):
        reads = frozenset({Right.ENROLLMENT_READ})
        last = some.policy(etag="1")
        theirs = some.policy(Realm.HUB, etag="1")
        await store.commit(
            [c.SavePolicy(last), c.SavePolicy(some.policy(name="b", rights=reads)), c.SavePolicy(theirs)]
        )
        await stale(store, c.DeletePolicy(Realm.PROVISIONING, "owner", "1"))
        await stale(store, c.SavePolicy(some.policy(etag="2", rights=reads), replaces="1"))
        assert await store.policy(Realm.PROVISIONING, "owner") == last
        await store.commit([c.DeletePolicy(Realm.HUB, "owner", "1")])

    async def test_pages(self, store):
        await store.commit([c.SavePolicy(some.policy(name=name)) for name in "dacb"])
        first = await store.policies_page(Realm.PROVISIONING, None, 3)
        rest = await store.policies_page(Realm.PROVISIONING, first.cursor, 3)
        assert [each.name for each in (*first.rows, *rest.rows)] == ["a", "b", "c", "d"]
        assert rest.cursor is None
        assert (await store.policies_page(Realm.HUB, None, 3)).rows == []


class TestAuthorities:
    async def test_saved_read_replaced_deleted(self, store):
        first = some.authority(
            "MyCA", settings={"deep": {"er": [1, None, "x"]}}, secrets={"k": Secret(b"\xff")}
        )
        name = AuthorityName.parse("myca")
        assert await store.authority(name) is None
        await store.commit([c.SaveAuthority(first, None)])
        assert await store.authority(name) == first
        assert str((await store.authority(name)).name) == "MyCA"
        second = some.authority("MYCA", etag="a2", version="v2", secrets={})
        await store.commit([c.SaveAuthority(second, "a1")])
        assert await store.authority(name) == second
        await store.commit([c.DeleteAuthority(name, "a2")])
        assert await store.authority(name) is None

    async def test_stale_where_the_etag_is_another(self, store):
        await stale(store, c.SaveAuthority(some.authority(), "a1"))
        await store.commit([c.SaveAuthority(some.authority(), None)])
        await stale(store, c.SaveAuthority(some.authority(etag="a2"), None))
        await stale(store, c.SaveAuthority(some.authority(etag="a2"), "a0"))
        await stale(store, c.DeleteAuthority(BUILTIN, "a0"))
        assert (await store.authority(BUILTIN)).etag == "a1"

    @pytest.mark.parametrize("make", [some.group, some.enrollment])
    async def test_not_deleted_while_an_enrollment_names_it(self, store, make):
        naming = make("x", authority=AuthorityName.parse("BUILTIN"))
        await store.commit([c.SaveAuthority(some.authority(), None), c.SaveEnrollment(naming, None)])
        change = c.DeleteAuthority(BUILTIN, "a1")
        assert await stale(store, change) is change
        assert await store.authority(BUILTIN) is not None
        await store.commit([c.DeleteEnrollment(naming.ref, "e1"), change])
        assert await store.authority(BUILTIN) is None

    async def test_listed_by_name(self, store):
        names = ["b", "A", "d", "C", "e"]
        await store.commit([c.SaveAuthority(some.authority(name), None) for name in names])
        pages = await walk(lambda cursor: store.authorities(cursor, 2))
        assert [[str(each.name) for each in page] for page in pages] == [["A", "b"], ["C", "d"], ["e"]]

    async def test_its_version_can_be_asserted(self, store):
        await store.commit([c.SaveAuthority(some.authority(version="v1"), None)])
        await store.commit([c.AssertAuthority(BUILTIN, "v1")])
        change = c.AssertAuthority(BUILTIN, "v2")
        assert await stale(store, change) is change
        await stale(store, c.AssertAuthority(AuthorityName.parse("other"), "v1"))


class TestTrustBundles:
    async def test_saved_read_replaced_deleted(self, store):
        first = some.trust_bundle("Roots")
        name = TrustBundleName.parse("roots")
        assert await store.trust_bundle(name) is None
        await store.commit([c.SaveTrustBundle(first, None)])
        assert await store.trust_bundle(name) == first
        assert str((await store.trust_bundle(name)).name) == "Roots"
        second = some.trust_bundle("ROOTS", "b2", certificates=(b"\x00" * 70_000,), updated_at=NOW + 1)
        await store.commit([c.SaveTrustBundle(second, "b1")])
        assert await store.trust_bundle(name) == second
        await store.commit([c.DeleteTrustBundle(name, "b2")])
        assert await store.trust_bundle(name) is None

    async def test_stale_where_the_etag_is_another(self, store):
        await stale(store, c.SaveTrustBundle(some.trust_bundle(), "b1"))
        await store.commit([c.SaveTrustBundle(some.trust_bundle(), None)])
        await stale(store, c.SaveTrustBundle(some.trust_bundle(etag="b2"), None))
        await stale(store, c.SaveTrustBundle(some.trust_bundle(etag="b2"), "b0"))
        await stale(store, c.DeleteTrustBundle(TrustBundleName.parse("roots"), "b0"))
        assert (await store.trust_bundle(TrustBundleName.parse("roots"))).etag == "b1"

    async def test_listed_by_name(self, store):
        await store.commit([c.SaveTrustBundle(some.trust_bundle(name), None) for name in ("b", "A", "c")])
        pages = await walk(lambda cursor: store.trust_bundles(cursor, 2))
        assert [[str(each.name) for each in page] for page in pages] == [["A", "b"], ["c"]]

    @pytest.mark.parametrize("make", [some.group, some.enrollment])
    async def test_not_deleted_while_an_enrollment_names_it(self, store, make):
        name, delete = (
            TrustBundleName.parse("roots"),
            c.DeleteTrustBundle(TrustBundleName.parse("roots"), "b1"),
        )
        naming = make("x", settings={"trustBundleId": "ROOTS"})
        await stale(store, c.SaveEnrollment(naming, None))
        await store.commit([c.SaveTrustBundle(some.trust_bundle(), None), c.SaveEnrollment(naming, None)])
        assert await store.enrollments_naming(name) == 1
        assert await stale(store, delete) is delete
        renewed = make("x", "e2", settings={"trustBundleId": "roots"})
        await store.commit([c.SaveEnrollment(renewed, "e1")])
        assert await store.enrollments_naming(name) == 1
        await store.commit([c.SaveEnrollment(make("x", "e3"), "e2")])
        assert await store.enrollments_naming(name) == 0
        await store.commit([c.SaveEnrollment(renewed, "e3")])
        await store.commit([c.DeleteEnrollment(renewed.ref, "e2"), delete])
        assert await store.trust_bundle(name) is None


class TestCertificateProfiles:
    NAME = CertificateProfileName.parse("lamps")

    async def test_saved_read_replaced_deleted(self, store):
        first = some.certificate_profile()
        assert await store.certificate_profile(self.NAME) is None
        await store.commit([c.SaveCertificateProfile(first, None)])
        assert await store.certificate_profile(self.NAME) == first
        shape = replace(first.profile, subject=(("O", "ä"),), alternative_names=(), access=False)
        second = some.certificate_profile("LAMPS", "b2", profile=shape, updated_at=NOW + 1)
        await store.commit([c.SaveCertificateProfile(second, "b1")])
        assert await store.certificate_profile(self.NAME) == second
        await store.commit([c.DeleteCertificateProfile(self.NAME, "b2")])
        assert await store.certificate_profile(self.NAME) is None

    async def test_stale_where_the_etag_is_another(self, store):
        await stale(store, c.SaveCertificateProfile(some.certificate_profile(), "b1"))
        await store.commit([c.SaveCertificateProfile(some.certificate_profile(), None)])
        await stale(store, c.SaveCertificateProfile(some.certificate_profile(etag="b2"), None))
        await stale(store, c.DeleteCertificateProfile(self.NAME, "b0"))

    async def test_listed_by_name(self, store):
        await store.commit(
            [c.SaveCertificateProfile(some.certificate_profile(name), None) for name in ("b", "A", "c")]
        )
        pages = await walk(lambda cursor: store.certificate_profiles(cursor, 2))
        assert [[str(each.name) for each in page] for page in pages] == [["A", "b"], ["c"]]

    async def test_not_deleted_while_an_enrollment_names_it(self, store):
        naming = some.enrollment("x", settings={"certificateProfileName": "LAMPS"})
        await stale(store, c.SaveEnrollment(naming, None))
        saved = c.SaveCertificateProfile(some.certificate_profile(), None)
        await store.commit([saved, c.SaveEnrollment(naming, None)])
        assert await store.enrollments_naming(self.NAME) == 1
        await stale(store, c.DeleteCertificateProfile(self.NAME, "b1"))
        delete = c.DeleteCertificateProfile(self.NAME, "b1")
        await store.commit([c.DeleteEnrollment(naming.ref, "e1"), delete])


class TestCaCertificates:
    async def test_saved_read_replaced_deleted(self, store):
        first = some.ca_certificate("Plant", verified=False, code=VerificationCode("C0DE", NOW + 60))
        name = CaCertificateName.parse("plant")
        assert await store.ca_certificate(name) is None
        await store.commit([c.SaveCaCertificate(first, None)])
        assert await store.ca_certificate(name) == first
        assert str((await store.ca_certificate(name)).name) == "Plant"
        second = some.ca_certificate("PLANT", "c2", purpose=Purpose.TPM_VENDOR_ROOT)
        await store.commit([c.SaveCaCertificate(second, "c1")])
        assert await store.ca_certificate(name) == second
        await store.commit([c.DeleteCaCertificate(name, "c2")])
        assert await store.ca_certificate(name) is None

    async def test_stale_where_the_etag_is_another(self, store):
        name = CaCertificateName.parse("plant")
        await stale(store, c.SaveCaCertificate(some.ca_certificate(), "c1"))
        await store.commit([c.SaveCaCertificate(some.ca_certificate(), None)])
        await stale(store, c.SaveCaCertificate(some.ca_certificate(etag="c2"), None))
        await stale(store, c.SaveCaCertificate(some.ca_certificate(etag="c2"), "c0"))
        await stale(store, c.DeleteCaCertificate(name, "c0"))
        await store.commit([c.AssertCaCertificate(name, "c1")])
        await stale(store, c.AssertCaCertificate(name, "c2"))
        await stale(store, c.AssertCaCertificate(CaCertificateName.parse("other"), "c1"))

    async def test_listed_by_name(self, store):
        await store.commit([c.SaveCaCertificate(some.ca_certificate(name), None) for name in ("b", "A", "c")])
        pages = await walk(lambda cursor: store.ca_certificates(cursor, 2))
        assert [[str(each.name) for each in page] for page in pages] == [["A", "b"], ["c"]]

    async def test_by_subject_and_purpose(self, store):
        one, two = pki.root("One").der, pki.root("One").der
        vendor = some.ca_certificate("v", root=one, purpose=Purpose.TPM_VENDOR_ROOT)
        both = [some.ca_certificate("b", root=one), some.ca_certificate("A", root=two, verified=False)]
        await store.commit([c.SaveCaCertificate(each, None) for each in (vendor, *both)])
        digests = [subject_sha256(pki.root("Other").der), subject_sha256(one), subject_sha256(two)]
        assert list(await store.ca_certificates_named(digests, Purpose.X509)) == both[::-1]
        assert list(await store.ca_certificates_named(digests, Purpose.TPM_VENDOR_ROOT)) == [vendor]
        await store.commit([c.DeleteCaCertificate(CaCertificateName.parse("b"), "c1")])
        assert list(await store.ca_certificates_named(digests, Purpose.X509)) == [both[1]]
        assert list(await store.ca_certificates_named([], Purpose.X509)) == []

    @pytest.mark.parametrize("make", [some.group, some.enrollment])
    async def test_not_deleted_while_an_enrollment_refers_to_it(self, store, make):
        first, second = (CaCertificateName.parse(name) for name in ("Plant", "Plant-2"))
        delete = c.DeleteCaCertificate(second, "c1")
        refers = make("x", attestation=CaReferences(first, second))
        await store.commit([c.SaveCaCertificate(some.ca_certificate("Plant"), None)])
        await stale(store, c.SaveEnrollment(refers, None))
        await store.commit([c.SaveCaCertificate(some.ca_certificate("Plant-2"), None)])
        await store.commit([c.SaveEnrollment(refers, None)])
        assert (await store.enrollment(refers.ref)).attestation == refers.attestation
        assert await store.enrollments_naming(second) == 1
        assert await stale(store, delete) is delete
        alone = make("x", "e2", attestation=CaReferences(first, first))
        await store.commit([c.SaveEnrollment(alone, "e1"), delete])
        assert (await store.enrollment(refers.ref)).attestation == CaReferences(first, first)
        assert await store.enrollments_naming(first) == 1

    async def test_groups_by_the_certificate_that_they_refer_to(self, store):
        one, two = pki.root("One").der, pki.root("Two").der
        uploaded = some.ca_certificate("Plant", root=one)
        await store.commit([c.SaveCaCertificate(uploaded, None)])
        refers = CaReferences(uploaded.name)
        own = some.group("Own", attestation=SigningCertificates(one))
        by_name = some.group("by-name", attestation=refers)
        unit = [own, by_name, some.enrollment("by-name", attestation=refers)]
        await store.commit([c.SaveEnrollment(each, None) for each in unit])
        assert list(await store.groups_named([subject_sha256(one)])) == [by_name, own]
        assert list(await store.groups_named([subject_sha256(two)])) == []
        moved = some.ca_certificate("Plant", "c2", root=two)
        await store.commit([c.SaveCaCertificate(moved, "c1")])
        assert list(await store.groups_named([subject_sha256(one)])) == [own]
        assert list(await store.groups_named([subject_sha256(two)])) == [by_name]


class TestEnrollments:
    async def test_every_member_comes_back(self, store):
        full = some.enrollment(
            "Pump-1",
            enabled=False,
            device_id=DeviceId("The-Pump"),
            authority=AuthorityName.parse("MyCA"),
            allocation_policy="static",
            hubs=("a.example", "b.example"),
            reprovision=ReprovisionPolicy(update_hub_assignment=False, migrate_device_data=False),
            iot_edge=True,
            initial_twin={"tags": {"a": None}, "properties": {"desired": {"n": 1.5}}},
            settings={"optionalDeviceInformation": {"x": "é"}},
        )
        await store.commit([c.SaveEnrollment(full, None)])
        found = await store.enrollment(individual("pump-1"))
        assert found == full
        assert (str(found.id), str(found.authority)) == ("Pump-1", "MyCA")

    async def test_its_secrets_come_back(self, store):
        told = {"customAllocationDefinition": secret("of the webhook")}
        unstated = ReprovisionPolicy(stated=False)
        saved = some.enrollment(secrets=told, reprovision=unstated)
        await store.commit([c.SaveEnrollment(saved, None)])
        found = await store.enrollment(saved.ref)
        assert found == saved
        assert found.reprovision.stated is False
        await store.commit([c.SaveEnrollment(replace(saved, secrets={}, etag="e2"), "e1")])
        assert (await store.enrollment(saved.ref)).secrets == {}

    @pytest.mark.parametrize(
        "attestation", [LeafCertificates(b"one"), LeafCertificates(b"one", b"two")], ids=["one", "two"]
    )
    async def test_leaf_certificates(self, store, attestation):
        await store.commit([c.SaveEnrollment(some.enrollment(attestation=attestation), None)])
        assert (await store.enrollment(individual("pump-1"))).attestation == attestation

    @pytest.mark.parametrize(
        "attestation",
        [TpmKeys(TpmKey(b"ek" * 200)), TpmKeys(TpmKey(b"ek" * 200), TpmKey(b"srk" * 100))],
        ids=["the EK", "both keys"],
    )
    async def test_tpm_keys(self, store, attestation):
        await store.commit([c.SaveEnrollment(some.enrollment(attestation=attestation), None)])
        assert (await store.enrollment(individual("pump-1"))).attestation == attestation
        await store.commit([c.SaveEnrollment(some.enrollment(etag="e2"), "e1")])
        assert await store.enrollment(individual("pump-1")) == some.enrollment(etag="e2")

    async def test_a_group_and_an_individual_may_share_a_name(self, store):
        group, single = some.group("Pump-1", "g1"), some.enrollment("pump-1", "i1")
        await store.commit([c.SaveEnrollment(group, None), c.SaveEnrollment(single, None)])
        assert await store.enrollment(group.ref) == group
        assert await store.enrollment(single.ref) == single
        assert isinstance((await store.enrollment(group.ref)).id, GroupId)

    @pytest.mark.parametrize("make", [some.group, some.enrollment])
    async def test_replaced_by_etag(self, store, make):
        await store.commit([c.SaveEnrollment(make("X", "e1"), None)])
        ref = make("X").ref
        assert (await store.enrollment(ref)).etag == "e1"
        other = make("x", "e2", attestation=LeafCertificates(b"now a certificate"), enabled=False)
        if make is some.group:
            other = make("x", "e2", enabled=False)
        await store.commit([c.SaveEnrollment(other, "e1")])
        assert await store.enrollment(ref) == other
        await stale(store, c.SaveEnrollment(make("X", "e3"), "e1"))
        await stale(store, c.SaveEnrollment(make("X", "e3"), None))
        await stale(store, c.SaveEnrollment(make("Y", "e3"), "e1"))
        assert await store.enrollment(ref) == other

    async def test_its_etag_can_be_asserted(self, store):
        await store.commit([c.SaveEnrollment(some.group(), None)])
        await store.commit([c.AssertEnrollment(FLEET, "e1")])
        await stale(store, c.AssertEnrollment(FLEET, "e2"))
        await stale(store, c.AssertEnrollment(individual("fleet"), "e1"))
        # An assertion that held is asked again when its own unit changes what it is about.
        unit = [c.AssertEnrollment(FLEET, "e1"), c.SaveEnrollment(some.group(etag="e2"), "e1")]
        assert await stale(store, *unit, c.AssertEnrollment(FLEET, "e1")) == unit[0]

    async def test_listed_by_kind_and_name(self, store):
        singles = [some.enrollment(f"pump-{number}") for number in (3, 1, 2)]
        await store.commit([c.SaveEnrollment(each, None) for each in [*singles, some.group("A-group")]])
        pages = await walk(lambda cursor: store.enrollments(EnrollmentKind.INDIVIDUAL, cursor, 2))
        assert [[str(each.id) for each in page] for page in pages] == [["pump-1", "pump-2"], ["pump-3"]]
        assert [str(each.id) for each in (await store.enrollments(EnrollmentKind.GROUP, None, 9)).rows] == [
            "A-group"
        ]

    async def test_how_many_use_an_authority(self, store):
        mine = AuthorityName.parse("MyCA")
        unit = [c.SaveEnrollment(some.group(name, authority=mine), None) for name in ("a", "b")]
        unit += [
            c.SaveEnrollment(some.enrollment(authority=mine), None),
            c.SaveEnrollment(some.group("c"), None),
        ]
        await store.commit(unit)
        assert await store.enrollments_using(AuthorityName.parse("myca")) == 3
        assert await store.enrollments_using(BUILTIN) == 0

    async def test_symmetric_groups_by_id(self, store):
        root = pki.root("Root").der
        others = [some.group("m", attestation=SigningCertificates(root)), some.enrollment("k")]
        symmetric = [some.group("b", enabled=False), some.group("A"), some.group("c")]
        assert list(await store.symmetric_groups()) == []
        await store.commit([c.SaveEnrollment(each, None) for each in others + symmetric])
        assert [str(each.id) for each in await store.symmetric_groups()] == ["A", "b", "c"]
        assert next(each for each in await store.symmetric_groups() if str(each.id) == "b").enabled is False
        await store.commit([c.DeleteEnrollment(symmetric[0].ref, "e1")])
        await store.commit(
            [c.SaveEnrollment(some.group("c", "e2", attestation=SigningCertificates(root)), "e1")]
        )
        assert [str(each.id) for each in await store.symmetric_groups()] == ["A"]

    async def test_groups_by_their_signing_certificates(self, store):
        one, two, other = (pki.root(name).der for name in ("One", "Two", "Other"))
        both = some.group("both", attestation=SigningCertificates(one, two))
        single = some.group("Alone", attestation=SigningCertificates(two))
        await store.commit([c.SaveEnrollment(both, None), c.SaveEnrollment(single, None)])
        # A device's own certificate does not make its enrollment a group that signs.
        await store.commit([c.SaveEnrollment(some.enrollment(attestation=LeafCertificates(one)), None)])
        assert list(await store.groups_named([subject_sha256(one)])) == [both]
        assert list(await store.groups_named([subject_sha256(two), subject_sha256(one)])) == [single, both]
        assert list(await store.groups_named([subject_sha256(other)])) == []
        assert list(await store.groups_named([])) == []
        moved = replace(single, etag="e2", attestation=SigningCertificates(other))
        await store.commit([c.SaveEnrollment(moved, "e1")])
        assert list(await store.groups_named([subject_sha256(two)])) == [both]
        assert list(await store.groups_named([subject_sha256(other)])) == [moved]
        await store.commit([c.DeleteEnrollment(both.ref, "e1")])
        assert list(await store.groups_named([subject_sha256(one), subject_sha256(two)])) == []

    async def test_deleting_an_individual_takes_its_own_registration_along(self, store):
        single = some.enrollment("Pump-1")
        mine = some.registration("Pump-1", enrollment=single.ref)
        intent = some.operation("o1", enrollment=single.ref)
        await store.commit(
            [c.SaveEnrollment(single, None), c.SaveRegistration(mine, None), c.OpenOperation(intent)]
        )
        await stale(store, c.DeleteEnrollment(single.ref, "e0"))
        assert await store.registration(PUMP) == mine
        await store.commit([c.DeleteEnrollment(single.ref, "e1")])
        assert await store.enrollment(single.ref) is None
        assert await store.registration(PUMP) is None
        assert (await store.operation("o1")).state is OperationState.SUPERSEDED

    async def test_a_registration_of_a_group_stays(self, store):
        single = some.enrollment("Pump-1")
        theirs = some.registration("Pump-1", enrollment=FLEET)
        await store.commit([c.SaveEnrollment(single, None), c.SaveRegistration(theirs, None)])
        await store.commit([c.SaveEnrollment(some.group(), None), c.OpenOperation(some.operation("o1"))])
        await store.commit([c.DeleteEnrollment(single.ref, "e1")])
        assert await store.registration(PUMP) == theirs
        await store.commit([c.DeleteEnrollment(FLEET, "e1")])
        assert await store.registration(PUMP) == theirs
        assert (await store.operation("o1")).state is OperationState.OPEN


class TestTpmProofs:
    PROOF = TpmProof(TpmKey(b"srk"), 7)

    async def test_the_last_one_stands(self, store):
        assert await store.tpm_proof(PUMP) is None
        await store.commit([c.SaveRegistration(some.registration(), None), c.SaveTpmProof(PUMP, self.PROOF)])
        assert await store.tpm_proof(RegistrationId.parse("pump-1")) == self.PROOF
        later = TpmProof(TpmKey(b"another srk"), 9)
        await store.commit([c.SaveTpmProof(PUMP, later)])
        assert await store.tpm_proof(PUMP) == later

    async def test_it_goes_with_the_registration(self, store):
        await store.commit([c.SaveRegistration(some.registration(), None), c.SaveTpmProof(PUMP, self.PROOF)])
        await stale(store, c.DeleteRegistration(PUMP, "r0"))
        assert await store.tpm_proof(PUMP) == self.PROOF
        await store.commit([c.DeleteRegistration(PUMP, "r1")])
        assert await store.tpm_proof(PUMP) is None

    async def test_it_goes_with_the_individual_enrollment(self, store):
        single = some.enrollment("Pump-1")
        mine = some.registration("Pump-1", enrollment=single.ref)
        await store.commit(
            [
                c.SaveEnrollment(single, None),
                c.SaveRegistration(mine, None),
                c.SaveTpmProof(PUMP, self.PROOF),
            ]
        )
        await store.commit([c.DeleteEnrollment(single.ref, "e1")])
        assert await store.tpm_proof(PUMP) is None


class TestRegistrations:
    async def test_saved_replaced_deleted(self, store):
        bare = some.registration(
            "Pump-1", hub=None, status=Status.FAILED, substatus=None, error_code=400_004, error_message="é"
        )
        assert await store.registration(PUMP) is None
        await store.commit([c.SaveRegistration(bare, None)])
        assert await store.registration(PUMP) == bare
        full = some.registration(
            "PUMP-1",
            "r2",
            payload=b"{}",
            certificate_sha256=digest("x"),
            csr_field="csr",
            enrollment=individual("p"),
        )
        await store.commit([c.SaveRegistration(full, "r1")])
        assert await store.registration(PUMP) == full
        assert str((await store.registration(PUMP)).registration_id) == "PUMP-1"
        await store.commit([c.DeleteRegistration(PUMP, "r2")])
        assert await store.registration(PUMP) is None

    async def test_stale_where_the_etag_is_another(self, store):
        await stale(store, c.SaveRegistration(some.registration(), "r1"))
        await store.commit([c.SaveRegistration(some.registration(), None)])
        await stale(store, c.SaveRegistration(some.registration(etag="r2"), None))
        await stale(store, c.SaveRegistration(some.registration(etag="r2"), "r0"))
        await stale(store, c.DeleteRegistration(PUMP, "r0"))
        assert (await store.registration(PUMP)).etag == "r1"

    async def test_deleting_ends_its_open_operation_and_nothing_else(self, store):
        record = some.certificate("Pump-1")
        await store.commit([*some.configured(), *some.provisioned("Pump-1", record)])
        await store.commit(
            [c.OpenOperation(some.operation("o1")), c.OpenOperation(some.operation("o2", "pump-2"))]
        )
        await store.commit([c.DeleteRegistration(PUMP, "r1")])
        assert (await store.operation("o1")).state is OperationState.SUPERSEDED
        assert (await store.operation("o2")).state is OperationState.OPEN
        assert (await store.certificate(record.issued.sha256)).status is CertificateStatus.PENDING
        assert await states(store) == {record.issued.sha256: "pending"}

    async def test_listed_for_all_and_for_an_enrollment(self, store):
        names = [f"d{number}" for number in (4, 2, 9, 1)]
        unit = [c.SaveRegistration(some.registration(name), None) for name in names]
        own = some.registration("own", enrollment=individual("own"))
        unit.append(c.SaveRegistration(own, None))
        await store.commit(unit)
        everyone = await walk(lambda cursor: store.registrations(None, cursor, 2))
        assert [len(page) for page in everyone] == [2, 2, 1]
        assert {str(each.registration_id) for page in everyone for each in page} == {*names, "own"}
        fleet = await walk(lambda cursor: store.registrations(FLEET, cursor, 3))
        assert [len(page) for page in fleet] == [3, 1]
        assert {str(each.registration_id) for page in fleet for each in page} == set(names)
        assert await walk(lambda cursor: store.registrations(individual("own"), cursor, 3)) == [[own]]
        assert await walk(lambda cursor: store.registrations(individual("d4"), cursor, 3)) == [[]]

    async def test_a_registration_handed_over_is_listed_with_its_new_owner(self, store):
        await store.commit([c.SaveRegistration(some.registration(), None)])
        mine = some.registration(etag="r2", enrollment=individual("pump-1"))
        await store.commit([c.SaveRegistration(mine, "r1")])
        assert (await store.registrations(FLEET, None, 9)).rows == []
        assert (await store.registrations(mine.enrollment, None, 9)).rows == [mine]


class TestOneTimePasswords:
    async def test_the_first_use_binds_it(self, store):
        made = OneTimePassword(PUMP, "g", digest("password"), NOW + 9)
        assert await store.one_time_password(PUMP) is None
        await store.commit([c.SaveOneTimePassword(made)])
        assert await store.one_time_password(PUMP) == made
        for at in (NOW, NOW + 5):
            await store.commit([c.UseOneTimePassword(PUMP, made.sha256, digest("csr"), at)])
        used = replace(made, request_sha256=digest("csr"), first_used_at=NOW)
        assert await store.one_time_password(PUMP) == used
        await stale(store, c.UseOneTimePassword(PUMP, made.sha256, digest("other"), NOW))
        await stale(store, c.UseOneTimePassword(PUMP, digest("wrong"), digest("csr"), NOW))

    async def test_a_new_one_takes_its_place(self, store):
        for word in ("one", "two"):
            await store.commit([c.SaveOneTimePassword(OneTimePassword(PUMP, "g", digest(word), NOW))])
        assert (await store.one_time_password(PUMP)).sha256 == digest("two")
        await stale(store, c.UseOneTimePassword(PUMP, digest("one"), digest("csr"), NOW))


class TestSessionCuts:
    async def test_are_told_until_they_are_forgotten(self, store):
        assert await store.newest_session_cut() == 0
        assert list(await store.session_cuts(0, 10)) == []
        one, two = (
            c.CutSession(FIRST_HUB, DeviceId("one"), "revoked"),
            c.CutSession("b", DeviceId("two"), "moved"),
        )
        await store.commit([one])
        first = await store.newest_session_cut()
        await store.commit([two, c.CutSession("b", DeviceId("three"), "moved")])
        cuts = list(await store.session_cuts(0, 10))
        assert [(each.hub, each.device_id.text, each.reason) for each in cuts] == [
            (FIRST_HUB, "one", "revoked"),
            ("b", "two", "moved"),
            ("b", "three", "moved"),
        ]
        assert list(await store.session_cuts(first, 10)) == cuts[1:]
        assert list(await store.session_cuts(0, 2)) == cuts[:2]
        assert await store.newest_session_cut() == cuts[-1].number
        await store.forget_session_cuts(0)
        assert len(await store.session_cuts(0, 10)) == 3
        await store.forget_session_cuts(int(time.time()) + 600)
        assert list(await store.session_cuts(0, 10)) == []


class TestLeases:
    async def test_one_owner_at_a_time(self, store):
        assert await store.lease("duty") is None
        await store.commit([c.TakeLease("duty", "a", NOW, NOW + 10)])
        first = await store.lease("duty")
        assert (first.owner, first.expires_at) == ("a", NOW + 10)
        await stale(store, c.TakeLease("duty", "b", NOW + 9, NOW + 19))
        await store.commit([c.TakeLease("duty", "a", NOW + 9, NOW + 19)])
        assert await store.lease("duty") == replace(first, expires_at=NOW + 19)
        await store.commit([c.TakeLease("other", "b", NOW, NOW + 10)])

    async def test_who_takes_it_over_has_another_fence(self, store):
        await store.commit([c.TakeLease("duty", "a", NOW, NOW + 10)])
        held = await store.lease("duty")
        await store.commit([c.AssertLease(held)])
        await store.commit([c.TakeLease("duty", "b", NOW + 10, NOW + 20)])
        await stale(store, c.AssertLease(held))
        assert (await store.lease("duty")).fence > held.fence
        # Taken again, it is not the lease that was lost.
        await store.commit([c.TakeLease("duty", "a", NOW + 20, NOW + 30)])
        await stale(store, c.AssertLease(held))

    async def test_given_back(self, store):
        await store.commit([c.TakeLease("duty", "a", NOW, NOW + 10)])
        held = await store.lease("duty")
        await store.commit([c.EndLease("duty", "b"), c.EndLease("nothing", "a")])
        await stale(store, c.TakeLease("duty", "b", NOW, NOW + 10))
        await store.commit([c.EndLease("duty", "a")])
        await store.commit([c.TakeLease("duty", "b", NOW, NOW + 10)])
        assert (await store.lease("duty")).fence > held.fence


class TestOperations:
    async def test_opened_and_finished(self, store):
        intent = some.operation("o1", bootstrap_certificate=b"der", payload=None)
        await store.commit([c.OpenOperation(intent)])
        assert await store.operation("o1") == intent
        assert await store.open_operation(PUMP) == intent
        assert list(await store.open_operations()) == [intent]
        taken = replace(
            intent, lease_owner="me", lease_expires_at=NOW + 9, fence=1, attempt=1, submitted=True
        )
        await store.commit([c.SaveOperation(taken, 0)])
        assert await store.operation("o1") == taken
        done = replace(taken, state=OperationState.ASSIGNED, certificate_sha256=digest("c"), handle="h")
        await store.commit([c.SaveOperation(done, 1)])
        assert await store.operation("o1") == done
        assert await store.open_operation(PUMP) is None
        assert list(await store.open_operations()) == []
        assert await store.operation("o2") is None

    async def test_the_newest_of_a_registration(self, store):
        assert await store.newest_operation(PUMP) is None
        first, other = some.operation("o2"), some.operation("o0", "another")
        await store.commit([c.OpenOperation(first), c.OpenOperation(other)])
        assert await store.newest_operation(PUMP) == first
        # Begun in the same second, and named before it.
        await store.commit([c.OpenOperation(some.operation("o1"), supersedes="o2")])
        assert (await store.newest_operation(PUMP)).id == "o1"

    async def test_the_fence_keeps_out_who_lost_the_lease(self, store):
        intent = some.operation("o1")
        await store.commit([c.OpenOperation(intent)])
        await store.commit([c.SaveOperation(replace(intent, fence=1), 0)])
        await stale(store, c.SaveOperation(replace(intent, fence=1, lease_owner="late"), 0))
        failed = replace(intent, fence=1, state=OperationState.FAILED, error_code=500_000, error_message="no")
        await store.commit([c.SaveOperation(failed, 1)])
        await stale(store, c.SaveOperation(replace(intent, fence=1), 1))
        await stale(store, c.SaveOperation(some.operation("o2"), 0))
        assert await store.operation("o1") == failed

    async def test_one_open_operation_to_a_registration(self, store):
        await store.commit([c.OpenOperation(some.operation("o1"))])
        await stale(store, c.OpenOperation(some.operation("o2")))
        await store.commit([c.OpenOperation(some.operation("o2"), supersedes="o1")])
        assert (await store.operation("o1")).state is OperationState.SUPERSEDED
        assert (await store.open_operation(PUMP)).id == "o2"
        await stale(store, c.OpenOperation(some.operation("o3"), supersedes="o1"))
        await stale(store, c.OpenOperation(some.operation("o3", "another"), supersedes="o2"))
        await stale(store, c.OpenOperation(some.operation("o2", "another")))
        assert [each.id for each in await store.open_operations()] == ["o2"]

    async def test_ended_from_outside(self, store):
        taken = some.operation("o1", fence=3, lease_owner="somebody")
        await store.commit([c.OpenOperation(taken)])
        await stale(store, c.SupersedeOperation("o1", RegistrationId.parse("another")))
        await stale(store, c.SupersedeOperation("o2", PUMP))
        await store.commit([c.SupersedeOperation("o1", PUMP)])
        assert await store.operation("o1") == replace(taken, state=OperationState.SUPERSEDED)
        await stale(store, c.SupersedeOperation("o1", PUMP))
        await stale(store, c.SaveOperation(taken, 3))

    async def test_an_order_that_may_have_been_signed_is_kept_until_it_is_accounted_for(self, store):
        ordered = some.operation("o1", submitted=True, created_at=NOW - 10, key_spelling="PUMP-1")
        idle = some.operation("o2", "pump-2", created_at=NOW - 10)
        failed = some.operation(
            "o3", "pump-3", created_at=NOW - 10, submitted=True, state=OperationState.FAILED
        )
        await store.commit([c.OpenOperation(each) for each in (ordered, idle, failed)])
        await stale(store, c.SettleOperation("o1", 0))
        await store.commit([c.SupersedeOperation("o1", PUMP)])
        await store.commit([c.SupersedeOperation("o2", RegistrationId.parse("pump-2"))])
        ended = replace(ordered, state=OperationState.SUPERSEDED)
        assert list(await store.unsettled_operations()) == [ended]
        await store.forget_operations(NOW)
        assert [await store.operation(name) for name in ("o1", "o2", "o3")] == [ended, None, None]
        await store.commit([c.SettleOperation("o1", 0)])
        assert await store.operation("o1") == replace(ended, submitted=False)
        assert list(await store.unsettled_operations()) == []
        await stale(store, c.SettleOperation("o1", 0))
        await store.forget_operations(NOW)
        assert await store.operation("o1") is None

    async def test_taken_by_another_process_when_its_lease_has_ended(self, store):
        mine = some.operation("o1", lease_owner="me", lease_expires_at=NOW + 9)
        theirs = some.operation("o2", "pump-2", lease_owner="them", lease_expires_at=NOW + 5)
        await store.commit([c.OpenOperation(mine), c.OpenOperation(theirs)])
        assert list(await store.lapsed_operations(NOW + 4, 10)) == []
        assert list(await store.lapsed_operations(NOW + 9, 10)) == [theirs, mine]
        assert list(await store.lapsed_operations(NOW + 9, 1)) == [theirs]
        await stale(store, c.TakeOperation("o2", 1, "me", NOW + 20))
        await store.commit([c.TakeOperation("o2", 0, "me", NOW + 20)])
        taken = replace(theirs, fence=1, lease_owner="me", lease_expires_at=NOW + 20)
        assert await store.operation("o2") == taken
        await stale(store, c.TakeOperation("o2", 0, "them", NOW + 20))
        await stale(store, c.SaveOperation(theirs, 0))
        await stale(store, c.AssertOperation("o2", 0))
        await store.commit([c.AssertOperation("o2", 1)])
        await store.commit([c.SaveOperation(replace(taken, state=OperationState.FAILED), 1)])
        await stale(store, c.TakeOperation("o2", 1, "them", NOW + 20))
        await store.commit([c.AssertOperation("o2", 1)])

    async def test_one_that_is_to_be_accounted_for_is_leased_too(self, store):
        ordered = some.operation("o1", submitted=True, lease_owner="me", lease_expires_at=NOW)
        await store.commit([c.OpenOperation(ordered)])
        await store.commit([c.SupersedeOperation("o1", PUMP)])
        superseded = replace(ordered, state=OperationState.SUPERSEDED)
        assert list(await store.lapsed_operations(NOW, 10)) == [superseded]
        await store.commit([c.RenewOperations("me", NOW + 1)])
        assert list(await store.lapsed_operations(NOW, 10)) == []
        await store.commit([c.TakeOperation("o1", 0, "them", NOW + 5)])
        await stale(store, c.SettleOperation("o1", 0))
        await store.commit([c.SettleOperation("o1", 1)])
        await stale(store, c.TakeOperation("o1", 1, "me", NOW + 20))

    async def test_its_owner_renews_all_of_its_leases(self, store):
        mine = [some.operation(f"o{n}", f"pump-{n}", lease_owner="me", lease_expires_at=NOW) for n in (1, 2)]
        theirs = some.operation("o3", "pump-3", lease_owner="them", lease_expires_at=NOW)
        await store.commit([c.OpenOperation(each) for each in (*mine, theirs)])
        await store.commit([c.RenewOperations("me", NOW + 60)])
        assert [each.id for each in await store.lapsed_operations(NOW + 59, 10)] == ["o3"]
        await store.commit([c.RenewOperations("nobody", NOW + 60)])
        assert (await store.operation("o1")).lease_expires_at == NOW + 60

    async def test_its_phases_come_back(self, store):
        intent = some.operation("o1", hub=None, csr_field=None, phase=Phase.ALLOCATE)
        await store.commit([c.OpenOperation(intent)])
        assert await store.operation("o1") == intent
        told = replace(
            intent,
            hub="b.example",
            phase=Phase.BIND,
            old_hub="a.example",
            fate=DataFate.MOVES,
            initial_twin={"tags": {"a": 1}},
            answer=b"{}",
            data=DeviceData({"t": 1}, {"d": [2]}, iot_edge=True),
        )
        await store.commit([c.SaveOperation(told, 0)])
        assert await store.operation("o1") == told

    async def test_old_ones_are_forgotten(self, store):
        unit = []
        for number in range(1203):
            ended = some.operation(f"old-{number}", created_at=NOW - 10, state=OperationState.ASSIGNED)
            unit.append(c.OpenOperation(ended))
        young = some.operation("young", created_at=NOW, state=OperationState.FAILED)
        still_open = some.operation("open", created_at=NOW - 10)
        await store.commit([*unit, c.OpenOperation(young), c.OpenOperation(still_open)])
        await store.forget_operations(NOW)
        assert [await store.operation(f"old-{number}") for number in (0, 600, 1202)] == [None, None, None]
        assert await store.operation("young") == young
        assert await store.operation("open") == still_open


class TestCertificates:
    async def test_recorded_and_found(self, store):
        record = some.certificate("Pump-1", ca_reference="ref", above=(b"first", b"second" * 999))
        await store.commit([c.RecordCertificate(record, shared_key=False)])
        assert await store.certificate(record.issued.sha256) == record
        found = await store.certificate(record.issued.sha256)
        assert (str(found.registration_id), str(found.authority)) == ("Pump-1", "builtin")
        assert await store.certificate(digest("never")) is None
        assert list(await store.certificates_of_key(record.issued.spki_sha256)) == [record]
        assert list(await store.certificates_of_key(digest("never"))) == []
        assert list(await store.certificates_with_serial(record.issued.serial)) == [record]

    async def test_a_chain_may_be_a_leaf_alone(self, place):
        record = some.certificate(above=())
        await place.store.commit([c.RecordCertificate(record, shared_key=False)])
        store = await place.reopened()
        assert await store.certificate(record.issued.sha256) == record

    @pytest.mark.parametrize("serial", [0, 1, 2**127, 2**159 + 1, 2**160 - 1, 2**300, -5])
    async def test_serials_of_any_size(self, store, serial):
        record = some.certificate(serial=serial)
        await store.commit([c.RecordCertificate(record, shared_key=False)])
        assert (await store.certificate(record.issued.sha256)).issued.serial == serial
        assert await store.serial_known(BUILTIN, serial)
        assert not await store.serial_known(BUILTIN, serial + 1)
        assert not await store.serial_known(AuthorityName.parse("other"), serial)

    async def test_a_serial_is_used_once_by_each_authority(self, store):
        await store.commit([c.RecordCertificate(some.certificate("a", serial=77), shared_key=False)])
        again = c.RecordCertificate(some.certificate("b", serial=77), shared_key=True)
        assert await stale(store, again) is again
        shouted = AuthorityName.parse("BUILTIN")
        await stale(
            store, c.RecordCertificate(some.certificate("b", serial=77, authority=shouted), shared_key=True)
        )
        other = AuthorityName.parse("other")
        await store.commit(
            [c.RecordCertificate(some.certificate("b", serial=77, authority=other), shared_key=False)]
        )
        assert [str(each.authority) for each in await store.certificates_with_serial(77)] == [
            "builtin",
            "other",
        ]

    async def test_the_same_certificate_is_not_recorded_twice(self, store):
        record = some.certificate("a")
        await store.commit([c.RecordCertificate(record, shared_key=False)])
        await stale(store, c.RecordCertificate(record, shared_key=False))
        other = AuthorityName.parse("other")
        await stale(store, c.RecordCertificate(replace(record, authority=other), shared_key=True))

    async def test_a_key_belongs_to_one_registration(self, store):
        await store.commit([c.RecordCertificate(some.certificate("a", key="k"), shared_key=False)])
        await store.commit([c.RecordCertificate(some.certificate("A", key="k"), shared_key=False)])
        theft = c.RecordCertificate(some.certificate("b", key="k"), shared_key=False)
        assert await stale(store, theft) is theft
        await store.commit([c.RecordCertificate(some.certificate("b", key="k"), shared_key=True)])
        await stale(store, c.RecordCertificate(some.certificate("a", key="k"), shared_key=False))
        assert len(await store.certificates_of_key(digest("k"))) == 3

    async def test_a_stray_certificate_proves_nobody_s_key(self, store):
        await store.commit(
            [c.RecordCertificate(some.certificate("a", key="k", profile=STRAY), shared_key=False)]
        )
        await store.commit([c.RecordCertificate(some.certificate("b", key="k"), shared_key=False)])
        await stale(store, c.RecordCertificate(some.certificate("a", key="k"), shared_key=False))

    async def test_of_a_key_the_newest_sixteen(self, store):
        records = [some.certificate("a", key="k") for _ in range(20)]
        for record in records:
            await store.commit([c.RecordCertificate(record, shared_key=False)])
        assert list(await store.certificates_of_key(digest("k"))) == records[:3:-1]

    async def test_listed_for_all_and_for_a_registration(self, store):
        records = [some.certificate(name) for name in ("a", "b", "A", "a", "b")]
        for record in records:
            await store.commit([c.RecordCertificate(record, shared_key=False)])
        assert await walk(lambda cursor: store.certificates(None, cursor, 2)) == [
            records[:2],
            records[2:4],
            records[4:],
        ]
        of_a = [records[0], records[2], records[3]]
        assert await walk(lambda cursor: store.certificates(RegistrationId.parse("A"), cursor, 2)) == [
            of_a[:2],
            of_a[2:],
        ]

    async def test_leaves_in_order(self, store):
        leaves = [unknown_leaf(AuthorityName.parse("MyCA"), digest(str(number)), NOW) for number in range(5)]
        for leaf in leaves:
            await store.commit([c.AppendLeaf(leaf)])
        assert await walk(lambda cursor: store.leaves(cursor, 2)) == [leaves[:2], leaves[2:4], leaves[4:]]
        assert str((await store.leaves(None, 1)).rows[0].authority) == "MyCA"


class TestEndings:
    async def test_days_are_whole(self, store):
        """From midnight to midnight, whatever the database makes of a division."""
        await store.commit(some.configured())
        day = 86_400
        lives = [
            (NOW, day * 20_000 - 1),
            (NOW + 1, day * 20_000),
            (NOW - 7, day * 20_001 - 1),
            (NOW, NOW + 3),
        ]
        expected = Counter()
        for number, (not_before, not_after) in enumerate(lives):
            record = some.certificate(f"pump-{number}")
            issued = replace(record.issued, not_before=not_before, not_after=not_after)
            await store.commit(some.provisioned(f"pump-{number}", replace(record, issued=issued)))
            expected[not_after // day, (not_before + (not_after - not_before) * 3 // 4) // day] += 1
        counted = [(each.end_day, each.renewal_day, each.certificates) for each in await store.endings(0)]
        assert counted == sorted((*days, count) for days, count in expected.items())


class TestRevocations:
    async def revoked(self, store, sha256: bytes, *, ca_knows: bool, at: int = NOW) -> None:
        await store.commit([c.RevokeCertificate(sha256, at, RevocationReason.SUPERSEDED, ca_knows=ca_knows)])

    async def recorded(self, store, name: str):
        record = some.certificate(name)
        await store.commit([c.RecordCertificate(record, shared_key=True)])
        return record

    async def test_a_revoked_certificate_says_so_and_is_bound_no_more(self, store):
        record = await self.recorded(store, "a")
        bound = binding(record)
        await store.commit([bound])
        assert len(await store.bindings(record.registration_id, record.device_id)) == 1
        await self.revoked(store, record.issued.sha256, ca_knows=True)
        stored = await store.certificate(record.issued.sha256)
        assert stored.status is CertificateStatus.REVOKED
        assert (stored.revocation.revoked_at, stored.revocation.reason) == (NOW, RevocationReason.SUPERSEDED)
        assert await store.bindings(record.registration_id, record.device_id) == []

    async def test_once_only(self, store):
        record = await self.recorded(store, "a")
        await self.revoked(store, record.issued.sha256, ca_knows=True)
        again = c.RevokeCertificate(record.issued.sha256, NOW, RevocationReason.UNSPECIFIED, ca_knows=True)
        assert await stale(store, again) is again

    async def test_what_a_crl_lists_until_the_certificates_end(self, store):
        first, second = await self.recorded(store, "a"), await self.recorded(store, "b")
        assert await store.latest_revocation() == 0
        for record in (second, first):
            await self.revoked(store, record.issued.sha256, ca_knows=True)
        assert await store.latest_revocation() == 2
        listed = await listed_by(store, first.authority, NOW)
        assert sorted(each.serial for each in listed) == sorted([first.issued.serial, second.issued.serial])
        shard = first.issued.serial % 16
        assert first.issued.serial in [
            each.serial for each in await store.revoked(first.authority, shard, NOW)
        ]
        assert await store.revoked(AuthorityName.parse("other"), shard, NOW) == []
        assert await store.revoked(first.authority, shard, first.issued.not_after + 30 * 86_400) == []

    async def test_an_outside_ca_is_to_be_told_until_it_was(self, store):
        record = await self.recorded(store, "a")
        await self.revoked(store, record.issued.sha256, ca_knows=False)
        await self.revoked(store, (await self.recorded(store, "b")).issued.sha256, ca_knows=False)
        assert await store.authorities_to_tell() == [record.authority]
        first = await store.revocations_to_tell(record.authority, None, 1)
        assert [each.issued.sha256 for each in first.rows] == [record.issued.sha256]
        rest = await store.revocations_to_tell(record.authority, first.cursor, 9)
        assert (len(rest.rows), rest.cursor) == (1, None)
        for each in (*first.rows, *rest.rows):
            told = c.SettleRevocation(each.issued.sha256, NOW + 5)
            await store.commit([told])
            assert await stale(store, told) is told
        assert await store.authorities_to_tell() == []
        assert (await store.revocations_to_tell(record.authority, None, 9)).rows == []


class TestMassRevocations:
    """`tests/unit/administration/test_mass_revocations.py` carries them out."""

    def of(self, target, name: str = "m1", **facts) -> MassRevocation:
        return MassRevocation(name, target, RevocationReason.SUPERSEDED, "owner", NOW, 9, **facts)

    async def test_one_at_a_time_for_each_target(self, store):
        issuers = (RevokedIssuer("aa", digest("issuer"), listed=True),)
        authority = self.of(BUILTIN, "m2", issuers=issuers, keeps_devices=True)
        first = self.of(GroupId.parse("Fleet"))
        for each in (first, authority):
            await store.commit([c.BeginMassRevocation(each)])
            assert await store.mass_revocation(each.id) == each
        assert str(first.target) == str((await store.mass_revocation("m1")).target)
        again = c.BeginMassRevocation(self.of(GroupId.parse("FLEET"), "m3"))
        assert await stale(store, again) is again
        assert {each.id for each in await store.open_mass_revocations()} == {"m1", "m2"}
        ends = c.AdvanceMassRevocation("m1", None, Progress(None, 0, Tally()), NOW + 1)
        await store.commit([ends])
        assert [each.id for each in await store.open_mass_revocations()] == ["m2"]
        await store.commit([again])
        pages = await walk(lambda cursor: store.mass_revocations(cursor, 2))
        assert [[each.id for each in page] for page in pages] == [["m1", "m2"], ["m3"]]
        assert await store.mass_revocation("none") is None

    async def test_a_step_counts_once(self, store):
        await store.commit([c.BeginMassRevocation(self.of(GroupId.parse("fleet")))])
        step = Progress("7", 2, Tally(1, 2, 3, 4, 5), {BUILTIN: (5, 3)})
        advance = c.AdvanceMassRevocation("m1", None, step, NOW + 1)
        await store.commit([advance])
        assert await stale(store, advance) is advance
        await store.commit([c.AdvanceMassRevocation("m1", "7", step, NOW + 1)])
        await store.commit([c.AdvanceMassRevocation("m1", "7", Progress(None, 1, Tally()), NOW + 2)])
        found = await store.mass_revocation("m1")
        assert (found.position, found.seen, found.ended_at) == ("7", 5, NOW + 2)
        assert found.done == Tally(2, 4, 6, 8, 10)
        assert await store.mass_revocation_tallies("m1") == [AuthorityTally(BUILTIN, 10, 6, 0)]

    async def test_whom_it_concerns(self, store):
        await store.commit(some.configured())
        for name in ("a", "b", "c"):
            await store.commit(some.provisioned(name))
        alone = [c.SaveRegistration(some.registration("d", enrollment=some.individual("d")), None)]
        await store.commit(alone)
        ids = [RegistrationId.parse(name) for name in ("a", "b", "d", "none")]
        group, authority = self.of(GroupId.parse("fleet")), self.of(BUILTIN)
        assert await store.covered(group, ids) == frozenset(ids[:2])
        assert await store.covered(authority, ids) == frozenset(ids[:2])
        assert await store.covered(group, []) == frozenset()
        assert await store.covered(self.of(AuthorityName.parse("other")), ids) == frozenset()
        assert await store.rows_to_revoke(group.target) == 3
        assert await store.rows_to_revoke(authority.target) >= 3
        for each in (group, authority):
            first = await store.portion_to_revoke(each, None, 2)
            assert (first.registration_ids, first.seen) == (tuple(ids[:2]), 2)
            rest = await store.portion_to_revoke(each, first.next, 2)
            assert (len(rest.registration_ids), rest.seen) == (1, 1)
            assert (await store.portion_to_revoke(each, rest.next, 2)).next is None

    async def test_certificates_and_what_their_cas_said(self, store):
        await store.commit([c.BeginMassRevocation(self.of(BUILTIN))])
        records = [some.certificate(name) for name in ("a", "b", "c")]
        await store.commit([c.RecordCertificate(each, shared_key=True) for each in records])
        for record, knows in zip(records, (True, False, False), strict=True):
            sha256 = record.issued.sha256
            await store.commit([c.RevokeCertificate(sha256, NOW, RevocationReason.SUPERSEDED, knows, "m1")])
        counted = Progress("1", 3, Tally(), {BUILTIN: (3, 1)})
        await store.commit([c.AdvanceMassRevocation("m1", None, counted, NOW)])
        await store.commit([c.SettleRevocation(records[1].issued.sha256, NOW, unable=True)])
        (page,) = await walk(lambda cursor: store.certificates_revoked_by("m1", cursor, 9))
        assert [(str(record.registration_id), state) for record, state in page] == [
            ("a", AtAuthority.REVOKED),
            ("b", AtAuthority.UNABLE),
            ("c", AtAuthority.PENDING),
        ]
        (tally,) = await store.mass_revocation_tallies("m1")
        assert (tally.revoked, tally.unable, tally.pending) == (1, 1, 1)


class TestReservedSerials:
    """Numbers that a token may sign: `some.certificate` says which one it bears."""

    def reserving(self, *serials: int, authority: AuthorityName = BUILTIN) -> c.ReserveSerials:
        return c.ReserveSerials(authority, serials, "here", NOW, NOW + 60, NOW + 1000)

    async def numbers(self, store) -> list[int]:
        return [each.serial for each in await store.reserved_serials()]

    async def test_they_are_on_record_until_they_are_released(self, store):
        await store.commit([self.reserving(901, 902, 903)])
        first = (await store.reserved_serials())[0]
        assert (first.authority, first.serial, first.owner, first.expires_at) == (
            BUILTIN,
            901,
            "here",
            NOW + 60,
        )
        await store.commit([c.ReleaseSerials(BUILTIN, (903, 901))])
        assert await self.numbers(store) == [902]

    async def test_one_number_is_reserved_once_at_an_authority(self, store):
        other = AuthorityName.parse("other")
        await store.commit([self.reserving(901)])
        await store.commit([self.reserving(901, authority=other)])
        again = self.reserving(902, 901)
        assert await stale(store, again) is again
        assert await self.numbers(store) == [901, 901]

    async def test_what_is_on_record_as_a_certificate_is_in_no_doubt(self, store):
        record = some.certificate("a")
        await store.commit([self.reserving(record.issued.serial, 902)])
        await store.commit([c.RecordCertificate(record, shared_key=True)])
        assert await self.numbers(store) == [902]
        await store.commit([c.LoseSerial(BUILTIN, record.issued.serial, NOW)])
        assert await store.lost_serial(BUILTIN, record.issued.serial) is None
        assert await listed_by(store, BUILTIN, NOW) == []

    async def test_a_lost_one_is_revoked_until_its_issuer_s_end(self, store):
        await store.commit([self.reserving(901, 902)])
        before = await store.latest_revocation()
        await store.commit([c.LoseSerial(BUILTIN, 901, NOW + 7)])
        await store.commit([c.LoseSerial(BUILTIN, 901, NOW + 8)])
        assert await self.numbers(store) == [902]
        assert await store.latest_revocation() > before
        (listed,) = await listed_by(store, BUILTIN, NOW)
        assert (listed.serial, listed.revoked_at, listed.reason) == (
            901,
            NOW + 7,
            RevocationReason.UNSPECIFIED,
        )
        assert await store.lost_serial(BUILTIN, 901) == listed
        assert await store.lost_serial(BUILTIN, 902) is None
        assert await store.lost_serial(AuthorityName.parse("other"), 901) is None
        assert await listed_by(store, BUILTIN, NOW + 30 * 86_400) == []
        await store.commit([c.ReleaseSerials(BUILTIN, (901,))])
        assert await store.lost_serial(BUILTIN, 901) == listed
        (orphan,) = (await store.orphans(None, 9)).rows
        assert (orphan.kind, orphan.serial, orphan.sha256) == (OrphanKind.RESERVED, 901, None)
        assert (orphan.at, orphan.not_after) == (NOW, NOW + 1000)
        assert orphan.revoked_at == orphan.told_at == NOW + 7

    async def test_what_is_on_record_is_forgotten_with_the_next_batch(self, store):
        record = some.certificate("a")
        await store.commit([self.reserving(record.issued.serial)])
        await store.commit([c.RecordCertificate(record, shared_key=True)])
        await store.commit([self.reserving(905)])
        # The number's place is free, which nobody but a second reservation could tell.
        await store.commit([self.reserving(record.issued.serial)])


class TestLogTree:
    """Places, nodes and heads; `tests/unit/provisioning/test_sequencer.py` lets it grow as the service does."""

    HEAD = TreeHead(2, digest("root"), NOW, b"k" * 32, b"s" * 64)

    async def appended(self, store, *names: str) -> list[int]:
        for name in names:
            await store.commit([c.AppendLeaf(unknown_leaf(AuthorityName.parse("MyCA"), digest(name), NOW))])
        return [each.id for each in await store.unplaced_leaves(10)]

    async def test_leaves_get_their_places(self, store):
        first, second, third = await self.appended(store, "a", "b", "c")
        nodes = {(0, 0): digest("x"), (0, 1): digest("y"), (1, 0): digest("xy")}
        await store.commit([c.GrowLogTree(0, [first, second], nodes, self.HEAD)])
        assert [each.id for each in await store.unplaced_leaves(10)] == [third]
        placed = await store.placed_leaves(0, 10)
        assert [(each.id, each.sequence) for each in placed] == [(first, 0), (second, 1)]
        assert await store.placed_leaves(1, 1) == [placed[1]]
        assert await store.placed_leaf(digest("b")) == placed[1]
        assert await store.placed_leaf(digest("c")) is None
        assert await store.tree_head() == await store.tree_head(2) == self.HEAD
        assert await store.tree_head(1) is None

    async def test_nodes_are_read_where_they_are(self, store):
        ids = await self.appended(store, "a", "b")
        await store.commit([c.GrowLogTree(0, ids, {(1, 0): digest("ab")}, self.HEAD)])
        leaf = unknown_leaf(AuthorityName.parse("MyCA"), digest("a"), NOW)
        found = await store.log_nodes([(0, 0), (1, 0), (2, 0), (0, 9)])
        assert found == {(0, 0): leaf.leaf_hash, (1, 0): digest("ab")}

    async def test_it_grows_from_the_size_that_was_read(self, store):
        ids = await self.appended(store, "a", "b")
        growth = c.GrowLogTree(0, ids, {}, self.HEAD)
        await store.commit([growth])
        assert await stale(store, growth) is growth
        assert await stale(store, c.GrowLogTree(5, [], {}, replace(self.HEAD, size=5)))

    async def test_lost_orders_come_when_they_are_due(self, store):
        """`tests/unit/provisioning/test_lost_orders.py` looks them up."""
        ca = AuthorityName.parse("MyCA")
        orders = [LostOrder(f"op-{n}", ca, digest(f"csr {n}"), NOW + 90, NOW + n) for n in (3, 1, 2)]
        for order in (*orders, replace(orders[0], next_look_at=NOW)):
            await store.commit([c.WatchLostOrder(order)])
        assert [each.operation_id for each in await store.lost_orders(NOW + 2, 9)] == ["op-1", "op-2"]
        assert await store.lost_orders(NOW + 9, 1) == [orders[1]]
        await store.commit([c.LookAgain("op-1", ca, 7, NOW + 5), c.LookAgain("op-2", ca, 1, None)])
        again = replace(orders[1], looks=7, next_look_at=NOW + 5)
        assert await store.lost_orders(NOW + 9, 9) == [orders[0], again]
        for number in (1, 2, 4):
            await store.commit([c.AppendLeaf(unknown_leaf(ca, digest(f"csr {number}"), NOW))])
        unknown = (await store.orphans(None, 9)).rows
        assert [each.watched_until for each in unknown] == [NOW + 90, None, None]
        over = c.LookAgain("op-2", ca, 2, NOW)
        assert await stale(store, over) is over

    async def test_whether_an_order_is_under_way(self, store):
        device = RegistrationId.parse("Pump-1")
        assert not await store.is_ordering(device)
        first, second = some.operation("op-1", submitted=True), some.operation("op-2")
        await store.commit([c.OpenOperation(first)])
        assert await store.is_ordering(device)
        await store.commit([c.OpenOperation(second, "op-1")])
        await store.commit([c.SaveOperation(replace(second, state=OperationState.FAILED), 0)])
        assert await store.is_ordering(device), "the superseded one is not accounted for"
        await store.commit([c.SettleOperation("op-1", 0)])
        assert not await store.is_ordering(device)

    async def test_what_a_witness_has_taken(self, store):
        for witness, size in (("/one", 2), ("/one", 9), ("/other", 3), ("/one", 2)):
            await store.commit([c.RecordWitnessed(Witnessed(witness, size, NOW + size))])
        assert await store.witnessed("/one", 9) == [
            Witnessed("/one", 9, NOW + 9),
            Witnessed("/one", 2, NOW + 2),
        ]
        assert [each.size for each in await store.witnessed("/one", 1)] == [9]
        assert await store.witnessed("/none", 9) == []


class TestHubDevices:
    async def test_upserted(self, store):
        data = DeviceData({"a": [1]}, {"b": None}, iot_edge=True)
        first = some.hub_device(
            "Pump-1", data=data, thumbprint=digest("t"), secondary_thumbprint=b"2" * 20, keys=None
        )
        assert await store.hub_device(FIRST_HUB, DeviceId("Pump-1")) is None
        await store.commit([c.SaveHubDevice(first)])
        assert await store.hub_device(FIRST_HUB, DeviceId("Pump-1")) == first
        assert await store.hub_device(FIRST_HUB, DeviceId("pump-1")) is None, "device ids differ by case"
        second = some.hub_device(
            "Pump-1",
            generation_id="another",
            etag="h2",
            created_at=NOW + 5,
            updated_at=NOW + 5,
            enabled=False,
        )
        await store.commit([c.SaveHubDevice(second)])
        twin = TwinVersions(etag=2, version=3, desired=2)
        expected = replace(second, generation_id=first.generation_id, created_at=NOW, enabled=True, twin=twin)
        assert await store.hub_device(FIRST_HUB, DeviceId("Pump-1")) == expected

    async def test_a_device_id_belongs_to_one_registration(self, store):
        await store.commit([c.SaveHubDevice(some.hub_device("Pump-1"))])
        change = c.SaveHubDevice(
            some.hub_device("Pump-1", registration_id=RegistrationId.parse("other"), etag="h2")
        )
        assert await stale(store, change) is change
        assert (await store.hub_device(FIRST_HUB, DeviceId("Pump-1"))).etag == "h1"

    async def test_without_new_data_the_twin_stays(self, store):
        data = DeviceData({"a": 1}, {"b": 2}, iot_edge=True)
        first = some.hub_device("Pump-1", data=data, twin=TwinVersions(updated_at=NOW))
        await store.commit([c.SaveHubDevice(first, keeps_data=True)])
        assert await store.hub_device(FIRST_HUB, DeviceId("Pump-1")) == first, (
            "a new one has what it is given"
        )
        again = some.hub_device("Pump-1", etag="h2", keys=None, thumbprint=digest("t"))
        await store.commit([c.SaveHubDevice(again, keeps_data=True)])
        expected = replace(again, data=data, twin=first.twin)
        assert await store.hub_device(FIRST_HUB, DeviceId("Pump-1")) == expected

    async def test_one_made_by_hand_becomes_the_registration_s(self, store):
        by_hand = some.hub_device("Pump-1", registration_id=None, status_reason="spare part")
        await store.commit([c.ReplaceHubDevice(by_hand, None)])
        await store.commit([c.SaveHubDevice(some.hub_device("Pump-1"))])
        found = await store.hub_device(FIRST_HUB, DeviceId("Pump-1"))
        assert (found.registration_id, found.status_reason) == (PUMP, "spare part")

    async def test_the_same_device_at_two_hubs(self, store):
        other = RegistrationId.parse("other")
        here = some.hub_device("Pump-1")
        there = some.hub_device("Pump-1", registration_id=other, hub="b.example", etag="h2")
        await store.commit([c.SaveHubDevice(here), c.SaveHubDevice(there)])
        assert await store.hub_device(FIRST_HUB, DeviceId("Pump-1")) == here
        assert await store.hub_device("b.example", DeviceId("Pump-1")) == there
        assert await store.hub_device("c.example", DeviceId("Pump-1")) is None
        record = some.certificate("Pump-1")
        await store.commit([c.RecordCertificate(record, shared_key=False), binding(record)])
        assert len(await store.bindings(PUMP, DeviceId("Pump-1"))) == 1
        assert await store.bindings(other, DeviceId("Pump-1")) == [], "bindings are the registration's"

    async def test_replaced_by_hand(self, store):
        device = some.hub_device("Pump-1", data=DeviceData({"a": 1}))
        await store.commit([c.ReplaceHubDevice(device, None)])
        await stale(store, c.ReplaceHubDevice(device, None))
        await stale(store, c.ReplaceHubDevice(device, "another"))
        later = replace(device, etag="h2", updated_at=NOW + 1, enabled=False, status_reason="lost", keys=None)
        edge = replace(later, thumbprint=b"1" * 20, data=DeviceData({"ignored": 1}, iot_edge=True))
        await store.commit(
            [c.ReplaceHubDevice(replace(edge, registration_id=None, twin=TwinVersions(9)), "h1")]
        )
        found = await store.hub_device(FIRST_HUB, DeviceId("Pump-1"))
        assert found == replace(edge, data=DeviceData({"a": 1}, iot_edge=True))
        assert (found.registration_id, found.twin) == (PUMP, TwinVersions())

    async def test_a_twin_is_changed_by_whoever_has_read_it(self, store):
        device = some.hub_device("Pump-1", data=DeviceData(iot_edge=True))
        await store.commit([c.SaveHubDevice(device)])
        versions = device.twin.after(desired=True, now=NOW + 1)
        data = DeviceData({"a": 1}, {"b": 2})
        change = c.SaveTwin(FIRST_HUB, DeviceId("Pump-1"), data, versions, device.twin.etag)
        await store.commit([change])
        found = await store.hub_device(FIRST_HUB, DeviceId("Pump-1"))
        assert found == replace(device, data=replace(data, iot_edge=True), twin=versions)
        assert versions == TwinVersions(2, 3, 2, NOW + 1)
        assert await stale(store, change) is change
        await stale(store, replace(change, hub="b.example", replaces=2))

    async def test_what_the_device_reports(self, store):
        await store.commit([c.SaveHubDevice(some.hub_device("Pump-1"))])
        said = Reported({"lit": [True]}, 2, NOW + 1)
        change = c.SaveReported(FIRST_HUB, DeviceId("Pump-1"), said)
        await store.commit([change])
        found = await store.hub_device(FIRST_HUB, DeviceId("Pump-1"))
        assert (found.reported, found.twin) == (
            said,
            TwinVersions(version=3, updated_at=found.twin.updated_at),
        )
        assert await stale(store, change) is change
        # What the service side changes meanwhile counts on, and leaves it alone.
        twin = c.SaveTwin(FIRST_HUB, DeviceId("Pump-1"), DeviceData(), TwinVersions(2, 3, 2, NOW + 2), 1)
        await store.commit([twin])
        await store.commit([c.SaveHubDevice(some.hub_device("Pump-1"))])
        found = await store.hub_device(FIRST_HUB, DeviceId("Pump-1"))
        assert (found.reported, found.twin.etag) == (said, 3)
        assert found.twin.version >= 4

    async def test_deleted_by_etag(self, store):
        await store.commit([c.SaveHubDevice(some.hub_device("Pump-1"))])
        await stale(store, c.DeleteHubDevice(FIRST_HUB, DeviceId("Pump-1"), "another"))
        await stale(store, c.DeleteHubDevice("b.example", DeviceId("Pump-1"), "h1"))
        await store.commit([c.DeleteHubDevice(FIRST_HUB, DeviceId("Pump-1"), "h1")])
        assert await store.hub_device(FIRST_HUB, DeviceId("Pump-1")) is None

    async def test_released_by_its_registration_alone(self, store):
        await store.commit([c.SaveHubDevice(some.hub_device("Pump-1"))])
        other = RegistrationId.parse("other")
        await store.commit([c.DeleteHubDevice(FIRST_HUB, DeviceId("Pump-1"), registration_id=other)])
        assert await store.hub_device(FIRST_HUB, DeviceId("Pump-1")) is not None
        for _ in range(2):
            await store.commit([c.DeleteHubDevice(FIRST_HUB, DeviceId("Pump-1"), registration_id=PUMP)])
        assert await store.hub_device(FIRST_HUB, DeviceId("Pump-1")) is None

    async def test_listed_and_counted_for_each_hub(self, store):
        names = ["b", "a", "B", "c"]
        await store.commit([
            c.SaveHubDevice(some.hub_device(name, registration_id=RegistrationId.parse(f"{name}{n}"), enabled=n != 3))
            for n, name in enumerate(names)
        ])  # fmt: skip
        await store.commit([c.SaveHubDevice(some.hub_device("d", hub="b.example"))])
        listed = await store.hub_devices(FIRST_HUB, 3)
        assert [device.device_id.text for device in listed] == ["B", "a", "b"]
        assert await store.hub_device_counts(FIRST_HUB) == (4, 3)
        assert await store.hub_device_counts("b.example") == (1, 1)
        assert await store.hub_device_counts("c.example") == (0, 0)


class TestLinkedHubs:
    async def test_saved_replaced_and_deleted(self, store):
        assert list(await store.linked_hubs()) == []
        hub = embedded("Second.example", location="home", weight=3, apply_allocation_policy=False)
        await store.commit([c.SaveLinkedHub(hub, None)])
        assert list(await store.linked_hubs()) == [hub]
        await stale(store, c.SaveLinkedHub(embedded("SECOND.example"), None))
        await stale(store, c.SaveLinkedHub(hub, "another"))
        later = replace(hub, etag="e2", weight=5)
        await store.commit([c.SaveLinkedHub(later, hub.etag)])
        assert list(await store.linked_hubs()) == [later]
        await stale(store, c.DeleteLinkedHub(hub))
        await store.commit([c.DeleteLinkedHub(later)])
        assert list(await store.linked_hubs()) == []

    async def test_the_first_comes_first(self, store):
        hubs = [embedded("a.example"), embedded("z.example", first=True)]
        await store.commit([c.SaveLinkedHub(hub, None) for hub in hubs])
        assert [hub.name for hub in await store.linked_hubs()] == ["z.example", "a.example"]

    async def test_one_in_use_is_not_deleted(self, store):
        hub = embedded("Hub_1.example")
        await store.commit([c.SaveLinkedHub(hub, None)])
        assert await store.hub_users(hub) == HubUsers(0, 0, 0)
        near_miss = [
            c.SaveRegistration(some.registration("r0", hub="hubx1.example"), None),
            c.SaveEnrollment(some.enrollment("e0", hubs=("hubx1.example", "hub_1.example.org")), None),
        ]
        await store.commit(near_miss)
        assert await store.hub_users(hub) == HubUsers(0, 0, 0)
        users = [
            (c.SaveRegistration(some.registration("r1", hub="hub_1.EXAMPLE"), None), HubUsers(1, 0, 0)),
            (c.SaveEnrollment(some.enrollment("e1", hubs=("a", "Hub_1.example")), None), HubUsers(0, 1, 0)),
            (
                c.SaveEnrollment(some.group("g1", settings={"iotHubHostName": "hub_1.example"}), None),
                HubUsers(0, 1, 0),
            ),
            (c.SaveHubDevice(some.hub_device("d1", hub=hub.key)), HubUsers(0, 0, 1)),
        ]
        undo = [
            c.DeleteRegistration(RegistrationId.parse("r1"), "r1"),
            c.DeleteEnrollment(EnrollmentRef(EnrollmentKind.INDIVIDUAL, "e1"), "e1"),
            c.DeleteEnrollment(EnrollmentRef(EnrollmentKind.GROUP, "g1"), "e1"),
            c.DeleteHubDevice(hub.key, DeviceId("d1"), "h1"),
        ]
        for (user, counts), removal in zip(users, undo, strict=True):
            await store.commit([user])
            assert await store.hub_users(hub) == counts
            await stale(store, c.DeleteLinkedHub(hub))
            await store.commit([removal])
        await store.commit([c.DeleteLinkedHub(hub)])

    async def test_an_assertion_holds_while_it_is_linked(self, store):
        hub = embedded("b.example")
        assert await stale(store, c.AssertHub("b.example")) == c.AssertHub("b.example")
        await store.commit([c.SaveLinkedHub(hub, None)])
        await store.commit([c.AssertHub("b.example")])
        await store.commit([c.DeleteLinkedHub(hub)])
        await stale(store, c.AssertHub("b.example"))


class TestOutbox:
    async def test_in_and_out(self, store):
        entries = [Release(hub, DeviceId(name), NOW) for hub, name in (("b", "x"), ("a", "y"), ("a", "x"))]
        await store.commit([c.ReleaseLater(entry) for entry in entries])
        await store.commit([c.ReleaseLater(replace(entries[0], created_at=NOW + 1))])
        assert await store.releases(9) == entries
        assert await store.releases(2) == entries[:2]
        assert await store.release_due("b", DeviceId("x"))
        assert not await store.release_due("b", DeviceId("X"))
        for _ in range(2):
            await store.commit([c.SettleRelease("a", DeviceId("x"))])
        assert await store.releases(9) == entries[:2]
        hub = embedded("a")
        await store.commit([c.SaveLinkedHub(hub, None), c.DeleteLinkedHub(hub)])
        assert await store.releases(9) == entries[:1], "nothing is left to be done at a hub that is unlinked"


class TestBindings:
    async def issued(self, store: Store, *, bound_at: int = NOW, name: str = "Pump-1") -> bytes:
        """A new certificate, on record and bound by a unit of its own each."""
        record = some.certificate(name)
        await store.commit(
            [c.SaveHubDevice(some.hub_device(name)), c.RecordCertificate(record, shared_key=False)]
        )
        await store.commit([binding(record, bound_at)])
        return record.issued.sha256

    async def bind(self, store: Store, sha256: bytes, bound_at: int = NOW) -> None:
        await store.commit([binding(await store.certificate(sha256), bound_at)])

    async def use(self, store: Store, sha256: bytes, name: str = "Pump-1") -> None:
        await store.commit([c.UseCertificate(DeviceId(name), sha256, NOW)])

    async def test_bound_in_the_unit_that_records_it(self, store):
        record = some.certificate()
        await store.commit([*some.configured(), *some.provisioned("Pump-1", record)])
        (bound,) = await store.bindings(RegistrationId.parse("Pump-1"), DeviceId("Pump-1"))
        assert (bound.sha256, bound.device_id) == (record.issued.sha256, DeviceId("Pump-1"))
        assert (bound.not_before, bound.not_after) == (record.issued.not_before, record.issued.not_after)
        assert (bound.state, bound.bound_at) == (BindingState.PENDING, NOW)
        assert (await store.certificate(record.issued.sha256)).status is CertificateStatus.PENDING

    async def test_bound_later(self, store):
        sha256 = await self.issued(store, bound_at=NOW + 7)
        (bound,) = await store.bindings(RegistrationId.parse("Pump-1"), DeviceId("Pump-1"))
        assert (bound.state, bound.bound_at) == (BindingState.PENDING, NOW + 7)
        assert await store.bindings(RegistrationId.parse("pump-1"), DeviceId("pump-1")) == []
        assert (await store.certificate(sha256)).status is CertificateStatus.PENDING

    async def test_only_what_is_recorded_for_the_device_is_bound(self, store):
        record = some.certificate("Pump-1")
        assert isinstance(await stale(store, binding(record)), c.BindCertificate)
        await store.commit([c.RecordCertificate(record, shared_key=False)])
        await stale(store, replace(binding(record), device_id=DeviceId("other")))
        assert (await store.certificate(record.issued.sha256)).status is CertificateStatus.UNBOUND
        other = some.certificate("Pump-1")
        unit = [
            c.RecordCertificate(other, shared_key=False),
            replace(binding(other), device_id=DeviceId("other")),
        ]
        assert await stale(store, *unit) is unit[1]
        too_early = [binding(other), c.RecordCertificate(other, shared_key=False)]
        assert await stale(store, *too_early) is too_early[0]

    async def test_binding_twice_is_as_once(self, store):
        sha256 = await self.issued(store)
        await self.bind(store, sha256, NOW + 9)
        assert [
            each.bound_at for each in await store.bindings(RegistrationId.parse("Pump-1"), DeviceId("Pump-1"))
        ] == [NOW]
        await self.use(store, sha256)
        await self.bind(store, sha256, NOW + 9)
        (bound,) = await store.bindings(RegistrationId.parse("Pump-1"), DeviceId("Pump-1"))
        assert (bound.state, bound.bound_at) == (BindingState.ACTIVE, NOW)

    async def test_of_more_than_two_unused_the_oldest_is_pushed_out(self, store):
        # All in one second: what counts is the order in which they were bound.
        a, b, d = [await self.issued(store) for _ in range(3)]
        assert await states(store) == {b: "pending", d: "pending"}
        assert (await store.certificate(a)).status is CertificateStatus.SUPERSEDED
        assert [
            each.sha256 for each in await store.bindings(RegistrationId.parse("Pump-1"), DeviceId("Pump-1"))
        ] == [d, b]
        await self.bind(store, a, NOW)
        assert [
            each.sha256 for each in await store.bindings(RegistrationId.parse("Pump-1"), DeviceId("Pump-1"))
        ] == [a, d]
        assert (await store.certificate(b)).status is CertificateStatus.SUPERSEDED

    async def test_the_same_when_one_unit_records_and_binds(self, store):
        await store.commit([c.SaveHubDevice(some.hub_device())])
        records = [some.certificate() for _ in range(3)]
        for record in records:
            await store.commit([c.RecordCertificate(record, shared_key=False), binding(record)])
        assert await states(store) == {record.issued.sha256: "pending" for record in records[1:]}

    async def test_another_device_s_are_left_alone(self, store):
        mine = await self.issued(store)
        for _ in range(3):
            await self.issued(store, name="Pump-2")
        assert await states(store) == {mine: "pending"}
        assert len(await states(store, "Pump-2")) == 2

    async def test_another_device_of_the_registration_is_left_alone(self, store):
        """An enrollment's deviceId was changed: the registration has certificates for both devices."""
        await store.commit(
            [c.SaveHubDevice(some.hub_device(n, registration_id=PUMP)) for n in ("one", "two")]
        )
        records = [some.certificate("Pump-1", device) for device in ("one", "one", "two", "two")]
        for record in records:
            await store.commit([c.RecordCertificate(record, shared_key=False), binding(record)])
        await self.use(store, records[3].issued.sha256, "two")
        assert set((await states(store, "one", "Pump-1")).values()) == {"pending"}
        assert await states(store, "two", "Pump-1") == {
            records[2].issued.sha256: "retired",
            records[3].issued.sha256: "active",
        }

    async def test_use_retires_what_was_bound_earlier(self, store):
        old, new = await self.issued(store), await self.issued(store)
        await self.use(store, old)
        assert await states(store) == {old: "active", new: "pending"}, "bound later stays pending"
        await self.use(store, new)
        assert await states(store) == {old: "retired", new: "active"}
        await self.use(store, new)
        assert await states(store) == {old: "retired", new: "active"}
        assert (await store.certificate(old)).status is CertificateStatus.RETIRED
        assert [
            each.sha256 for each in await store.bindings(RegistrationId.parse("Pump-1"), DeviceId("Pump-1"))
        ] == [new, old]

    async def test_what_is_not_good_any_more_can_t_be_used(self, store):
        a, b, d = [await self.issued(store) for _ in range(3)]
        await stale(store, c.UseCertificate(DeviceId("Pump-1"), a, NOW))
        await self.use(store, d)
        await stale(store, c.UseCertificate(DeviceId("Pump-1"), b, NOW))
        await stale(store, c.UseCertificate(DeviceId("Pump-2"), d, NOW))
        await stale(store, c.UseCertificate(DeviceId("Pump-1"), digest("never"), NOW))
        unbound = some.certificate()
        await store.commit([c.RecordCertificate(unbound, shared_key=False)])
        await stale(store, c.UseCertificate(DeviceId("Pump-1"), unbound.issued.sha256, NOW))

    async def test_a_retired_one_may_come_back(self, store):
        old, new = await self.issued(store), await self.issued(store)
        await self.use(store, new)
        await self.bind(store, old, NOW + 1)
        assert await states(store) == {old: "pending", new: "active"}
        assert [
            each.bound_at for each in await store.bindings(RegistrationId.parse("Pump-1"), DeviceId("Pump-1"))
        ] == [NOW + 1, NOW]
        await self.use(store, old)
        assert await states(store) == {old: "active", new: "retired"}


class TestUnits:
    async def test_all_or_nothing(self, store):
        await store.commit(some.configured())
        record = some.certificate("Pump-1")
        late = c.AssertEnrollment(FLEET, "e0")
        assert await stale(store, *some.provisioned("Pump-1", record), late) is late
        assert await store.registration(PUMP) is None
        assert await store.certificate(record.issued.sha256) is None
        assert await store.hub_device(FIRST_HUB, DeviceId("Pump-1")) is None
        assert (await store.leaves(None, 9)).rows == []
        # What the undone unit brought is not taken for known: the same certificate can be recorded afterwards.
        await store.commit(some.provisioned("Pump-1", record))
        assert await store.certificate(record.issued.sha256) == replace(
            record, status=CertificateStatus.PENDING
        )

    async def test_later_changes_see_earlier_ones(self, store):
        unit = [
            c.SaveRegistration(some.registration(), None),
            c.SaveRegistration(some.registration(etag="r2"), "r1"),
        ]
        await store.commit(
            [*unit, c.DeleteRegistration(PUMP, "r2"), c.SaveRegistration(some.registration(), None)]
        )
        assert (await store.registration(PUMP)).etag == "r1"

    async def test_an_empty_unit(self, store):
        await store.commit([])

    async def test_neighbours_of_a_stale_unit_stand(self, store):
        await store.commit(some.configured())
        names = [f"device-{number}" for number in range(100)]
        units = [some.provisioned(name) for name in names]
        for unit in units[::7]:
            unit.append(c.AssertAuthority(BUILTIN, "v0"))
        outcomes = await asyncio.gather(*(store.commit(unit) for unit in units), return_exceptions=True)
        assert [isinstance(outcome, Stale) for outcome in outcomes] == [
            number % 7 == 0 for number in range(100)
        ]
        for name, outcome in zip(names, outcomes, strict=True):
            found = await store.registration(RegistrationId.parse(name))
            assert (found is None) == isinstance(outcome, Stale)
        assert len((await store.certificates(None, None, 1000)).rows) == 85
        assert len((await store.leaves(None, 1000)).rows) == 85

    async def test_of_many_who_replace_the_same_row_one_wins(self, store):
        await store.commit([c.SaveRegistration(some.registration(), None)])
        rivals = [c.SaveRegistration(some.registration(etag=f"rival-{number}"), "r1") for number in range(50)]
        outcomes = await asyncio.gather(*(store.commit([each]) for each in rivals), return_exceptions=True)
        winners = [each for each, outcome in zip(rivals, outcomes, strict=True) if outcome is None]
        assert len(winners) == 1
        assert await store.registration(PUMP) == winners[0].registration

    async def test_an_assertion_is_judged_anew_after_a_neighbour_s_change(self, store):
        await store.commit(some.configured())
        disabled = some.group(etag="e2", enabled=False)
        outcomes = await asyncio.gather(
            store.commit(some.provisioned("before-1")),
            store.commit(some.provisioned("before-2")),
            store.commit([c.SaveEnrollment(disabled, "e1")]),
            store.commit(some.provisioned("after-1")),
            store.commit(some.provisioned("after-2")),
            return_exceptions=True,
        )
        assert [isinstance(outcome, Stale) for outcome in outcomes] == [False, False, False, True, True]

    async def test_a_unit_that_can_t_be_written_harms_no_neighbour(self, store):
        await store.commit(some.configured())
        broken = [c.SaveRegistration(some.registration("broken", created_at=2**70), None)]
        outcomes = await asyncio.gather(
            store.commit(some.provisioned("a")),
            store.commit(broken),
            store.commit(some.provisioned("b")),
            return_exceptions=True,
        )
        assert [outcome is None for outcome in outcomes] == [True, False, True]
        assert not isinstance(outcomes[1], Stale | StoreUnavailable)
        assert await store.registration(RegistrationId.parse("broken")) is None
        assert await store.registration(RegistrationId.parse("b")) is not None

    async def test_a_caller_may_stop_waiting(self, store):
        await store.commit(some.configured())
        tasks = [asyncio.ensure_future(store.commit(some.provisioned(f"d{number}"))) for number in range(40)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[::2])
        assert outcomes[1::2] == [None] * 20
        await store.commit([])
        for number in range(40):
            registration = await store.registration(RegistrationId.parse(f"d{number}"))
            assert (registration is None) == (
                await store.hub_device(FIRST_HUB, DeviceId(f"d{number}")) is None
            )
            assert registration is not None or number % 2 == 0

    async def test_every_change_has_its_test(self):
        refusals = Path(__file__).parents[1] / "unit" / "stores" / "test_refusals.py"
        tested = Path(__file__).read_text() + refusals.read_text()
        assert [kind.__name__ for kind in get_args(c.Change) if f"c.{kind.__name__}(" not in tested] == [
            "BindCertificate"
        ]
        assert "binding(" in tested


class TestListings:
    LISTINGS = {
        "authorities": lambda store, cursor, limit: store.authorities(cursor, limit),
        "individuals": lambda store, cursor, limit: store.enrollments(
            EnrollmentKind.INDIVIDUAL, cursor, limit
        ),
        "groups": lambda store, cursor, limit: store.enrollments(EnrollmentKind.GROUP, cursor, limit),
        "registrations": lambda store, cursor, limit: store.registrations(None, cursor, limit),
        "certificates": lambda store, cursor, limit: store.certificates(None, cursor, limit),
        "leaves": lambda store, cursor, limit: store.leaves(cursor, limit),
    }

    async def filled(self, store: Store) -> None:
        for number in range(3):
            leaf = unknown_leaf(BUILTIN, digest("x"), NOW)
            name = f"x{number}"
            await store.commit([
                c.SaveAuthority(some.authority(name), None),
                c.SaveEnrollment(some.enrollment(name), None),
                c.SaveEnrollment(some.group(name), None),
                c.SaveRegistration(some.registration(name), None),
                c.RecordCertificate(some.certificate(name), shared_key=False),
                c.AppendLeaf(leaf),
            ])  # fmt: skip

    @pytest.mark.parametrize("listing", LISTINGS.values(), ids=LISTINGS)
    async def test_a_cursor_goes_on_where_its_page_ended(self, store, listing):
        assert await listing(store, None, 2) == Page([], None)
        await self.filled(store)
        assert [len(page) for page in await walk(lambda cursor: listing(store, cursor, 1))] == [1, 1, 1]
        assert [len(page) for page in await walk(lambda cursor: listing(store, cursor, 3))] == [3]
        assert [len(page) for page in await walk(lambda cursor: listing(store, cursor, 10**9))] == [3]
        assert [len(page) for page in await walk(lambda cursor: listing(store, cursor, 0))] == [1, 1, 1]

    @pytest.mark.parametrize("listing", LISTINGS.values(), ids=LISTINGS)
    async def test_what_is_no_cursor_is_refused(self, store, listing):
        for cursor in ("", "?", "AAAA", "é", "x" * 5000, "cmVnaXN0cmF0aW9uczo="):
            with pytest.raises(Malformed) as caught:
                await listing(store, cursor, 1)
            assert caught.value.rule == "continuation", cursor

    async def test_a_cursor_of_another_listing_is_refused(self, store):
        await self.filled(store)
        for name, listing in self.LISTINGS.items():
            cursor = (await listing(store, None, 1)).cursor
            for other in self.LISTINGS.keys() - {name}:
                with pytest.raises(Malformed):
                    await self.LISTINGS[other](store, cursor, 1)


class TestPersistence:
    async def test_what_was_committed_is_there_after_reopening(self, place):
        record = some.certificate("Pump-1")
        single = some.enrollment()
        await place.store.commit([
            *some.configured(), *some.provisioned("Pump-1", record),
            c.SaveState("root", secret("root"), None), c.SavePolicy(some.policy()),
            c.SaveEnrollment(single, None), c.OpenOperation(some.operation("o1")),
        ])  # fmt: skip
        store = await place.reopened()
        assert await store.state("root") == secret("root")
        assert await store.policy(Realm.PROVISIONING, "owner") == some.policy()
        assert await store.authority(BUILTIN) == some.authority()
        assert await store.enrollment(FLEET) == some.group()
        assert await store.enrollment(single.ref) == single
        assert (await store.registration(PUMP)).certificate_sha256 == record.issued.sha256
        assert await store.certificate(record.issued.sha256) == replace(
            record, status=CertificateStatus.PENDING
        )
        assert (await store.hub_device(FIRST_HUB, DeviceId("Pump-1"))).keys == some.hub_device("Pump-1").keys
        assert await states(store) == {record.issued.sha256: "pending"}
        assert (await store.open_operation(PUMP)).id == "o1"
        assert len((await store.leaves(None, 9)).rows) == 1

    async def test_a_closed_store_says_so(self, place):
        await place.store.commit(some.configured())
        await place.store.close()
        with pytest.raises(StoreUnavailable):
            await place.store.commit([c.AssertEnrollment(FLEET, "e1")])
        with pytest.raises(StoreUnavailable):
            await place.store.registration(PUMP)
        await place.store.close()

    async def test_closing_finishes_what_was_begun(self, place):
        await place.store.commit(some.configured())
        tasks = [asyncio.ensure_future(place.store.commit(some.provisioned(f"d{n}"))) for n in range(300)]
        await asyncio.sleep(0)
        store = await place.reopened()
        assert await asyncio.gather(*tasks) == [None] * 300
        assert len((await store.registrations(FLEET, None, 1000)).rows) == 300
