"""The certificates of an enrollment's authority: told to anybody, and outside CAs asked no more than needed."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from accredit.domain.changes import SaveAuthority
from accredit.domain.errors import NotFound, Throttled, UpstreamUnavailable
from accredit.domain.ids import AuthorityName
from accredit.interfaces import Standing, StoreUnavailable
from accredit.provisioning.ca_chains import FAILURE_KEPT_S, KEPT_S, CaChains
from accredit.provisioning.limits import Limits, Terms
from accredit.provisioning.refusals import Refusals
from accredit.values import replace
from support import pki
from support.provisioning_world import BUILTIN, OUTSIDE

ROOT = pki.root("Outside Root")
DOWN = UpstreamUnavailable("The CA is down.", rule="ca-unavailable", retry_after_s=5)


@dataclass
class ProbedCA:
    """An outside authority that is only ever probed: `answers` are given in turn."""

    answers: list
    version: str = "v1"
    probes: int = 0
    in_process: bool = False
    name: AuthorityName = field(default_factory=lambda: AuthorityName.parse(OUTSIDE))

    async def probe(self):
        self.probes += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def get(self, name):
        """As `interfaces.Authorities`."""
        return self


def chains_of(world, authorities=None, **means):
    made = replace(world.means, authorities=authorities or world, **means)
    return CaChains(made, Refusals(made, Limits(world.clock, Terms(failed_proofs_per_minute=2))))


async def told(chains, label="dev-1"):
    return await chains.of(label, source="192.0.2.7", tracking_id="t-1")


async def test_our_own(world):
    await world.individual()
    authority = await world.get(AuthorityName.parse(BUILTIN))
    issuing, root = await told(chains_of(world), "DEV-1")
    assert (issuing, root) == authority.chain()
    answer = await world.device().certify()
    assert answer.certified.record.issued.chain[1:] == (issuing, root)


async def test_a_groups(world):
    await world.group()
    assert len(await told(chains_of(world), "line")) == 2


class TestRefusals:
    async def test_an_unknown_label_costs_its_source(self, world):
        chains = chains_of(world)
        for _ in range(2):
            with pytest.raises(NotFound) as refused:
                await told(chains)
            assert refused.value.rule == "enrollment-unknown"
        with pytest.raises(Throttled):
            await told(chains)

    async def test_an_enrollment_that_issues_nothing(self, world):
        await world.individual(authority=None)
        with pytest.raises(NotFound) as refused:
            await told(chains_of(world))
        assert refused.value.rule == "enrollment-issues-nothing"

    async def test_an_authority_that_is_gone(self, world):
        await world.individual(authority="nowhere")
        with pytest.raises(NotFound) as refused:
            await told(chains_of(world))
        assert refused.value.rule == "authority-unknown"

    async def test_the_store_is_away(self, world):
        class Away:
            async def enrollment(self, ref):
                raise StoreUnavailable("locked")

        with pytest.raises(UpstreamUnavailable) as refused:
            await told(chains_of(world, store=Away()))
        assert refused.value.rule == "store-unavailable"


class TestOutside:
    async def test_it_is_asked_once_in_a_while(self, world):
        await world.individual(authority=OUTSIDE)
        ca = ProbedCA([Standing((ROOT.der,)), Standing((b"next",)), Standing((b"replaced",))])
        chains = chains_of(world, ca)
        assert [await told(chains) for _ in range(3)] == [(ROOT.der,)] * 3
        assert ca.probes == 1
        world.clock.advance(KEPT_S)
        assert await told(chains) == (b"next",)
        ca.version = "v2"
        assert await told(chains) == (b"replaced",)

    async def test_a_failure_is_kept_for_a_moment(self, world):
        await world.individual(authority=OUTSIDE)
        ca = ProbedCA([DOWN, Standing((ROOT.der,))])
        chains = chains_of(world, ca)
        for _ in range(2):
            with pytest.raises(UpstreamUnavailable):
                await told(chains)
        assert ca.probes == 1
        world.clock.advance(FAILURE_KEPT_S)
        assert await told(chains) == (ROOT.der,)

    async def test_its_trust_anchors_stand_in(self, world):
        await world.individual(authority=OUTSIDE)
        name = AuthorityName.parse(OUTSIDE)
        record = await world.disk.authority(name)
        anchored = replace(record, settings={"trustAnchors": ROOT.pem}, etag="another")
        await world.disk.commit([SaveAuthority(anchored, record.etag)])
        assert await told(chains_of(world)) == (ROOT.der,)
        assert await told(chains_of(world, ProbedCA([Standing((b"issuing",))]))) == (b"issuing",)

    async def test_nothing_is_known(self, world):
        await world.individual(authority=OUTSIDE)
        with pytest.raises(NotFound) as refused:
            await told(chains_of(world))
        assert refused.value.rule == "ca-chain-unknown"
