"""Fakes of CAs that can't be had here, over the fake of DigiCert ONE: the same faults and ledger, in other dialects.

They sign for real, and follow the documents that the connectors name: DigiCert's Trust Lifecycle Manager and CertCentral,
and EJBCA's REST API (`ssl_context` makes it demand a client certificate).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from support.digicert_faults import UNSIGNED_FAULTS, error, refusal
from support.digicert_one import DigiCertOneServer
from support.fake_http import Answer, Call, document
from support.small_issuer import pem

REASONS = frozenset({
    "unspecified", "key_compromise", "ca_compromise", "affiliation_changed", "superseded", "cessation_of_operation",
    "certificate_hold", "remove_from_crl", "privilege_withdrawn", "aa_compromise",
})  # fmt: skip


class _Dialect(DigiCertOneServer):
    """What the dialects have in common: one path that orders, and a table of the others."""

    orders = ("POST", "")
    key_header = "x-api-key"

    def answer(self, call: Call) -> tuple[str | None, Answer]:
        if self.key_header and call.headers.get(self.key_header) != self.api_key:
            return None, error(401, "invalid_api_key", "The API key is not valid.")
        if (call.method, call.path) == self.orders:
            fault = self._next_fault()
            told = refusal(fault, self._now(), call.headers) if fault in UNSIGNED_FAULTS else None
            if fault in UNSIGNED_FAULTS:
                return fault, self.worded(told or Answer(200, b""))
            return fault, self.worded(self._enroll(call, fault))
        fault = self.list_faults.popleft() if self.list_faults else None
        spoiled = refusal(fault, self._now(), call.headers)
        return fault, self.worded(spoiled or self.asked(call))

    def worded(self, answer: Answer) -> Answer:
        return answer

    def asked(self, call: Call) -> Answer:
        raise NotImplementedError

    def rows(self, **filters: str) -> Iterator[dict]:
        self._approve()
        for row in self._records:
            if all(str(row[name]).lower() == value.lower() for name, value in filters.items()):
                yield row

    def rows_numbered(self, serial: str) -> list[dict]:
        """Those of one serial number, with or without a zero in front."""
        return [row for row in self.rows() if int(row["serial_number"], 16) == int(serial, 16)]

    def put_down(self, row: dict, told: dict, reason: str) -> Answer | None:
        """Revoke; the refusal where that can't be."""
        if told.get(reason) not in REASONS:
            return error(400, "invalid_input", f"{reason} is not one of the allowed values.")
        if row["status"] == "REVOKED":
            return error(400, "already_revoked", "The certificate is revoked.")
        row["status"] = "REVOKED"
        self.revoked.append({"serial": row["serial_number"], **told})
        return None


class MpkiServer(_Dialect):
    orders = ("POST", "/mpki/api/v1/certificate")
    profile_status = "Active"

    def read_order(self, body):
        told = json.loads(body)
        name = told["attributes"]["subject"]["common_name"]
        assert told["delivery_format"] == "x509"
        assert told["include_ca_chain"] is True
        if told["seat"]["seat_id"] != name:
            raise ValueError("seat")
        return told["profile"]["id"], name, x509.load_pem_x509_csr(told["csr"].encode())

    def enrolled(self, entry, leaf, blocks):
        row = self._records[-1]
        return document(
            201,
            {
                "serial_number": row["serial_number"],
                "delivery_format": "x509",
                "certificate": "".join(blocks),
            },
        )

    def asked(self, call):
        if found := re.fullmatch(r"/mpki/api/v2/profile/(.+)", call.path):
            if found[1] not in self.profiles:
                return error(403, "access_denied", "There is no such profile.")
            return document(200, {"id": found[1], "name": "devices", "status": self.profile_status})
        if call.path == "/mpki/api/v1/certificate-search":
            assert call.query["profile_id"] in self.profiles
            assert call.query["seat_id"] == call.query["common_name"]
            rows = self.rows(common_name=call.query["common_name"], status=call.query["status"])
            items = [self._shown(row) for row in rows]
            return document(200, {"total": len(items), "offset": 0, "limit": 50, "items": items})
        if found := re.fullmatch(r"/mpki/api/v1/certificate/([0-9A-F]+)(/revoke)?", call.path):
            for row in self.rows_numbered(found[1]):
                if call.method == "GET":
                    return document(200, self._shown(row))
                return self.put_down(row, json.loads(call.body), "revocation_reason") or Answer(204, b"")
        return error(404, "entity_not_found", "There is no such resource.")

    def _shown(self, row):
        bundle = row["body"] + "".join(link["blob"] for link in row["chain"])
        return {
            "certificate": bundle,
            "common_name": row["common_name"],
            "serial_number": row["serial_number"],
            "status": row["status"].lower(),
        }


