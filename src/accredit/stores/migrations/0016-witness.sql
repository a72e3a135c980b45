-- Which heads of the issuance log its witness has taken, and when. It only ever grows.

CREATE TABLE log_witnessed (
  witness TEXT NOT NULL,
  size INTEGER NOT NULL,
  taken_at INTEGER NOT NULL,
  PRIMARY KEY (witness, size)
);
