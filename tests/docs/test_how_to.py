"""The how-to pages do what they say, wherever their commands can run without a network or an account."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import ca_servers
from support.digicert_process import DigiCertProcess
from support.node_client import FOLDER as NODE
from support.node_client import needs_node_clients
from support.postgres_server import PostgresServer
from support.programs import need
from support.soft_hsm import SoftHsm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    "page",
    [
        "back-up-and-restore",
        "choose-a-hub",
        "x509-devices",
        "est-devices",
        "import-enrollments",
        "prove-a-certificate",
        "trust-bundles",
        "keys-and-secrets",
        "rotate-the-master-key",
        "limits",
        "monitor",
        "simulate-a-fleet",
        "troubleshoot",
        "ca-of-your-own",
        "revoke-a-fleet",
    ],
)
def test_the_page_prints_what_it_shows(walk: Callable[..., Any], docs: Path, page: str) -> None:
    with walk() as walker:
        assert walker.page((docs / "how-to" / f"{page}.md").read_text()) > 3


def test_a_tpm_is_enrolled_as_the_page_says(walk: Callable[..., Any], docs: Path) -> None:
    for program in ("swtpm", "tpm2_createek"):
        need(program)
    with walk() as walker:
        assert walker.page((docs / "how-to" / "tpm-devices.md").read_text()) > 8


def test_keys_are_made_in_a_token_as_the_page_says(
    walk: Callable[..., Any], docs: Path, tmp_path: Path
) -> None:
    module = SoftHsm(tmp_path / "hsm").module
    page = (docs / "how-to" / "keys-in-a-token.md").read_text()
    with walk() as walker:
        assert walker.page(page.replace("/usr/lib/softhsm/libsofthsm2.so", str(module))) > 4


@pytest.mark.parametrize("variant", ["python", "node"])
def test_a_device_connects_as_the_page_says(
    walk: Callable[..., Any], docs: Path, clone: Path, variant: str
) -> None:
    if variant == "node":
        needs_node_clients()
        (clone / "node_modules").symlink_to(NODE / "node_modules")
    with walk(variant) as walker:
        assert walker.page((docs / "how-to" / "connect-a-device.md").read_text()) > 3


def test_an_authority_of_ones_own_is_added_as_the_page_says(
    walk: Callable[..., Any], docs: Path, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "bao").symlink_to(ca_servers.bao_program())
    with ca_servers.openbao(tmp_path / "openbao") as (port, _):
        environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "BAO_ADDR": f"http://127.0.0.1:{port}",
            "BAO_TOKEN": ca_servers.BAO_TOKEN,
            "HOME": str(tmp_path),
        }
        with walk(environment=environment) as walker:
            assert walker.page((docs / "how-to" / "bring-your-own-ca.md").read_text()) > 8


def test_the_state_goes_to_postgresql_as_the_page_says(
    walk: Callable[..., Any], docs: Path, postgres: PostgresServer
) -> None:
    with walk(environment={"ACCREDIT_DATABASE_URL": postgres.emptied()}) as walker:
        assert walker.page((docs / "how-to" / "run-on-postgresql.md").read_text()) > 3


@pytest.fixture
def account(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a reader with an account at DigiCert ONE has in the environment."""
    with DigiCertProcess(tmp_path) as digicert:
        root = tmp_path / "digicert-root.pem"
        root.write_bytes(httpx.get(f"{digicert.url}/_fake/root", trust_env=False).content)
        yield {
            "ACCREDIT_DIGICERT_URL": digicert.url,
            "DIGICERT_API_KEY": digicert.api_key,
            "DIGICERT_PROFILE": digicert.profile,
            "DIGICERT_ROOT": str(root),
        }


def test_an_authority_at_digicert_is_added_as_the_page_says(
    walk: Callable[..., Any], docs: Path, account: dict[str, str]
) -> None:
    with walk(environment=account) as walker:
        assert walker.page((docs / "how-to" / "own-ca-digicert.md").read_text()) > 3