def _number(name: object) -> int:
    """CertCentral counts what DigiCert ONE gives long names."""
    return int(str(name)[:8], 16)


class CertCentralServer(_Dialect):
    """`instant`: whether what is issued at once comes with the answer."""

    PRODUCT = "private_client_auth"
    ORGANIZATION = 4711
    orders = ("POST", f"/services/v2/order/certificate/{PRODUCT}")
    key_header = "x-dc-devkey"
    instant = True
    turned_down = False

    def read_order(self, body):
        told = json.loads(body)
        assert told["payment_method"] == "balance"
        if told["organization"]["id"] != self.ORGANIZATION:
            raise ValueError("organization")
        certificate = told["certificate"]
        csr = x509.load_pem_x509_csr(certificate["csr"].encode())
        return next(iter(self.profiles)), certificate["common_name"], csr

    def awaiting(self, entry):
        return document(
            201, {"id": _number(entry["requestId"]), "requests": [{"id": 1, "status": "pending"}]}
        )

    def enrolled(self, entry, leaf, blocks):
        if not self.instant:
            return self.awaiting(entry)
        links = [{"subject_common_name": "x", "pem": block} for block in blocks]
        made = {"certificate_id": _number(entry["certificateId"]), "certificate_chain": links}
        return document(201, {"id": _number(entry["requestId"]), **made})

    def _record(self, entry, leaf, chain):
        super()._record(entry, leaf, chain)
        self._records[-1]["order"] = _number(entry["requestId"])

    def asked(self, call):
        path = call.path.removeprefix("/services/v2")
        if path in {f"/product/{self.PRODUCT}", f"/organization/{self.ORGANIZATION}"}:
            return document(200, {"id": 1})
        if path == "/order/certificate":
            rows = self.rows(
                common_name=call.query["filters[common_name]"], status=call.query["filters[status]"]
            )
            return document(200, {"orders": [self._order(row) for row in rows]} if self._records else {})
        if found := re.fullmatch(r"/order/certificate/(\w+)", path):
            waiting = [entry for entry, _, _ in self._pending if str(_number(entry["requestId"])) == found[1]]
            for row in self.rows():
                if found[1] == str(row["order"]) or row in self.rows_numbered(found[1]):
                    return document(200, self._order(row))
            if waiting:
                return document(200, {"id": 1, "status": "rejected" if self.turned_down else "pending"})
        if found := re.fullmatch(r"/certificate/(\d+)/(download/format/pem_all|revoke)", path):
            for row in self.rows():
                if str(_number(row["id"])) == found[1]:
                    if found[2] == "revoke":
                        told = json.loads(call.body)
                        return self.put_down(row, told, "revocation_reason") or document(201, {"id": 1})
                    bundle = row["body"] + "".join(link["blob"] for link in row["chain"])
                    return Answer(200, bundle.encode(), content_type="application/zip")
        return error(404, "not_found|resource", "There is no such resource.")

    def _order(self, row):
        certificate = {"id": _number(row["id"]), "common_name": row["common_name"]}
        return {"id": row["order"], "status": row["status"].lower(), "certificate": certificate}


