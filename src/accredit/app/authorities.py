"""The configured authorities, made from their records when they are first needed and made anew when those change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from accredit.domain.authority import AuthorityRecord
from accredit.domain.ids import AuthorityName
from accredit.interfaces import Authority, Store

# A connector's code is loaded when a fleet uses it. The linter can't see these imports: a test loads each.
CONNECTORS: Mapping[str, str] = {
    "BuiltIn": "accredit.authorities.builtin:BuiltInAuthority",
    "DigiCertCertificateAuthority": "accredit.authorities.digicert.one:DigiCertOne",
}


def connector(kind: str) -> Any:
    """The class behind a `certificateAuthorityType`."""
    module, name = CONNECTORS[kind].split(":")
    return getattr(import_module(module), name)


class ConfiguredAuthorities:
    """`interfaces.Authorities` over the store. `make` turns a record into its connector."""

    def __init__(self, store: Store, make: Callable[[AuthorityRecord], Authority]) -> None:
        self._store = store
        self._make = make
        self._made: dict[AuthorityName, Authority] = {}

    async def get(self, name: AuthorityName) -> Authority | None:
        record = await self._store.authority(name)
        if record is None:
            self._made.pop(name, None)
            return None
        made = self._made.get(name)
        if made is None or made.version != record.version:
            made = self._made[name] = self._make(record)
        return made
