"""The SQL texts on PostgreSQL: each is understood, and finds its rows by an index."""

import re

import psycopg

from accredit.stores.postgresql import schema, texts
from accredit.stores.postgresql.address import Address
from unit.stores.test_statements import TEXTS

WHOLE_TABLES = {
    "HUB_REGISTRATIONS": {"registrations"},
    "HUB_ENROLLMENTS": {"enrollments"},
    "DELETE_LINKED_HUB": {"registrations", "enrollments"},
    "FORGET_OLD_WRITERS": {"writers"},
}
"""What only unlinking a hub asks, and the rows of processes, at the start of one."""

OWN = {
    name: text
    for name, text in vars(texts).items()
    if name.isupper() and isinstance(text, str) and name != "_NOW"
}


async def test_each_is_understood_and_scans_no_table(postgres):
    address = Address(postgres.emptied())
    await schema.migrate(address)
    scanned = {}
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        # Whole tables are read only where nothing else will do, however few rows there are.
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET plan_cache_mode = force_generic_plan")
        for name, text in {**TEXTS, **OWN}.items():
            said = texts.words(text)
            first, *rest = said.split("?")
            connection.execute(
                f"PREPARE it AS {first}" + "".join(f"${n}{part}" for n, part in enumerate(rest, 1))
            )
            nothing = f"({', '.join(['NULL'] * len(rest))})" if rest else ""
            plan = connection.execute(f"EXPLAIN EXECUTE it{nothing}").fetchall()
            connection.execute("DEALLOCATE it")
            found = set(re.findall(r"Seq Scan on (\w+)", "\n".join(row[0] for row in plan)))
            if found:
                scanned[name] = found
    assert scanned == WHOLE_TABLES


def test_what_is_said_in_other_words_takes_the_same_values():
    for text, other in texts.IN_OTHER_WORDS.items():
        assert text.count("?") == other.count("?")
        assert text in TEXTS.values(), "nobody says that any more"
