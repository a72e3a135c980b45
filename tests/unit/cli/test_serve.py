"""`accredit serve` with settings that can't be: refused before anything is made. Its life is in `tests/e2e/test_serve.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command import command


def refusal(folder: Path, *arguments: str, **environment: str) -> str:
    told = command("serve", "--data-dir", str(folder), *arguments, **environment).sentence
    assert [each.name for each in folder.iterdir() if each.name != "accredit.toml"] == []
    return told


def test_more_workers_than_sqlite_can_have(tmp_path: Path) -> None:
    told = refusal(tmp_path, "--workers", "2")
    assert "PostgreSQL (database_url; SQLite takes one writing process) and NATS (nats_url" in told
    told = refusal(tmp_path, "--workers", "2", ACCREDIT_DATABASE_URL="postgresql://localhost/accredit")
    assert "needs NATS (nats_url" in told
    assert "PostgreSQL" not in told


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("ACCREDIT_KEY_REUSE", "sometimes", "refuse, warn, allow"),
        ("ACCREDIT_HTTPS_PORT", "70000", "from 0 to 65535"),
        ("ACCREDIT_WORKERS", "two", "a whole number"),
        ("ACCREDIT_ALLOW_BOOTSTRAP_AT_HUB", "maybe", "true or false"),
        ("ACCREDIT_LOG", "loud", "debug, info, warning, error"),
    ],
)
def test_a_value_in_the_environment(tmp_path: Path, variable: str, value: str, allowed: str) -> None:
    told = refusal(tmp_path, **{variable: value})
    assert variable in told
    assert repr(value) in told
    assert allowed in told


def test_a_flag_is_wrong_usage(tmp_path: Path) -> None:
    ran = command("serve", "--data-dir", str(tmp_path), "--log", "loud")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "--log is 'loud', but log must be one of debug, info, warning, error.\n"


def test_a_key_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "accredit.toml").write_text("htps_port = 443\n")
    told = refusal(tmp_path)
    assert "'htps_port'" in told
    assert "https_port" in told.split("allowed are")[1]


def test_a_value_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "accredit.toml").write_text("https-port = true\n")
    assert "https-port in" in refusal(tmp_path)


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "accredit.toml").write_text("= 1\n")
    assert "accredit.toml" in refusal(tmp_path)
