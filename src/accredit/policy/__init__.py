"""Decisions: what is accepted, from whom, and why not.

Pure and synchronous: facts and `now` come in as arguments, a decision or a refusal goes out. This room knows the
domain and X.509; it knows no wire format of a protocol, no store, no clock, and it waits for nothing.
"""
