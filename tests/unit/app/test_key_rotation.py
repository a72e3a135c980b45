"""When the master key may be rotated, and when not; that everything is sealed anew is `stores/test_resealing.py`'s."""

from __future__ import annotations

import json

import pytest

from accredit.app.data_folder import CannotStart, DataFolder, Running
from accredit.app.key_rotation import rotate, usage
from accredit.config import load
from accredit.domain import changes as c
from accredit.domain.secret import Secret
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support import stored_values as some


@pytest.fixture
async def folder(tmp_path):
    made = DataFolder(tmp_path / "data")
    made.make()
    store = await SqliteStore.open(made.path / "accredit.db", Sealer.create(tmp_path / "old.key"))
    await store.commit([c.SaveState("id-scope", Secret(b"0ne"), None), *some.configured()])
    await store.close()
    Sealer.create(tmp_path / "new.key")
    return made


@pytest.fixture
def configured(folder, tmp_path):
    def config(*names):
        files = ",".join(str(tmp_path / f"{name}.key") for name in names)
        return load({"data_dir": folder.path, "master_key_file": files}, {})

    return config


def nothing_heard(_):
    pass


async def test_all_is_under_the_first_key(configured, folder):
    heard = []
    use = await rotate(configured("new", "old"), heard.append)
    assert use.values == {use.sealing: 3}
    assert (use.elsewhere, heard[-1]) == ({}, 3)
    assert (await usage(configured("new"))).values == use.values
    folder.lock()  # it is nobody's again
    folder.unlock()


async def test_one_key_is_not_enough(configured):
    with pytest.raises(CannotStart, match="Only one master key is loaded"):
        await rotate(configured("old"), nothing_heard)


async def test_a_key_that_is_still_needed_is_named(configured, tmp_path):
    Sealer.create(tmp_path / "third.key")
    with pytest.raises(CannotStart, match="sealed with another master key"):
        await rotate(configured("new", "third"), nothing_heard)


async def test_nothing_is_rotated_where_nothing_is(tmp_path):
    with pytest.raises(CannotStart, match="There is no database"):
        await usage(load({"data_dir": tmp_path / "none"}, {}))


@pytest.mark.parametrize("loaded", [("old",), ("old", "new"), ()])
async def test_a_service_that_does_not_seal_with_the_new_key_is_to_be_restarted_first(
    configured, folder, tmp_path, loaded
):
    ids = tuple(Sealer.load(tmp_path / f"{name}.key").key_id for name in loaded)
    folder.write_running(Running("localhost", 443, 8883, 1, master_keys=ids))
    folder.lock()
    try:
        with pytest.raises(CannotStart, match="restart it with --master-key-file NEW,OLD"):
            await rotate(configured("new", "old"), nothing_heard)
    finally:
        folder.unlock()
    assert len((await usage(configured("new", "old"))).values) == 1


async def test_beside_a_service_that_does_it_goes_on(configured, folder):
    config = configured("new", "old")
    folder.write_running(
        Running("localhost", 443, 8883, 1, master_keys=Sealer.load(*config.master_key_paths).key_ids)
    )
    folder.lock()
    try:
        assert (await rotate(config, nothing_heard)).elsewhere == {}
    finally:
        folder.unlock()


def test_a_folder_of_an_earlier_version_says_nothing_of_keys(folder):
    folder.write_running(Running("localhost", 443, 8883, 1))
    path = folder.path / "running.json"
    document = json.loads(path.read_text())
    del document["master_keys"]
    path.write_text(json.dumps(document))
    assert folder.read_running() == Running("localhost", 443, 8883, 1)
