"""Speaking to a service that is not found through a data folder, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit import __version__
from accredit.cli.connection import Answer, Connection, ServiceClient, resource
from accredit.cli.problem import Problem
from accredit.domain.access import Realm
from accredit.domain.secret import Secret
from accredit.values import replace
from support.command import command
from support.https_peer import answering, serving_tls
from support.running_service import RunningService
from support.tls_service import tls_root

KEY = "SharedAccessKeyName=a;SharedAccessKey=YQ=="


@pytest.fixture(scope="module")
def remote(service: RunningService) -> str:
    """A connection string with the port in it."""
    told: str = service.info()["provisioningServiceConnectionString"]
    return told.replace(service.host, f"{service.host}:{service.https_port}", 1)


class TestRemote:
    def test_by_flag(self, service: RunningService, remote: str) -> None:
        ran = command(
            "ca", "list", "--json", "--connection-string", remote, "--trust-root", str(service.trust_root)
        )
        assert [row["name"] for row in ran.rows if row["name"] == "builtin"] == ["builtin"]

    def test_by_environment(self, service: RunningService, remote: str) -> None:
        ran = command(
            "ca", "list", "--json", "--trust-root", str(service.trust_root), ACCREDIT_CONNECTION_STRING=remote
        )
        assert ran.code == 0

    def test_a_service_that_is_not_trusted(self, remote: str) -> None:
        assert "CERTIFICATE_VERIFY_FAILED" in command("ca", "list", "--connection-string", remote).sentence

    def test_a_wrong_key(self, service: RunningService) -> None:
        wrong = f"HostName={service.host}:{service.https_port};{KEY}"
        trust = ["--trust-root", str(service.trust_root)]
        assert "401" in command("ca", "list", "--connection-string", wrong, *trust).sentence


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "HostName"),
        ("HostName=x", "SharedAccessKeyName"),
        ("HostName=x;SharedAccessKeyName=y", "has no SharedAccessKey;"),
        ("HostName=x;SharedAccessKeyName=y;SharedAccessKey=?", "base64"),
        (f"HostName=127.0.0.1:1;{KEY}", "accredit serve"),
        (f"HostName=127.0.0.1:port;{KEY}", "no address"),
        (f"HostName=bücher.example;{KEY}", "xn--"),
    ],
)
def test_a_connection_string_that_leads_nowhere(text: str, said: str) -> None:
    assert said in command("ca", "list", "--connection-string", text).sentence


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_a_trust_root_that_is_none(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "root.pem"
    if content is not None:
        path.write_text(content)
    ran = command("ca", "list", "--connection-string", f"HostName=x;{KEY}", "--trust-root", str(path))
    assert str(path) in ran.sentence


def test_a_local_service_that_has_stopped(service: RunningService, tmp_path: Path) -> None:
    with RunningService(tmp_path / "stopped") as stopped:
        pass
    told = command("ca", "list", "--data-dir", str(stopped.data)).sentence
    assert "accredit serve" in told


def test_a_local_service_whose_name_leads_nowhere_here(tmp_path: Path) -> None:
    """As where the name is for the network, and this machine does not know it, or is behind the router that does."""
    name = "fleet.invalid"
    with RunningService(tmp_path, arguments=["--host", name]) as service:
        policy = service.state.owner(Realm.PROVISIONING)
        url = f"https://{name}:{service.https_port}"
        elsewhere = Connection(name, url, policy.name, policy.primary, service.trust_root, service.host)
        answer = ServiceClient(elsewhere).call("GET", "/certificateAuthorities/builtin")
        assert answer.json()["certificateAuthorityType"] == "BuiltIn"
        with pytest.raises(Problem, match="No service answers"):
            ServiceClient(replace(elsewhere, address="")).call("GET", "/certificateAuthorities/builtin")


@pytest.mark.parametrize(
    ("url", "address", "reached_at"),
    [
        ("https://fleet.example", "192.0.2.1", "https://192.0.2.1"),
        ("https://fleet.example:8443", "::1", "https://[::1]:8443"),
        ("https://fleet.example:8443", "", "https://fleet.example:8443"),
    ],
)
def test_where_a_connection_goes(url: str, address: str, reached_at: str) -> None:
    connection = Connection("fleet.example", url, "a", Secret(b"k"), None, address)
    assert connection.reached_at == reached_at


def test_where_a_connection_to_an_ipv6_address_goes() -> None:
    elsewhere = Connection("2001:db8::1", "https://[2001:db8::1]:8443", "a", Secret(b"k"), None, "::1")
    assert elsewhere.reached_at == "https://[::1]:8443"


@pytest.mark.parametrize(
    ("named", "host"),
    [
        ("fleet.example", "fleet.example"),
        ("fleet.example:8443", "fleet.example"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:8443", "2001:db8::1"),
    ],
)
def test_what_a_token_is_signed_for(named: str, host: str) -> None:
    connection = Connection.parse(f"HostName={named};{KEY}", None)
    assert (connection.host, connection.url) == (host, f"https://{named}")


@pytest.mark.parametrize("content", [b"<html></html>", b"", b"\xff\xfe"])
async def test_who_answers_without_a_document_is_no_service(tmp_path: Path, content: bytes) -> None:
    async with serving_tls(answering(200, content)) as (port, _):
        answer = await asyncio.to_thread(_called, port, tmp_path)
    with pytest.raises(Problem, match="200 without a JSON document"):
        answer.json()


async def test_a_call_says_who_makes_it_and_wants_the_answer_as_it_is(tmp_path: Path) -> None:
    async with serving_tls(answering(200, b"{}")) as (port, heard):
        await asyncio.to_thread(_called, port, tmp_path)
    assert heard[0].headers["user-agent"] == f"accredit/{__version__}"
    assert heard[0].headers["accept-encoding"] == "identity"


def _called(port: int, folder: Path) -> Answer:
    root = folder / "root.pem"
    root.write_bytes(tls_root().pem())
    return ServiceClient(Connection.parse(f"HostName=localhost:{port};{KEY}", root)).call("GET", "/things")


@given(st.text())
def test_a_connection_string_is_read_or_refused_in_words(text: str) -> None:
    with suppress(Problem):
        Connection.parse(text, None)


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_would_be_resolved_away_is_refused(name: str) -> None:
    with pytest.raises(Problem, match="no name"):
        resource("/things", name)


@given(st.lists(st.text(min_size=1).filter(lambda name: name not in {".", ".."}), min_size=1, max_size=3))
def test_a_name_stays_in_its_place(names: list[str]) -> None:
    path = resource("/things", *names)
    assert path.isascii()
    assert [unquote(part) for part in path.split("/")[2:]] == names
    assert not set(path) & set("?#&")
