"""`accredit log`: an export and a head that was kept find whatever is done to the database behind the service's back."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accredit.domain.issuance_log import LeafKind, leaf_hash
from accredit.domain.tree_head import TreeHead
from accredit.wire.service_api.tree import head_line, read_head
from support.command import Ran, command
from support.device_key import DeviceKey, derived_key
from support.enrolling import issuing, symmetric_group
from support.raw_device import DpsDevice
from support.running_service import RunningService

Run = Callable[..., Ran]
DEVICES = 3


@contextmanager
def _with_certificates(folder: Path) -> Iterator[RunningService]:
    """A service with a witness, that has issued some."""
    environment = {"ACCREDIT_LOG_WITNESS": str(folder / "heads.jsonl")}
    with RunningService(folder, environment=environment) as running:
        master = symmetric_group(running, "line", **issuing())
        for number in range(DEVICES):
            key = DeviceKey(f"lamp-{number}", folder)
            with DpsDevice(running, key.registration_id, key=derived_key(master, key.registration_id)) as one:
                one.registers(clientCertificateCsr=key.csr())
        yield running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service of this file's own; what tampers with its database undoes it."""
    with _with_certificates(tmp_path_factory.mktemp("log")) as running:
        yield running


@pytest.fixture
def kept(run: Run, tmp_path: Path) -> Path:
    """A head over all certificates, in a file."""
    while run("log", "head").code or run("log", "head").document["treeSize"] < DEVICES:
        time.sleep(0.05)
    file = tmp_path / "head.json"
    file.write_text(run("log", "head").out)
    return file


@pytest.fixture
def exported(run: Run, kept: Path, tmp_path: Path) -> Path:
    file = tmp_path / "log.jsonl"
    assert run("log", "export", "--out", str(file)).code == 0
    return file


def test_the_log_is_what_the_head_says(run: Run, kept: Path) -> None:
    assert "log is whole" in run("log", "verify").out
    assert f"begins with the {DEVICES} leaves" in run("log", "verify", "--against", str(kept)).out


def test_an_export_needs_no_service(kept: Path, exported: Path, tmp_path: Path) -> None:
    offline = (
        "log",
        "verify",
        "--against",
        str(kept),
        "--export",
        str(exported),
        "--data-dir",
        str(tmp_path / "none"),
    )
    assert f"{DEVICES} leaves" in command(*offline).out
    assert len(exported.read_text().splitlines()) == DEVICES


def test_the_export_goes_to_standard_output_and_comes_from_standard_input(
    run: Run, kept: Path, exported: Path
) -> None:
    out = run("log", "export").out
    assert out == exported.read_text()
    assert run("log", "verify", "--against", str(kept), "--export", "-", given=out).code == 0


def test_an_export_without_a_head_proves_nothing(run: Run, exported: Path) -> None:
    assert "--against" in run("log", "verify", "--export", str(exported)).sentence


@pytest.fixture
def witnessed(service: RunningService, kept: Path, tmp_path: Path) -> Path:
    """A copy of the witness's file, with a head over all certificates in it."""
    file = service.folder / "heads.jsonl"
    while not any(json.loads(line)["treeSize"] >= DEVICES for line in file.read_text().splitlines()):
        time.sleep(0.05)
    copy = tmp_path / "heads.jsonl"
    copy.write_bytes(file.read_bytes())
    return copy


def test_the_log_is_what_a_witness_saw(run: Run, witnessed: Path, exported: Path) -> None:
    """Every line is held against the log; one that was cut off by a full disk spoils no other."""
    said = run("log", "verify", "--against", str(witnessed)).out
    assert f"begins with the {DEVICES} leaves of " in said
    assert "passed over" not in said
    with witnessed.open("a") as file:
        file.write('{"treeSize": 9, "root')
    assert "no heads, and were passed over: 1" in run("log", "verify", "--against", str(witnessed)).out
    offline = run("log", "verify", "--against", str(witnessed), "--export", str(exported))
    assert f"begins with the {DEVICES} leaves of " in offline.out


def test_the_service_tells_what_its_witness_has(run: Run, service: RunningService, witnessed: Path) -> None:
    sizes = [json.loads(line)["treeSize"] for line in witnessed.read_text().splitlines()]
    while "waitingTreeSize" in run("log", "witness").document:
        time.sleep(0.05)
    shown = run("log", "witness").document
    assert shown["witness"] == str(service.folder / "heads.jsonl")
    assert [each["treeSize"] for each in shown["taken"]] == sorted(sizes, reverse=True)
    with service.https() as client:
        assert client.get("/readyz").json() == {"status": "ready"}


