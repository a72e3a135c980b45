"""Everything sealed gets the new key, nothing else changes, and what others change meanwhile stays changed."""

from __future__ import annotations

import pytest

from accredit.domain import changes as c
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.secret import Secret
from accredit.seal import Sealer, SealError
from accredit.stores.postgresql.store import PostgresqlStore
from accredit.stores.resealing import PORTION_ROWS
from accredit.stores.sqlite import SqliteStore
from support import stored_values as some

OLD, NEW = Secret(b"o" * 32), Secret(b"n" * 32)
OLD_ID, NEW_ID = Sealer([OLD]).key_id, Sealer([NEW]).key_id
MANY = PORTION_ROWS * 2 + 1


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request):
    """Open the database with these keys."""
    if request.param == "sqlite":
        path = request.getfixturevalue("tmp_path") / "a.db"
        return lambda *keys: SqliteStore.open(path, Sealer(keys))
    url = request.getfixturevalue("postgres").emptied()
    return lambda *keys: PostgresqlStore.open(url, Sealer(keys))


@pytest.fixture(autouse=True)
async def filled(opened):
    """Under the old key, with something in every sealed column."""
    store = await opened(OLD)
    remote = LinkedHub("b.example", HubKind.AZURE, "l1", 1, 1, connection_string=Secret(b"c" * 9))
    await store.commit([
        c.SaveState("id-scope", Secret(b"0ne"), None),
        c.SavePolicy(some.policy()),
        *some.configured(),
        c.SaveEnrollment(some.enrollment("Pump-1", secrets={"webhook": Secret(b"w" * 8)}), None),
        c.SaveLinkedHub(remote, None),
        *(c.SaveHubDevice(some.hub_device(f"Pump-{number}")) for number in range(MANY)),
        c.SaveHubDevice(some.hub_device("Pump-1", hub="b.example")),
    ])  # fmt: skip
    await store.close()


@pytest.fixture
async def rotating(opened, filled):
    store = await opened(NEW, OLD)
    yield store
    await store.close()


async def all_of(portions):
    return [count async for count in portions]


async def test_everything_is_under_the_new_key_and_opens_with_it_alone(rotating, opened):
    total = sum((await rotating.sealed_values()).values())
    assert await rotating.sealed_values() == {OLD_ID: total}
    counts = await all_of(rotating.reseal())
    assert sum(counts) == total
    assert max(counts) == PORTION_ROWS
    assert await rotating.sealed_values() == {NEW_ID: total}
    alone = await opened(NEW)
    stored = await alone.enrollment(some.individual("Pump-1"))
    assert stored == some.enrollment("Pump-1", secrets={"webhook": Secret(b"w" * 8)})
    assert await alone.enrollment(some.FLEET) == some.group()
    assert await alone.policies(some.policy().realm) == [some.policy()]
    assert await alone.hub_device("b.example", some.DeviceId("Pump-1")) is not None
    assert len(await alone.hub_devices("", MANY + 1)) == MANY
    assert (await alone.linked_hubs())[0].connection_string == Secret(b"c" * 9)
    await alone.close()


async def test_what_was_broken_off_goes_on_where_it_was(rotating):
    total = sum((await rotating.sealed_values()).values())
    portions = rotating.reseal()
    done = await anext(portions)
    await portions.aclose()
    assert (await rotating.sealed_values())[NEW_ID] == done
    assert sum(await all_of(rotating.reseal())) == total - done
    assert await all_of(rotating.reseal()) == []


async def test_a_value_that_changes_meanwhile_stays_what_it_became(rotating, opened):
    """Its envelope is another one by then, so that the old content does not come back."""
    portions = rotating.reseal()
    await anext(portions)
    service = await opened(OLD, NEW)
    later = some.group(
        etag="e2", attestation=some.SymmetricKeys(some.secret("later"), some.secret("later 2"))
    )
    await service.commit([c.SaveEnrollment(later, "e1")])
    await all_of(portions)
    assert await service.enrollment(some.FLEET) == later
    await service.close()


async def test_an_envelope_of_a_key_that_is_not_loaded_is_named(opened):
    store = await opened(NEW, Secret(b"x" * 32))
    with pytest.raises(SealError, match=f"another master key .key id {OLD_ID}"):
        await all_of(store.reseal())
    await store.close()
