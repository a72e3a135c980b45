"""ACME (RFC 8555): a session that signs calls, and the connector that takes one order through its states."""
