"""`accredit explain`: why a device was refused, as a story with what to do next."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from accredit.cli import render
from accredit.cli.connection import resource
from accredit.cli.local import DataDir, Json, Remote, Trust, client
from accredit.cli.problem import WrongUsage


def explain(
    tracking_id: Annotated[
        str | None, typer.Argument(help="The tracking id that the device was told, or that a log line has.")
    ] = None,
    registration_id: Annotated[
        str | None, typer.Option(help="Every refusal of this device that is kept, instead of one.")
    ] = None,
    as_json: Json = False,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Tell why a device was refused: what was tried, which rule failed, what to do."""
    if (tracking_id is None) == (registration_id is None):
        raise WrongUsage("Name one: a tracking id, or --registration-id ID for all that is kept of a device.")
    service = client(data_dir, remote, trust)
    if tracking_id is not None:
        traces = [service.call("GET", resource("/decisionTraces", tracking_id)).json()]
    else:
        traces = list(service.rows("GET", "/decisionTraces", query={"registrationId": registration_id or ""}))
    if as_json:
        render.listing(traces, (), as_json=True)
        return
    if not traces:
        print("none")
    for number, trace in enumerate(traces):
        print(("\n" if number else "") + "\n".join(story(trace)))


def story(trace: dict[str, Any]) -> list[str]:
    """The lines of one trace, fit for a terminal."""
    told = f"{trace['errorCode']} to {trace['source']}" if "source" in trace else str(trace["errorCode"])
    lines = [
        f"{trace['asked']} of {trace['registrationId']} at {trace['tracedDateTimeUtc']}: refused ({told})",
        *(f"  {step['subject']}: {step['outcome']}" for step in trace["steps"]),
        f"rule      {trace['rule']}",
        f"reason    {trace['reason']}",
    ]
    lines += [f"{name:<10}{trace[name]}" for name in ("evidence", "hint") if name in trace]
    return [render.inert(line) for line in lines]
