"""Who keeps the heads of the issuance log outside of it: a file, or a URL. Knows nothing of when and how often."""
