"""The SQL texts: each fits the schema, finds its rows by an index, and is used."""

import re
from pathlib import Path

import pytest

from accredit.stores import (
    custody,
    hub_statements,
    leases,
    log_tree,
    mass_revocations,
    refusal_statements,
    reserved_serials,
    revocations,
    session_cuts,
    statements,
    trust_statements,
)

TEXTS = {
    name: text
    for module in (
        statements,
        hub_statements,
        refusal_statements,
        trust_statements,
        log_tree,
        revocations,
        leases,
        mass_revocations,
        session_cuts,
        custody,
        reserved_serials,
    )
    for name, text in vars(module).items()
    if name.isupper()
    and isinstance(text, str)
    and not name.endswith("_COLUMNS")
    and name not in ("LEAF", "STRAY")
}
SOURCES = "".join(path.read_text() for path in Path(statements.__file__).parent.glob("*.py"))

WHOLE_INDEXES = {
    "OPEN_OPERATIONS": ["SCAN operations USING INDEX operations_open"],
    "_LAPSED_OPEN": ["SCAN operations USING INDEX operations_open"],
    "_LAPSED_UNSETTLED": ["SCAN operations USING INDEX operations_unsettled"],
    "_RENEW_OPEN": ["SCAN operations USING INDEX operations_open"],
    "_RENEW_UNSETTLED": ["SCAN operations USING INDEX operations_unsettled"],
    "_OPEN_ONES": ["SCAN mass_revocations USING INDEX mass_revocations_open"],
    "_LOST_COUNT": ["SCAN reserved_serials USING INDEX reserved_serials_lost"],
    "UNSETTLED_OPERATIONS": ["SCAN operations USING INDEX operations_unsettled"],
    "_ORPHANS": [
        "SCAN certificates USING INDEX certificates_unbound",
        "SCAN log_leaves USING INDEX log_leaves_unknown",
        "SCAN reserved_serials USING INDEX reserved_serials_lost",
        "SCAN orphans",
    ],
}
"""Indexes of just the rows that are asked for."""

WHOLE_TABLES = {
    "UNPLACED": ["SCAN log_sequence"],
    "_HEAD": ["SCAN log_heads"],
    "RELEASES": ["SCAN outbox"],
    "_RESERVED": ["SCAN reserved_serials"],
    "LINKED_HUBS": ["SCAN linked_hubs USING INDEX sqlite_autoindex_linked_hubs_1"],
    "HUB_REGISTRATIONS": ["SCAN registrations"],
    "HUB_ENROLLMENTS": ["SCAN enrollments"],
    "DELETE_LINKED_HUB": ["SCAN registrations", "SCAN enrollments"],
}
"""The last row of a table by its key; a table with one row for each linked hub; and what only unlinking a hub asks, which an index for it would not be worth."""


@pytest.mark.parametrize("name", TEXTS)
def test_it_fits_the_schema_and_scans_no_table(database, name):
    text = TEXTS[name]
    plan = database.execute(f"EXPLAIN QUERY PLAN {text}", (None,) * text.count("?")).fetchall()
    assert [row[3] for row in plan if row[3].startswith("SCAN")] == (WHOLE_INDEXES | WHOLE_TABLES).get(
        name, []
    )


@pytest.mark.parametrize("name", TEXTS)
def test_it_names_its_columns_and_is_used(name):
    assert "*" not in TEXTS[name].replace("COUNT(*)", "")
    homes = (log_tree, custody, revocations, session_cuts)
    at_home = any(hasattr(home, name) for home in homes) or name.startswith("_")
    used = rf"\({name}\b" if at_home else rf"sql\.{name}\b|{{{name}}}"
    assert re.search(used, SOURCES), "nobody uses it"


def test_a_listing_reads_what_its_lookup_reads():
    """One function turns both into values."""
    columns = {name: re.search(r"SELECT(.*?)FROM", text, re.DOTALL) for name, text in TEXTS.items()}
    for lookup, listings in {
        "ENROLLMENT": ["ENROLLMENTS", "SYMMETRIC_GROUPS", "GROUPS_NAMED"],
        "AUTHORITY": ["AUTHORITIES"],
        "TRUST_BUNDLE": ["TRUST_BUNDLES"],
        "CA_CERTIFICATE": ["CA_CERTIFICATES", "CA_CERTIFICATES_NAMED"],
        "POLICY": ["POLICIES"],
        "HUB_DEVICE": ["HUB_DEVICES"],
        "REGISTRATION": ["REGISTRATIONS", "REGISTRATIONS_OF_GROUP", "REGISTRATIONS_OF_INDIVIDUAL"],
        "TRACE": ["TRACES", "TRACES_OF_REGISTRATION"],
        "OPERATION": ["OPEN_OPERATION", "OPEN_OPERATIONS", "UNSETTLED_OPERATIONS"],
        "CERTIFICATE": [
            "CERTIFICATES",
            "CERTIFICATES_OF_KEY",
            "CERTIFICATES_OF_REGISTRATION",
            "CERTIFICATES_WITH_SERIAL",
        ],
    }.items():
        for listing in listings:
            assert columns[listing][1].split() == columns[lookup][1].split()
