"""A backup goes back into an empty folder of nobody's, or nothing is put anywhere; and what is still needed is said."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from pathlib import Path

import pytest

from accredit.app import archive
from accredit.app.archive import Manifest
from accredit.app.backup import back_up
from accredit.app.data_folder import CannotStart, DataFolder
from accredit.app.restore import check, restore
from accredit.app.service import start
from accredit.config import load
from accredit.domain.device import Telemetry
from accredit.domain.ids import DeviceId
from accredit.domain.secret import Secret
from accredit.hub.telemetry import SegmentedTelemetry
from accredit.provisioning.sequencer import Sequencer
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support import stored_values as some
from support.hand_clock import HandClock

CLOCK = HandClock(some.NOW)
SEGMENT = "00000000000000000001.log"


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A data folder with two devices, their log under a head, telemetry and settings."""
    folder = tmp_path / "data"
    DataFolder(folder).make()
    store = await SqliteStore.open(folder / "accredit.db", Sealer.create(folder / "master.key"))
    await store.commit(some.configured())
    for name in ("Pump-1", "Pump-2"):
        await store.commit(some.provisioned(name))
    await Sequencer(store, CLOCK, Secret(b"s" * 32)).sequence()
    await store.close()
    telemetry = SegmentedTelemetry(folder / "telemetry", CLOCK)
    await telemetry.append([Telemetry(DeviceId("Pump-1"), b"21", {}, {}, "{}", some.NOW)])
    await telemetry.close()
    (folder / "accredit.toml").write_text('host = ["hub.example"]\n')
    return folder


def backed_up(data: Path, to: Path, *, with_master_key: bool = False, **flags) -> Path:
    back_up(load({"data_dir": data, **flags}, {}), to, CLOCK, with_master_key=with_master_key)
    return to


@pytest.fixture
def made(data: Path, tmp_path: Path) -> Path:
    return backed_up(data, tmp_path / "b.tar")


@pytest.fixture
def flags(tmp_path: Path) -> dict:
    return {"data_dir": tmp_path / "new"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def test_everything_is_back_but_the_key(data, made, flags):
    restored = restore(made, flags, {}, CLOCK)
    assert names(flags["data_dir"]) == {"lock", "accredit.db", "telemetry", SEGMENT, "accredit.toml"}
    assert (flags["data_dir"] / "telemetry" / SEGMENT).read_bytes() == (
        data / "telemetry" / SEGMENT
    ).read_bytes()
    (need,) = restored.needs
    assert restored.manifest.master_key_ids[0] in need
    assert "master.key (mode 0600)" in need


def test_telemetry_that_an_earlier_version_left_is_backed_up_too(data, tmp_path, flags):
    shutil.rmtree(data / "telemetry")
    with sqlite3.connect(data / "telemetry.db") as telemetry:
        telemetry.execute("CREATE TABLE messages (body BLOB)")
    telemetry.close()
    restore(backed_up(data, tmp_path / "old.tar"), flags, {}, CLOCK)
    assert names(flags["data_dir"]) == {"lock", "accredit.db", "telemetry.db", "accredit.toml"}


def test_with_its_key_nothing_is_needed(data, tmp_path, flags):
    made = backed_up(data, tmp_path / "k.tar", with_master_key=True)
    assert restore(made, flags, {}, CLOCK).needs == ()
    assert (flags["data_dir"] / "master.key").read_bytes() == (data / "master.key").read_bytes()


def test_with_the_key_in_a_file_of_its_own_nothing_is_needed(made, data, flags):
    assert restore(made, flags | {"master_key_file": data / "master.key"}, {}, CLOCK).needs == ()


def test_another_key_is_not_the_one_that_is_needed(made, tmp_path, flags):
    Sealer.create(tmp_path / "other.key")
    (need,) = restore(made, flags | {"master_key_file": tmp_path / "other.key"}, {}, CLOCK).needs
    assert "which is not here" in need


def test_several_keys_that_it_carries_are_to_be_named(data, tmp_path, flags):
    Sealer.create(tmp_path / "other.key")
    both = f"{tmp_path / 'other.key'},{data / 'master.key'}"
    made = backed_up(data, tmp_path / "k.tar", with_master_key=True, master_key_file=both)
    (need,) = restore(made, flags, {}, CLOCK).needs
    new = flags["data_dir"]
    assert f"--master-key-file {new / 'master.key'},{new / 'master.key.2'}" in need


def test_files_that_its_settings_name_are_needed(data, tmp_path, flags):
    (data / "accredit.toml").write_text('tls_certificate_file = "/nowhere/tls.pem"\n')
    made = backed_up(data, tmp_path / "k.tar", with_master_key=True)
    assert restore(made, flags, {}, CLOCK).needs == (
        "The setting tls_certificate_file names /nowhere/tls.pem, which is not here.",
    )


def test_the_database_goes_where_the_settings_say(data, tmp_path, flags):
    place = tmp_path / "elsewhere.db"
    (data / "accredit.db").rename(place)
    (data / "accredit.toml").write_text(f'database_url = "sqlite:///{place}"\n')
    made = backed_up(data, tmp_path / "k.tar", with_master_key=True)
    with pytest.raises(CannotStart, match="There is a database at"):
        restore(made, flags, {}, CLOCK)
    place.unlink()
    restore(made, flags, {}, CLOCK)
    assert place.exists()


def test_a_folder_with_anything_in_it_is_left_alone(made, flags):
    (flags["data_dir"]).mkdir()
    (flags["data_dir"] / "note.txt").write_text("mine")
    with pytest.raises(CannotStart, match=r"not empty \(it holds note.txt\)"):
        restore(made, flags, {}, CLOCK)
    assert names(flags["data_dir"]) == {"lock", "note.txt"}


def test_a_folder_that_a_service_owns_is_left_alone(made, flags):
    owner = DataFolder(flags["data_dir"])
    owner.make()
    owner.lock()
    try:
        with pytest.raises(CannotStart, match="Another accredit service"):
            restore(made, flags, {}, CLOCK)
    finally:
        owner.unlock()


def respun(made: Path, folder: Path, spoil) -> Path:
    """The same archive, with checksums that are right, after something was done to its files or its manifest."""
    folder.mkdir()
    manifest, _ = archive.unpack(made, folder)
    changed = spoil(folder, manifest) or manifest
    files = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (archive.MANIFEST, archive.SUMS)
    }
    archive.write(folder / "again.tar", changed, files)
    return folder / "again.tar"


