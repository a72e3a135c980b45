"""An ordered list of authorities: the next one is asked only where the one before can't have signed."""

from __future__ import annotations

import pytest

from accredit.domain.ids import AuthorityName
from accredit.domain.issuance_log import LeafKind
from accredit.domain.registration import Assigned, Ended
from accredit.provisioning.ordering import TRIES
from support.provisioning_world import BUILTIN, OUTSIDE, World, sha256_of
from support.scripted_ca import at_the_gate, deferred, delivers, loses_the_order, rejects

SECOND = "second"


async def listed(world: World, *names: str) -> None:
    await world.individual(authority=names[0], settings={"certificateAuthorityNames": list(names)})


def signer(answer: object) -> str:
    assert isinstance(answer, Assigned), answer
    assert answer.certified is not None
    return answer.certified.record.authority.text


class TestFailover:
    async def test_an_authority_that_is_down_is_passed_over_after_some_tries(self, world: World) -> None:
        await listed(world, OUTSIDE, BUILTIN)
        world.ca.will(*[deferred()] * TRIES)
        assert signer(await world.device().certify()) == BUILTIN
        assert len(world.ca.orders) == TRIES
        assert await world.leaves(LeafKind.UNKNOWN) == []

    async def test_the_first_is_asked_as_long_as_it_answers(self, world: World) -> None:
        await listed(world, OUTSIDE, BUILTIN)
        world.ca.will(deferred(), delivers)
        assert signer(await world.device().certify()) == OUTSIDE

    async def test_after_the_last_the_first_is_asked_again(self, world: World) -> None:
        await world.authority(SECOND)
        await listed(world, OUTSIDE, SECOND)
        world.ca.will(*[deferred()] * (2 * TRIES), delivers)
        assert signer(await world.device().certify()) == OUTSIDE

    async def test_a_lost_answer_is_settled_where_it_was_lost(self, world: World) -> None:
        """Looked up there, found nowhere, noted, and ordered there again."""
        await listed(world, OUTSIDE, BUILTIN)
        world.ca.will(*[loses_the_order] * (TRIES + 1), delivers)
        assert signer(await world.device().certify()) == OUTSIDE
        assert {leaf.authority.text for leaf in await world.leaves(LeafKind.UNKNOWN)} == {OUTSIDE}

    async def test_a_no_is_no_reason_to_ask_another(self, world: World) -> None:
        await listed(world, OUTSIDE, BUILTIN)
        world.ca.will(rejects)
        assert isinstance(await world.device().certify(), Ended)

    async def test_without_a_list_there_is_nobody_else(self, world: World) -> None:
        await world.individual(authority=OUTSIDE)
        world.ca.will(*[deferred()] * (2 * TRIES), delivers)
        assert signer(await world.device().certify()) == OUTSIDE

    async def test_the_same_request_joins_whoever_is_asked_by_then(self, world: World) -> None:
        await world.authority(SECOND)
        await world.restart(patience_s=0)
        await listed(world, OUTSIDE, SECOND)
        world.ca.will(*[deferred()] * TRIES, at_the_gate(delivers))
        first = await world.device().certify()
        while len(world.ca.orders) <= TRIES:
            world.ca.asked.clear()
            await world.ca.asked.wait()
        again = await world.device().certify()
        assert again.operation_id == first.operation_id
        world.ca.gate.set()
        assert signer(await world.device().outcome(again)) == SECOND


class TestStored:
    async def test_the_same_csr_gets_back_what_any_of_them_signed(self, world: World) -> None:
        await listed(world, OUTSIDE, BUILTIN)
        world.ca.will(*[deferred()] * TRIES)
        first = await world.device().certify()
        again = await world.device().certify()
        assert sha256_of(again) == sha256_of(first)


class TestNamed:
    @pytest.mark.parametrize("name", [OUTSIDE, SECOND])
    async def test_one_that_is_named_stays(self, world: World, name: str) -> None:
        from accredit.domain.changes import DeleteAuthority
        from accredit.interfaces import Stale

        await world.authority(SECOND)
        await listed(world, OUTSIDE, SECOND)
        parsed = AuthorityName.parse(name)
        record = await world.disk.authority(parsed)
        assert record is not None
        assert await world.disk.enrollments_using(parsed) == 1
        with pytest.raises(Stale):
            await world.disk.commit([DeleteAuthority(parsed, record.etag)])
