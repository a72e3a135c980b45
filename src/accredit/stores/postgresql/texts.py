"""The SQL of PostgreSQL alone: what it says in other words than SQLite, and what only several processes need."""

from __future__ import annotations

from accredit.stores import custody, log_tree, revocations, session_cuts
from accredit.stores import statements as sql

# What keeps writers and copies in step.

_NOW = "CAST(EXTRACT(EPOCH FROM CURRENT_TIMESTAMP) AS BIGINT)"
INSERT_WRITER = f"INSERT INTO writers (id, batches, written_at) VALUES (?, 0, {_NOW}) ON CONFLICT DO NOTHING"  # noqa: S608 - an expression
RAISE_WRITER = f"UPDATE writers SET batches = ?, written_at = {_NOW} WHERE id = ? AND batches = ?"  # noqa: S608 - the same
WRITER = "SELECT batches FROM writers WHERE id = ?"
FORGET_WRITER = "DELETE FROM writers WHERE id = ?"
FORGET_OLD_WRITERS = f"DELETE FROM writers WHERE written_at < {_NOW} - ?"  # noqa: S608 - the same
EPOCH = "SELECT epoch FROM epochs WHERE name = 'settings'"
RAISE_EPOCH = "UPDATE epochs SET epoch = epoch + 1 WHERE name = 'settings'"
DATABASE_TIME = "SELECT CAST(EXTRACT(EPOCH FROM CURRENT_TIMESTAMP) * 1000 AS BIGINT)"
"""In milliseconds."""

# In other words. Values in the same order as in the words that they stand for.

_INSERT_LEAF = """
WITH leaf AS (
  INSERT INTO log_leaves (kind, authority, sha256, logged_at, leaf_hash) VALUES (?, ?, ?, ?, ?) RETURNING id)
INSERT INTO log_unplaced (leaf_id) SELECT id FROM leaf"""
_UNPLACED = f"""
SELECT {log_tree.LEAF} FROM log_unplaced u JOIN log_leaves l ON l.id = u.leaf_id
ORDER BY u.leaf_id LIMIT ?"""  # noqa: S608 - the names of columns
_PLACE = """
WITH leaf AS (
  SELECT CAST(? AS BIGINT) AS place, id, sha256 FROM log_leaves WHERE id = ?
), placed AS (
  DELETE FROM log_unplaced WHERE leaf_id IN (SELECT id FROM leaf) RETURNING leaf_id
)
INSERT INTO log_sequence (sequence, leaf_id, sha256)
SELECT leaf.place, leaf.id, leaf.sha256 FROM leaf JOIN placed ON placed.leaf_id = leaf.id"""
# Whether a division of whole numbers leaves a whole number is not the same everywhere.
_ENDINGS = """
SELECT CAST(FLOOR(not_after / 86400) AS BIGINT),
  CAST(FLOOR((not_before + (not_after - not_before) * 3 / 4) / 86400) AS BIGINT), COUNT(*)
FROM certificates
WHERE binding IN ('pending', 'active') AND revoked_at IS NULL AND not_after >= ? * 86400
GROUP BY 1, 2 ORDER BY 1, 2"""

_REVOKE = revocations.REVOKE.replace(
    "instr('0123456789ABCDEF', substr(hex(serial), -1)) - 1",
    "get_byte(serial, octet_length(serial) - 1) % 16",
)
# Whoever cuts holds the counter's row until the commit, so that numbers come in its order.
_CUT = """
WITH counted AS (
  UPDATE epochs SET epoch = GREATEST(epoch, (SELECT COALESCE(MAX(id), 0) FROM session_cuts)) + 1
  WHERE name = 'cuts' RETURNING epoch)
INSERT INTO session_cuts (id, hub, device_id, reason) SELECT epoch, ?, ?, ? FROM counted"""

IN_OTHER_WORDS = {
    revocations.REVOKE: _REVOKE,
    sql.INSERT_LEAF: _INSERT_LEAF,
    sql.NEWEST_OPERATION: sql.NEWEST_OPERATION.replace("rowid", "number"),
    log_tree.UNPLACED: _UNPLACED,
    log_tree.PLACE: _PLACE,
    custody.ENDINGS: _ENDINGS,
    session_cuts.CUT: _CUT,
}


def words(text: str) -> str:
    """What PostgreSQL is told in place of a shared text."""
    return IN_OTHER_WORDS.get(text, text)
