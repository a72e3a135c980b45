-- What is, or was, copied into this database by `accredit migrate`: until it has ended nobody serves what is here.
CREATE TABLE imports (
  source TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  began_at BIGINT NOT NULL,
  finished_at BIGINT
);
