"""From SQLite to PostgreSQL: everything arrives, whatever happens on the way, and no two databases can be served."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from functools import partial
from pathlib import Path

import pytest

from accredit.app.data_folder import CannotStart, DataFolder
from accredit.app.migration import migrate
from accredit.app.service import start
from accredit.config import load
from accredit.domain import changes as c
from accredit.domain.enrollment import CaReferences
from accredit.domain.ids import CaCertificateName, DeviceId
from accredit.domain.registration import OperationState
from accredit.domain.secret import Secret
from accredit.provisioning.sequencer import Sequencer
from accredit.seal import Sealer
from accredit.stores.postgresql.store import PostgresqlStore
from accredit.stores.schema import DatabaseUnusable
from accredit.stores.sqlite import SqliteStore
from accredit.values import replace
from support import stored_values as some
from support.hand_clock import HandClock
from support.stored_values import FLEET, NOW, binding

CLOCK = HandClock(NOW)


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """The folder of a service that was started once, and has a few of everything since."""
    folder = tmp_path_factory.mktemp("template") / "data"
    ports = dict.fromkeys(("https_port", "mqtt_port", "amqp_port", "public_port"), 0)
    asyncio.run(filled(load({"data_dir": folder, "bind": ["127.0.0.1"], **ports}, {})))
    return folder


async def filled(config):
    await (await start(config)).drain()
    store = await sqlite(config)
    first, second = some.certificate("Pump-1"), some.certificate("Pump-1")
    await store.commit(
        [c.SaveEnrollment(some.group(), None), c.SaveAuthority(some.authority("Other", etag="a9"), None)]
    )
    await store.commit(without_authority(some.provisioned("Pump-1", first)))
    await store.commit([c.RecordCertificate(second, shared_key=False), binding(second)])
    await store.commit(without_authority(some.provisioned("Pump-2")))
    await Sequencer(store, CLOCK, Secret(b"s" * 32)).sequence()
    await store.commit(without_authority(some.provisioned("Pump-3")))
    await store.commit(
        [c.OpenOperation(some.operation("o1")), c.OpenOperation(some.operation("o2", "Pump-2"))]
    )
    named = some.enrollment("Named", attestation=CaReferences(CaCertificateName("Plant", "plant")))
    await store.commit([c.SaveCaCertificate(some.ca_certificate(), None), c.SaveEnrollment(named, None)])
    await store.close()
    # As an earlier version stored it.
    spoil(config, "UPDATE enrollments SET primary_certificate = 'Plant' WHERE enrollment_key = 'named'")


@pytest.fixture
def config(configured, template):
    """Of a copy of that folder."""
    made = configured()
    shutil.copytree(template, made.data_dir)
    return made


def without_authority(unit):
    return [change for change in unit if not isinstance(change, c.AssertAuthority)]


def sealer(config):
    return Sealer.load(*config.master_key_paths)


def sqlite(config):
    return SqliteStore.open(config.database_path, sealer(config))


def postgresql(config, url):
    return PostgresqlStore.open(url, sealer(config))


def spoil(config, text):
    connection = sqlite3.connect(config.database_path, isolation_level=None)
    connection.execute(text)
    connection.close()


async def moved(config, url, told=lambda *_: None):
    return await asyncio.to_thread(migrate, config, config.database_path, url, CLOCK, told)


async def contents(store):
    """What anybody could read."""
    return [
        await store.linked_hubs(),
        await store.symmetric_groups(),
        (await store.authorities(None, 100)).rows,
        [(await store.enrollments(kind, None, 100)).rows for kind in (FLEET.kind, some.individual("x").kind)],
        (await store.registrations(None, None, 100)).rows,
        (await store.certificates(None, None, 100)).rows,
        (await store.leaves(None, 100)).rows,
        await store.open_operations(),
        await store.tree_head(),
        await store.placed_leaves(0, 100),
        await store.unplaced_leaves(100),
        await store.hub_devices("", 100),
        await store.bindings(some.registration("Pump-1").registration_id, DeviceId("Pump-1")),
        await store.endings(0),
        (await store.orphans(None, 100)).rows,
        await store.newest_operation(some.registration("Pump-1").registration_id),
        await store.state("id-scope"),
    ]


async def read(opened):
    store = await opened
    try:
        return await contents(store)
    finally:
        await store.close()


async def test_everything_is_there_and_goes_on(config, configured, postgres):
    before = await read(sqlite(config))
    url = postgres.new_database()
    result = await moved(config, url)
    assert {each.table: each.rows for each in result.tables}["certificates"] == 4
    assert result.leaves == 2
    assert await read(postgresql(config, url)) == before

    store = await postgresql(config, url)
    await store.commit(without_authority(some.provisioned("Pump-4")))
    assert [each.device_id.text for each in (await store.registrations(None, None, 9)).rows][-1] == "Pump-4"
    assert len(await store.unplaced_leaves(9)) == 2
    await store.close()
    service = await start(configured(database_url=url))
    assert service.id_scope == result.id_scope
    await service.drain()
    with pytest.raises(
        CannotStart, match=rf"moved to PostgreSQL at 127\.0\.0\.1:{postgres.port}.*ACCREDIT_DATABASE_URL"
    ):
        await start(config)


async def test_under_a_running_service_what_is_there_and_then_the_rest(config, postgres):
    url = postgres.new_database()
    running = DataFolder(config.data_dir)
    running.lock()
    with pytest.raises(CannotStart, match="stop it, then run this command again"):
        await moved(config, url)
    with pytest.raises(DatabaseUnusable, match="not run to its end"):
        await postgresql(config, url)
    store = await sqlite(config)
    await store.commit(without_authority(some.provisioned("Pump-5")))
    ended = replace(some.operation("o1"), state=OperationState.FAILED, error_code=500_000, error_message="no")
    await store.commit([c.SaveOperation(ended, 0)])
    await store.commit([c.OpenOperation(some.operation("o3"))])
    await store.commit([c.DeleteRegistration(some.registration("Pump-2").registration_id, "r1")])
    await store.commit(
        [c.DeleteEnrollment(FLEET, "e1"), c.SaveEnrollment(some.group("Other", etag="e7"), None)]
    )
    await Sequencer(store, CLOCK, Secret(b"s" * 32)).sequence()
    before = await contents(store)
    await store.close()
    running.unlock()
    result = await moved(config, url)
    changed = {each.table: (each.copied, each.removed) for each in result.tables}
    assert changed["certificates"] == (1, 0)
    assert changed["registrations"] == (1, 1)
    assert await read(postgresql(config, url)) == before


async def test_what_is_broken_off_goes_on(config, postgres):
    before, url = await read(sqlite(config)), postgres.new_database()

    class PowerIsGone(BaseException):
        pass

    def told(at, table, _):
        if table == at:
            raise PowerIsGone

    for at in ("certificates", "log_leaves", "states"):
        with pytest.raises(PowerIsGone):
            await moved(config, url, partial(told, at))
    with pytest.raises(DatabaseUnusable, match="not run to its end"):
        await postgresql(config, url)
    await moved(config, url)
    assert await read(postgresql(config, url)) == before


async def test_a_database_of_another_service_is_left_alone(config, configured, postgres, tmp_path):
    url = postgres.new_database()
    other = await start(configured(data_dir=tmp_path / "other", database_url=url))
    await other.drain()
    with pytest.raises(CannotStart, match="another service's state; name an empty one"):
        await moved(config, url)
    assert await read(PostgresqlStore.open(url, Sealer.load(tmp_path / "other" / "master.key")))


async def test_it_is_moved_once(config, postgres):
    url = postgres.new_database()
    await moved(config, url)
    with pytest.raises(CannotStart, match="may have been used since"):
        await moved(config, url)


async def test_a_character_that_postgresql_does_not_take_is_replaced(config, postgres):
    spoil(config, "UPDATE hub_devices SET status_reason = 'a' || char(0) || 'b' WHERE device_id = 'Pump-2'")
    url = postgres.new_database()
    await moved(config, url)
    store = await postgresql(config, url)
    found = await store.hub_device("", DeviceId("Pump-2"))
    await store.close()
    assert found.status_reason == "a\ufffdb"


async def test_a_log_that_is_not_whole_is_not_taken_over(config, postgres):
    spoil(config, "UPDATE log_leaves SET logged_at = logged_at + 1 WHERE id = 1")
    url = postgres.new_database()
    with pytest.raises(CannotStart, match="does not cover what stands in it"):
        await moved(config, url)
    await (await start(config)).drain()


@pytest.mark.parametrize("url", ["postgresql://127.0.0.1:1/x", "postgresql://ann:hunter2%zz@h/x"])
async def test_a_place_that_can_t_be_reached(config, url):
    with pytest.raises(CannotStart) as caught:
        await moved(config, url)
    assert "hunter2" not in str(caught.value)


async def test_a_folder_that_nobody_has_used(configured, postgres):
    with pytest.raises(CannotStart, match="There is no database at"):
        await moved(configured(), postgres.new_database())


async def test_the_master_key_must_be_at_hand(config, postgres):
    config.master_key_paths[0].unlink()
    with pytest.raises(CannotStart, match=r"master\.key"):
        await moved(config, postgres.new_database())
