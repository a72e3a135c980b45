"""The fake DigiCert ONE as a process of its own, told what to do over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx

from support import digicert_one


class DigiCertProcess:
    """Use as a context manager; `arguments` are the script's own; `url`, `api_key` and `profile` are what an operator would configure."""

    api_key = digicert_one.API_KEY
    profile = digicert_one.PROFILE

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._arguments = ["--ledger", str(folder / "ledger.jsonl"), *arguments]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        script = str(Path(digicert_one.__file__))
        self._process = subprocess.Popen(
            [sys.executable, script, *self._arguments], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline())
        self.url = told["url"].replace("localhost", "127.0.0.1")
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._http.close()
        self._process.terminate()
        self._process.wait(60)
        self._process.stdout.close()

    def misbehaves(self, *faults: str, **settings: Any) -> None:
        """The next orders meet these faults in turn; `delay_s`, `pending_lists` and so on hold until changed."""
        self._http.post("/_fake/faults", json={"faults": faults, **settings}).raise_for_status()

    def hold(self) -> None:
        """From now on it acts, but keeps its answers: until `answer`, or until its clients give it up."""
        self.misbehaves(held=True)

    def answer(self) -> None:
        self.misbehaves(held=False)

    def release(self) -> None:
        """Issue everything that is pending."""
        self._http.post("/_fake/release").raise_for_status()

    def signed(self, common_name: str) -> list[dict[str, Any]]:
        """The ledger's entries for this name: everything that was signed, told or not."""
        entries = self._http.get("/_fake/ledger").json()
        return [entry for entry in entries if entry["commonName"] == common_name]

    @property
    def authority(self) -> dict[str, str]:
        """The body of `PUT /certificateAuthorities/{name}`."""
        return {
            "certificateAuthorityType": "DigiCertCertificateAuthority",
            "apiKey": self.api_key,
            "profileName": self.profile,
        }
