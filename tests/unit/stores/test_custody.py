"""What ends when, counted by the database itself, and the signatures that serve nobody."""

from __future__ import annotations

from pathlib import Path

from accredit.domain.changes import RevokeCertificate
from accredit.domain.credential import RevocationReason
from accredit.domain.custody import Ending, OrphanKind
from accredit.domain.registration import Assigned
from support.provisioning_world import OUTSIDE, World, opened, sha256_of
from support.scripted_ca import delivers, loses_the_order, signs_another_name

DAY = 86_400


async def endings(world: World) -> list[Ending]:
    return list(await world.disk.endings(0))


async def counted(world: World) -> int:
    return sum(each.certificates for each in await endings(world))


class TestEndings:
    async def test_every_certificate_that_opens_a_hub_is_counted_once(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await world.individual()
            first = await world.device().certify()
            assert isinstance(first, Assigned)
            life = first.certified.record.issued
            renewal = life.not_before + (life.not_after - life.not_before) * 3 // 4
            assert await endings(world) == [Ending(life.not_after // DAY, renewal // DAY, 1)]
            await world.use(first)
            assert await counted(world) == 1, "first use changes nothing"
            second = await world.device().certify(1)
            assert await counted(world) == 2, "both are good"
            await world.use(second)
            assert await counted(world) == 1, "the first is retired"
            again = await world.device().certify()
            assert sha256_of(again) == sha256_of(first)
            assert await counted(world) == 2, "it was given back and is bound again"
            reason = RevocationReason.SUPERSEDED
            await world.disk.commit([RevokeCertificate(sha256_of(first), world.now, reason, ca_knows=True)])
            assert await counted(world) == 1
            assert await world.disk.endings(life.not_after // DAY + 1) == []

    async def test_what_pushes_another_out_takes_its_place(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await world.individual()
            for key in range(4):
                await world.device().certify(key)
            assert await counted(world) == 2, "two pending ones are good at most"

    async def test_what_is_bound_to_nothing_is_not_counted(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await world.individual(authority=OUTSIDE)
            world.ca.will(signs_another_name)
            await world.device().certify()
            assert await counted(world) == 0


class TestOrphans:
    async def test_strays_and_lost_answers_are_listed_page_by_page(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await world.individual(authority=OUTSIDE)
            world.ca.will(signs_another_name)
            await world.device().certify()
            world.ca.will(loses_the_order, delivers)
            assert isinstance(await world.device().certify(1), Assigned)
            first = await world.disk.orphans(None, 1)
            second = await world.disk.orphans(first.cursor, 1)
            assert second.cursor is None
            found = {each.kind: each for each in (*first.rows, *second.rows)}
            assert found.keys() == {OrphanKind.STRAY, OrphanKind.UNKNOWN}
            stray = found[OrphanKind.STRAY]
            assert stray.serial == world.ca.ledger[0][1].serial
            assert stray.revoked_at is not None
            assert stray.told_at is None
            assert found[OrphanKind.UNKNOWN].serial is None

    async def test_a_device_whose_ca_signed_against_the_order_keeps_its_key(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await world.individual(authority=OUTSIDE)
            world.ca.will(signs_another_name, delivers)
            await world.device().certify()
            assert isinstance(await world.device().certify(), Assigned)

    async def test_a_certificate_that_is_kept_for_its_device_is_unbound_until_then(
        self, tmp_path: Path
    ) -> None:
        async with opened(tmp_path) as world:
            enrollment = await world.individual(authority=OUTSIDE)

            async def changed(ca, order):
                await world.change(enrollment, allocation_policy="static")
                return await delivers(ca, order)

            world.ca.will(changed)
            await world.device().certify()
            [orphan] = (await world.disk.orphans(None, 10)).rows
            assert (orphan.kind, orphan.revoked_at) == (OrphanKind.UNBOUND, None)
            assert isinstance(await world.device().certify(), Assigned)
            assert (await world.disk.orphans(None, 10)).rows == []
