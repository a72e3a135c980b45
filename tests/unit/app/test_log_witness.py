"""The witness that the settings name: one that can't be is refused at the start; the service tells how far it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from accredit.app.data_folder import CannotStart
from accredit.app.log_witness import opened
from accredit.egress import EgressRules
from accredit.witnesses.file import WitnessFile
from accredit.witnesses.url import WitnessUrl

RULES = EgressRules()


def test_there_is_none_by_default(configured) -> None:
    assert opened(configured(), RULES) is None


async def test_a_file_is_made(configured, tmp_path: Path, log_lines) -> None:
    witness = opened(configured(log_witness=str(tmp_path / "heads.jsonl")), RULES)
    assert isinstance(witness, WitnessFile)
    assert (tmp_path / "heads.jsonl").read_bytes() == b""
    assert log_lines == []


async def test_a_file_beside_the_log_is_warned_of(configured, tmp_path: Path, log_lines) -> None:
    (tmp_path / "data").mkdir()
    opened(configured(log_witness=str(tmp_path / "data" / "heads.jsonl")), RULES)
    assert [line["event"] for line in log_lines] == ["log-witness-in-data-folder"]


def test_a_file_that_cannot_be_appended_to_is_refused(configured, tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"log_witness .* can't be appended to"):
        opened(configured(log_witness=str(tmp_path / "none" / "heads.jsonl")), RULES)


async def test_a_url(configured) -> None:
    witness = opened(configured(log_witness="https://witness.example/heads"), RULES)
    assert isinstance(witness, WitnessUrl)
    await witness.close()


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_roots_that_are_none_are_refused(configured, tmp_path: Path, text: str | None) -> None:
    roots = tmp_path / "roots.pem"
    if text is not None:
        roots.write_text(text)
    config = configured(log_witness="https://witness.example/heads", log_witness_trust_file=str(roots))
    with pytest.raises(CannotStart, match="log_witness_trust_file"):
        opened(config, RULES)
