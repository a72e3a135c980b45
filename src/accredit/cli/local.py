"""The commands that read this machine's data folder instead of calling a service: `info` and `sas-token`."""

from __future__ import annotations

import asyncio
import os
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accredit.app.data_folder import CannotStart
from accredit.cli import render
from accredit.cli.connection import Connection, ServiceClient, given
from accredit.cli.problem import Problem
from accredit.config import BadSetting, load
from accredit.domain.access import Realm
from accredit.domain.secret import Secret
from accredit.wire import sas

if TYPE_CHECKING:
    from accredit.app.local import LocalState

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="The service's data folder.")]
Remote = Annotated[
    str | None,
    typer.Option(
        "--connection-string",
        help="Speak to this service instead of the local one (ACCREDIT_CONNECTION_STRING).",
    ),
]
Trust = Annotated[
    Path | None, typer.Option("--trust-root", help="PEM file that the remote service's TLS must chain to.")
]
Where = Annotated[
    str | None,
    typer.Option("--where", help="Only what this condition of the query language selects."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]

MAX_TTL_S = 365 * 86_400


def state(data_dir: Path | None) -> LocalState:
    """What the folder says; raises Problem."""
    try:
        from accredit.app import local  # noqa: PLC0415 - what `serve` does not need, it need not load

        return asyncio.run(local.read(load({"data_dir": data_dir}, os.environ)))
    except (CannotStart, BadSetting) as error:
        raise Problem(str(error)) from None


def client(
    data_dir: Path | None, remote: str | None, trust: Path | None, realm: Realm = Realm.PROVISIONING
) -> ServiceClient:
    """The service that a command speaks to: the named one, or this machine's."""
    text = given(remote)
    if text is not None:
        return ServiceClient(Connection.parse(text, trust))
    here = state(data_dir)
    try:
        policy = here.owner(realm)
    except CannotStart as error:
        raise Problem(str(error)) from None
    url = f"https://{here.service_endpoint}"
    return ServiceClient(
        Connection(
            here.running.host,
            url,
            policy.name,
            policy.primary,
            here.folder.trust_root,
            here.running.address,
        )
    )


def info(data_dir: DataDir = None, *, as_json: Json = False) -> None:
    """Show where the local service answers, its id scope and its connection strings."""
    here = state(data_dir)
    facts: dict[str, Any] = {
        "idScope": here.id_scope,
        "deviceEndpoint": here.running.host,
        "serviceEndpoint": here.service_endpoint,
        "hub": here.running.host,
        "provisioningServiceConnectionString": _connection_string(here, Realm.PROVISIONING),
        "iotHubConnectionString": _connection_string(here, Realm.HUB),
        "trustRoot": str(here.folder.trust_root.resolve()),
        "ports": {
            "https": here.running.https,
            "mqtt": here.running.mqtt,
            "amqp": here.running.amqp,
            "public": here.running.public,
            "console": 0,
        },
        "dataDir": str(here.folder.path.resolve()),
    }
    if as_json:
        render.listing([facts], (), as_json=True)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        shown = (
            ", ".join(f"{port} {number or 'off'}" for port, number in value.items())
            if isinstance(value, dict)
            else value
        )
        print(f"{name:<{width}}  {shown}")


def _connection_string(here: LocalState, realm: Realm) -> str:
    """Of the realm's broadest policy; empty where there is none."""
    try:
        policy = here.owner(realm)
    except CannotStart:
        return ""
    key = b64encode(policy.primary.reveal()).decode()
    return f"HostName={here.host};SharedAccessKeyName={policy.name};SharedAccessKey={key}"


def sas_token(
    policy: Annotated[
        str, typer.Option("--policy", help="The policy to sign with, such as provisioningserviceowner.")
    ],
    ttl: Annotated[
        int, typer.Option("--ttl", min=1, max=MAX_TTL_S, help="Seconds that the token is good for.")
    ] = 3_600,
    data_dir: DataDir = None,
) -> None:
    """Print a token for the service API, made with a policy's primary key."""
    here = state(data_dir)
    for realm in Realm:
        found = here.policies.get((realm, policy))
        if found is not None:
            key: Secret = found.primary
            print(sas.make(here.running.host, key.reveal(), int(time.time()) + ttl, policy))
            return
    names = ", ".join(sorted({name for _, name in here.policies}))
    raise Problem(f"There is no policy {policy!r}; there are {names}.")
