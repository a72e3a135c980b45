"""Where the database is: libpq's own parameters out of a URL, with what a service needs and the URL does not say.

TLS is among them (`sslmode`, `sslrootcert`, `sslcert`, `sslkey`). The password stays in here: no error text has it.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Any

import certifi
import psycopg
from psycopg.conninfo import conninfo_to_dict

from accredit.stores.schema import DatabaseUnusable

CONNECT_S = 5

_DEFAULTS: Mapping[str, Any] = {
    "connect_timeout": CONNECT_S,
    "application_name": "accredit",
    # A server whose network went away is missed in seconds, not in hours.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

_CHECKED = "verify-full"


class Address:
    def __init__(self, url: str) -> None:
        """Raises DatabaseUnusable."""
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # libpq's own words quote the URL, where a password may stand.
            raise DatabaseUnusable(
                "The database URL can't be read; it has the form "
                "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full, with reserved characters as %XX."
            ) from None
        self._parameters = {**_DEFAULTS, **given, "client_encoding": "UTF8"}
        if given.get("sslrootcert") == "system" and given.get("sslmode", _CHECKED) == _CHECKED:
            # psycopg's wheels bring an OpenSSL that looks for the system's trust where no system has it.
            self._parameters.update(sslmode=_CHECKED, sslrootcert=system_trust())
        hosts = str(given.get("host") or given.get("hostaddr") or "localhost")
        if "," in hosts:
            # Of a primary and its standbys the one that can be written to.
            self._parameters.setdefault("target_session_attrs", "read-write")
        self.server = f"{hosts}:{given.get('port') or 5432}"
        """Host and port, for messages."""

    def __repr__(self) -> str:
        return f"Address({self.server!r})"

    async def connected(self) -> psycopg.AsyncConnection[Any]:
        """A new connection. Raises psycopg.OperationalError, whose text `reason` makes fit to be shown."""
        return await psycopg.AsyncConnection.connect(**self._parameters, autocommit=True)

    def connected_at_once(self) -> psycopg.Connection[Any]:
        """The same for a program that has nothing else to do."""
        return psycopg.connect(**self._parameters, autocommit=True)


def system_trust() -> str:
    """The file of the roots that this machine trusts, or certifi's where it has none."""
    known = ssl.get_default_verify_paths()
    places = [known.cafile, known.capath and os.path.join(known.capath, "ca-certificates.crt")]  # noqa: PTH118 - a text
    return next((place for place in places if place and os.path.isfile(place)), certifi.where())  # noqa: PTH113 - the same


def reason(error: Exception) -> str:
    """Why a connection could not be made: the last line of what may be one for each address that was tried."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    known = [
        line
        for line in lines
        if not line.startswith(("Multiple connection attempts", "- host:", "Is the server"))
    ]
    return (known or lines or ["no reason was given"])[-1].rstrip(".")
