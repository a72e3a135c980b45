"""Real ACME servers: pebble, which proves nothing and asks for an external account, and OpenBao's, which comes and asks.

OpenBao proves an identifier by http-01 at port 80 of its name. For the tests every name is `ADDRESS`, by a name server that
says so; what is served there are the challenges that the connector holds.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from accredit.authorities.challenges import HeldChallenges
from accredit.domain.credential import IssuedChain
from support.ca_servers import BAO_ROLE, CAServer, bao, process, revoked_at_bao
from support.ports import free_port
from support.programs import missing, need
from support.tls_service import server_identity, tls_root

ADDRESS = f"127.53.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
"""Each process of the suite has its own port 80."""
EAB_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
WRONG_KEY = "YYYYZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


@contextmanager
def pebble(folder: Path) -> Iterator[CAServer]:
    need("pebble")
    folder.mkdir(parents=True, exist_ok=True)
    identity = server_identity().secret().reveal()
    (folder / "tls.pem").write_bytes(identity)
    port, management = free_port(), free_port()
    configuration = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": "tls.pem",
        "privateKey": "tls.pem",
        "httpPort": 5002,
        "tlsPort": 5001,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": True,
        "externalAccountMACKeys": {"kid-1": EAB_KEY},
        "domainBlocklist": ["refused-1"],
    }
    (folder / "config.json").write_text(json.dumps({"pebble": configuration}))
    environment = {
        "PEBBLE_VA_ALWAYS_VALID": "1",
        "PEBBLE_VA_NOSLEEP": "1",
        "PEBBLE_WFE_NONCEREJECT": "10",
        "PEBBLE_AUTHZREUSE": "0",
    }
    with process(["pebble", "-config", "config.json"], folder, port, environment):
        yield CAServer(
            url=f"https://localhost:{port}",
            root_pem=_managed(management, "roots/0").decode(),
            settings={"accountEmail": "fleet@example.net", "eabKeyId": "kid-1"},
            secrets={"eabHmacKey": EAB_KEY, "accountKey": "11" * 32},
            wrong_secrets={"eabHmacKey": WRONG_KEY, "accountKey": "22" * 32},
            revoked=lambda issued, _: _revoked_at_pebble(management, issued),
            tls_pem=tls_root().pem().decode(),
        )


def _managed(port: int, path: str) -> bytes:
    context = ssl.create_default_context(cadata=tls_root().pem().decode())
    with urllib.request.urlopen(f"https://localhost:{port}/{path}", context=context, timeout=60) as answer:
        return answer.read()


def _revoked_at_pebble(port: int, issued: IssuedChain) -> str | None:
    told = json.loads(_managed(port, f"cert-status-by-serial/{issued.serial:x}"))
    return str(told.get("Reason", 0)) if told["Status"] == "Revoked" else None


class _Answers(BaseHTTPRequestHandler):
    challenges: HeldChallenges

    def do_GET(self) -> None:
        found = self.challenges.answer(self.path.removeprefix("/.well-known/acme-challenge/"))
        self.send_response(404 if found is None else 200)
        self.end_headers()
        self.wfile.write((found or "").encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def answering(challenges: HeldChallenges) -> Iterator[int]:
    """Port 80 of `ADDRESS`, and the port of a name server that calls everything that."""

    class Handler(_Answers):
        pass

    Handler.challenges = challenges
    try:
        web = ThreadingHTTPServer((ADDRESS, 80), Handler)
    except OSError as error:
        missing(f"port 80 of {ADDRESS}, where OpenBao asks for its challenges, can't be had: {error}")
    web.daemon_threads = True
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 0))
    threads = [
        threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True),
        threading.Thread(target=_call_everything, args=(names,), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield names.getsockname()[1]
    finally:
        web.shutdown()
        web.server_close()
        names.close()


def _call_everything(names: socket.socket) -> None:
    """DNS (RFC 1035), as far as one A record."""
    while True:
        try:
            question, peer = names.recvfrom(512)
        except OSError:
            return
        end = question.index(b"\0", 12) + 5
        (kind,) = struct.unpack("!H", question[end - 4 : end - 2])
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + socket.inet_aton(ADDRESS)
        answers = 1 if kind == 1 else 0
        head = question[:2] + struct.pack("!HHHHH", 0x8580, 1, answers, 0, 0)
        names.sendto(head + question[12:end] + (record if answers else b""), peer)


def configure_bao(port: int, own_url: str, name_server: int) -> None:
    """Make `pki_int` an ACME server that is reached at `own_url`, and asks for an external account."""
    tuned = {"allowed_response_headers": ["Replay-Nonce", "Location", "Link", "Last-Modified"]}
    bao(port, "POST", "sys/mounts/pki_int/tune", tuned)
    bao(port, "POST", "pki_int/config/cluster", {"path": f"{own_url}/v1/pki_int"})
    bao(port, "POST", "pki_int/roles/acme", {**BAO_ROLE, "use_csr_common_name": True, "use_csr_sans": True})
    bao(
        port, "POST", "pki_int/config/acme",
        {"enabled": True, "eab_policy": "always-required", "default_directory_policy": "role:acme",
         "allowed_roles": ["acme"], "allow_role_ext_key_usage": True, "dns_resolver": f"127.0.0.1:{name_server}"},
    )  # fmt: skip


def bao_account(port: int, root_pem: str) -> CAServer:
    """OpenBao takes each external account once."""
    made = bao(port, "POST", "pki_int/acme/new-eab", {})["data"]
    return CAServer(
        url=f"http://127.0.0.1:{port}",
        root_pem=root_pem,
        settings={"eabKeyId": made["id"]},
        secrets={"eabHmacKey": made["key"], "accountKey": "33" * 32},
        wrong_secrets={"eabHmacKey": WRONG_KEY, "accountKey": "44" * 32},
        revoked=partial(revoked_at_bao, port),
    )
