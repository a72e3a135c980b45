"""The receipts of the ceremony's last steps: what must be committed before anything may be said."""

from __future__ import annotations

from accredit.domain.changes import Change
from accredit.domain.registration import Issued
from accredit.values import dataclass


@dataclass(frozen=True, slots=True)
class Recorded:
    """The receipt: `changes` put the credential on record. Made in `provisioning/record.py`."""

    issued: Issued
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Bound:
    """The receipt: `changes` make the credential good at the hub. Made in `provisioning/bind.py`."""

    recorded: Recorded
    changes: tuple[Change, ...]
