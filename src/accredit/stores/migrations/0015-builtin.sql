-- What the leaves of the built-in CA look like: the profile's own document, JSON.
CREATE TABLE certificate_profiles (
  profile_key TEXT NOT NULL PRIMARY KEY,
  profile TEXT NOT NULL,
  document TEXT NOT NULL,
  etag TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);
