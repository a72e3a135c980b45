"""A real TPM 2.0, emulated: swtpm, spoken to by tpm2-tools, doing what DPS clients have a TPM do.

C hsm_client_tpm.c, Node tpm.js (`_activateIdentityKey`): ActivateCredential under the EK's policy, Import under the SRK,
Load, EvictControl, and HMAC with the key that was taken in.
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import quote

from accredit.domain.evidence import TpmEndorsement
from accredit.domain.tpm import TpmKey
from accredit.wire import sas, tpm
from support.ports import free_port
from support.programs import need

EK, SRK, ID_KEY = "0x81010001", "0x81000001", "0x81000100"
"""Where clients keep a TPM's two keys, and the one that the service sent."""

START_S = 60.0
_SRK = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"


class TpmEmulator:
    """A TPM with its keys made; the next key that it takes in replaces the last one. `port` takes raw commands."""

    def __init__(self, folder: Path) -> None:
        for program in ("swtpm", "tpm2_createek"):
            need(program)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = dict(os.environ)
        self.port = 0
        self.endorsement: TpmKey
        self.storage_root: TpmKey

    def __enter__(self) -> Self:
        state = self._folder / "state"
        state.mkdir(exist_ok=True)
        port = self.port = _free_pair()
        self._process = subprocess.Popen(
            [
                "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}",
                "--server", f"type=tcp,bindaddr=127.0.0.1,port={port}",
                "--ctrl", f"type=tcp,bindaddr=127.0.0.1,port={port + 1}",
                "--flags", "not-need-init,startup-clear",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._environment["TPM2TOOLS_TCTI"] = f"swtpm:host=127.0.0.1,port={port}"
        try:
            self._await(port)
            self._make_keys()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def registration_id(self) -> str:
        return tpm.default_registration_id(self.endorsement)

    def endorsed(self, token: str | None = None) -> TpmEndorsement:
        return TpmEndorsement(
            self.endorsement, self.storage_root, None if token is None else sas.parse(token)
        )

    def take(self, blob: bytes) -> None:
        """Take in the key that a blob holds, and keep it under its handle; AssertionError when the TPM refuses."""
        parcel = tpm.read_blob(blob)
        # The tools' own container for a credential: magic, version, TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET.
        self._write(
            "credential",
            bytes.fromhex("badcc0de00000001")
            + tpm.sized(parcel.credential)
            + tpm.sized(parcel.credential_secret),
        )
        self._write("duplicate", tpm.sized(parcel.duplicate))
        self._write("seed", tpm.sized(parcel.duplicate_seed))
        self._write("identity.pub", tpm.sized(parcel.area))
        self._tool("startauthsession", "--policy-session", "-S", "session")
        self._tool("policysecret", "-S", "session", "-c", "e")
        self._tool(
            "activatecredential", "-c", SRK, "-C", EK, "-i", "credential", "-o", "inner", "-P", "session:session"
        )  # fmt: skip
        self._tool("flushcontext", "session")
        self._tool(
            "import", "-C", SRK, "-k", "inner", "-i", "duplicate", "-s", "seed", "-u", "identity.pub",
            "-r", "identity.priv",
        )  # fmt: skip
        self._tool("load", "-C", SRK, "-u", "identity.pub", "-r", "identity.priv", "-c", "identity")
        if ID_KEY in self._tool("getcap", "handles-persistent"):
            self._tool("evictcontrol", "-C", "o", "-c", ID_KEY)
        self._tool("evictcontrol", "-C", "o", "-c", "identity", ID_KEY)

    def hmac(self, text: bytes) -> bytes:
        """TPM2_HMAC with the key that was taken in last."""
        self._write("text", text)
        self._tool("hmac", "-c", ID_KEY, "-o", "signature", "text")
        return (self._folder / "signature").read_bytes()

    def token(self, resource: str, expires_at: int, skn: str | None = "registration") -> str:
        """A token signed inside the TPM."""
        encoded = quote(resource, safe="")
        signature = base64.b64encode(self.hmac(f"{encoded}\n{expires_at}".encode())).decode()
        token = f"SharedAccessSignature sr={encoded}&sig={quote(signature, safe='')}&se={expires_at}"
        return token if skn is None else f"{token}&skn={skn}"

    def _make_keys(self) -> None:
        # Where clients look for them before they make their own.
        self._tool("createek", "-G", "rsa", "-c", EK, "-u", "ek.pub")
        self._tool(
            "createprimary", "-C", "o", "-g", "sha256", "-G", "rsa2048:aes128cfb", "-a", _SRK, "-c", "srk"
        )
        self._tool("evictcontrol", "-C", "o", "-c", "srk", SRK)
        self._tool("readpublic", "-c", SRK, "-f", "tss", "-o", "srk.pub")
        self.endorsement = tpm.read_key((self._folder / "ek.pub").read_bytes(), "EK")
        self.storage_root = tpm.read_key((self._folder / "srk.pub").read_bytes(), "SRK")

    def _await(self, port: int) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port + 1), timeout=1).close()
            except OSError:
                assert self._process is not None
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError("swtpm did not start") from None
                time.sleep(0.02)
            else:
                return

    def _write(self, name: str, content: bytes) -> None:
        (self._folder / name).write_bytes(content)

    def _tool(self, name: str, *arguments: str) -> str:
        done = subprocess.run(
            [f"tpm2_{name}", *arguments],
            cwd=self._folder, env=self._environment, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"tpm2_{name} {' '.join(arguments)}: {done.stderr}{done.stdout}")
        if name != "flushcontext":
            # No resource manager stands between: what a tool leaves behind would fill the TPM's few places.
            self._tool("flushcontext", "--transient-object")
        return done.stdout


def _free_pair() -> int:
    """The first of two free ports that follow each other."""
    while True:
        port = free_port()
        with suppress(OSError):
            free_port(port + 1)
            return port
