"""A service to speak to: this machine's, found through its data folder, or a remote one's connection string."""

from __future__ import annotations

import binascii
import os
import ssl
import sys
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from accredit.cli.problem import Problem
from accredit.domain.secret import Secret
from accredit.wire import sas

if TYPE_CHECKING:
    import httpx

API_VERSION = "2021-10-01"
TOKEN_LIFE_S = 3_600
PAGE_ROWS = 1_000


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
        address = f"[{self.address}]" if ":" in self.address else self.address
        return self.url.replace(f"//{self.host}", f"//{address}", 1)

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
        return cls(host.split(":")[0], f"https://{host}", policy, key, trust)


def _decoded(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode(), strict_mode=True)
    except ValueError:
        raise Problem("SharedAccessKey in the connection string is not base64.") from None


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
        import httpx  # noqa: PLC0415 - a tenth of a second that `serve` does not need

        self._http = httpx.Client(
            base_url=connection.reached_at,
            verify=context,
            trust_env=False,
            timeout=httpx.Timeout(60, connect=5),
        )
        self.close = weakref.finalize(self, self._http.close)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> httpx.Response:
        """One call, signed; raises Problem for every answer that is not a success."""
        import httpx  # noqa: PLC0415 - see above

        connection = self._connection
        token = sas.make(
            connection.host, connection.key.reveal(), int(time.time()) + TOKEN_LIFE_S, connection.policy
        )
        try:
            answer = self._http.request(
                method,
                path,
                params={"api-version": API_VERSION, **(query or {})},
                json=body,
                headers={
                    **(headers or {}),
                    "host": connection.url.removeprefix("https://"),
                    "authorization": token,
                },
                extensions={"sni_hostname": connection.host} if connection.address else None,
            )
        except httpx.ConnectError as error:
            raise Problem(
                f"No service answers at {connection.url} ({error}); start one with `accredit serve`, "
                "or name another with --connection-string."
            ) from None
        except httpx.HTTPError as error:
            raise Problem(f"{connection.url} did not answer as it should: {error}.") from None
        if answer.is_error:
            raise Problem(_reason(answer))
        return answer

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


def _reason(answer: httpx.Response) -> str:
    try:
        document = answer.json()
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
