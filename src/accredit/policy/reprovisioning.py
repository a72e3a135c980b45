"""A device that registers again: whether its hub is chosen anew, what becomes of its data, and what it is told.

| reprovision policy | hub | data | substatus |
|---|---|---|---|
| any, for the first time (or the old hub is no longer linked) | chosen | the initial twin | initialAssignment |
| migrate | the same again | stays | reprovisionedToInitialAssignment |
| migrate | another | goes along | deviceDataMigrated |
| reset | the same again | the initial twin | deviceDataReset |
| reset | another | the initial twin | deviceDataReset |
| never | the present one | stays | reprovisionedToInitialAssignment |

Azure: docs *concepts-device-reprovision*; the substatus for the same hub is not documented there.
"""

from __future__ import annotations

from collections.abc import Sequence

from accredit.domain.device import DeviceData
from accredit.domain.enrollment import Enrollment, ReprovisionPolicy
from accredit.domain.ids import DeviceId
from accredit.domain.linked_hub import LinkedHub
from accredit.domain.registration import DataFate, Registration, Status, Substatus
from accredit.values import dataclass

LAST_WITHOUT_POLICY = "2018-04-01"
"""Azure: a device of this api-version or an earlier one stays where it is, unless its enrollment states a policy."""

NEVER = ReprovisionPolicy(update_hub_assignment=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    substatus: Substatus
    fate: DataFate


def policy(enrollment: Enrollment, api_version: str) -> ReprovisionPolicy:
    if not enrollment.reprovision.stated and api_version <= LAST_WITHOUT_POLICY:
        return NEVER
    return enrollment.reprovision


def chosen_anew(enrollment: Enrollment) -> ReprovisionPolicy:
    """The policy where a hub was chosen: for a device at no hub `never` chooses too, and then means nothing more."""
    return ReprovisionPolicy(migrate_device_data=enrollment.reprovision.migrate_device_data)


def at_hub(previous: Registration | None, linked: Sequence[LinkedHub]) -> Registration | None:
    """The registration as far as it counts: assigned, to a hub that is still linked."""
    if previous is None or previous.status is not Status.ASSIGNED:
        return None
    return previous if any(hub.name == previous.hub for hub in linked) else None


def outcome(
    stated: ReprovisionPolicy, previous: Registration | None, device_id: DeviceId, hub: str
) -> Outcome:
    """`previous` is what `at_hub` says; a device of another id than before has nothing at its hub yet."""
    if previous is None:
        return Outcome(Substatus.INITIAL_ASSIGNMENT, DataFate.INITIAL)
    reset = stated.update_hub_assignment and not stated.migrate_device_data
    if reset:
        return Outcome(Substatus.DEVICE_DATA_RESET, DataFate.INITIAL)
    if previous.hub != hub:
        return Outcome(Substatus.DEVICE_DATA_MIGRATED, DataFate.MOVES)
    fate = DataFate.STAYS if previous.device_id == device_id else DataFate.INITIAL
    return Outcome(Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT, fate)


def initial(twin: dict[str, object] | None, *, iot_edge: bool) -> DeviceData:
    """An `initialTwin` as what a hub starts a device with."""
    document = twin or {}
    properties = document.get("properties")
    desired = properties.get("desired") if isinstance(properties, dict) else None
    tags = document.get("tags")
    return DeviceData(
        tags=tags if isinstance(tags, dict) else {},
        desired=desired if isinstance(desired, dict) else {},
        iot_edge=iot_edge,
    )
