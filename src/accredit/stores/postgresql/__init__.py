"""The store that several processes share: `interfaces.Store` on PostgreSQL, or on what speaks as it does.

`pipeline.py` is one connection, `link.py` keeps one up, `writer.py` commits units of work, `store.py` puts them together.
psycopg connects; its libpq is then driven as a pipeline. Nothing here is of PostgreSQL alone but for what it says.
"""
