"""Where the service's state is kept: plain SQL behind `interfaces.Store`.

This room knows tables, transactions and envelopes. It does not know why a change is made, who asked for it, or what
it becomes on a wire; no row, cursor or database error leaves it.
"""
