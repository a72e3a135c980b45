"""A service whose state is in PostgreSQL: what stays in its folder, what it refuses at start, what it says meanwhile."""

from __future__ import annotations

import pytest

from accredit.app import local, stores
from accredit.app.data_folder import CannotStart
from accredit.app.key_rotation import rotate
from accredit.app.service import start
from accredit.config import BadSetting
from accredit.seal import Sealer
from accredit.stores.schema import DatabaseUnusable


async def ran(config):
    service = await start(config)
    await service.drain()
    return service


async def test_everything_is_made_once_and_the_folder_has_no_database(configured, postgres):
    config = configured(database_url=postgres.emptied())
    first = await ran(config)
    second = await ran(config)
    assert second.id_scope == first.id_scope
    assert not (config.data_dir / "accredit.db").exists()
    state = await local.read(config)
    assert state.id_scope == first.id_scope


async def test_the_master_key_of_another_node_is_asked_for(configured, postgres):
    config = configured(database_url=postgres.emptied())
    await ran(config)
    (config.data_dir / "master.key").rename(config.data_dir / "elsewhere.key")
    with pytest.raises(
        CannotStart, match=rf"the database at 127\.0\.0\.1:{postgres.port} can't be read without it"
    ):
        await start(config)
    assert not (config.data_dir / "master.key").exists(), "no other key is made"
    with_key = configured(database_url=postgres.url(), master_key_file=str(config.data_dir / "elsewhere.key"))
    await ran(with_key)


async def test_a_server_that_is_not_there_is_told_in_one_sentence(configured):
    url = "postgresql://accredit:hunter2@127.0.0.1:1/accredit"
    with pytest.raises(DatabaseUnusable, match=r"server 127\.0\.0\.1:1 can't be used") as caught:
        await start(configured(database_url=url))
    assert "hunter2" not in str(caught.value)


async def test_what_works_on_sqlite_alone_says_so(configured, postgres):
    config = configured(database_url=postgres.url())
    with pytest.raises(BadSetting, match="pg_dump"):
        _ = config.database_path
    stores.refuse_none(config)


async def test_the_master_key_is_rotated(configured, postgres, tmp_path):
    config = configured(database_url=postgres.emptied())
    await ran(config)
    Sealer.create(tmp_path / "new.key")
    both = configured(
        database_url=postgres.url(),
        master_key_file=f"{tmp_path / 'new.key'},{config.data_dir / 'master.key'}",
    )
    use = await rotate(both, lambda _: None)
    assert set(use.values) == {use.sealing}
    await ran(configured(database_url=postgres.url(), master_key_file=str(tmp_path / "new.key")))
