"""`accredit simulate`: a fleet against a running service, from a seed, and an account of what came of it."""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accredit.cli import render
from accredit.cli.connection import Connection, ServiceClient, given, resource
from accredit.cli.local import DataDir, Json, Remote, Trust, client, state
from accredit.cli.problem import Problem, WrongUsage
from accredit.simulation.scenario import Arrival, Scenario

if TYPE_CHECKING:
    from accredit.simulation.device import Device
    from accredit.simulation.mqtt_peer import Service
    from accredit.simulation.tally import Tally

MQTT_PORT = 8883


def simulate(
    devices: Annotated[int, typer.Option(min=1, max=20_000, help="How many devices.")] = 100,
    duration: Annotated[
        float, typer.Option(min=1, max=7 * 86_400, help="Seconds; devices arrive in the first half.")
    ] = 30.0,
    arrival: Annotated[Arrival, typer.Option(help="How they arrive.")] = Arrival.RANDOM,
    storms: Annotated[int, typer.Option(min=0, max=100, help="How often all connections break at once.")] = 1,
    renew_every: Annotated[
        float, typer.Option(min=0, help="Mean seconds between renewals of a device; 0 is never.")
    ] = 10.0,
    telemetry_every: Annotated[
        float, typer.Option(min=0, help="Mean seconds between messages of a device; 0 is never.")
    ] = 5.0,
    faults: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the devices that do something wrong first.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="The same seed makes the same plan.")] = 1,
    ca: Annotated[str, typer.Option("--ca", help="The certificate authority of the fleet.")] = "builtin",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the fleet's enrollment group in the service.")
    ] = False,
    id_scope: Annotated[str | None, typer.Option(help="Of a remote service.")] = None,
    mqtt_port: Annotated[int, typer.Option(min=1, max=65_535, help="Of a remote service.")] = MQTT_PORT,
    as_json: Json = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Let a fleet live on a service for a while, and compare what its devices were told with what the service has.

    The fleet has an enrollment group of its own, which is switched off at the end. Its certificates stay in the issuance log.
    """
    scenario = Scenario(devices, duration, arrival, seed, storms, renew_every, telemetry_every, faults)
    api = client(data_dir, remote, trust)
    service = _service(data_dir, remote, trust, id_scope, mqtt_port)
    key = secrets.token_bytes(32)
    group = f"simulated-{seed}-{secrets.token_hex(4)}"
    enrollment = _enrollment(group, key, ca)
    api.call("PUT", resource("/enrollmentGroups", group), enrollment)
    began = time.monotonic()
    try:
        tally, fleet = _run(scenario, service, group, key)
    finally:
        if not keep:
            off = {**enrollment, "provisioningStatus": "disabled"}
            api.call("PUT", resource("/enrollmentGroups", group), off, headers={"If-Match": "*"})
    _compare(api, fleet, tally)
    render.listing(tally.rows(), _COLUMNS, as_json=as_json)
    if not as_json:
        took = time.monotonic() - began
        print(f"\n{devices} devices of group {group}, seed {seed}, in {took:.0f} s.")
    if tally.complained:
        shown = "\n".join(f"  {text}" for text in tally.complaints)
        raise Problem(
            f"{tally.complained} things were not as they should be, of which these are the first:\n{shown}"
        )


_COLUMNS = (
    ("what", "what"),
    ("count", "count"),
    ("p50 ms", "p50Ms"),
    ("p99 ms", "p99Ms"),
    ("max ms", "maxMs"),
)


def _service(
    data_dir: Path | None, remote: str | None, trust: Path | None, id_scope: str | None, mqtt_port: int
) -> Service:
    """Where the devices go: this machine's service, or the remote one that the connection string names."""
    from accredit.simulation.mqtt_peer import Service  # noqa: PLC0415 - only this command needs it

    text = given(remote)
    if text is None:
        here = state(data_dir)
        return Service(here.running.host, here.running.mqtt, here.id_scope, here.folder.trust_root)
    if id_scope is None:
        raise WrongUsage("The devices of a remote service need its id scope; give it with --id-scope.")
    return Service(Connection.parse(text, trust).host, mqtt_port, id_scope, trust)


def _enrollment(group: str, key: bytes, ca: str) -> dict[str, Any]:
    keys = {
        "primaryKey": b64encode(key).decode(),
        "secondaryKey": b64encode(secrets.token_bytes(32)).decode(),
    }
    return {
        "enrollmentGroupId": group,
        "attestation": {"type": "symmetricKey", "symmetricKey": keys},
        "clientCertificateIssuancePolicy": {"certificateAuthorityName": ca},
    }


def _run(scenario: Scenario, service: Service, group: str, key: bytes) -> tuple[Tally, Sequence[Device]]:
    from accredit.simulation.fleet import simulate as run  # noqa: PLC0415 - only this command needs it

    with tempfile.TemporaryDirectory(prefix="accredit-simulate-") as folder:
        told = _progress if sys.stderr.isatty() else lambda _: None
        try:
            return asyncio.run(run(scenario, service, group, key, Path(folder), told))
        finally:
            if sys.stderr.isatty():
                print(file=sys.stderr)


def _progress(tally: Tally) -> None:
    happened = tally.happened
    print(
        f"\r{happened['provisioned']} provisioned, {happened['renewed']} renewed, "
        f"{happened['telemetry acknowledged']} messages, {tally.complained} complaints ",
        end="",
        file=sys.stderr,
        flush=True,
    )


def _compare(api: ServiceClient, fleet: Sequence[Device], tally: Tally) -> None:
    """Every certificate that a device holds stands in the service's log as its own, and none is anybody else's."""
    for device in fleet:
        rows = api.rows("GET", "/certificates", query={"registrationId": device.registration_id})
        known = {int(row["serial"], 16): row["status"] for row in rows}
        missing = [serial for serial in device.serials if serial not in known]
        if missing:
            tally.complain(f"{device.registration_id}: the log lacks its certificate {missing[0]:X}")
        if device.serials and known.get(device.serials[-1]) not in {"active", "pending"}:
            tally.complain(
                f"{device.registration_id}: its certificate {device.serials[-1]:X} does not serve it"
            )
        tally.happened["certificates compared"] += len(device.serials)
