"""Outbound HTTP against real servers: where it connects, what it takes, and whether it says rightly that it was heard."""

import asyncio
import gzip
import logging
import socket
import ssl
import traceback
from contextlib import asynccontextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from accredit.domain.secret import Secret
from accredit.egress import AnswerLost, ClientIdentity, Egress, EgressRules, NotSent, resolved, tls_context
from support import pki
from support.passing_time import PATIENCE_S, passes, silence
from support.ports import free_port

KEY = "the-api-key-that-nobody-may-see"
CLIENT_HELLO = b"\x16\x03\x01"
LOOPBACK = EgressRules(("127.0.0.0/8", "::1"))


class Served:
    """A server that plays one script per connection; `heard` holds what each connection sent."""

    def __init__(self, port: int, heard: list[bytes]) -> None:
        self.port = port
        self.heard = heard

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/x"


@asynccontextmanager
async def serving(script, tls=None, host="127.0.0.1", head_ends=b"\r\n\r\n"):
    """Run `script(head, writer)` for each request head and its body; the connection ends when it returns False."""
    heard: list[bytes] = []
    tasks: set[asyncio.Task] = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(head_ends)
                length = next(
                    (int(x[15:]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0
                )
                heard.append(head + await reader.readexactly(length))
                if await script(head, writer) is False:
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    try:
        yield Served(server.sockets[0].getsockname()[1], heard)
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await server.wait_closed()


def saying(raw: bytes, *, closing: bool = False):
    async def script(_, writer):
        writer.write(raw)
        await writer.drain()
        return not closing

    return script


OK = b"HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def pool(rules=LOOPBACK, **options):
    egress = Egress(rules, tls=options.pop("tls", None) or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), **options)
    try:
        yield egress
    finally:
        await egress.close()


async def ask(egress, url, *, method="POST", body=b"csr", deadline_s=PATIENCE_S, headers=None):
    fields = {"x-api-key": Secret(KEY.encode()), **(headers or {})}
    return await egress.exchange(
        method, url, headers=fields, body=body, deadline_s=deadline_s, connect_s=deadline_s
    )


def names(*addresses):
    """A resolver that gives these addresses, one list per question, and counts the questions."""
    questions: list[tuple[str, int]] = []
    answers = list(addresses)

    async def resolve(host, port):
        questions.append((host, port))
        answer = answers[min(len(questions), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return resolve, questions


class TestAnswer:
    async def test_carries_status_type_and_body(self):
        async with serving(saying(OK)) as server, pool() as egress:
            answer = await ask(egress, server.url)
        assert (answer.status, answer.content_type, answer.retry_after, answer.body) == (
            200, "application/json", None, b"{}",
        )  # fmt: skip
        head, _, body = server.heard[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /x HTTP/1.1\r\n")
        assert b"x-api-key: " + KEY.encode() in head
        assert b"Accept-Encoding: identity" in head
        assert body == b"csr"

    async def test_of_any_status_is_an_answer(self):
        raw = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
        async with serving(saying(raw)) as server, pool() as egress:
            answer = await ask(egress, server.url)
        assert (answer.status, answer.retry_after, answer.content_type) == (503, "7", "")

    async def test_a_redirect_is_not_followed(self):
        async with serving(saying(OK)) as elsewhere:
            target = elsewhere.url.encode()
            raw = b"HTTP/1.1 307 Moved\r\nLocation: " + target + b"\r\nContent-Length: 0\r\n\r\n"
            async with serving(saying(raw)) as server, pool() as egress:
                assert (await ask(egress, server.url)).status == 307
            assert elsewhere.heard == []

    async def test_cookies_are_not_kept(self):
        raw = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: s=1; Path=/\r\n\r\n", 1)
        async with serving(saying(raw)) as server, pool() as egress:
            await ask(egress, server.url)
            await ask(egress, server.url)
        assert len(server.heard) == 2
        assert b"cookie" not in server.heard[1].lower()

    async def test_the_proxy_environment_is_ignored(self, monkeypatch):
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
        async with serving(saying(OK)) as server, pool() as egress:
            assert (await ask(egress, server.url)).status == 200

    async def test_a_body_without_a_length_ends_with_the_connection(self):
        raw = b"HTTP/1.1 200 OK\r\n\r\nall of it"
        async with serving(saying(raw, closing=True)) as server, pool() as egress:
            assert (await ask(egress, server.url)).body == b"all of it"


class TestAnswerLost:
    """The request was read, whatever came of it: the peer may have acted."""

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000,
            b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        ],
    )
    async def test_the_connection_ends_after_the_request(self, raw):
        async with serving(saying(raw, closing=True)) as server, pool() as egress:
            with pytest.raises(AnswerLost):
                await ask(egress, server.url)
        assert server.heard[0].endswith(b"csr")

    async def test_the_connection_is_reset_after_the_request(self):
        async def script(_, writer):
            writer.transport.abort()

        async with serving(script) as server, pool() as egress:
            with pytest.raises(AnswerLost):
                await ask(egress, server.url)

    async def test_no_answer_within_the_deadline(self):
        async def script(_, writer):
            await silence()

        async with serving(script) as server, pool() as egress:
            with pytest.raises(AnswerLost, match=f"within {PATIENCE_S:g} s"):
                await ask(egress, server.url)

    async def test_an_answer_that_never_ends_meets_the_deadline(self):
        async def script(_, writer):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while True:
                writer.write(b".")
                await writer.drain()
                passes(1)
                await asyncio.sleep(0)

        async with serving(script) as server, pool() as egress:
            with pytest.raises(AnswerLost, match=f"within {PATIENCE_S:g} s"):
                await ask(egress, server.url)

    @pytest.mark.parametrize("size", [1001, 100_000_000])
    @pytest.mark.parametrize("announced", [True, False])
    async def test_an_answer_over_the_limit_is_cut(self, size, announced):
        written = 0

        async def script(_, writer):
            nonlocal written
            length = b"Content-Length: %d\r\n" % size if announced else b""
            writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
            while written < size:
                part = min(65_536, size - written)
                writer.write(b"x" * part)
                written += part
                await writer.drain()
            return False

        async with serving(script) as server, pool(max_answer_bytes=1000) as egress:
            with pytest.raises(AnswerLost, match="longer than 1000 bytes"):
                await ask(egress, server.url)
        assert written < 20_000_000

    async def test_an_answer_at_the_limit_is_taken(self):
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
        async with serving(saying(raw)) as server, pool(max_answer_bytes=1000) as egress:
            assert len((await ask(egress, server.url)).body) == 1000

    async def test_a_content_coding_is_not_decoded(self):
        bomb = gzip.compress(b"0" * 10_000_000)
        raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb
        async with serving(saying(raw)) as server, pool() as egress:
            with pytest.raises(AnswerLost, match="coding"):
                await ask(egress, server.url)

    async def test_a_kept_connection_that_dies_under_the_request(self):
        answers = [OK, b""]

        async def script(_, writer):
            raw = answers.pop(0)
            writer.write(raw)
            await writer.drain()
            return bool(raw)

        async with serving(script) as server, pool() as egress:
            await ask(egress, server.url)
            with pytest.raises(AnswerLost):
                await ask(egress, server.url)
        assert len(server.heard) == 2

    async def test_the_pool_serves_on_after_losses(self):
        answers = [b""] * 40 + [OK]

        async def script(_, writer):
            raw = answers.pop(0)
            writer.write(raw)
            await writer.drain()
            return bool(raw)

        async with serving(script) as server, pool() as egress:
            for _ in range(40):
                with pytest.raises(AnswerLost):
                    await ask(egress, server.url)
            assert (await ask(egress, server.url)).status == 200


class TestNotSent:
    """Nothing can have been signed."""

    async def test_nobody_listens(self):
        async with pool() as egress:
            with pytest.raises(NotSent) as caught:
                await ask(egress, f"http://127.0.0.1:{free_port()}/")
        assert not caught.value.refused

    async def test_the_name_does_not_resolve(self):
        for failure in (socket.gaierror(-2, "Name or service not known"), [], ["not an address"]):
            resolve, _ = names(failure)
            async with pool(resolve=resolve) as egress:
                with pytest.raises(NotSent, match="does not resolve") as caught:
                    await ask(egress, "https://ca.test/")
            assert not caught.value.refused

    async def test_the_resolver_hangs(self):
        async def resolve(host, port):
            await silence()

        async with pool(resolve=resolve) as egress:
            with pytest.raises(NotSent, match="in time"):
                await ask(egress, "https://ca.test/")

    async def test_a_peer_that_never_finishes_the_handshake(self):
        async def mute(_, writer):
            await silence()

        async with serving(mute, head_ends=CLIENT_HELLO) as server, pool() as egress:
            with pytest.raises(NotSent, match="in time"):
                await ask(egress, server.url.replace("http:", "https:"))
        assert server.heard == [CLIENT_HELLO]

    async def test_a_peer_that_does_not_speak_tls(self):
        async with serving(saying(OK), head_ends=CLIENT_HELLO) as server, pool() as egress:
            with pytest.raises(NotSent, match="connection failed"):
                await ask(egress, server.url.replace("http:", "https:"))
        assert server.heard == [CLIENT_HELLO]

    @pytest.mark.parametrize(
        "url", ["ftp://127.0.0.1/", "http://", "http://u:p@127.0.0.1/", "http://127.0.0.1/a b", "http://127.0.0.1:0/",
                "http://127.0.0.1/\r\nX: y", "//x", "", "http://127.0.0.1/" + "x" * 5000]
    )  # fmt: skip
    async def test_a_url_that_can_not_be_called(self, url):
        async with pool() as egress:
            with pytest.raises(NotSent) as caught:
                await ask(egress, url)
        assert caught.value.refused
        assert "u:p" not in str(caught.value)

    @pytest.mark.parametrize("value", [b"two\r\nlines", b"", b"caf\xc3\xa9", b" padded", b"nul\0", b"tail\n"])
    async def test_a_secret_that_is_no_header_value_is_not_told(self, value):
        async with serving(saying(OK)) as server, pool() as egress:
            with pytest.raises(NotSent, match="x-api-key") as caught:
                await ask(egress, server.url, headers={"x-api-key": Secret(value)})
            assert server.heard == []
        if value.strip():
            assert repr(value)[2:-1] not in "".join(traceback.format_exception(caught.value))
        assert caught.value.__context__ is None


class TestRules:
    @pytest.mark.parametrize(
        ("addresses", "word"),
        [
            (["127.0.0.1"], "loopback"),
            (["::1"], "loopback"),
            (["169.254.169.254"], "link-local"),
            (["::ffff:169.254.169.254"], "link-local"),
            (["fe80::1"], "link-local"),
            (["0.0.0.0"], "no single host"),
            (["127.0.0.1", "169.254.169.254"], "loopback"),
        ],
    )
    async def test_a_name_is_judged_by_its_addresses(self, addresses, word):
        resolve, _ = names(addresses)
        async with pool(EgressRules(), resolve=resolve) as egress:
            with pytest.raises(NotSent, match=word) as caught:
                await ask(egress, "https://ca.test/")
        assert caught.value.refused

    @pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1"])
    async def test_an_address_in_disguise_is_loopback_still(self, host):
        async with pool(EgressRules()) as egress:
            with pytest.raises(NotSent):
                await ask(egress, f"https://{host}/")

    async def test_plain_http_is_refused_where_it_is_not_listed(self):
        resolve, _ = names(["10.255.255.1"])
        async with pool(EgressRules(), resolve=resolve) as egress:
            with pytest.raises(NotSent, match="plain http") as caught:
                await ask(egress, "http://ca.test/")
        assert caught.value.refused

    async def test_a_listed_name_on_loopback_is_reached(self):
        resolve, questions = names(["127.0.0.1"])
        async with serving(saying(OK)) as server:
            rules = EgressRules((f"ca.test:{server.port}",))
            async with pool(rules, resolve=resolve) as egress:
                await ask(egress, f"http://CA.test.:{server.port}/y")
        assert questions == [("ca.test", server.port)]

    async def test_the_connection_goes_to_the_address_that_was_judged(self):
        """A name that answers otherwise the second time is asked once, and the first answer is connected to."""
        resolve, questions = names(["127.0.0.1"], ["169.254.169.254"])
        async with serving(saying(OK)) as server, pool(resolve=resolve) as egress:
            await ask(egress, f"http://rebinding.test:{server.port}/")
        assert len(questions) == 1
        assert f"Host: rebinding.test:{server.port}".encode() in server.heard[0]

    async def test_each_new_connection_is_judged_anew(self):
        resolve, questions = names(["127.0.0.1"], ["169.254.169.254"])
        async with serving(saying(OK, closing=True)) as server, pool(resolve=resolve) as egress:
            url = f"http://rebinding.test:{server.port}/"
            await ask(egress, url)
            with pytest.raises(NotSent, match="link-local"):
                await ask(egress, url)
        assert len(questions) == 2
        assert len(server.heard) == 1

    async def test_of_several_addresses_the_allowed_ones_are_tried_in_turn(self):
        """127.0.0.9 has no listener at that port, 169.254.1.1 may not be connected to."""
        resolve, _ = names(["169.254.1.1", "127.0.0.9", "127.0.0.1"])
        async with serving(saying(OK)) as server, pool(resolve=resolve) as egress:
            assert (await ask(egress, f"http://ca.test:{server.port}/")).status == 200

    async def test_the_system_resolves_loopback(self):
        assert set(await resolved("localhost", 443)) <= {"127.0.0.1", "::1"}


LIFE = {"not_before": 1_500_000_000, "not_after": 4_000_000_000}


@pytest.fixture(scope="module")
def authority():
    return pki.root("Server Root", **LIFE)


@pytest.fixture
def tls(authority, tmp_path):
    """A server's context for ca.test."""
    san = x509.SubjectAlternativeName([x509.DNSName("ca.test")])
    purposes = (x509.ExtendedKeyUsageOID.SERVER_AUTH,)
    entity = authority.issue("ca.test", purposes=purposes, extensions=[(san, False)], **LIFE)
    key = entity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    (tmp_path / "server.pem").write_text(key + entity.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    return context


def shown(entity) -> ClientIdentity:
    key = entity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return ClientIdentity(entity.pem, Secret(key))


class TestTLS:
    async def test_a_client_certificate_is_shown_to_a_peer_that_demands_one(self, authority, tls):
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(cadata=authority.pem)
        resolve, _ = names(["127.0.0.1"])
        mine = shown(authority.issue("registration-authority", **LIFE))
        known, stranger = tls_context(authority.pem, mine), tls_context(authority.pem)
        async with serving(saying(OK), tls=tls) as server:
            async with pool(resolve=resolve, tls=known) as egress:
                assert (await ask(egress, f"https://ca.test:{server.port}/")).status == 200
            async with pool(resolve=resolve, tls=stranger) as egress:
                with pytest.raises((NotSent, AnswerLost)):
                    await ask(egress, f"https://ca.test:{server.port}/")

    def test_a_key_that_is_not_the_certificates(self, authority):
        one, other = shown(authority.issue("a", **LIFE)), shown(authority.issue("b", **LIFE))
        with pytest.raises(ValueError, match="can't be used together"):
            tls_context("", ClientIdentity(one.certificate_pem, other.key_pem))

    async def test_the_name_is_checked_though_an_address_is_connected_to(self, authority, tls):
        resolve, _ = names(["127.0.0.1"])
        seen: list[str | None] = []
        tls.sni_callback = lambda _, name, __: seen.append(name)
        trust = tls_context(authority.pem)
        async with serving(saying(OK), tls=tls) as server, pool(resolve=resolve, tls=trust) as egress:
            assert (await ask(egress, f"https://ca.test:{server.port}/")).status == 200
            with pytest.raises(NotSent, match="connection failed"):
                await ask(egress, f"https://other.test:{server.port}/")
        assert seen == ["ca.test", "other.test"]
        assert len(server.heard) == 1

    async def test_an_unknown_authority_is_not_trusted(self, tls):
        resolve, _ = names(["127.0.0.1"])
        async with serving(saying(OK), tls=tls) as server, pool(resolve=resolve, tls=tls_context()) as egress:
            with pytest.raises(NotSent, match="verify failed"):
                await ask(egress, f"https://ca.test:{server.port}/")
        assert server.heard == []

    async def test_a_connection_that_ends_after_the_request_is_lost_over_tls_too(self, authority, tls):
        resolve, _ = names(["127.0.0.1"])
        trust = tls_context(authority.pem)
        async with (
            serving(saying(b"", closing=True), tls=tls) as server,
            pool(resolve=resolve, tls=trust) as egress,
        ):
            with pytest.raises(AnswerLost):
                await ask(egress, f"https://ca.test:{server.port}/")
        assert len(server.heard) == 1

    def test_the_context_verifies_and_is_modern(self, monkeypatch, tmp_path):
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
        context = tls_context()
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.keylog_filename is None


class TestSecrets:
    @pytest.mark.parametrize(
        "raw",
        [b"", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + KEY.encode()[:5]],
    )
    async def test_stay_out_of_errors_and_logs(self, raw, caplog):
        caplog.set_level(logging.DEBUG)
        async with serving(saying(raw, closing=True)) as server, pool() as egress:
            with pytest.raises(AnswerLost) as caught:
                await ask(egress, server.url)
        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
        assert KEY not in told

    async def test_stay_out_of_the_answer_and_the_pool(self):
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(KEY) + KEY.encode()
        async with serving(saying(raw)) as server, pool() as egress:
            answer = await ask(egress, server.url)
            assert KEY not in repr(answer) + repr(egress) + repr(vars(egress))
