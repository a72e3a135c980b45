"""Fresh names: etags, generations, versions."""

from __future__ import annotations

from accredit.interfaces import Entropy


def etag(entropy: Entropy) -> str:
    return entropy.token(8).hex()


def generation(entropy: Entropy) -> str:
    """Also the version of an authority: it is never the same twice."""
    return entropy.token(16).hex()