Rows = list[dict]


def _without_the_last(rows: Rows) -> Rows:
    return rows[:-1]


def _with_a_gap(rows: Rows) -> Rows:
    return [rows[0], rows[2]]


def _with_another_instant(rows: Rows) -> Rows:
    return [rows[0] | {"loggedAt": rows[0]["loggedAt"] + 1}, *rows[1:]]


def _with_another_certificate(rows: Rows) -> Rows:
    return [rows[0] | {"certificate": rows[1]["certificate"]}, *rows[1:]]


def _without_a_certificate(rows: Rows) -> Rows:
    return [{name: value for name, value in rows[0].items() if name != "certificate"}, *rows[1:]]


def _in_another_order(rows: Rows) -> Rows:
    """Each line agrees with itself, so that only the root can tell."""
    return [row | {"sequence": place} for place, row in enumerate((rows[1], rows[0], *rows[2:]))]


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (_without_the_last, "leaves were removed"),
        (_with_a_gap, "is missing"),
        (_with_another_instant, "does not cover"),
        (_with_another_certificate, "does not cover"),
        (_without_a_certificate, "is gone"),
        (_in_another_order, "not those that the head covers"),
    ],
)
def test_a_changed_export_is_found(
    run: Run, kept: Path, exported: Path, spoilt: Callable[[Rows], Rows], said: str
) -> None:
    rows = [json.loads(line) for line in exported.read_text().splitlines()]
    exported.write_text("".join(json.dumps(row) + "\n" for row in spoilt(rows)))
    ran = run("log", "verify", "--against", str(kept), "--export", str(exported))
    assert ran.code == 1
    assert said in ran.sentence


@pytest.mark.parametrize("member", ["rootHash", "treeSize", "timestamp", "signature"])
def test_a_changed_head_is_no_head(run: Run, kept: Path, member: str) -> None:
    head = json.loads(kept.read_text())
    other = {"rootHash": "00" * 32, "treeSize": 2, "timestamp": 1, "signature": "AAAA" * 21 + "AA=="}
    kept.write_text(json.dumps(head | {member: other[member]}))
    assert run("log", "verify", "--against", str(kept)).code == 1


def test_heads_of_a_log_that_was_set_back_do_not_agree(run: Run, witnessed: Path) -> None:
    """Somebody put an old database back, and it grew again: the witness has two heads of one size."""
    first = read_head(witnessed.read_bytes().splitlines()[-1])
    key = Ed25519PrivateKey.generate()
    other = TreeHead.sign(first.size, b"x" * 32, first.signed_at + 60, key)
    with witnessed.open("ab") as file:
        file.write(head_line(other))
    assert "do not agree" in run("log", "verify", "--against", str(witnessed)).sentence


def test_an_earlier_head_that_the_log_does_not_begin_with_is_found(run: Run, witnessed: Path) -> None:
    """The newest head fits; the one before it, over another first leaf, does not."""
    stranger = TreeHead.sign(1, b"x" * 32, 1_800_000_000, Ed25519PrivateKey.generate())
    newest = witnessed.read_bytes().splitlines()[-1]
    witnessed.write_bytes(head_line(stranger) + newest + b"\n")
    assert "The first 1 leaves are not those" in run("log", "verify", "--against", str(witnessed)).sentence


def test_a_line_whose_signature_is_not_good_is_found(run: Run, witnessed: Path) -> None:
    lines = witnessed.read_text().splitlines()
    changed = json.dumps(json.loads(lines[-1]) | {"timestamp": 1})
    witnessed.write_text("\n".join([*lines, changed]) + "\n")
    assert "The signature of line" in run("log", "verify", "--against", str(witnessed)).sentence


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"treeSize": "x"}'])
def test_a_file_that_is_no_head(run: Run, tmp_path: Path, text: str) -> None:
    file = tmp_path / "head.json"
    file.write_text(text)
    assert str(file) in run("log", "verify", "--against", str(file)).sentence
    assert "can't be read" in run("log", "verify", "--against", str(tmp_path / "absent")).sentence


_FIRST = "(SELECT MIN(leaf_id) FROM log_sequence)"


