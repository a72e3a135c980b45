"""What a backup refuses, and what it never leaves behind; that it can be put back is `test_restore.py`'s."""

from __future__ import annotations

import pytest

from accredit.app.backup import back_up
from accredit.app.data_folder import CannotStart, DataFolder
from accredit.config import load
from accredit.domain.secret import Secret
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support import stored_values as some
from support.hand_clock import HandClock

CLOCK = HandClock(some.NOW)


@pytest.fixture
async def config(tmp_path):
    folder = DataFolder(tmp_path / "data")
    folder.make()
    store = await SqliteStore.open(folder.path / "accredit.db", Sealer.create(folder.path / "master.key"))
    await store.commit(some.configured())
    await store.close()
    return load({"data_dir": folder.path}, {})


def test_it_tells_its_instant_and_what_it_needs(config, tmp_path):
    told = back_up(config, tmp_path / "b.tar", CLOCK, with_master_key=False)
    assert told.made_at == "2027-01-15T08:00:00.0000000Z"
    assert told.master_key_ids == [Sealer.load(*config.master_key_paths).key_id]
    assert (told.registrations, told.with_master_key) == (0, False)


def test_no_secret_is_in_it_that_is_not_sealed(config, tmp_path):
    back_up(config, tmp_path / "b.tar", CLOCK, with_master_key=False)
    content = (tmp_path / "b.tar").read_bytes()
    assert some.secret("Fleet 1").reveal() not in content
    assert config.master_key_paths[0].read_bytes().strip() not in content


def test_a_folder_without_a_database_is_named(tmp_path):
    with pytest.raises(CannotStart, match="There is no database at"):
        back_up(load({"data_dir": tmp_path / "none"}, {}), tmp_path / "b.tar", CLOCK, with_master_key=False)


def test_a_folder_that_was_half_restored_is_not_backed_up(config, tmp_path):
    (config.data_dir / ".restoring").mkdir()
    with pytest.raises(CannotStart, match="broken off"):
        back_up(config, tmp_path / "b.tar", CLOCK, with_master_key=False)


def test_a_file_that_is_there_stays(config, tmp_path):
    (tmp_path / "b.tar").write_text("yesterday's")
    with pytest.raises(CannotStart, match="exists already"):
        back_up(config, tmp_path / "b.tar", CLOCK, with_master_key=False)
    assert (tmp_path / "b.tar").read_text() == "yesterday's"


def test_a_place_that_is_none_is_named(config, tmp_path):
    with pytest.raises(CannotStart, match="Nothing can be written beside"):
        back_up(config, tmp_path / "none" / "b.tar", CLOCK, with_master_key=False)


def test_a_key_that_does_not_open_it_is_not_put_in(config, tmp_path):
    other = tmp_path / "other.key"
    Sealer.create(other)
    wrong = load({"data_dir": config.data_dir, "master_key_file": other}, {})
    with pytest.raises(CannotStart, match="do not hold the key"):
        back_up(wrong, tmp_path / "b.tar", CLOCK, with_master_key=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "other.key"]


def test_a_sealer_knows_all_its_keys():
    both = Sealer([Secret(b"a" * 32), Secret(b"b" * 32)])
    assert both.key_ids == (both.key_id, Sealer([Secret(b"b" * 32)]).key_id)
