"""Hubs as an operator links them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accredit.domain.changes import SaveLinkedHub
from accredit.domain.linked_hub import HubKind, LinkedHub
from accredit.domain.secret import Secret
from accredit.interfaces import Store
from accredit.linked_hubs.configured import ConfiguredHubs
from accredit.values import replace

LINKED_AT = 1_700_000_000


def embedded(name: str, **facts: Any) -> LinkedHub:
    """One more embedded hub."""
    facts = {"etag": f"etag of {name}", "created_at": LINKED_AT, "updated_at": LINKED_AT} | facts
    return LinkedHub(name, HubKind.EMBEDDED, **facts)


def azure(name: str, **facts: Any) -> LinkedHub:
    """A hub elsewhere."""
    key = Secret(b"HostName=%s;SharedAccessKeyName=x;SharedAccessKey=eA==" % name.encode())
    return replace(embedded(name, connection_string=key, **facts), kind=HubKind.AZURE)


async def linked(store: Store, names: Sequence[str]) -> ConfiguredHubs:
    """Link embedded hubs, the first of them under the service's first host name."""
    known = {hub.key for hub in await store.linked_hubs()}
    others = [embedded(name) for name in names[1:] if name.lower() not in known]
    await store.commit([SaveLinkedHub(hub, None) for hub in others])
    return ConfiguredHubs(store, names)
