"""The witness of the issuance log's heads that the operator named, if any: a file, or a URL."""

from __future__ import annotations

import ssl
from pathlib import Path

from accredit.app.data_folder import CannotStart
from accredit.config import Config
from accredit.egress import Egress, EgressRules, tls_context
from accredit.observe import log
from accredit.witness import Witness
from accredit.witnesses.file import WitnessFile
from accredit.witnesses.url import WitnessUrl

MAX_ANSWER_BYTES = 64 * 1024


def opened(config: Config, rules: EgressRules) -> Witness | None:
    """None where none is configured; it is the caller's to close. Raises CannotStart."""
    chosen: str = config.log_witness
    if not chosen:
        return None
    if "://" in chosen:
        trust = _trust(config.log_witness_trust_file)
        return WitnessUrl(chosen, Egress(rules, tls=trust, max_answer_bytes=MAX_ANSWER_BYTES))
    path = Path(chosen).absolute()
    witness = WitnessFile(path)
    try:
        witness.check()
    except OSError as error:
        raise CannotStart(
            f"log_witness {path} can't be appended to ({error}); name a file in a folder that this user may write to."
        ) from None
    if path.resolve().is_relative_to(config.data_dir.resolve()):
        log.warning("log-witness-in-data-folder", witness=str(path))
    return witness


def _trust(path: Path) -> ssl.SSLContext:
    if path == Path():
        return tls_context()
    try:
        return tls_context(path.read_text())
    except (OSError, ValueError) as error:
        raise CannotStart(
            f"log_witness_trust_file {path} can't be used ({error}); name a file of PEM certificates."
        ) from None
