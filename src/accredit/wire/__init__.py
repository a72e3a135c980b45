"""Bytes to values and back, both roles of every protocol. Knows no socket, no clock, no policy and no store."""
