"""`accredit ca init|csr|activate|rotate|revoke-issuer`: the keys of a built-in CA, and the ceremony of an offline root.

The service makes the issuing CA's key and a CSR; what the root does happens on a machine that is never connected, so it is
printed for the person who stands there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from accredit.cli import render
from accredit.cli.authorities import Name
from accredit.cli.connection import resource, text_of
from accredit.cli.local import DataDir, Remote, Trust, client
from accredit.cli.problem import Problem

Algorithm = Annotated[
    str | None,
    typer.Option(
        "--algorithm", help="P-256, P-384, RSA-3072, RSA-4096, Ed25519, ML-DSA-44, ML-DSA-65 or ML-DSA-87."
    ),
]

Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        help="Label of the PKCS#11 token that the issuing CA's key is made in; empty for the service's store.",
    ),
]

TokenKey = Annotated[
    str | None,
    typer.Option(
        "--token-key", help="Label of a key pair that is in the token already, instead of a new one."
    ),
]

_STEPS = """\
The key of the issuing CA of {name} is made, and stays {where}. Its root signs it where no network is:

1. Here, write the CSR down and carry it to the offline machine:
     accredit ca csr {name} > {name}.csr

2. There, once in the root's life, make the root (20 years; it asks for a passphrase; keep root.key there alone):
     openssl genpkey -aes256 -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out root.key
     openssl req -x509 -new -key root.key -sha384 -days 7300 -subj "/CN={name} root" \\
       -addext basicConstraints=critical,CA:TRUE,pathlen:1 -addext keyUsage=critical,keyCertSign,cRLSign -out root.pem

3. There, look at the CSR, compare its digest with what step 1 prints here, and sign it (5 years):
     openssl req -in {name}.csr -noout -text -verify
     openssl dgst -sha256 {name}.csr
     printf '%s\\n' basicConstraints=critical,CA:TRUE,pathlen:0 keyUsage=critical,digitalSignature,keyCertSign,cRLSign \\
       subjectKeyIdentifier=hash authorityKeyIdentifier=keyid > issuing.ext
     openssl x509 -req -in {name}.csr -CA root.pem -CAkey root.key -sha384 -days 1826 -extfile issuing.ext -out issuing.pem
     cat issuing.pem root.pem > {name}.pem

4. Carry {name}.pem back (never root.key), and activate it here:
     accredit ca activate {name} --certificate {name}.pem

Until then the authority refuses every order. A company's CA may take the root's part: give step 4 its whole chain.
"""


def init(
    name: Name,
    algorithm: Algorithm = None,
    offline_root: Annotated[
        bool,
        typer.Option(
            "--offline-root", help="Make a key and a CSR only; the root is elsewhere. Prints what to do."
        ),
    ] = False,
    token: Token = None,
    token_key: TokenKey = None,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Make a CA of your own."""
    body: dict[str, Any] = {"certificateAuthorityType": "BuiltIn"}
    chosen = {"algorithm": algorithm, "tokenLabel": token, "keyLabel": token_key}
    body |= {member: value for member, value in chosen.items() if value is not None}
    if offline_root:
        body["root"] = "offline"
    answer = client(data_dir, remote, trust).call("PUT", resource("/certificateAuthorities", name), body)
    _show(name, answer.json())


def csr(name: Name, data_dir: DataDir = None, remote: Remote = None, trust: Trust = None) -> None:
    """Print the CSR of the issuing CA that waits for its certificate."""
    shown = client(data_dir, remote, trust).call("GET", resource("/certificateAuthorities", name)).json()
    request = shown.get("request")
    if request is None:
        raise Problem(
            f"No issuing CA of {name} waits for its certificate; `accredit ca rotate {name}` makes one."
        )
    print(request, end="")


def activate(
    name: Name,
    certificate: Annotated[
        Path,
        typer.Option(
            "--certificate", help="PEM: the issuing CA's certificate, then those above it, up to the root."
        ),
    ],
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Take the certificate that the CSR became; the issuing CA of before goes on answering for its leaves."""
    body = {"certificate": text_of(certificate)}
    address = resource("/certificateAuthorities", name) + "/activate"
    render.document(client(data_dir, remote, trust).call("POST", address, body).json())


def rotate(
    name: Name,
    algorithm: Algorithm = None,
    root: Annotated[bool, typer.Option("--root", help="Make a new root too.")] = False,
    token: Token = None,
    token_key: TokenKey = None,
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Make a new issuing CA; with an offline root, a key and the CSR, and prints what to do."""
    body: dict[str, Any] = {"algorithm": algorithm, "newRoot": root, "tokenLabel": token}
    if token_key is not None:
        body["keyLabel"] = token_key
    address = resource("/certificateAuthorities", name) + "/rotate"
    shown = client(data_dir, remote, trust).call("POST", address, body).json()
    _show(name, shown)


def _show(name: str, shown: dict[str, Any]) -> None:
    if "request" not in shown:
        render.document(shown)
        return
    token = shown.get("tokenLabel")
    where = "in the service" if token is None else f"in the token {token}"
    print(_STEPS.format(name=name, where=where), end="")


def revoke_issuer(
    name: Name,
    key_id: Annotated[
        str, typer.Argument(help="The issuing CA's key id in hex: X509v3 Subject Key Identifier.")
    ],
    reason: Annotated[str, typer.Option(help="Why, by a name of RFC 5280.")] = "cACompromise",
    data_dir: DataDir = None,
    remote: Remote = None,
    trust: Trust = None,
) -> None:
    """Put an issuing CA on its root's CRL; where it is the one of now, nothing is signed until a rotation."""
    body = {"keyId": key_id, "reason": reason}
    address = resource("/certificateAuthorities", name) + "/revokeIssuer"
    render.document(client(data_dir, remote, trust).call("POST", address, body).json())