def a_leaf_is_changed(folder: Path, _: Manifest) -> None:
    with sqlite3.connect(folder / "accredit.db") as connection:
        connection.execute("UPDATE log_leaves SET logged_at = 1 WHERE id = 1")
    connection.close()


def the_log_is_cut_back(folder: Path, _: Manifest) -> None:
    """Consistent in itself: only the manifest knows better."""
    with sqlite3.connect(folder / "accredit.db") as connection:
        for table in ("log_heads", "log_sequence", "log_nodes"):
            connection.execute(f"DELETE FROM {table}")
    connection.close()


def the_head_is_no_head(_: Path, manifest: Manifest) -> None:
    assert manifest.issuance_log.head is not None
    manifest.issuance_log.head.root_hash = "none"


def it_is_of_a_later_version(_: Path, manifest: Manifest) -> None:
    manifest.migrations.append("9999-later")


def it_has_no_database(folder: Path, _: Manifest) -> None:
    (folder / "accredit.db").unlink()


def its_settings_are_none(folder: Path, _: Manifest) -> None:
    (folder / "data" / "accredit.toml").write_text("nonsense = 1\n")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (a_leaf_is_changed, "does not cover"),
        (the_log_is_cut_back, "not the one that its manifest tells of"),
        (the_head_is_no_head, "manifest"),
        (it_is_of_a_later_version, "newer version of accredit"),
        (it_has_no_database, "can't be copied or read"),
        (its_settings_are_none, "unknown key 'nonsense'"),
    ],
)  # fmt: skip
def test_what_is_not_right_is_put_nowhere(made, tmp_path, flags, spoil, said):
    spoilt = respun(made, tmp_path / "again", spoil)
    with pytest.raises(Exception, match=said) as raised:
        restore(spoilt, flags, {}, CLOCK)
    assert type(raised.value).__name__ in ("CannotStart", "BadSetting")
    assert names(flags["data_dir"]) == {"lock"}
    assert restore(made, flags, {}, CLOCK).needs, "the folder is still good for another one"


def test_a_restore_that_was_broken_off_while_it_unpacked_begins_anew(made, flags):
    half = flags["data_dir"] / ".restoring"
    half.mkdir(parents=True)
    (half / "accredit.db").write_text("half")
    restore(made, flags, {}, CLOCK)
    assert not half.exists()


async def test_one_that_was_broken_off_later_is_not_served_and_not_filled_up(made, flags):
    restore(made, flags, {}, CLOCK)
    (flags["data_dir"] / ".restoring").mkdir()
    with pytest.raises(CannotStart, match="broken off"):
        await start(load(flags | {"https_port": 0, "mqtt_port": 0, "amqp_port": 0, "public_port": 0}, {}))
    with pytest.raises(CannotStart, match="not empty"):
        restore(made, flags, {}, CLOCK)
    assert (flags["data_dir"] / ".restoring").exists(), "it must still be seen that the folder is not whole"


def test_checking_puts_nothing_anywhere(made, tmp_path):
    before = names(tmp_path)
    assert check(made).registrations == 2
    assert names(tmp_path) == before
    made.write_bytes(made.read_bytes()[:-20_000])
    with pytest.raises(CannotStart):
        check(made)


def test_the_log_tells_of_it(made, flags, tmp_path):
    restore(made, flags, {}, CLOCK)
    with sqlite3.connect(flags["data_dir"] / "accredit.db") as connection:
        (last,) = connection.execute("SELECT hex(sha256) FROM log_leaves ORDER BY id DESC LIMIT 1").fetchone()
    connection.close()
    with tarfile.open(made) as archive:
        sums, manifest = (archive.extractfile(name).read() for name in ("SHA256SUMS", "manifest.json"))
    assert f"{last.lower()}  manifest.json" in sums.decode()
    assert json.loads(manifest)["issuanceLog"]["head"]["treeSize"] == 2
