"""SoftHSM: a PKCS#11 module whose tokens are folders, so that a test can make one, pull it out and put it back."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from support.programs import missing, need, run

PIN = "1234"
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
_numbers = count(1)
_here = tempfile.TemporaryDirectory(prefix="accredit-softhsm-")


class SoftHsm:
    """One configuration of it, with its tokens below `folder`. Skips the test where it, or what speaks to it, is missing."""

    def __init__(self, folder: Path) -> None:
        need("softhsm2-util")
        if find_spec("pkcs11") is None:
            missing("accredit[pkcs11] is not installed: make install EXTRAS=pkcs11")
        self.module = next((Path(each) for each in _MODULES if Path(each).exists()), None) or missing(
            "SoftHSM's library is in none of the places where it is looked for"
        )
        self._folder = folder
        self._tokens, self._pulled = folder / "tokens", folder / "pulled"
        for each in (self._tokens, self._pulled):
            each.mkdir(parents=True)
        self.configuration = folder / "softhsm2.conf"
        self.configuration.write_text(f"directories.tokendir = {self._tokens}\nlog.level = ERROR\n")
        self.pin_file = folder / "pin"
        self.write_pin(PIN)

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a service uses it."""
        return {
            "SOFTHSM2_CONF": str(self.configuration),
            "ACCREDIT_PKCS11_MODULE": str(self.module),
            "ACCREDIT_PKCS11_PIN_FILE": str(self.pin_file),
        }

    def write_pin(self, pin: str) -> None:
        self.pin_file.write_text(pin + "\n")
        self.pin_file.chmod(0o600)

    def make_token(self, label: str | None = None) -> str:
        """A new token; returns its label."""
        label = label or f"token-{next(_numbers)}"
        variable = f"SOFTHSM2_CONF={self.configuration}"
        making = ("--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "5678")
        run("env", variable, "softhsm2-util", *making)
        return label

    def pull(self) -> None:
        """Take every token out of its slot."""
        for each in self._tokens.iterdir():
            each.rename(self._pulled / each.name)

    def put_back(self) -> None:
        for each in self._pulled.iterdir():
            each.rename(self._tokens / each.name)


@cache
def soft_hsm() -> SoftHsm:
    """The one of this process: a module is told where its tokens are by a variable. It goes with the process."""
    made = SoftHsm(Path(_here.name) / "hsm")
    os.environ["SOFTHSM2_CONF"] = str(made.configuration)
    return made
