"""Over every connector that can look an order up: what appears long after nobody waits for it is found, and revoked there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from accredit.administration.authority_types import TYPES
from accredit.app.authorities import connector
from accredit.domain.changes import OpenOperation, SaveOperation, WatchLostOrder
from accredit.domain.credential import STRAY
from accredit.domain.custody import LostOrder
from accredit.domain.registration import OperationState
from accredit.interfaces import Delivered, FindsOrder, Revokes
from accredit.provisioning.lost_orders import LostOrders
from accredit.provisioning.outside_revocations import OutsideRevocations
from accredit.values import replace
from support import stored_values as some
from support.authorities import AUTHORITIES, AuthorityAtHand, an_order, settled
from support.provisioning_world import World, opened
from support.real_authorities import RealCAs
from support.signing_requests import new_key

FINDING = {
    "DigiCertOne": ("DigiCertCertificateAuthority", "one"),
    "DigiCertMpki": ("DigiCertCertificateAuthority", "mpki"),
    "DigiCertCertCentral": ("DigiCertCertificateAuthority", "certcentral"),
    "Ejbca": ("Ejbca", ""),
    "Vault": ("Vault", ""),
}
"""Those that can, by their names in `AUTHORITIES`: type and flavour."""

DAY = 86_400


def test_no_connector_that_can_look_up_is_left_out() -> None:
    can = {kind for kind in TYPES if hasattr(connector(kind), "find")}
    assert can == {kind for kind, _ in FINDING.values()}


@pytest.fixture(params=FINDING)
async def hand(request: pytest.FixtureRequest, real_cas: RealCAs) -> AsyncIterator[AuthorityAtHand]:
    async with AUTHORITIES[request.param](real_cas) as at_hand:
        yield at_hand


@pytest.fixture
async def world(hand: AuthorityAtHand, tmp_path: Path) -> AsyncIterator[World]:
    """What of a service is needed, with this authority under every name and its clock."""

    class Authorities:
        async def get(self, _: object) -> object:
            return hand.authority

    async with opened(tmp_path) as made:
        made.means = replace(made.means, authorities=Authorities(), clock=hand.clock)
        yield made


async def test_a_lost_order_s_certificate_is_found_and_revoked(hand: AuthorityAtHand, world: World) -> None:
    private = new_key()
    wanted = an_order(hand, "device-lost", private=private)
    now = int(hand.clock.now())
    name = hand.authority.name
    operation = some.operation(
        wanted.operation_id, "device-lost", authority=name, csr_der=wanted.request.der, created_at=now
    )
    lost = LostOrder(operation.id, name, wanted.request.csr_sha256, now + 30 * DAY, now)
    ended = replace(operation, state=OperationState.FAILED)
    await world.disk.commit([OpenOperation(operation), SaveOperation(ended, 0), WatchLostOrder(lost)])
    assert isinstance(hand.authority, FindsOrder)
    watcher = LostOrders(world.means, lambda: None)
    await watcher.look()
    assert await world.certificates() == [], "nothing was signed yet"

    answer = await settled(hand.authority, wanted)
    assert isinstance(answer, Delivered), "signed, and nobody is there to take it"
    hand.clock.advance(DAY)
    await watcher.look()
    (record,) = await world.certificates()
    assert record.issued.sha256 == answer.issued.sha256
    assert record.profile == STRAY

    assert isinstance(hand.authority, Revokes)
    revocations = OutsideRevocations(world.disk, world.means.authorities, hand.clock)
    assert await revocations.tell()
    if hand.real is not None:
        assert hand.real.server.revoked(answer.issued, private) is not None
    else:
        assert await hand.authority.find(wanted) == []
    hand.clock.advance(DAY)
    await watcher.look()
    assert len(await world.certificates()) == 1
