"""The TLS context as clients meet it: versions, ciphers, certificates, and no resumption whatever they try."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

from accredit.ca.server_identity import make_server
from accredit.fronts.tls import TLSLimits, TLSTransport
from accredit.fronts.tls_context import server_context
from support import pki
from support.logs import capture_logs
from support.tls_service import (
    TLS12,
    TLS13,
    Fronts,
    Recorder,
    client_context,
    closed,
    connected,
    credential_file,
    echoed,
    server_identity,
    serving,
    tls_root,
)

both_versions = pytest.mark.parametrize("version", [TLS12, TLS13], ids=["1.2", "1.3"])


class TestNoResumption:
    """Every connection shows its chain anew, and who tries to resume is served like anybody."""

    @both_versions
    @pytest.mark.parametrize("shows_certificate", [False, True])
    async def test_a_resuming_client_makes_a_full_handshake(
        self, version: ssl.TLSVersion, shows_certificate: bool, tmp_path: Path
    ) -> None:
        device = pki.root("device-1", ca=False)
        credential = credential_file(tmp_path, device) if shows_certificate else None
        context = client_context(version, credential)

        def twice(port: int) -> list[bool | None]:
            reused: list[bool | None] = []
            session: ssl.SSLSession | None = None
            for _ in range(3):
                with (
                    socket.create_connection(("127.0.0.1", port)) as raw,
                    context.wrap_socket(raw, server_hostname="localhost", session=session) as tls,
                ):
                    tls.sendall(b"hello")
                    assert tls.recv(5) == b"hello"  # in TLS 1.3 this reads the tickets too
                    reused.append(tls.session_reused)
                    assert tls.session is None or version is TLS13 or not tls.session.has_ticket
                    session = tls.session
                    tls.unwrap()  # OpenSSL forgets the session of a connection that did not end well
            return reused

        fronts = Fronts()
        async with serving(fronts) as listener:
            assert await asyncio.to_thread(twice, listener.port) == [False, False, False]
        shown = (device.der,) if shows_certificate else ()
        assert [each.transport.get_extra_info("peer_chain") for each in fronts.made] == [shown] * 3


class TestVersionsAndCiphers:
    @both_versions
    async def test_both_versions_negotiate_aead_with_forward_secrecy(self, version: ssl.TLSVersion) -> None:
        fronts = Fronts()
        async with serving(fronts) as listener:
            reader, writer = await connected(listener.port, client_context(version))
            writer.write(b"x")
            await reader.readexactly(1)
            cipher = writer.get_extra_info("cipher")[0]
            seen = fronts.made[0].transport
            assert seen.get_extra_info("cipher") == cipher
            assert seen.get_extra_info("tls_version") == str(version.name).replace("_", ".")
            assert cipher.startswith(("TLS_", "ECDHE-"))
            assert "GCM" in cipher or "POLY1305" in cipher
            assert writer.get_extra_info("ssl_object").compression() is None
            await closed(writer)

    async def test_a_client_with_only_cbc_ciphers_is_refused(self) -> None:
        fronts = Fronts()
        with capture_logs() as logs:
            async with serving(fronts) as listener:
                with pytest.raises(OSError, match="(?i)handshake.failure"):
                    await connected(listener.port, client_context(TLS12, ciphers="ECDHE-ECDSA-AES128-SHA"))
        assert fronts.made == []
        assert logs[0]["reason"] == "no shared cipher"
        assert logs[0]["source"] == "127.0.0.1"

    async def test_tls_1_1_is_refused(self) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_1_VERSION)
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")

        def shaken(port: int) -> None:
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.settimeout(None)
                client = SSL.Connection(context, raw)
                client.set_connect_state()
                client.do_handshake()

        fronts = Fronts()
        with capture_logs() as logs:
            async with serving(fronts) as listener:
                with pytest.raises(SSL.Error):
                    await asyncio.to_thread(shaken, listener.port)
        assert fronts.made == []
        assert logs[0]["reason"] == "unsupported protocol"

    async def test_a_client_that_renegotiates_gets_nowhere(self) -> None:
        def renegotiated(port: int) -> None:
            context = SSL.Context(SSL.TLS_CLIENT_METHOD)
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.settimeout(None)
                client = SSL.Connection(context, raw)
                client.set_connect_state()
                client.do_handshake()
                client.renegotiate()
                client.send(b"hello")
                client.recv(5)
                assert client.total_renegotiations() == 0

        async with serving(Fronts(), TLSLimits(handshake_s=0.2)) as listener:
            with pytest.raises(SSL.Error):
                await asyncio.to_thread(renegotiated, listener.port)

    async def test_who_connects_is_told(self) -> None:
        fronts = Fronts()
        async with serving(fronts) as listener:
            reader, writer = await connected(listener.port)
            writer.write(b"x")
            await reader.readexactly(1)
            seen = fronts.made[0].transport
            assert seen.get_extra_info("sni") == "localhost"
            assert seen.get_extra_info("peername") == writer.get_extra_info("sockname")
            assert seen.get_extra_info("sockname") == ("127.0.0.1", listener.port)
            assert seen.get_extra_info("sslcontext")
            assert seen.get_extra_info("nothing known", 5) == 5
            await closed(writer)


class TestServerCertificate:
    async def test_a_renewed_one_is_shown_from_the_next_connection_on(self) -> None:
        first = server_identity()
        second = make_server(
            tls_root(), ["localhost"], int(first.certificate.not_valid_before_utc.timestamp())
        )
        present = [server_context(first.chain, first.key)]
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: TLSTransport(lambda: present[0], Recorder, TLSLimits()), "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]
        shown = [(await echoed(port, client_context())).getpeercert(binary_form=True)]
        present[0] = server_context(second.chain, second.key)
        shown.append((await echoed(port, client_context())).getpeercert(binary_form=True))
        server.close()
        await server.wait_closed()
        assert shown == [
            each.certificate.public_bytes(pki.serialization.Encoding.DER) for each in (first, second)
        ]

    def test_a_key_of_another_certificate_is_refused(self) -> None:
        identity = server_identity()
        with pytest.raises(ValueError, match="does not belong"):
            server_context(identity.chain, tls_root().key)

    async def test_an_rsa_key_serves_too(self) -> None:
        key = pki_rsa()
        issuer = tls_root()
        chain = (server_certificate(key, issuer),)
        context = server_context(chain, key)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: TLSTransport(lambda: context, Recorder, TLSLimits()), "127.0.0.1", 0
        )
        tls = await echoed(server.sockets[0].getsockname()[1], client_context(TLS12))
        assert "RSA" in tls.cipher()[0]
        server.close()
        await server.wait_closed()


def pki_rsa() -> pki.CertificateIssuerPrivateKeyTypes:
    return rsa.generate_private_key(65537, 2048)


def server_certificate(key, issuer):
    """A certificate for localhost with the extensions that a strict client asks for."""
    identifier = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    start = int(issuer.certificate.not_valid_before_utc.timestamp())
    signer = pki.Entity(issuer.key, issuer.certificate, None)
    return signer.issue(
        "localhost",
        key=key,
        not_before=start,
        not_after=start + 30 * pki.DAY,
        purposes=[pki.ExtendedKeyUsageOID.SERVER_AUTH],
        extensions=[
            (x509.SubjectAlternativeName([x509.DNSName("localhost")]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
        ],
    ).certificate
