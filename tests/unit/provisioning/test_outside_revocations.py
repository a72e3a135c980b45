"""CAs that are not ours are told of revocations until they have answered."""

from __future__ import annotations

import pytest

from accredit.domain import changes as c
from accredit.domain.credential import IssuedChain, RevocationReason
from accredit.domain.errors import AccreditError, UpstreamRejected, UpstreamUnavailable
from accredit.domain.secret import Secret
from accredit.provisioning.outside_revocations import OutsideRevocations
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support import stored_values as some
from support.hand_clock import HandClock
from support.waiting import until


class RevokingCA:
    """Answers with the next of `outcomes`, and revokes from then on."""

    def __init__(self, *outcomes: AccreditError) -> None:
        self.outcomes = list(outcomes)
        self.revoked: list[tuple[int, RevocationReason]] = []

    async def revoke(self, certificate: IssuedChain, reason: RevocationReason) -> None:
        if self.outcomes:
            raise self.outcomes.pop(0)
        self.revoked.append((certificate.serial, reason))


class Authorities:
    def __init__(self, authority: object) -> None:
        self.authority = authority

    async def get(self, _name: object) -> object:
        return self.authority


@pytest.fixture
async def store(tmp_path):
    made = await SqliteStore.open(tmp_path / "state.db", Sealer([Secret(b"m" * 32)]))
    yield made
    await made.close()


async def revoked(store, name: str, reason: RevocationReason = RevocationReason.KEY_COMPROMISE) -> int:
    record = some.certificate(name)
    await store.commit([c.RecordCertificate(record, shared_key=True)])
    await store.commit([c.RevokeCertificate(record.issued.sha256, some.NOW, reason, ca_knows=False)])
    return record.issued.serial


async def test_each_is_told_once_with_its_reason(store):
    ca = RevokingCA()
    told = OutsideRevocations(store, Authorities(ca), HandClock())
    serials = [await revoked(store, "a"), await revoked(store, "b", RevocationReason.SUPERSEDED)]
    assert await told.tell()
    assert ca.revoked == list(
        zip(serials, [RevocationReason.KEY_COMPROMISE, RevocationReason.SUPERSEDED], strict=True)
    )
    assert await told.tell()
    assert len(ca.revoked) == 2


@pytest.mark.parametrize(
    "failure",
    [
        UpstreamUnavailable("down", rule="ca-unavailable", retry_after_s=1),
        UpstreamRejected("no", rule="ca-refused"),
    ],
)
async def test_a_ca_that_does_not_do_it_is_told_again(store, failure):
    ca = RevokingCA(failure)
    told = OutsideRevocations(store, Authorities(ca), HandClock())
    serial = await revoked(store, "a")
    assert not await told.tell()
    assert await told.tell()
    assert [each for each, _ in ca.revoked] == [serial]


@pytest.mark.parametrize("authority", [object(), None], ids=["cannot revoke", "gone"])
async def test_one_that_can_not_be_told_is_settled(store, authority):
    told = OutsideRevocations(store, Authorities(authority), HandClock())
    await revoked(store, "a")
    assert await told.tell()
    assert await store.authorities_to_tell() == []


async def test_it_wakes_for_new_ones(store):
    ca = RevokingCA()
    told = OutsideRevocations(store, Authorities(ca), HandClock())
    told.start()
    await revoked(store, "a")
    told.wake()
    await until(lambda: ca.revoked)
    await told.stop()
