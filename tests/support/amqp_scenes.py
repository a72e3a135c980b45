"""AMQP connections before scripted provisioning and a hub without devices, or before what a test hands in."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from accredit.domain.registration import Answer
from accredit.fronts.amqp import AmqpConnection, AmqpDoors, Patience
from accredit.fronts.amqp_dps import AmqpDps
from accredit.fronts.amqp_hub import AmqpHub
from accredit.fronts.amqp_mechanisms import mechanisms
from accredit.fronts.mqtt_hub import HubConversations
from accredit.hub.sessions import Sessions
from accredit.hub.telemetry import SegmentedTelemetry
from support.amqp_script import AmqpScript
from support.counted_entropy import CountedEntropy
from support.hand_clock import HandClock
from support.hub_world import HubWorld, hub_world
from support.needs_amqp import amqp_engine
from support.scripted_provisioning import ScriptedProvisioning


class AmqpScene:
    """A service with both of its sides, the hub's over a real store."""

    def __init__(
        self, world: HubWorld, telemetry: SegmentedTelemetry, patience: Patience | None = None
    ) -> None:
        self.engine = amqp_engine()
        self.world = world
        self.telemetry = telemetry
        self.provisioning = ScriptedProvisioning()
        self.sessions = Sessions()
        self.devices = HubConversations(world.identities(), self.sessions, telemetry, world.clock)
        self.patience = patience or Patience()

    def answers(self, *script: Answer | Exception) -> None:
        self.provisioning.script.extend(script)

    def doors(self, **limits: Any) -> AmqpDoors:
        dps = AmqpDps(self.provisioning, HandClock(), CountedEntropy())
        hub = AmqpHub(self.devices)
        make = partial(self.engine.Engine, self.engine.EngineLimits(**limits))
        return AmqpDoors(dps, hub, mechanisms(dps, hub), make)

    def script(self, *, peer_chain: tuple[bytes, ...] = (), **limits: Any) -> AmqpScript:
        """A connection of its own."""
        doors = self.doors(**limits)
        return AmqpScript(lambda: AmqpConnection(doors, self.patience), peer_chain=peer_chain)

    async def stored(self) -> list[Any]:
        return [message for _, message in await self.telemetry.read(None, 0, 1_000)]

    async def close(self) -> None:
        await self.devices.close()
        await self.telemetry.close()
        await self.world.store.close()


async def amqp_scene(folder: Path, patience: Patience | None = None) -> AmqpScene:
    amqp_engine()
    world = await hub_world(folder)
    telemetry = SegmentedTelemetry(folder / "telemetry", world.clock)
    return AmqpScene(world, telemetry, patience)
