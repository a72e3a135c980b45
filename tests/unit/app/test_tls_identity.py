"""The certificate that listeners show: from the service's own root, or from the operator's files."""

from __future__ import annotations

import pytest
from cryptography import x509

from accredit.app.data_folder import CannotStart, DataFolder
from accredit.app.first_start import found
from accredit.app.tls_identity import TLSIdentity
from accredit.ca.server_identity import SERVER_LIFE_S, make_root, make_server
from accredit.domain.changes import SaveLinkedHub
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.secret import Secret
from accredit.linked_hubs.configured import ConfiguredHubs
from accredit.seal import Sealer
from accredit.stores.sqlite import SqliteStore
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.linked import embedded


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
async def store(tmp_path, clock):
    made = await SqliteStore.open(tmp_path / "state.db", Sealer([Secret(b"m" * 32)]))
    await found(made, clock, CountedEntropy())
    yield made
    await made.close()


@pytest.fixture
def identity(configured, store, clock):
    def of(**flags):
        config = configured(**flags)
        folder = DataFolder(config.data_dir)
        folder.make()
        return TLSIdentity(config, folder, store, clock, ConfiguredHubs(store, config.host)), folder

    return of


@pytest.fixture
def files(tmp_path, clock):
    """An operator's certificate and key, as flags."""
    made = make_server(make_root("operator", int(clock.now())), ["factory.example"], int(clock.now()))
    pem = made.secret().reveal()
    at = pem.index(b"-----BEGIN CERTIFICATE-----")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(pem[at:])
    key.write_bytes(pem[:at])
    return {"tls_certificate_file": chain, "tls_key_file": key}


async def names_shown(store):
    """The names in the certificate that is kept."""
    secret = (await store.state("tls-server")).reveal()
    certificate = x509.load_pem_x509_certificates(secret)[0]
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in san}


async def test_one_process_follows_what_another_has_made(identity, store):
    (here, _), (there, _) = identity(host=["factory.example"]), identity(host=["factory.example"])
    await here.renew()
    await there.renew()
    before = there.context()
    await there.renew()
    assert there.context() is before
    await store.commit([SaveLinkedHub(embedded("west.example"), None)])
    await here.renew()
    await there.renew()
    assert there.context() is not before
    assert "west.example" in await names_shown(store)


async def test_nodes_that_share_a_database_leave_their_own_addresses_out(identity, store):
    shared = {"host": ["factory.example"], "database_url": "postgresql://db.example/accredit"}
    for address in ("192.0.2.1", "192.0.2.2"):
        made, _ = identity(bind=[address], **shared)
        await made.renew()
    assert await names_shown(store) == {"factory.example", "127.0.0.1", "::1"}


async def test_host_names_and_addresses_are_in_it(identity, store):
    made, folder = identity(host=["factory.example", "localhost"], bind=["127.0.0.1", "0.0.0.0", "::"])
    await made.renew()
    assert await names_shown(store) == {"factory.example", "localhost", "127.0.0.1"}
    assert made.context() is not None
    assert b"BEGIN CERTIFICATE" in folder.trust_root.read_bytes()


async def test_embedded_hubs_are_in_it(identity, store):
    made, _ = identity(host=["factory.example"], bind=["127.0.0.1"])
    await made.renew()
    context = made.context()
    elsewhere = LinkedHub("hub.azure.example", HubKind.AZURE, "e", 1, 1, connection_string=Secret(b"x"))
    await store.commit([SaveLinkedHub(embedded("line-2.example"), None), SaveLinkedHub(elsewhere, None)])
    await made.renew()
    assert await names_shown(store) == {"factory.example", "line-2.example", "127.0.0.1"}
    assert made.context() is not context
    assert made.covers("line-3.example"), "one of our own can be made for any name"


async def test_the_root_stays_when_the_names_change(identity, store):
    first, folder = identity()
    await first.renew()
    root = folder.trust_root.read_bytes()
    second, _ = identity(host=["factory.example"])
    await second.renew()
    assert "factory.example" in await names_shown(store)
    assert folder.trust_root.read_bytes() == root


async def test_a_running_service_keeps_its_context_until_a_new_certificate_is_due(identity, clock):
    made, _ = identity()
    await made.renew()
    context = made.context()
    await made.renew()
    assert made.context() is context
    clock.advance(SERVER_LIFE_S * 3 // 4)
    await made.renew()
    assert made.context() is not context


@pytest.mark.parametrize("name", ["not a host", "a..b", "-x.example", "https://factory.example"])
async def test_a_name_that_is_none_is_told_by_its_option(identity, name):
    made, _ = identity(host=[name])
    with pytest.raises(CannotStart, match=r"--host"):
        await made.renew()


async def test_from_files(identity, files):
    made, folder = identity(**files)
    await made.renew()
    assert made.context() is not None
    assert folder.trust_root.read_bytes() == files["tls_certificate_file"].read_bytes()


async def test_files_cover_what_they_name(identity, files):
    made, _ = identity(**files)
    assert made.covers("Factory.example")
    assert not made.covers("line-2.example")


async def test_files_are_read_again(identity, files):
    """Whoever renews them outside need not stop the service."""
    made, _ = identity(**files)
    await made.renew()
    context = made.context()
    await made.renew()
    assert made.context() is not context


async def test_a_certificate_file_without_a_key_file(identity, files):
    made, _ = identity(tls_certificate_file=files["tls_certificate_file"])
    with pytest.raises(CannotStart, match=r"--tls-key-file"):
        await made.renew()


@pytest.mark.parametrize(
    ("which", "content"), [("tls_key_file", b"no key"), ("tls_certificate_file", b"nothing")]
)
async def test_files_that_hold_something_else(identity, files, which, content):
    files[which].write_bytes(content)
    made, _ = identity(**files)
    with pytest.raises(CannotStart, match="can't be used"):
        await made.renew()


async def test_a_key_of_another_certificate(identity, files, clock, tmp_path):
    other = make_server(make_root("x", int(clock.now())), ["x.example"], int(clock.now())).secret().reveal()
    files["tls_key_file"].write_bytes(other[: other.index(b"-----BEGIN CERTIFICATE-----")])
    made, _ = identity(**files)
    with pytest.raises(CannotStart, match="does not belong"):
        await made.renew()


async def test_files_that_are_not_there(identity, files):
    files["tls_certificate_file"].unlink()
    made, _ = identity(**files)
    with pytest.raises(CannotStart, match="No such file"):
        await made.renew()
