"""One-time passwords in the store: the changes that make one and that use it, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accredit.domain import changes as c
from accredit.domain.ids import RegistrationId
from accredit.domain.one_time_password import OneTimePassword
from accredit.stores.reading import Reading
from accredit.stores.steps import UnitOfWork

_READ = """
SELECT registration, generation, sha256, expires_at, request_sha256, first_used_at
FROM one_time_passwords WHERE registration_key = ?"""
_SAVE = """
INSERT INTO one_time_passwords (
  registration_key, registration, generation, sha256, expires_at, request_sha256, first_used_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (registration_key) DO UPDATE SET
  registration = excluded.registration, generation = excluded.generation, sha256 = excluded.sha256,
  expires_at = excluded.expires_at, request_sha256 = excluded.request_sha256,
  first_used_at = excluded.first_used_at"""
_USE = """
UPDATE one_time_passwords SET request_sha256 = ?, first_used_at = COALESCE(first_used_at, ?)
WHERE registration_key = ? AND sha256 = ? AND (request_sha256 IS NULL OR request_sha256 = ?)"""


def _save(change: c.SaveOneTimePassword, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    made = change.password
    values = (
        made.registration_id.key,
        made.registration_id.text,
        made.generation,
        made.sha256,
        made.expires_at,
        made.request_sha256,
        made.first_used_at,
    )
    unit.steps.append((_SAVE, values, None, change))


def _use(change: c.UseOneTimePassword, unit: UnitOfWork, _: Sequence[c.Change]) -> None:
    request = change.request_sha256
    values = (request, change.used_at, change.registration_id.key, change.sha256, request)
    unit.steps.append((_USE, values, 1, change))


MAKERS: dict[type, Callable[[Any, UnitOfWork, Sequence[c.Change]], None]] = {
    c.SaveOneTimePassword: _save,
    c.UseOneTimePassword: _use,
}


class OneTimePasswordReads(Reading):
    """The reading half of the store for them."""

    async def one_time_password(self, registration_id: RegistrationId) -> OneTimePassword | None:
        row = await self._row(_READ, (registration_id.key,))
        if row is None:
            return None
        registration, *rest = row
        return OneTimePassword(RegistrationId.parse(registration), *rest)
