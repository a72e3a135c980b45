CREATE TABLE lost_orders (
  operation_id TEXT COLLATE "C" NOT NULL,
  authority_key TEXT COLLATE "C" NOT NULL,
  authority TEXT COLLATE "C" NOT NULL,
  csr_sha256 BYTEA NOT NULL,
  watch_until BIGINT NOT NULL,
  looks BIGINT NOT NULL,
  next_look_at BIGINT,
  PRIMARY KEY (operation_id, authority_key)
);
CREATE INDEX lost_orders_due ON lost_orders (next_look_at) WHERE next_look_at IS NOT NULL;
CREATE INDEX lost_orders_by_csr ON lost_orders (csr_sha256);
