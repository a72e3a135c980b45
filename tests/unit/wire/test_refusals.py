import pytest

from accredit.domain.errors import (
    KINDS,
    Conflict,
    Disabled,
    Malformed,
    NotFound,
    PreconditionFailed,
    Refused,
    Throttled,
    Unauthenticated,
    UpstreamRejected,
    UpstreamUnavailable,
)
from accredit.wire import refusals
from accredit.wire.refusals import KINDS_ON_THE_WIRE, on_the_wire

PYTHON_RETRIES_FROM = 429


def made(kind, rule="some-rule"):
    more = {"retry_after_s": 7} if kind in (Throttled, UpstreamUnavailable) else {}
    return kind("A sentence.", rule=rule, **more)


def test_the_table_covers_every_kind():
    assert set(KINDS_ON_THE_WIRE) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_status_and_number_agree(kind):
    wire = on_the_wire(made(kind))
    assert wire.http == wire.code // 1000
    assert 100_000 <= wire.code <= 999_999
    assert wire.connack in (3, 4, 5)
    assert wire.amqp.startswith(("amqp:", "com.microsoft:"))


# amqp:internal-error and the throttled one: Node's azure-iot-provisioning-device-amqp repeats after no other.
@pytest.mark.parametrize("kind", KINDS)
def test_over_amqp_too_only_what_may_pass_is_tried_again(kind):
    passing = kind in (Throttled, UpstreamUnavailable)
    assert (on_the_wire(made(kind)).amqp in (refusals.INTERNAL_ERROR, refusals.THROTTLED)) is passing
    assert refusals.INTERNAL.amqp == refusals.INTERNAL_ERROR


@pytest.mark.parametrize(
    ("kind", "amqp"),
    [
        (Malformed, "com.microsoft:argument-error"),
        (Unauthenticated, "amqp:unauthorized-access"),
        (NotFound, "amqp:not-found"),
        (Throttled, "com.microsoft:device-container-throttled"),
        (PreconditionFailed, "com.microsoft:precondition-failed"),
    ],
)
def test_conditions(kind, amqp):
    assert on_the_wire(made(kind)).amqp == amqp


@pytest.mark.parametrize(
    ("kind", "http", "code"),
    [
        (Malformed, 400, 400004),
        (Unauthenticated, 401, 401002),
        (Refused, 400, 400004),
        (NotFound, 404, 404201),
        (Conflict, 409, 409001),
        (PreconditionFailed, 412, 412001),
        (Throttled, 429, 429001),
        (UpstreamRejected, 400, 400037),
        (UpstreamUnavailable, 503, 503001),
    ],
)
def test_numbers(kind, http, code):
    wire = on_the_wire(made(kind))
    assert (wire.http, wire.code) == (http, code)


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_may_pass_is_tried_again(kind):
    """The Python SDK repeats 429 and above without an end, so these two alone may be there, and say when to come back."""
    wire = on_the_wire(made(kind))
    passing = kind in (Throttled, UpstreamUnavailable)
    assert (wire.http >= PYTHON_RETRIES_FROM) is passing
    assert wire.retry_after_s == (7 if passing else None)
    assert (wire.connack == refusals.SERVER_UNAVAILABLE) is (passing or kind is UpstreamRejected)


def test_a_defect_is_repeated_slowly():
    assert (refusals.INTERNAL.http, refusals.INTERNAL.code // 1000) == (500, 500)
    assert refusals.INTERNAL.retry_after_s >= 10


@pytest.mark.parametrize(
    ("kind", "rule", "http", "code"),
    [
        (Refused, "no-hub", 400, 400208),
        (NotFound, "operation-unknown", 404, 404202),
        (NotFound, "registration-unknown", 404, 404201),
        (UpstreamRejected, "hub-refused", 400, 400209),
        (Malformed, "id-mismatch", 400, 400004),
    ],
)
def test_a_rule_with_a_number_of_its_own(kind, rule, http, code):
    wire = on_the_wire(made(kind, rule))
    assert (wire.http, wire.code) == (http, code)


class TestEst:
    """RFC 7030 names 400, 401, 403, 404; 413 is HTTP's."""

    @pytest.mark.parametrize(
        ("kind", "status"),
        [
            (Malformed, 400),
            (Unauthenticated, 401),
            (Refused, 403),
            (Disabled, 403),
            (NotFound, 404),
            (Conflict, 409),
            (PreconditionFailed, 412),
            (Throttled, 429),
            (UpstreamRejected, 502),
            (UpstreamUnavailable, 503),
        ],
    )
    def test_kinds(self, kind, status):
        assert on_the_wire(made(kind)).est == status

    @pytest.mark.parametrize("rule", ["body-too-large", "csr-too-large"])
    def test_what_is_too_large(self, rule):
        assert (on_the_wire(made(Malformed, rule)).est, on_the_wire(made(Malformed, rule)).http) == (413, 400)

    @pytest.mark.parametrize(
        ("code", "status"),
        [(400037, 502), (400004, 403), (400208, 403), (409001, 409), (None, 502), (1, 502)],
    )
    def test_what_an_operation_ended_with(self, code, status):
        assert refusals.est_status_of(code) == status

    def test_the_others(self):
        assert (refusals.INTERNAL.est, refusals.CHALLENGE.est, refusals.of_status(405).est) == (500, 401, 405)


@pytest.mark.parametrize("http", [404, 405, 415])
def test_a_bare_status(http):
    wire = refusals.of_status(http)
    assert (wire.http, wire.code // 1000, wire.retry_after_s) == (http, http, None)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_printed(kind):
    sentence = KINDS_ON_THE_WIRE[kind].sentence
    assert sentence[0].isupper()
    assert sentence.endswith(".")
