"""Making X.509 with keys of our own: the keys, the two certificates above the leaves, and the leaves.

Nothing here decides whether a key or a name may be certified (`policy/` does), and nothing is kept: what is made is
handed back.
"""
