"""A DigiCert ONE IoT Trust Manager that really signs: the outside CA of the tests, of the demo's trials and of kill campaigns.

It speaks `POST /iot/api/v1/certificate` and the list `GET /iot/api/v1/certificate/`, revokes, checks the API key and the
profile, and writes every signature to an append-only ledger (JSON lines) that is on disk before the answer leaves.
It can be told to misbehave in every way of `FAULTS`: the next orders in turn (`faults`), or at random from a seed
(`rates`: fault -> probability). Over HTTP: `POST /_fake/faults` with any of `{"faults": [...], "rates": {...},
"list_faults": [...], "seed": n, "delay_s": n, "held": bool, "pending_lists": n}`, `POST /_fake/release` (finish what is pending), `GET /_fake/ledger`,
`GET /_fake/root`.

    async with DigiCertOneServer() as server: ...         # server.url, server.signed, server.root_pem
    python tests/support/digicert_one.py --port 9400 --ledger signed.jsonl      # needs cryptography only
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import ssl
import sys
import time
import uuid
from collections import deque
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

if not __package__:  # started as a script
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.digicert_faults import FAULTS, UNSIGNED_FAULTS, error, refusal
from support.fake_http import Answer, Call, FakeHTTP, document
from support.small_issuer import Issuer, new_key, pem

API_KEY = "01fake-digicert-api-key_0123456789"
PROFILE = "IOT_7d6e2c0a-5b0e-4c52-9f0e-0d5c5f6b1a11"
PATH = "/iot/api/v1/certificate"
REASONS = frozenset({
    "unspecified", "key_compromise", "affiliation_changed", "suspended", "cessation_of_operation", "certificate_hold",
    "privilege_withdrawn", "aa_compromise",
})  # fmt: skip


class DigiCertOneServer(FakeHTTP):
    """`signed` and `calls` are what the test looks at afterwards; `faults` and `rates` may be changed at any time."""

    def __init__(
        self,
        *,
        port: int = 0,
        ledger: Path | None = None,
        api_key: str = API_KEY,
        profiles: frozenset[str] = frozenset({PROFILE}),
        validity_s: int = 30 * 86_400,
        tls: ssl.SSLContext | None = None,
        now=time.time,
        seed: int = 0,
    ) -> None:
        super().__init__(port=port, tls=tls)
        self._now = now
        self._ledger = ledger
        self.api_key, self.profiles, self.validity_s = api_key, profiles, validity_s
        self.issuer = Issuer("Fake DigiCert", now())
        self.stranger = Issuer("Stranger", now())
        self.faults: deque[str] = deque()
        self.rates: dict[str, float] = {}
        self.pending_lists = 1
        self.ignores_common_name = False
        self.page_limit = 20
        self.list_faults: deque[str] = deque()
        self.signed: list[dict[str, object]] = []
        self.revoked: list[dict[str, object]] = []
        self._records: list[dict[str, object]] = []
        self._pending: list[tuple[dict[str, object], dict[str, object], int]] = []
        self._random = random.Random(seed)

    @property
    def root_pem(self) -> str:
        return pem(self.issuer.root)

    def administered(self, call: Call) -> Answer:
        match (call.method, call.path):
            case ("POST", "/_fake/faults"):
                told = json.loads(call.body or b"{}")
                unknown = (set(told.get("faults", ())) | set(told.get("rates", ()))) - FAULTS
                if unknown:
                    return document(400, {"unknown": sorted(unknown)})
                self.faults.extend(told.get("faults", ()))
                self.list_faults.extend(told.get("list_faults", ()))
                self.rates = dict(told.get("rates", self.rates))
                self.delay_s = float(told.get("delay_s", self.delay_s))
                if told.get("held", not self.answers.is_set()):
                    self.answers.clear()
                else:
                    self.answers.set()
                self.pending_lists = int(told.get("pending_lists", self.pending_lists))
                if "seed" in told:
                    self._random = random.Random(told["seed"])
                return document(200, {"faults": list(self.faults), "rates": self.rates})
            case ("POST", "/_fake/release"):
                return document(200, {"released": self.release()})
            case ("GET", "/_fake/ledger"):
                return document(200, self.signed)
            case ("GET", "/_fake/root"):
                return Answer(200, self.root_pem.encode(), content_type="application/x-pem-file")
        return document(404, {})

    # The API.

    def answer(self, call: Call) -> tuple[str | None, Answer]:
        if call.headers.get("x-api-key") != self.api_key:
            return None, error(401, "invalid_api_key", "The API key is not valid.")
        if call.method == "PUT" and call.path.startswith(PATH + "/") and call.path.endswith("/revoke"):
            return None, self._revoke(call.path.split("/")[-2], call.body)
        if call.path != PATH:
            return None, error(404, "resource_not_found", "There is no such resource.")
        if call.method == "GET":
            fault = self.list_faults.popleft() if self.list_faults else None
            return fault, refusal(fault, self._now(), call.headers) or self._list(call.query)
        if call.method != "POST":
            return None, error(400, "invalid_request", "POST or GET.")
        fault = self._next_fault()
        if fault in UNSIGNED_FAULTS:
            return fault, refusal(fault, self._now(), call.headers) or Answer(200, b"")
        return fault, self._enroll(call, fault)

    def _next_fault(self) -> str | None:
        if self.faults:
            return self.faults.popleft()
        drawn = self._random.random()
        for fault, rate in sorted(self.rates.items()):
            drawn -= rate
            if drawn < 0:
                return fault
        return None

    def read_order(self, body: bytes) -> tuple[str, str, x509.CertificateSigningRequest]:
        """Profile, common name and CSR; raises what Python raises of a document that is not one."""
        told = json.loads(body)
        attributes = told["certificate_profile_attributes"]
        name = next(item["value"] for item in attributes if item["id"] == "subject.common_name")
        device = next(
            item["value"] for item in told["device_attributes"] if item["id"] == "DEVICE_IDENTIFIER"
        )
        if device != name:
            raise ValueError("DEVICE_IDENTIFIER")
        return told.get("enrollment_profile_id"), name, x509.load_pem_x509_csr(told["csr"].encode())

    def awaiting(self, entry: dict[str, object]) -> Answer:
        """The answer to an order that is not signed yet."""
        return document(200, {"certificate_request_id": entry["requestId"], "status": "PENDING_APPROVAL"})

    def enrolled(self, entry: dict[str, object], leaf: x509.Certificate, blocks: list[str]) -> Answer:
        """The answer to an order that is signed; the blocks are the PEM of leaf and chain, as a fault left them."""
        return document(200, {
            "certificate_request_id": entry["requestId"], "status": "AUTO_APPROVED", "result": "SUCCESS",
            "certificate_id": entry["certificateId"], "pem": "".join(blocks),
        })  # fmt: skip

    def _enroll(self, call: Call, fault: str | None) -> Answer:
        try:
            profile, name, csr = self.read_order(call.body)
        except (ValueError, KeyError, StopIteration, AttributeError):
            return error(400, "invalid_input", "The enrollment document can't be read.")
        if profile not in self.profiles:
            return error(403, "access_denied", "The profile is not yours.")
        if not csr.is_signature_valid:
            return error(400, "invalid_input", "The CSR's signature is not valid.")
        entry = {"profile": profile, "requestId": str(uuid.uuid4()), "fault": fault}
        if fault == "pending":
            self._pending.append((entry, {"name": name, "csr": csr}, self.pending_lists))
            return self.awaiting(entry)
        leaf, chain = self._sign(entry, name, csr, fault)
        return self._delivery(entry, fault, leaf, chain)

    def _sign(self, entry, name, csr, fault) -> tuple[x509.Certificate, list[x509.Certificate]]:
        """Sign, put it on the list and into the ledger; return the leaf and what stands above it."""
        now = datetime.fromtimestamp(int(self._now()), UTC)
        begins, ends = now - timedelta(minutes=10), now + timedelta(seconds=self.validity_s)
        match fault:
            case "expired":
                begins, ends = now - timedelta(days=2), now - timedelta(days=1)
            case "not-yet":
                begins = now + timedelta(hours=1)
            case "too-long":
                ends = now + timedelta(days=3650)
        subject = "somebody-else" if fault == "another-name" else name
        key = new_key().public_key() if fault == "another-key" else csr.public_key()
        issuer = self.stranger if fault == "stranger" else self.issuer
        leaf = issuer.leaf(subject, key, begins, ends, ca=fault == "ca-true")
        chain = [issuer.intermediate, issuer.root]
        if fault == "broken-chain":
            chain = [self.stranger.intermediate, self.stranger.root]
        self._record(entry, leaf, chain)
        return leaf, chain

    def _record(self, entry, leaf, chain) -> None:
        der = leaf.public_bytes(Encoding.DER)
        spki = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        name = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        line = {
            "at": self._now(), "serial": f"{leaf.serial_number:X}", "sha256": sha256(der).hexdigest(),
            "spkiSha256": sha256(spki).hexdigest(), "commonName": name, "certificateId": str(uuid.uuid4()),
            "pem": pem(leaf), **entry,
        }  # fmt: skip
        if self._ledger is not None:
            with self._ledger.open("a") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
        self.signed.append(line)
        entry["certificateId"] = line["certificateId"]
        self._records.append({
            "id": line["certificateId"], "common_name": name, "serial_number": line["serial"], "status": "ISSUED",
            "body": line["pem"], "chain": [{"blob": pem(above)} for above in chain], "_profile": entry["profile"],
        })  # fmt: skip

    def _delivery(self, entry, fault, leaf, chain) -> Answer:
        blocks = [pem(leaf), *map(pem, chain)]
        match fault:
            case "wrong-order":
                blocks.reverse()
            case "root-missing":
                blocks.pop()
            case "junk-around":
                blocks = [
                    "Bag Attributes\r\n",
                    *(block.replace("\n", "\r\n") + "subject=x\n" for block in blocks),
                ]
            case "unreadable":
                blocks = [blocks[0].replace("A", "B")]
        answer = self.enrolled(entry, leaf, blocks)
        match fault:
            case "error-500" | "error-502" | "error-504" | "error-507":
                return error(int(fault[-3:]), "internal_error", "Something went wrong.")
            case "duplicate":
                return error(400, "duplicate_error", "There is such a certificate.")
            case "html":
                return Answer(200, b"<html>Please log in</html>", content_type="text/html")
            case "gzip":
                return Answer(200, b"\x1f\x8b not really", {"Content-Encoding": "gzip"})
            case "garbage":
                return Answer(200, answer.body[: len(answer.body) // 2])
            case "empty":
                return Answer(200, b"")
            case "nameless":
                return document(200, {"status": "AUTO_APPROVED"})
        return answer

    def _approve(self) -> None:
        """Sign what has waited for long enough; called by whatever asks."""
        kept = []
        for entry, wanted, lists in self._pending:
            if lists > 0:
                kept.append((entry, wanted, lists - 1))
            else:
                self._sign(entry, wanted["name"], wanted["csr"], None)
        self._pending = kept

    def _list(self, query: dict[str, str]) -> Answer:
        self._approve()
        rows = [
            {name: value for name, value in record.items() if name != "_profile"}
            for record in self._records
            if query.get("enrollment_profile_id") in {None, record["_profile"]}
            and (self.ignores_common_name or query.get("common_name") in {None, record["common_name"]})
            and query.get("status") in {None, record["status"]}
            and query.get("serial_number") in {None, record["serial_number"]}
        ]
        offset = int(query.get("offset", "0"))
        limit = min(int(query.get("limit", "20")), self.page_limit)
        return document(200, {"records": rows[offset : offset + limit]})

    def _revoke(self, reference: str, body: bytes) -> Answer:
        told = json.loads(body)
        if told.get("reason") not in REASONS:
            return error(400, "invalid_input", "reason is not one of the allowed values.")
        for record in self._records:
            if record["id"] == reference:
                if record["status"] == "REVOKED":
                    return error(400, "invalid_status", "The certificate is not issued.")
                record["status"] = "REVOKED"
                self.revoked.append({"serial": record["serial_number"], **told})
                return Answer(204, b"")
        return error(404, "entity_not_found", "There is no such certificate.")

    def release(self) -> int:
        """Issue everything that is pending."""
        pending, self._pending = self._pending, []
        for entry, wanted, _ in pending:
            self._sign(entry, wanted["name"], wanted["csr"], None)
        return len(pending)


async def _run(arguments: argparse.Namespace) -> None:
    server = DigiCertOneServer(
        port=arguments.port,
        ledger=arguments.ledger,
        api_key=arguments.api_key,
        profiles=frozenset(arguments.profile or [PROFILE]),
        validity_s=arguments.validity_s,
        seed=arguments.seed,
    )
    for text in arguments.rate:
        fault, _, rate = text.partition("=")
        if fault not in FAULTS:
            raise SystemExit(f"{fault} is not a fault; there are {', '.join(sorted(FAULTS))}")
        server.rates[fault] = float(rate)
    server.delay_s = arguments.delay_s
    server.silent_s = 0  # who waits for it is another process
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with server:
        if arguments.root is not None:
            arguments.root.write_text(server.root_pem)
        print(
            json.dumps({"url": server.url, "apiKey": server.api_key, "profiles": sorted(server.profiles)}),
            flush=True,
        )
        await stopped.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake DigiCert ONE on loopback.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger", type=Path)
    parser.add_argument("--root", type=Path, help="write the root certificate here")
    parser.add_argument("--api-key", default=API_KEY)
    parser.add_argument("--profile", action="append")
    parser.add_argument("--validity-s", type=int, default=30 * 86_400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--delay-s", type=float, default=0.0)
    parser.add_argument("--rate", action="append", default=[], metavar="FAULT=PROBABILITY")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
