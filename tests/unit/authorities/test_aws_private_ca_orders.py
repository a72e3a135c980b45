"""Validity, template and token of an order to AWS Private CA: what is sent, what moto makes of it, and what is made of that.

moto signs for 365 days, whatever it is asked for; of the templates for devices it knows `EndEntityCertificate/V1` alone, with which
it sets usages, and under any other it sets none; it takes no notice of `ApiPassthrough` and `IdempotencyToken`. So what is
sent is taken from the wire before it, and held against AWS's own description of the call.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from accredit.domain.credential import Order
from accredit.interfaces import Delivered, Rejected
from accredit.policy import issuance
from accredit.values import replace
from support import moto_server
from support.signing_requests import csr, key, order, pem
from support.tee import Tee, tee
from support.vendor_authorities import aws_record, connected, moto_clock

TEMPLATES = "arn:aws:acm-pca:::template/"
END_ENTITY = TEMPLATES + "EndEntityCertificate/V1"
CLIENT = TEMPLATES + "EndEntityClientAuthCertificate/V1"
PASSING = TEMPLATES + "BlankEndEntityCertificate_APIPassthrough/V1"
ROOT = TEMPLATES + "RootCACertificate/V1"
DAY = 86_400


@pytest.fixture
async def moto() -> moto_server.PrivateCa:
    return await asyncio.to_thread(moto_server.private_ca)


@asynccontextmanager
async def through_a_tee(moto: moto_server.PrivateCa, **settings: Any) -> AsyncIterator[tuple[Any, Tee]]:
    """The connector, and what it sends; moto judges the signature of each call."""
    async with tee(moto.url) as relay:
        record = aws_record(replace(moto, url=relay.url), **settings)
        async with connected(record, moto_clock()) as aws:
            yield aws, relay


def issuing(relay: Tee) -> list[dict[str, Any]]:
    """The members of each IssueCertificate, which are such as AWS's service model describes."""
    import botocore.session
    from botocore.validate import ParamValidator

    shape = botocore.session.get_session().get_service_model("acm-pca").operation_model("IssueCertificate")
    sent = [
        json.loads(body)
        for headers, body in relay.requests()
        if headers["x-amz-target"] == "ACMPrivateCA.IssueCertificate"
    ]
    for members in sent:
        report = ParamValidator().validate(members, shape.input_shape)
        assert not report.has_errors(), report.generate_report()
    assert sent
    return sent


def usages(answer: Any) -> set[x509.ObjectIdentifier]:
    assert isinstance(answer, Delivered), answer
    leaf = x509.load_der_x509_certificate(answer.issued.leaf)
    try:
        return set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return set()


def nameless() -> Order:
    """An order whose CSR leaves the name to the CA."""
    wanted = order()
    return replace(wanted, request=issuance.intake(pem(csr(None, key())), "csr"))


class TestValidity:
    @pytest.mark.parametrize(
        ("settings", "profile_s", "days"),
        [
            ({}, 30 * DAY, 30),
            ({}, 90 * DAY, 90),
            ({}, DAY // 2, 1),
            ({"maxValidityDays": 400}, 30 * DAY, 400),
        ],
    )
    async def test_so_many_days_are_asked_for(
        self, moto: moto_server.PrivateCa, settings: dict[str, Any], profile_s: int, days: int
    ) -> None:
        wanted = order()
        wanted = replace(wanted, profile=replace(wanted.profile, validity_s=profile_s))
        async with through_a_tee(moto, **settings) as (aws, relay):
            assert isinstance(await aws.order(wanted), Delivered)
        (sent,) = issuing(relay)
        assert sent["Validity"] == {"Type": "DAYS", "Value": days}

    async def test_a_ca_that_signs_for_longer_than_allowed_is_not_believed(
        self, moto: moto_server.PrivateCa
    ) -> None:
        """moto takes no notice: AWS would sign for a week. What it signed is kept as a stray."""
        async with through_a_tee(moto, maxValidityDays=7) as (aws, relay):
            answer = await aws.order(order())
        assert issuing(relay)[0]["Validity"]["Value"] == 7
        assert isinstance(answer, Rejected)
        assert answer.rule == "ca-wrong-life"
        assert answer.stray is not None
        assert answer.stray.not_after - answer.stray.not_before == 365 * DAY


class TestTemplates:
    async def test_without_one_aws_takes_its_own(self, moto: moto_server.PrivateCa) -> None:
        async with through_a_tee(moto) as (aws, relay):
            answer = await aws.order(order())
        assert "TemplateArn" not in issuing(relay)[0]
        assert usages(answer) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}

    async def test_the_one_that_moto_knows(self, moto: moto_server.PrivateCa) -> None:
        async with through_a_tee(moto, templateArn=END_ENTITY) as (aws, relay):
            answer = await aws.order(order())
        assert issuing(relay)[0]["TemplateArn"] == END_ENTITY
        assert ExtendedKeyUsageOID.CLIENT_AUTH in usages(answer)

    async def test_one_that_moto_does_not_know_is_sent(self, moto: moto_server.PrivateCa) -> None:
        async with through_a_tee(moto, templateArn=CLIENT) as (aws, relay):
            answer = await aws.order(order())
        sent = issuing(relay)[0]
        assert (sent["TemplateArn"], "ApiPassthrough" in sent) == (CLIENT, False)
        assert usages(answer) == set(), "by AWS it would have the usages of that template"

    async def test_one_that_makes_cas_gives_no_device_a_certificate(
        self, moto: moto_server.PrivateCa
    ) -> None:
        async with through_a_tee(moto, templateArn=ROOT) as (aws, _):
            answer = await aws.order(order())
        assert isinstance(answer, Rejected)
        assert answer.rule == "ca-issued-a-ca"
        assert answer.stray is not None

    async def test_one_that_takes_the_name_from_the_call(self, moto: moto_server.PrivateCa) -> None:
        """moto takes it from the CSR, which has none here: what it signs is refused."""
        async with through_a_tee(moto, templateArn=PASSING) as (aws, relay):
            answer = await aws.order(nameless())
        assert issuing(relay)[0]["ApiPassthrough"] == {"Subject": {"CommonName": "device-1"}}
        assert isinstance(answer, Rejected)
        assert answer.rule == "ca-wrong-name"


async def test_a_repeated_order_has_its_token_and_another_has_another(moto: moto_server.PrivateCa) -> None:
    """AWS honours it for five minutes; moto signs twice."""
    async with through_a_tee(moto) as (aws, relay):
        for operation_id in ("operation-1", "operation-1", "operation-2"):
            assert isinstance(await aws.order(replace(order(), operation_id=operation_id)), Delivered)
    first, again, other = (sent["IdempotencyToken"] for sent in issuing(relay))
    assert first == again != other
