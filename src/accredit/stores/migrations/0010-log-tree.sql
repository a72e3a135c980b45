-- The tree over the issuance log. `log_sequence` gives each leaf its place, `log_nodes` keeps the hash of every whole
-- subtree above the leaves, `log_heads` each signed tree head. All three only ever grow.

CREATE TABLE log_sequence (
  sequence INTEGER PRIMARY KEY,
  leaf_id INTEGER NOT NULL UNIQUE
);

CREATE TABLE log_nodes (
  level INTEGER NOT NULL,
  position INTEGER NOT NULL,
  hash BLOB NOT NULL,
  PRIMARY KEY (level, position)
);

CREATE TABLE log_heads (
  size INTEGER PRIMARY KEY,
  root BLOB NOT NULL,
  signed_at INTEGER NOT NULL,
  public_key BLOB NOT NULL,
  signature BLOB NOT NULL
);
