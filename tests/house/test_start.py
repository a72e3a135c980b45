"""What a start does not load: every module costs each start and each command its time, so who needs one loads it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.running_service import RunningService, clean_environment

TOLD = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+([\w.]+)$", re.MULTILINE)

NOT_BY_A_SERVICE = {
    "rich": "it draws what commands print",
    "pydantic": "no command reads its options with it",
    "httpx": "the tests' client",
    "httpcore": "it calls others, with the first call",
    "jwt": "it reads bearer tokens, where an issuer of them is configured",
    "psycopg": "it speaks to PostgreSQL, where that is configured",
    "nats": "it speaks to NATS, where that is configured",
    "prometheus_client": "it writes metrics, where their port is open",
    "opentelemetry": "it exports traces, where the environment says where to",
    "pkcs11": "it speaks to a token, where one is configured",
    "ctypes": "nothing here calls C by hand",
    "xml": "nothing here speaks it",
    "accredit.cli.enrollments": "another command, as all but `serve`",
    "accredit.simulation": "another command's",
    "accredit.app.workers": "the parent of several processes",
    "accredit.app.migration": "another command's",
    "accredit.authorities.digicert": "an authority that nobody made, as all but the built-in one",
    "accredit.authorities.acme": "the same",
    "accredit.authorities.cmp": "the same",
    "accredit.authorities.ejbca": "the same",
    "accredit.stores.postgresql": "the other database",
    "accredit.buses.nats": "what several processes tell each other",
}

NOT_BY_A_COMMAND = {
    "rich": "nobody asked for help",
    "pydantic": NOT_BY_A_SERVICE["pydantic"],
    "httpx": NOT_BY_A_SERVICE["httpx"],
    "starlette": "it serves",
    "uvicorn": "it serves",
    "uvloop": "it serves",
    "OpenSSL": "it serves",
    "proton": "it serves",
    "jwt": NOT_BY_A_SERVICE["jwt"],
    "accredit.fronts": "they serve",
    "accredit.provisioning": "it serves",
    "accredit.administration": "it serves",
    "accredit.authorities": "they serve",
    "accredit.ca": "it serves",
    "accredit.app.service": "it serves",
    "accredit.cli.serve": "another command",
    "accredit.cli.demo": "another command",
}


def loaded(told: str, unwanted: dict[str, str]) -> list[str]:
    """Modules among those that Python told of which are, or are within, what is unwanted."""
    names = set(TOLD.findall(told))
    assert "accredit.cli.main" in names
    return sorted(
        name for name in names if any(name == one or name.startswith(f"{one}.") for one in unwanted)
    )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder: Path = tmp_path_factory.mktemp("start")
    with RunningService(folder, environment={"PYTHONPROFILEIMPORTTIME": "1"}) as running:
        yield running


def test_a_start_loads_nothing_that_only_others_need(service: RunningService) -> None:
    assert loaded(service.log_text(), NOT_BY_A_SERVICE) == []


@pytest.mark.parametrize(
    "words", [["info"], ["enroll", "list", "--json"], ["policy", "list", "--json"]], ids=" ".join
)
def test_a_command_loads_nothing_that_only_a_service_needs(service: RunningService, words: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "accredit", *words, "--data-dir", str(service.data)],
        capture_output=True, text=True, check=True, timeout=180, env=clean_environment(),
    )  # fmt: skip
    assert loaded(ran.stderr, NOT_BY_A_COMMAND) == []
