"""The profile that an enrollment names, from the CSR to the certificate that comes back."""

from __future__ import annotations

import pytest
from cryptography import x509

from accredit.domain.credential import DEFAULT_PROFILE
from accredit.domain.errors import Malformed
from accredit.values import replace
from support.provisioning_world import sha256_of

WEEK = replace(DEFAULT_PROFILE, name="lamps", version="1", validity_s=7 * 86_400)


async def test_it_shapes_the_certificate(world) -> None:
    await world.profile(replace(WEEK, subject=(("O", "{enrollmentGroupId}"),)))
    await world.group("Line-7", settings={"certificateProfileName": "Lamps"})
    record = (await world.device("lamp-1", group="Line-7").certify()).certified.record
    leaf = x509.load_der_x509_certificate(record.issued.leaf)
    assert leaf.subject.rfc4514_string() == "CN=lamp-1,O=Line-7"
    assert record.profile == "lamps/1"
    assert record.issued.not_after - record.issued.not_before == WEEK.validity_s + WEEK.backdate_s


async def test_another_version_is_another_certificate(world) -> None:
    await world.profile(WEEK)
    await world.individual(settings={"certificateProfileName": "lamps"})
    device = world.device()
    first = await device.certify()
    assert sha256_of(await device.certify()) == sha256_of(first)
    await world.profile(replace(WEEK, version="2"))
    second = await device.certify()
    assert sha256_of(second) != sha256_of(first)
    assert sha256_of(await device.certify()) == sha256_of(second)


async def test_a_key_or_a_name_that_does_not_fit(world) -> None:
    await world.profile(replace(WEEK, keys=("P-384",)))
    await world.individual(settings={"certificateProfileName": "lamps"})
    with pytest.raises(Malformed) as refused:
        await world.device().certify()
    assert refused.value.rule == "certificate-profile-key"
    await world.profile(replace(WEEK, version="2", subject=(("O", "{enrollmentGroupId}"),)))
    with pytest.raises(Malformed) as refused:
        await world.device().certify()
    assert refused.value.rule == "certificate-profile-names"
    assert await world.certificates() == []
