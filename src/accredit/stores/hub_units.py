"""What units of work do about hubs: steps for the changes of linked hubs, and of identities and twins. As `units.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from accredit.domain import changes as c
from accredit.domain.device import SaveReported
from accredit.domain.linked_hub import LinkedHub
from accredit.seal import Sealer
from accredit.stores import hub_rows
from accredit.stores import hub_statements as sql
from accredit.stores.steps import UnitOfWork, holds, saved

Maker = Callable[[Any, UnitOfWork, Sequence[c.Change]], None]


class HubUnits:
    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def makers(self) -> Mapping[type, Maker]:
        return {
            c.SaveLinkedHub: self._save_linked_hub,
            c.DeleteLinkedHub: self._delete_linked_hub,
            c.AssertHub: self._assert_hub,
            c.ReleaseLater: self._release_later,
            c.SettleRelease: self._settle_release,
            c.SaveHubDevice: self._save_hub_device,
            c.ReplaceHubDevice: self._replace_hub_device,
            c.SaveTwin: self._save_twin,
            SaveReported: self._save_reported,
            c.DeleteHubDevice: self._delete_hub_device,
        }

    def _save_linked_hub(self, change: c.SaveLinkedHub, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        unit.touches_settings = unit.touches_copies = True
        values = hub_rows.linked_hub_values(change.hub, self._sealer)
        unit.steps.append(
            saved(sql.INSERT_LINKED_HUB, sql.UPDATE_LINKED_HUB, values, change.replaces, change)
        )

    def _delete_linked_hub(self, change: c.DeleteLinkedHub, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        unit.touches_settings = unit.touches_copies = True
        key, name = change.hub.key, change.hub.name.lower()
        values = (key, change.hub.etag, name, *naming_patterns(change.hub), key)
        unit.steps.append((sql.DELETE_LINKED_HUB, values, 1, change))
        unit.steps.append((sql.FORGET_RELEASES, (key,), None, change))

    def _assert_hub(self, change: c.AssertHub, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        unit.steps.append((sql.ASSERT_HUB, (change.key,), holds, change))

    def _release_later(self, change: c.ReleaseLater, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        unit.steps.append((sql.RELEASE_LATER, hub_rows.release_values(change.release), None, change))

    def _settle_release(self, change: c.SettleRelease, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        unit.steps.append((sql.SETTLE_RELEASE, (change.hub, change.device_id.text), None, change))

    def _save_hub_device(self, change: c.SaveHubDevice, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        text = sql.SAVE_HUB_DEVICE if change.keeps_data else sql.SAVE_HUB_DEVICE_WITH_DATA
        values = hub_rows.hub_device_values(change.device, self._sealer)
        unit.steps.append((text, values, 1, change))

    def _replace_hub_device(
        self, change: c.ReplaceHubDevice, unit: UnitOfWork, _: Sequence[c.Change]
    ) -> None:
        device = change.device
        if change.replaces is None:
            values = hub_rows.hub_device_values(device, self._sealer)
            unit.steps.append((sql.CREATE_HUB_DEVICE, values, 1, change))
            return
        values = (
            device.etag,
            device.updated_at,
            device.enabled,
            device.status_reason,
            hub_rows.sealed_keys(device, self._sealer),
            device.thumbprint,
            device.secondary_thumbprint,
            device.data.iot_edge,
            device.hub,
            device.device_id.text,
            change.replaces,
        )
        unit.steps.append((sql.UPDATE_HUB_DEVICE, values, 1, change))

    def _save_twin(self, change: c.SaveTwin, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        place = (change.hub, change.device_id.text, change.replaces)
        tags, desired, etag, _, desired_version, updated_at = hub_rows.twin_values(
            change.data, change.versions
        )
        values = (tags, desired, etag, desired_version, updated_at, *place)
        unit.steps.append((sql.UPDATE_TWIN, values, 1, change))

    def _save_reported(self, change: SaveReported, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        place = (change.hub, change.device_id.text, change.reported.version - 1)
        values = (*hub_rows.reported_values(change.reported), *place)
        unit.steps.append((sql.UPDATE_REPORTED, values, 1, change))

    def _delete_hub_device(self, change: c.DeleteHubDevice, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
        hub, device_id = change.hub, change.device_id.text
        if change.etag is not None:
            unit.steps.append((sql.DELETE_HUB_DEVICE, (hub, device_id, change.etag), 1, change))
        if change.registration_id is not None:
            values = (hub, device_id, change.registration_id.key)
            unit.steps.append((sql.RELEASE_HUB_DEVICE, values, None, change))


def naming_patterns(hub: LinkedHub) -> tuple[str, str]:
    """LIKE patterns that find a hub's name in the JSON of an enrollment's hubs, and of its other settings."""
    name = hub.name.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f'%"{name}"%', f'%"iothubhostname":"{name}"%'
