"""The URL of the database: what libpq takes from it, what it does not say, and that its password is never shown."""

from pathlib import Path

import psycopg
import pytest

from accredit.stores.postgresql.address import Address, reason
from accredit.stores.schema import DatabaseUnusable
from support.tls_service import tls_root


def parameters(url):
    return Address(url)._parameters


def test_tls_and_all_else_that_libpq_knows_is_honoured():
    found = parameters(
        "postgresql://ann:p%40ss@db.example:5433/fleet?sslmode=verify-full&sslrootcert=/etc/ca.pem&connect_timeout=9"
    )
    expected = {
        "user": "ann",
        "password": "p@ss",
        "host": "db.example",
        "port": "5433",
        "dbname": "fleet",
        "sslmode": "verify-full",
        "sslrootcert": "/etc/ca.pem",
        "connect_timeout": "9",
    }
    assert expected.items() <= found.items()
    assert "target_session_attrs" not in found


def test_the_trust_of_the_system_is_a_file_that_is_there():
    for url in (
        "postgresql://h/x?sslrootcert=system",
        "postgresql://h/x?sslrootcert=system&sslmode=verify-full",
    ):
        found = parameters(url)
        assert found["sslmode"] == "verify-full"
        assert "BEGIN CERTIFICATE" in Path(found["sslrootcert"]).read_text()
    weak = parameters("postgresql://h/x?sslrootcert=system&sslmode=prefer")
    assert (weak["sslrootcert"], weak["sslmode"]) == ("system", "prefer"), "libpq refuses that, and says why"


async def test_the_trust_of_the_system_may_be_another(postgres, tmp_path, monkeypatch):
    (tmp_path / "roots.pem").write_bytes(tls_root().pem())
    url = postgres.url().replace("sslmode=disable", "sslrootcert=system")
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        await Address(url).connected()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    await (await Address(url).connected()).close()


def test_of_several_servers_the_one_that_can_be_written_to():
    assert parameters("postgresql://a,b:5433/x")["target_session_attrs"] == "read-write"
    assert parameters("postgresql://a,b/x?target_session_attrs=any")["target_session_attrs"] == "any"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hunter2%zz@h/x",
        "postgresql://h/x?password=hunter2&nonsense=1",
        "postgresql://ann:hunter2@[h/x",
    ],
)
def test_a_url_that_can_t_be_read_is_not_shown(url):
    with pytest.raises(DatabaseUnusable, match="reserved characters") as caught:
        Address(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_what_is_shown_has_no_password():
    address = Address("postgresql://ann:hunter2@db.example/fleet")
    assert address.server == "db.example:5432"
    assert "hunter2" not in repr(address)


async def test_why_a_connection_could_not_be_made_is_one_short_reason(postgres):
    wrong = Address(postgres.url().replace("%3A", "x"))
    with pytest.raises(psycopg.OperationalError) as caught:
        await wrong.connected()
    assert reason(caught.value).endswith('password authentication failed for user "accredit"')
    nobody = Address("postgresql://accredit:hunter2@127.0.0.1:1/x")
    with pytest.raises(psycopg.OperationalError) as caught:
        await nobody.connected()
    assert "Connection refused" in reason(caught.value)
    assert "hunter2" not in reason(caught.value)
    assert reason(Exception("")) == "no reason was given"
