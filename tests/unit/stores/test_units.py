"""What a unit of work sends to the database, and what it spares it."""

from accredit.domain import changes as c
from accredit.domain.secret import Secret
from accredit.seal import Sealer
from accredit.stores import statements as sql
from accredit.stores.units import Units
from support import stored_values as some
from support.linked import embedded

SEALER = Sealer([Secret(b"k" * 32)])


def texts(unit):
    return [text for text, *_ in unit.steps]


def test_the_order_of_the_changes_is_kept():
    unit = Units(SEALER).make([c.AssertAuthority(some.BUILTIN, "v"), c.AssertEnrollment(some.FLEET, "e")])
    assert texts(unit) == [sql.ASSERT_AUTHORITY, sql.ASSERT_ENROLLMENT]


def test_a_certificate_bound_in_its_own_unit_is_written_once():
    unit = Units(SEALER).make(some.provisioned("a"))
    assert sql.INSERT_CERTIFICATE in texts(unit)
    assert sql.SUPERSEDE_CERTIFICATES in texts(unit)
    assert sql.BIND_CERTIFICATE not in texts(unit)


def test_another_one_s_binding_is_not_taken_for_its_own():
    one, other = some.certificate("a"), some.certificate("a")
    unit = Units(SEALER).make([c.RecordCertificate(one, shared_key=False), some.binding(other)])
    assert sql.BIND_CERTIFICATE in texts(unit)


def test_what_stands_above_a_leaf_is_sent_until_it_is_on_record():
    units = Units(SEALER)
    first = units.make(some.provisioned("a"))
    assert sql.INSERT_CHAIN in texts(first)
    assert sql.INSERT_CHAIN in texts(units.make(some.provisioned("b")))
    units.committed(first)
    assert sql.INSERT_CHAIN not in texts(units.make(some.provisioned("c")))
    other = some.certificate("d", above=(b"another",))
    assert sql.INSERT_CHAIN in texts(units.make(some.provisioned("d", other)))


def test_what_is_remembered_of_chains_is_bounded():
    units = Units(SEALER)
    made = []
    for number in range(3000):
        record = some.certificate("a", above=(b"ca %d" % number,))
        unit = units.make([c.RecordCertificate(record, shared_key=False)])
        units.committed(unit)
        made.append(record)
    again = [units.make([c.RecordCertificate(record, shared_key=False)]) for record in made]
    assert sum(sql.INSERT_CHAIN in texts(unit) for unit in again) > 1000


def test_which_units_touch_settings():
    units = Units(SEALER)
    touching = [
        c.SavePolicy(some.policy()), c.SaveAuthority(some.authority(), None), c.DeleteAuthority(some.BUILTIN, "e"),
        c.SaveEnrollment(some.group(), None), c.DeleteEnrollment(some.FLEET, "e"),
        c.SaveLinkedHub(embedded("b.example"), None), c.DeleteLinkedHub(embedded("b.example")),
    ]  # fmt: skip
    assert all(units.make([each]).touches_settings for each in touching)
    assert not units.make(some.provisioned("a")).touches_settings
