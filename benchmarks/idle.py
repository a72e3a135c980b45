"""What a device that is connected and silent costs the server: resident memory for each connection to the hub by client certificate.

TLS 1.2 with a client certificate, MQTT CONNECT to CONNACK, then nothing but keep-alives. Clients are processes of their own, each on
loopback addresses of its own, so that there are ports enough. Run alone, it holds many connections for a time and prints how memory goes:

    python -m benchmarks.idle --connections 20000 --hold-s 3600
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import cast

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.cli.local import client
from accredit.domain.access import Realm
from accredit.wire import mqtt, topics
from accredit.wire.mqtt_packets import encode
from benchmarks.cpu import cpu_seconds, resident_bytes
from benchmarks.fleet import client_context
from benchmarks.service import Measured, service

CONNECTIONS = 2_000
OF_A_CLIENT = 5_000
AT_ONCE = 32
KEEP_ALIVE_S = 60
TEMPLATE = "silent"


@dataclass(frozen=True, slots=True)
class IdleFigures:
    """`per_connection_kib` is of resident memory; `grown_kib` what was added to it while they were held; `ping_us` CPU of a keep-alive."""

    connections: int
    per_connection_kib: float
    grown_kib: float
    ping_us: float


class _Silent(asyncio.Protocol):
    """Connects, and answers nothing but by keep-alives."""

    def __init__(self, host: str, device_id: str) -> None:
        name = topics.HubUserName(host, device_id, parameters={"api-version": "2021-04-12"})
        self._connect = encode(
            mqtt.Connect(
                device_id, topics.format_hub_user_name(name), clean_session=False, keep_alive_s=KEEP_ALIVE_S
            )
        )
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._connect)

    def data_received(self, data: bytes) -> None:
        if not self.connected.done():
            if data == encode(mqtt.ConnAck(session_present=False, code=0)):
                self.connected.set_result(None)
            else:
                self.connected.set_exception(RuntimeError(f"the hub answered {data.hex()}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.connected.done():
            self.connected.set_exception(exc or RuntimeError("the hub closed the connection"))


async def _hold(facts: dict[str, str], first: int, count: int) -> None:
    """A client process: say when all are connected, keep them alive until standard input ends, then say how many were lost."""
    trust = client_context(facts["trust"])
    trust.load_cert_chain(facts["certificate"], facts["key"])
    waiting = iter(range(first, first + count))
    silent: list[_Silent] = []

    async def connecting() -> None:
        for number in waiting:
            one = await _connected(facts, number, trust)
            silent.append(one)

    # Connecting them all takes longer than the first ones may be silent.
    alive = asyncio.create_task(_keep_alive(silent))
    await asyncio.gather(*(connecting() for _ in range(AT_ONCE)))
    print("connected", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    alive.cancel()
    print(sum(each.lost for each in silent), flush=True)


async def _keep_alive(silent: list[_Silent]) -> None:
    """Ping each of those that there are by now, again and again, evenly over half of what the hub waits for at least."""
    ping = encode(mqtt.PingReq())
    while True:
        present = list(silent)
        for place, each in enumerate(present):
            if not each.lost:
                each.transport.write(ping)
            if place % 100 == 0:
                await asyncio.sleep(KEEP_ALIVE_S / 2 * 100 / max(len(present), 100))
        await asyncio.sleep(0.1)


async def _connected(facts: dict[str, str], number: int, trust: ssl.SSLContext) -> _Silent:
    address = f"127.98.{number // 1_000 // 250}.{number // 1_000 % 250 + 1}"
    _, one = await asyncio.get_running_loop().create_connection(
        lambda: _Silent(facts["host"], f"{TEMPLATE}-{number}"),
        facts["host"], int(facts["port"]), ssl=trust, server_hostname=facts["host"], local_addr=(address, 0),
    )  # fmt: skip
    await one.connected
    return one


def idle(connections: int, hold_s: float = 20.0) -> IdleFigures:
    """Of a service of its own, that had a hundred connections before: what it needs once is no part of it."""
    with tempfile.TemporaryDirectory(prefix="accredit-idle-") as folder:
        data = Path(folder) / "data"
        facts = _devices(Path(folder), data, connections)
        with service(data, "--log", "warning", "--public-port", "0") as running:
            facts |= {"host": running.host, "port": str(running.mqtt_port), "trust": running.trust_root}
            with _clients(facts, 0, 100):
                pass
            return _held(running, facts, connections, hold_s)


def _held(running: Measured, facts: dict[str, str], connections: int, hold_s: float) -> IdleFigures:
    before = resident_bytes(running.pid)
    with _clients(facts, 0, connections):
        time.sleep(2)
        connected = resident_bytes(running.pid)
        spent, until = cpu_seconds(running.pid), time.monotonic() + hold_s
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 60))
            now = resident_bytes(running.pid)
            print(f"{connections} held: {(now - before) / connections / 1024:.1f} KiB each", file=sys.stderr)
        after = resident_bytes(running.pid)
        pings = connections * hold_s / (KEEP_ALIVE_S / 2)
        return IdleFigures(
            connections,
            (connected - before) / connections / 1024,
            (after - connected) / connections / 1024,
            (cpu_seconds(running.pid) - spent) / pings * 1e6,
        )


def _devices(folder: Path, data: Path, count: int) -> dict[str, str]:
    """Identities that one certificate opens."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
         "-subj", f"/CN={TEMPLATE}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    der = x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)
    proof = {"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": sha256(der).hexdigest()}}
    with service(data, "--public-port", "0") as running:
        api = client(running.data, None, None, Realm.HUB)
        api.call("PUT", f"/devices/{TEMPLATE}", {"deviceId": TEMPLATE, "authentication": proof})
    with closing(sqlite3.connect(data / "accredit.db")) as database:
        found = database.execute("SELECT * FROM hub_devices WHERE device_id = ?", (TEMPLATE,))
        columns = [each[0] for each in found.description]
        row = dict(zip(columns, found.fetchone(), strict=True))
        del row["id"]
        text = f"INSERT INTO hub_devices ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
        copies = ({**row, "device_id": f"{TEMPLATE}-{number}"} for number in range(count))
        database.executemany(text, (tuple(copy.values()) for copy in copies))
        database.commit()
    return {"certificate": str(certificate), "key": str(key)}


@contextmanager
def _clients(facts: dict[str, str], first: int, count: int) -> Iterator[None]:
    """Hold this many connections; raise RuntimeError when one of them was lost."""
    portions = [
        (begin, min(OF_A_CLIENT, first + count - begin)) for begin in range(first, first + count, OF_A_CLIENT)
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.idle", "--client", json.dumps([facts, begin, size])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for begin, size in portions
    ]  # fmt: skip
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "connected\n":
                raise RuntimeError("a client could not connect all of its devices")
        yield
        lost = [process.communicate()[0] for process in processes]
        if any(int(each) for each in lost):
            raise RuntimeError(f"connections were lost: {lost}")
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--hold-s", type=float, default=20.0)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        facts, first, count = json.loads(arguments.client)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_hold(facts, first, count))
        return
    figures = idle(arguments.connections, arguments.hold_s)
    print(json.dumps(asdict(figures)) if arguments.json else figures)


if __name__ == "__main__":
    main()