class Tampering:
    """What somebody with the database in hand does to the first leaf, or to the certificate that it is of."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        query = "SELECT id, sha256, kind, authority, logged_at, leaf_hash FROM log_leaves WHERE id = "
        self.id, self.sha256, *self.leaf = database.execute(query + _FIRST).fetchone()
        (self.der,) = database.execute(
            "SELECT leaf FROM certificates WHERE sha256 = ?", (self.sha256,)
        ).fetchone()

    def moves_its_instant(self) -> None:
        self.database.execute("UPDATE log_leaves SET logged_at = logged_at + 1 WHERE id = ?", (self.id,))

    def moves_its_instant_and_makes_its_hash_fit(self) -> None:
        kind, authority, logged_at, _ = self.leaf
        fitting = leaf_hash(LeafKind(kind), authority.lower(), logged_at + 1, self.der)
        self.moves_its_instant()
        self.database.execute("UPDATE log_leaves SET leaf_hash = ? WHERE id = ?", (fitting, self.id))

    def puts_another_certificate_in_its_place(self) -> None:
        other = self.der[:-1] + bytes([self.der[-1] ^ 1])
        self.database.execute("UPDATE certificates SET leaf = ? WHERE sha256 = ?", (other, self.sha256))

    def removes_it(self) -> None:
        self.database.execute("DELETE FROM log_leaves WHERE id = ?", (self.id,))

    def exchanges_it_for_the_second(self) -> None:
        ids = self.database.execute("SELECT leaf_id FROM log_sequence WHERE sequence < 2").fetchall()
        self.database.execute("UPDATE log_sequence SET leaf_id = -1 WHERE sequence = 0")
        self.database.execute("UPDATE log_sequence SET leaf_id = ? WHERE sequence = 1", ids[0])
        self.database.execute("UPDATE log_sequence SET leaf_id = ? WHERE sequence = 0", ids[1])

    def is_undone(self) -> None:
        columns = "id, sha256, kind, authority, logged_at, leaf_hash"
        self.database.execute(
            f"INSERT OR REPLACE INTO log_leaves ({columns}) VALUES (?, ?, ?, ?, ?, ?)",
            (self.id, self.sha256, *self.leaf),
        )
        self.database.execute("UPDATE certificates SET leaf = ? WHERE sha256 = ?", (self.der, self.sha256))
        first = self.database.execute("SELECT leaf_id FROM log_sequence WHERE sequence = 0").fetchone()
        if first != (self.id,):
            self.exchanges_it_for_the_second()


@pytest.mark.parametrize(
    ("done", "said", "is_seen_alone"),
    [
        (Tampering.moves_its_instant, "does not cover", True),
        (Tampering.puts_another_certificate_in_its_place, "does not cover", True),
        (Tampering.removes_it, "is missing", True),
        (Tampering.moves_its_instant_and_makes_its_hash_fit, "not those that the head covers", False),
        (Tampering.exchanges_it_for_the_second, "not those that the head covers", False),
    ],
)
def test_tampering_with_the_database_is_found(
    run: Run,
    service: RunningService,
    kept: Path,
    witnessed: Path,
    done: Callable[[Tampering], None],
    said: str,
    *,
    is_seen_alone: bool,
) -> None:
    """By the head that was kept, and by the witness's file; `log verify` alone sees what does not fit together."""
    database = sqlite3.connect(service.data / "accredit.db", timeout=30)
    tampering = Tampering(database)
    with database:
        done(tampering)
    try:
        assert run("log", "verify").code == is_seen_alone
        for heads in (kept, witnessed):
            ran = run("log", "verify", "--against", str(heads))
            assert ran.code == 1
            assert said in ran.sentence
    finally:
        with database:
            tampering.is_undone()
        database.close()
    assert run("log", "verify", "--against", str(kept)).code == 0


class TestSpoiled:
    """Beyond repair."""

    @pytest.fixture
    def service(self, tmp_path: Path) -> Iterator[RunningService]:
        with _with_certificates(tmp_path) as running:
            yield running

    def test_what_is_done_to_the_database_directly_is_found(
        self, run: Run, service: RunningService, kept: Path
    ) -> None:
        """A certificate and its leaf vanish together: leaves and certificates still match, but the head remembers."""
        database = sqlite3.connect(service.data / "accredit.db", timeout=5)
        with database:
            (sha256,) = database.execute("SELECT sha256 FROM certificates ORDER BY id LIMIT 1").fetchone()
            database.execute("DELETE FROM certificates WHERE sha256 = ?", (sha256,))
            database.execute("DELETE FROM log_leaves WHERE sha256 = ?", (sha256,))
        database.close()
        assert run("log", "verify").code == 0
        ran = run("log", "verify", "--against", str(kept))
        assert ran.code == 1
        assert "is missing" in ran.sentence
