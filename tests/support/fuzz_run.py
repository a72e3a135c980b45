"""Explore one target with atheris, coverage-guided: `python -m support.fuzz_run TARGET CORPUS -max_total_time=S ...`.

The seeds are put into the corpus first; what it finds on the way stays there, so that a later run goes on from it.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["accredit"]):
    from support.fuzz_targets import TARGETS


def main() -> None:
    name, corpus, *options = sys.argv[1:]
    target = TARGETS[name]
    for seed in target.seeds():
        (Path(corpus) / hashlib.sha256(seed).hexdigest()).write_bytes(seed)
    warnings.simplefilter("ignore")
    atheris.Setup([sys.argv[0], *options, corpus], target)
    atheris.Fuzz()


main()
