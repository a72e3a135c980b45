"""A service to speak to: this machine's, found through its data folder, or a remote one's connection string."""

from __future__ import annotations

import binascii
import json
import os
import ssl
import sys
import time
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from accredit import __version__
from accredit.cli.problem import Problem
from accredit.domain.secret import Secret
from accredit.values import dataclass
from accredit.wire import sas

API_VERSION = "2021-10-01"
TOKEN_LIFE_S = 3_600
PAGE_ROWS = 1_000

_TIMEOUTS_S = {"connect": 5.0, "read": 60.0, "write": 60.0, "pool": 60.0}
_MAX_CONNECTIONS = 100


@dataclass(frozen=True, slots=True)
class Connection:
    """`host` is signed for, `url` is spoken to, `trust` is the PEM file that TLS must chain to (None: the system's).

    `address` is where the host of `url` is, where its name need not be looked up.
    """

    host: str
    url: str
    policy: str
    key: Secret
    trust: Path | None
    address: str = ""

    @property
    def reached_at(self) -> str:
        """The URL with the address in the place of the name."""
        if not self.address:
            return self.url
        return self.url.replace(f"//{_in_url(self.host)}", f"//{_in_url(self.address)}", 1)

    @classmethod
    def parse(cls, text: str, trust: Path | None) -> Connection:
        """Read `HostName=...;SharedAccessKeyName=...;SharedAccessKey=...`; the host may carry a port."""
        parts = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
        try:
            host, policy = parts["HostName"], parts["SharedAccessKeyName"]
            key = Secret(_decoded(parts["SharedAccessKey"]))
        except KeyError as missing:
            raise Problem(
                f"The connection string has no {missing.args[0]}; "
                "it reads HostName=...;SharedAccessKeyName=...;SharedAccessKey=..."
            ) from None
        if not host.isascii():
            raise Problem(f"HostName {host} has letters that no URL has; write it as DNS has it (xn--...).")
        return cls(_without_port(host), f"https://{host}", policy, key, trust)


def _in_url(host: str) -> str:
    """An IPv6 address stands in brackets (RFC 3986 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def _without_port(host: str) -> str:
    """The host of a URL, an IPv6 address without its brackets."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _decoded(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode(), strict_mode=True)
    except ValueError:
        raise Problem("SharedAccessKey in the connection string is not base64.") from None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered; the names of `headers` are in lower case."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The body's document. Raises Problem where it is none: then something else than a service has answered."""
        try:
            return json.loads(self.content)
        except ValueError:
            raise Problem(
                f"What answered {self.status_code} without a JSON document is no service."
            ) from None


class ServiceClient:
    """The service API from the operator's side; every failure is a Problem with the service's own words.

    Its connections end by `close`, or when nobody holds it any more: a command needs it to its last line.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        try:
            context = ssl.create_default_context(cafile=connection.trust and str(connection.trust))
        except OSError as error:
            raise Problem(
                f"The trust root {connection.trust} can't be used ({error}); name a file of PEM certificates."
            ) from None
        # The operator's own TLS files seldom hold their root: what stands in the trusted file is trusted as it is.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        import httpcore  # noqa: PLC0415 - a command that calls no service need not load it

        self._pool = httpcore.ConnectionPool(context, max_connections=_MAX_CONNECTIONS)
        self.close = weakref.finalize(self, self._pool.close)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> Answer:
        """One call, signed; raises Problem for every answer that is not a success."""
        import httpcore  # noqa: PLC0415 - see above

        connection = self._connection
        asked = urlencode({"api-version": API_VERSION, **(query or {})})
        content = b"" if body is None else json.dumps(body).encode()
        try:
            response = self._pool.request(
                method,
                f"{connection.reached_at}{path}?{asked}",
                headers=list(self._headers(headers, has_body=body is not None).items()),
                content=content if content or method != "GET" else None,
                extensions={
                    "timeout": _TIMEOUTS_S,
                    "sni_hostname": connection.host if connection.address else None,
                },
            )
        except httpcore.ConnectError as error:
            raise Problem(
                f"No service answers at {connection.url} ({error}); start one with `accredit serve`, "
                "or name another with --connection-string."
            ) from None
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise Problem(f"{connection.url} did not answer as it should: {error}.") from None
        except ValueError:
            raise Problem(f"{connection.url} is no address that a service can have.") from None
        told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        answer = Answer(response.status, told, response.content)
        if not 200 <= answer.status_code < 300:
            raise Problem(_reason(answer))
        return answer

    def _headers(self, given: Mapping[str, str] | None, *, has_body: bool) -> dict[str, str]:
        connection = self._connection
        token = sas.make(
            connection.host, connection.key.reveal(), int(time.time()) + TOKEN_LIFE_S, connection.policy
        )
        kind = {"content-type": "application/json"} if has_body else {}
        return {
            **kind,
            **(given or {}),
            "host": connection.url.removeprefix("https://"),
            "user-agent": f"accredit/{__version__}",
            "accept-encoding": "identity",
            "authorization": token,
        }

    def rows(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str | int] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Every row of a listing, page by page."""
        headers = {"x-ms-max-item-count": str(PAGE_ROWS)}
        while True:
            answer = self.call(method, path, body, headers=headers, query=query)
            yield from answer.json()
            continuation = answer.headers.get("x-ms-continuation")
            if not continuation:
                return
            headers["x-ms-continuation"] = continuation


def _reason(answer: Answer) -> str:
    try:
        document = json.loads(answer.content)
        return f"{document['message']} (error {document['errorCode']}, tracking id {document['trackingId']})"
    except (ValueError, KeyError, TypeError):
        return f"The service answered {answer.status_code} without saying why."


def text_of(path: Path) -> str:
    """What a file holds that an option names; `-` is standard input. Raises Problem."""
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path} can't be read: {error}.") from None


def resource(collection: str, *names: str) -> str:
    """The path of a resource; a name that was typed can't lead to another one."""
    for name in names:
        if name in {".", ".."}:
            raise Problem(f"{name!r} is no name that a resource can have.")
    return "/".join((collection, *(quote(name, safe="") for name in names)))


def selection(source: str, where: str | None) -> dict[str, str]:
    """The body of a query for everything of `source`, or what the condition selects."""
    query = f"SELECT * FROM {source}"  # noqa: S608 - the service's own language, which nothing runs
    return {"query": query if where is None else f"{query} WHERE {where}"}


def given(connection_string: str | None) -> str | None:
    """The connection string of the flag or of the environment."""
    return connection_string or os.environ.get("ACCREDIT_CONNECTION_STRING") or None
