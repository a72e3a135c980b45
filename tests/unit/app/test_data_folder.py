"""The data folder: private, owned by one at a time, and what a service leaves in it for clients."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from accredit.app.data_folder import CannotStart, DataFolder, Running

RUNNING = Running("hub.example", 8443, 8883, 17)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "some" / "where")
    made.make()
    return made


def test_it_is_its_owners_alone(folder):
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_making_it_twice_keeps_what_is_in_it(folder):
    (folder.path / "accredit.db").write_text("state")
    folder.make()
    assert (folder.path / "accredit.db").read_text() == "state"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match=r"--data-dir"):
        DataFolder(tmp_path / "file" / "data").make()


def test_one_service_at_a_time(folder):
    folder.lock()
    second = DataFolder(folder.path)
    with pytest.raises(CannotStart, match="Another accredit service runs on"):
        second.lock()
    folder.unlock()
    second.lock()
    second.unlock()


def test_who_was_refused_does_not_hold_the_lock_open(folder):
    folder.lock()
    refused = DataFolder(folder.path)
    with pytest.raises(CannotStart):
        refused.lock()
    folder.unlock()
    refused.unlock()
    folder.lock()
    folder.unlock()


def test_unlocking_twice(folder):
    folder.lock()
    folder.unlock()
    folder.unlock()


def test_where_it_cannot_be_locked(folder):
    (folder.path / "lock").mkdir()
    with pytest.raises(CannotStart, match="can't be written"):
        folder.lock()


def test_what_a_service_says_of_itself(folder):
    assert folder.read_running() is None
    folder.write_running(Running("old.example", 443, 8883, 1))
    folder.write_running(RUNNING)
    assert DataFolder(folder.path).read_running() == RUNNING


@pytest.mark.parametrize(
    "content", ["", "[]", "{", "{}", '{"host": "h"}', "7", "\udc80", '{"host": 1, "x": 2}']
)
def test_what_cannot_be_read_counts_as_nothing(folder, content):
    folder.write_running(RUNNING)
    (path,) = folder.path.glob("running*")
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert folder.read_running() is None


def test_the_trust_root(folder):
    folder.write_trust_root(b"first")
    folder.write_trust_root(b"second")
    assert folder.trust_root.read_bytes() == b"second"
    assert [path.name for path in folder.path.iterdir()] == [folder.trust_root.name]


def test_a_folder_that_is_half_restored_is_not_served(folder):
    folder.refuse_half_restored()
    folder.restoring.mkdir()
    with pytest.raises(CannotStart, match="empty the folder, and run `accredit restore` again"):
        folder.refuse_half_restored()