class EjbcaServer(_Dialect):
    """`twice`: certificates as base64 of base64. `numbered`: whether a request that waits is told by its number."""

    CA = "Fleet CA"
    API = "/ejbca/ejbca-rest-api/v1"
    orders = ("POST", f"{API}/certificate/pkcs10enroll")
    key_header = ""
    twice = False
    numbered = True

    def worded(self, answer):
        try:
            first = json.loads(answer.body)["errors"][0]
        except (ValueError, KeyError, TypeError):
            return answer
        told = {"error_code": answer.status, "error_message": first["message"]}
        return document(answer.status, told, **answer.headers)

    def read_order(self, body):
        told = json.loads(body)
        names = ("certificate_profile_name", "end_entity_profile_name", "certificate_authority_name")
        assert [told[name] for name in names] == ["Device", "Fleet", self.CA]
        assert told["include_chain"] is True
        self.codes = {**getattr(self, "codes", {}), told["username"]: told["password"]}
        csr = x509.load_pem_x509_csr(told["certificate_request"].encode())
        return next(iter(self.profiles)), told["username"], csr

    def awaiting(self, entry):
        number = f"Request with ID {_number(entry['requestId'])} " if self.numbered else "It "
        return document(202, {"error_code": 202, "error_message": f"{number}awaits approval."})

    def enrolled(self, entry, leaf, blocks):
        certificates = [text for text in map(self._encoded, blocks) if text]
        return document(201, {
            "certificate": certificates[0], "serial_number": f"{leaf.serial_number:x}", "response_format": "DER",
            "certificate_chain": certificates[1:],
        })  # fmt: skip

    def asked(self, call):
        path = call.path.removeprefix(self.API)
        subject = self.issuer.intermediate.subject.rfc4514_string()
        if path == "/ca":
            return document(200, {"certificate_authorities": [{"name": self.CA, "subject_dn": subject}]})
        if unquote(path) == f"/ca/{subject}/certificate/download":
            chain = pem(self.issuer.intermediate) + pem(self.issuer.root)
            return Answer(200, chain.encode(), content_type="application/octet-stream")
        if path == "/certificate/search":
            criteria = {each["property"]: each["value"] for each in json.loads(call.body)["criteria"]}
            assert criteria["CA"] == self.CA
            assert criteria["STATUS"] == "CERT_ACTIVE"
            rows = self.rows(common_name=criteria["QUERY"], status="ISSUED")
            found = [self._text(x509.load_pem_x509_certificate(row["body"].encode())) for row in rows]
            return document(
                200, {"certificates": [{"certificate": text} for text in found], "more_results": False}
            )
        if found := re.fullmatch(r"/certificate/(\d+)/finalize", path):
            return self._finalized(found[1], json.loads(call.body))
        if found := re.fullmatch(r"/certificate/([^/]+)/([0-9A-F]+)/revoke", path):
            for row in self.rows_numbered(found[2]):
                if unquote(found[1]) != subject:
                    break
                if row["status"] == "REVOKED":
                    return error(409, "", "The certificate has already been revoked.")
                row["status"] = "REVOKED"
                self.revoked.append({"serial": found[2], "reason": call.query["reason"]})
                return document(200, {"revoked": True, "revocation_reason": call.query["reason"]})
        return error(404, "", "There is no such resource.")

    def _finalized(self, number: str, told: dict) -> Answer:
        assert told["response_format"] == "DER"
        waiting = [entry for entry, _, _ in self._pending if str(_number(entry["requestId"])) == number]
        for row in self.rows():
            if str(row.get("order")) == number:
                if self.codes[row["common_name"]] != told["password"]:
                    return error(400, "", "Wrong enrollment code.")
                leaf = x509.load_pem_x509_certificate(row["body"].encode())
                return document(201, {"certificate": self._text(leaf), "response_format": "DER"})
        if waiting:
            return error(202, "", f"Request with Id '{number}' is still waiting for approval")
        return error(400, "", f"Request with Id '{number}' has been rejected")

    def _record(self, entry, leaf, chain):
        super()._record(entry, leaf, chain)
        self._records[-1]["order"] = _number(entry["requestId"])

    def _encoded(self, block: str) -> str:
        """The base64 of a PEM block, without what a fault put around it."""
        found = re.search(r"-----BEGIN CERTIFICATE-----(.*)-----END CERTIFICATE-----", block, re.DOTALL)
        text = "".join(found[1].split()) if found else ""
        return base64.b64encode(text.encode()).decode() if self.twice else text

    def _text(self, certificate: x509.Certificate) -> str:
        text = base64.b64encode(certificate.public_bytes(Encoding.DER))
        return (base64.b64encode(text) if self.twice else text).decode()
