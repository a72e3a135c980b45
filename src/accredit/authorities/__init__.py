"""Certificate authorities behind `interfaces.Authority`: our own, and one connector for each outside CA.

A connector knows its CA's protocol and turns what the CA did into an answer; whether a delivered certificate is what
was ordered is judged in `policy/delivered.py`. Connectors don't know each other, the store, or who asked.
"""
