"""What the first start makes, and no later one changes: id scope, policies with random keys, the built-in CA, the TLS root."""

from __future__ import annotations

from collections.abc import Sequence

from accredit.administration import names
from accredit.app.first_names import HUB_OWNER, ID_SCOPE, OWNER
from accredit.authorities.builtin import BuiltInAuthority
from accredit.ca.server_identity import ServerIdentity, TLSRoot, make_root, make_server
from accredit.domain.access import Policy, Realm, Right
from accredit.domain.changes import Change, SaveAuthority, SavePolicy, SaveState
from accredit.domain.ids import AuthorityName
from accredit.domain.secret import Secret
from accredit.interfaces import Clock, Entropy, Stale, Store
from accredit.wire.service_api.policies import RIGHTS

TLS_ROOT = "tls-root"
TLS_SERVER = "tls-server"

KEY_BYTES = 32

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

BUILT_IN = AuthorityName.parse("builtin")

# Azure: the default policies of an IoT hub.
_HUB: dict[str, tuple[Right, ...]] = {
    HUB_OWNER: RIGHTS[Realm.HUB],
    "service": (Right.SERVICE_CONNECT,),
    "device": (Right.DEVICE_CONNECT,),
    "registryRead": (Right.REGISTRY_READ,),
    "registryReadWrite": (Right.REGISTRY_READ, Right.REGISTRY_WRITE),
}


async def found(store: Store, clock: Clock, entropy: Entropy, public_url: str | None = None) -> str:
    """Make what is missing, in one unit of work; return the id scope."""
    known = await store.state(ID_SCOPE)
    if known is not None:
        return known.reveal().decode()
    id_scope = "0ne" + "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in entropy.token(8))
    root = make_root("accredit service root", int(clock.now()))
    unit: list[Change] = [
        SaveState(ID_SCOPE, Secret(id_scope.encode()), None),
        SaveState(TLS_ROOT, root.secret(), None),
        SaveAuthority(BuiltInAuthority.found(BUILT_IN, entropy, clock, public_url), None),
    ]
    ours = RIGHTS[Realm.PROVISIONING]
    rights = {OWNER: ours, **{right.value: (right,) for right in ours}}
    now = int(clock.now())
    unit += _policies(Realm.PROVISIONING, rights, entropy, now)
    unit += _policies(Realm.HUB, _HUB, entropy, now)
    try:
        await store.commit(unit)
    except Stale:
        # Another process, which was started at the same moment, was quicker.
        return await found(store, clock, entropy, public_url)
    return id_scope


def _policies(
    realm: Realm, rights: dict[str, tuple[Right, ...]], entropy: Entropy, now: int
) -> Sequence[SavePolicy]:
    return [
        SavePolicy(
            Policy(
                realm,
                name,
                frozenset(held),
                Secret(entropy.token(KEY_BYTES)),
                Secret(entropy.token(KEY_BYTES)),
                names.etag(entropy),
                now,
                now,
            )
        )
        for name, held in rights.items()
    ]


async def server_identity(
    store: Store, names: Sequence[str], clock: Clock
) -> tuple[ServerIdentity, TLSRoot, str | None]:
    """The server certificate under the service's own root, made anew when it is due; the third is why it was."""
    stored_root = await store.state(TLS_ROOT)
    assert stored_root is not None
    root = TLSRoot.read(stored_root)
    stored = await store.state(TLS_SERVER)
    now = int(clock.now())
    if stored is not None:
        identity = ServerIdentity.read(stored)
        reason = identity.renewal_reason(names, now)
        if reason is None:
            return identity, root, None
    else:
        reason = "there is none yet"
    fresh = make_server(root, names, now)
    try:
        await store.commit([SaveState(TLS_SERVER, fresh.secret(), stored)])
    except Stale:
        return await server_identity(store, names, clock)
    return fresh, root, reason
