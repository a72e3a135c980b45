-- Orders whose answers were lost and which their CA is still asked about. One that is over has no `next_look_at`.

CREATE TABLE lost_orders (
  operation_id TEXT NOT NULL,
  authority_key TEXT NOT NULL,
  authority TEXT NOT NULL,
  csr_sha256 BLOB NOT NULL,
  watch_until INTEGER NOT NULL,
  looks INTEGER NOT NULL,
  next_look_at INTEGER,
  PRIMARY KEY (operation_id, authority_key)
);

CREATE INDEX lost_orders_due ON lost_orders (next_look_at) WHERE next_look_at IS NOT NULL;
CREATE INDEX lost_orders_by_csr ON lost_orders (csr_sha256);
