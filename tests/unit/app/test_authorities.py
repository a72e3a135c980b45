"""Connectors are made from their records when they are needed, and anew when those change."""

from __future__ import annotations

import pytest

from accredit.app.authorities import (
    CONNECTORS,
    FLAVOURS,
    ConfiguredAuthorities,
    abilities,
    connector,
    found_built_in,
)
from accredit.authorities.builtin import BuiltInAuthority, Hardware
from accredit.authorities.digicert.mpki import DigiCertMpki
from accredit.authorities.digicert.one import DigiCertOne
from accredit.ca.ceremony import Ceremony
from accredit.ca.serials import ReservedSerials
from accredit.ca.tokens import Tokens
from accredit.domain.authority import AuthorityRecord
from accredit.domain.changes import DeleteAuthority, SaveAuthority
from accredit.domain.errors import Malformed, UpstreamRejected
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.egress import EgressRules
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from accredit.values import replace
from support import pki
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock

NAME = AuthorityName.parse("MyCA1")
DIGICERT = AuthorityRecord(
    name=NAME,
    type="DigiCertCertificateAuthority",
    settings={"profileName": "profile"},
    secrets={"apiKey": Secret(b"key")},
    version="v1",
    etag="e1",
    created_at=0,
    updated_at=0,
)


@pytest.fixture
async def store(tmp_path):
    made = await SqliteStore.open(tmp_path / "state.db", Sealer([Secret(b"m" * 32)]))
    yield made
    await made.close()


@pytest.fixture
async def authorities(store, configured):
    clock, entropy = HandClock(), CountedEntropy()
    hardware = Hardware(Tokens(clock), ReservedSerials(store, clock, entropy, "here"))
    made = ConfiguredAuthorities(store, configured(), EgressRules(), clock, entropy, hardware)
    yield made
    await made.close()


@pytest.mark.parametrize("kind", CONNECTORS)
def test_every_connector_loads_and_takes_orders(kind):
    made = connector(kind)
    assert callable(made.order)
    assert isinstance(made.in_process, bool)


@pytest.mark.parametrize(("kind", "flavour"), FLAVOURS)
def test_every_flavour_loads_and_is_another_connector(kind, flavour):
    made = connector(kind, flavour)
    assert callable(made.order)
    assert made is not connector(kind)
    assert {"lookUp", "revoke"} <= set(abilities(made))


async def test_a_flavour_is_chosen_by_its_record(authorities, store):
    mpki = replace(DIGICERT, settings={"profileName": "p", "flavour": "mpki"})
    await store.commit([SaveAuthority(mpki, None)])
    assert isinstance(await authorities.get(NAME), DigiCertMpki)


async def test_one_that_is_not_there(authorities):
    assert await authorities.get(NAME) is None


async def test_our_own(authorities, store):
    record = BuiltInAuthority.found(NAME, CountedEntropy(), HandClock())
    await store.commit([SaveAuthority(record, None)])
    made = await authorities.get(AuthorityName.parse("myca1"))
    assert isinstance(made, BuiltInAuthority)
    assert made.in_process


async def test_an_outside_one(authorities, store):
    await store.commit([SaveAuthority(DIGICERT, None)])
    made = await authorities.get(NAME)
    assert isinstance(made, DigiCertOne)
    assert not made.in_process


async def test_made_once_until_it_is_replaced(authorities, store):
    await store.commit([SaveAuthority(DIGICERT, None)])
    first = await authorities.get(NAME)
    assert await authorities.get(NAME) is first
    await store.commit([SaveAuthority(replace(DIGICERT, version="v2", etag="e2"), "e1")])
    second = await authorities.get(NAME)
    assert (first.version, second.version) == ("v1", "v2")


async def test_gone_when_it_is_deleted(authorities, store):
    await store.commit([SaveAuthority(DIGICERT, None)])
    await authorities.get(NAME)
    await store.commit([DeleteAuthority(NAME, "e1")])
    assert await authorities.get(NAME) is None


async def test_a_probe_says_what_a_connector_can_do(authorities):
    ours = BuiltInAuthority.found(NAME, CountedEntropy(), HandClock())
    assert (await authorities.probe(ours)).can == abilities(BuiltInAuthority)
    assert abilities(DigiCertOne) == ("lookUp", "poll", "revoke")


async def test_a_ca_of_our_own_tells_its_chain_or_that_it_waits(authorities):
    whole, waiting = (
        replace(DIGICERT, type="BuiltIn", settings=settings, secrets=secrets)
        for settings, secrets in (
            Ceremony(CountedEntropy()).found(NAME, 0, root=root) for root in ("online", "offline")
        )
    )
    assert len((await authorities.probe(whole)).chain) == 2
    with pytest.raises(UpstreamRejected, match="activate"):
        await authorities.probe(waiting)


async def test_a_probe_of_a_ca_that_is_not_there(authorities):
    nowhere = replace(DIGICERT, settings={"profileName": "p", "baseUrl": "https://127.0.0.1:1"})
    with pytest.raises(UpstreamRejected, match="can't be reached"):
        await authorities.probe(nowhere)


async def test_a_client_certificate_without_its_key(authorities):
    root = pki.root("Root")
    wrong = replace(
        DIGICERT,
        settings={"profileName": "p", "clientCertificate": root.pem},
        secrets={"apiKey": Secret(b"k"), "clientKey": Secret(b"no key")},
    )
    with pytest.raises(Malformed, match="can't be used together"):
        await authorities.probe(wrong)


def test_a_new_ca_of_our_own_keeps_its_keys_apart():
    settings, secrets = found_built_in(Ceremony(CountedEntropy()), NAME, 0, {})
    assert "PRIVATE" not in str(settings)
    assert {"issuingKey", "rootKey"} == set(secrets)
